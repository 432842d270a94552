//! The published GraphQL schema: `graphql/schema.graphql` is what the code serves, and everything in it is described.

use neurosphere::graphql::sdl;

#[test]
fn the_published_schema_is_what_is_served() {
    let published = include_str!("../../graphql/schema.graphql");
    assert!(
        published == sdl(),
        "graphql/schema.graphql is stale; look at the change and run `neurosphere schema > graphql/schema.graphql`"
    );
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
    let schema = sdl();
    let body = schema.split("\nschema {").next().unwrap();
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
    assert!(150 < declared, "the search must see the schema: {declared}");
    assert!(bare.is_empty(), "without a description:\n{}", bare.join("\n"));
}
