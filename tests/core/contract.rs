//! The published GraphQL schemas: what stands in `graphql/` and `docs/api/` is what the code serves, and everything in it
//! is described.

use neurosphere::graphql::{self, reference};

/// A schema, where it is published, and how it is printed.
struct Published {
    sdl: String,
    text: &'static str,
    file: &'static str,
    command: &'static str,
    title: &'static str,
    document: &'static str,
    document_file: &'static str,
}

fn published() -> [Published; 2] {
    [
        Published {
            sdl: graphql::sdl(),
            text: include_str!("../../graphql/schema.graphql"),
            file: "graphql/schema.graphql",
            command: "neurosphere schema",
            title: graphql::TITLE,
            document: include_str!("../../docs/api/tenant.md"),
            document_file: "docs/api/tenant.md",
        },
        Published {
            sdl: graphql::platform::sdl(),
            text: include_str!("../../graphql/platform.graphql"),
            file: "graphql/platform.graphql",
            command: "neurosphere schema --platform",
            title: graphql::platform::TITLE,
            document: include_str!("../../docs/api/platform.md"),
            document_file: "docs/api/platform.md",
        },
    ]
}

#[test]
fn the_published_schemas_are_what_is_served() {
    for Published { sdl, text, file, command, .. } in published() {
        assert!(text == sdl, "{file} is stale; look at the change and run `{command} > {file}`");
    }
}

#[test]
fn the_reference_is_of_what_is_served() {
    for Published { sdl, command, title, document, document_file, .. } in published() {
        let written = reference::markdown(title, &sdl).unwrap();
        assert!(
            document == written,
            "{document_file} is stale: run `{command} --markdown > {document_file}`"
        );
    }
}

#[test]
fn every_link_of_the_reference_leads_somewhere_and_every_type_is_in_it() {
    for Published { sdl, title, document_file, .. } in published() {
        let written = reference::markdown(title, &sdl).unwrap();
        let places: Vec<_> = written
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .map(|heading| heading.to_lowercase().replace(' ', "-"))
            .collect();
        let links: Vec<_> =
            written.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect();
        let lost: Vec<_> = links.iter().filter(|link| !places.contains(link)).collect();
        assert!(50 < links.len() && lost.is_empty(), "{document_file}: {lost:?}");
        let kinds = ["type ", "input ", "enum ", "scalar "];
        let declared = sdl.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind)));
        let roots =
            written.lines().filter(|line| ["## Queries", "## Mutations", "## Subscriptions"].contains(line));
        let types = places.iter().filter(|place| place.starts_with("type-")).count();
        assert_eq!(types + roots.count(), declared.count(), "{document_file}");
    }
}

#[test]
fn the_reference_tells_defaults_deprecations_and_bars() {
    let sdl = "schema { query: Query }
        \"All.\" type Query { \"One | two.\" old(\"How many.\" first: Int! = 3): [Thing!]! @deprecated(reason: \"Use `new`; stays until 2027-01-31.\") }
        \"A thing.\" type Thing { \"Its | name.\" name(loud: Boolean): String @deprecated(reason: \"Ask `old`.\") }";
    let written = reference::markdown("Title", sdl).unwrap();
    for line in [
        "# Title",
        "## Queries",
        "### query old",
        "One | two. **Deprecated**: Use `new`; stays until 2027-01-31.",
        "Gives [`[Thing!]!`](#type-thing).",
        "| `first` | `Int!` = `3` | How many. |",
        "### type Thing",
        "| `name(loud:)` | `String` | Its \\| name. **Deprecated**: Ask `old`. |",
    ] {
        assert!(written.lines().any(|found| found == line), "{line}\n{written}");
    }
    assert!(reference::markdown("Title", "type {").is_err());
}

/// What a line of the schema declares, if anything: a type, a field, an argument, or a value of an enum.
fn declares(line: &str) -> bool {
    let word = line.trim();
    let is_text = word.starts_with('"') || word.is_empty() || word.starts_with(['}', ')']);
    let is_own = word.starts_with("directive ") || word.starts_with("schema ");
    !is_text && !is_own
}

#[test]
fn every_type_field_argument_and_value_is_described() {
    for Published { sdl, file, .. } in published() {
        let body = sdl.split("\nschema {").next().unwrap();
        let mut in_block = false;
        let mut described = false;
        let mut bare = Vec::new();
        let mut declared = 0;
        for line in body.lines() {
            let word = line.trim();
            if word == "\"\"\"" {
                in_block = !in_block;
                described = true;
            } else if !in_block && declares(line) {
                declared += 1;
                if !described {
                    bare.push(word.to_owned());
                }
                described = false;
            } else if !in_block {
                described = word.starts_with('"');
            }
        }
        assert!(150 < declared, "the search must see {file}: {declared}");
        assert!(bare.is_empty(), "without a description in {file}:\n{}", bare.join("\n"));
    }
}

#[test]
fn no_mutation_is_without_its_own_input_payload_and_refusals() {
    for Published { sdl, file, .. } in published() {
        let mutation = sdl.split("type Mutation {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
        let mut seen = 0;
        for field in mutation.split("\n  ").filter(|line| line.ends_with('(')) {
            seen += 1;
            let name = field.trim_end_matches('(');
            let (first, rest) = name.split_at(1);
            let typed = format!("{}{rest}", first.to_uppercase());
            assert!(mutation.contains(&format!("input: {typed}Input!")), "{file}: {name}");
            assert!(mutation.contains(&format!("): {typed}Payload!")), "{file}: {name}");
            let payload = sdl.split(&format!("type {typed}Payload {{")).nth(1).unwrap();
            let payload = payload.split("\n}").next().unwrap();
            assert!(payload.contains("errors: [UserError!]!"), "{file}: {typed}Payload");
        }
        assert!(4 <= seen, "the search must see the mutations of {file}: {seen}");
    }
}
