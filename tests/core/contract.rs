//! The published GraphQL schemas: what stands in `graphql/` is what the code serves, and everything in it is described.

use neurosphere::graphql;

/// A schema, where it is published, and how it is printed.
struct Published {
    sdl: String,
    text: &'static str,
    file: &'static str,
    command: &'static str,
}

fn published() -> [Published; 2] {
    [
        Published {
            sdl: graphql::sdl(),
            text: include_str!("../../graphql/schema.graphql"),
            file: "graphql/schema.graphql",
            command: "neurosphere schema",
        },
        Published {
            sdl: graphql::platform::sdl(),
            text: include_str!("../../graphql/platform.graphql"),
            file: "graphql/platform.graphql",
            command: "neurosphere schema --platform",
        },
    ]
}

#[test]
fn the_published_schemas_are_what_is_served() {
    for Published { sdl, text, file, command } in published() {
        assert!(text == sdl, "{file} is stale; look at the change and run `{command} > {file}`");
    }
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
