//! The examples of `docs/api/examples.md`: each document is sent with its variables, and what comes must be what stands
//! below it.

use crate::api::{Api, concluded_call};
use crate::world::World;
use serde_json::{Value, json};

const EXAMPLES: &str = include_str!("../../docs/api/examples.md");
/// Stands for whatever comes.
const ANYTHING: &str = "…";

struct Example {
    document: String,
    variables: String,
    answer: String,
}

/// The examples in order: a document, its variables if it has any, and the answer.
fn examples() -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    for fenced in EXAMPLES.split("\n```").skip(1).step_by(2) {
        let (kind, text) = fenced.split_once('\n').unwrap();
        let text = text.to_owned();
        match (kind, found.last_mut()) {
            ("graphql", _) => {
                let (variables, answer) = ("{}".to_owned(), String::new());
                found.push(Example { document: text, variables, answer });
            }
            ("json variables", Some(example)) => example.variables = text,
            ("json answer", Some(example)) => example.answer = text,
            (other, _) => panic!("a block of {other}"),
        }
    }
    found
}

/// Whether everything that is expected came, at its place.
fn is(came: &Value, expected: &Value) -> bool {
    match (came, expected) {
        (came, Value::String(text)) => text == ANYTHING && !came.is_null() || came == expected,
        (Value::Object(came), Value::Object(expected)) => expected
            .iter()
            .all(|(name, expected)| came.get(name).map_or(expected.is_null(), |came| is(came, expected))),
        (Value::Array(came), Value::Array(expected)) => {
            came.len() == expected.len()
                && came.iter().zip(expected).all(|(came, expected)| is(came, expected))
        }
        (came, expected) => came == expected,
    }
}

#[tokio::test]
async fn every_example_is_answered_as_it_says() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    concluded_call(&world, &tenant, "+19495550199").await;
    let newest = "{ calls(first: 1) { nodes { id caller { id } } } }";
    let call = api.data(&tenant, newest, json!({})).await["calls"]["nodes"][0].take();
    let filled = |text: &str| -> Value {
        let text = text.replace("<caller>", call["caller"]["id"].as_str().unwrap());
        serde_json::from_str(&text.replace("<call>", call["id"].as_str().unwrap())).unwrap()
    };
    let examples = examples();
    assert!(8 <= examples.len(), "the search must see the examples: {}", examples.len());
    for Example { document, variables, answer } in examples {
        let came = api.answer(&tenant, &document, filled(&variables)).await;
        let expected = filled(&answer);
        assert!(is(&came, &expected), "{document}\ncame {came:#}\nexpected {expected:#}");
        let told_of_errors = |answer: &Value| answer.get("errors").is_some();
        assert_eq!(told_of_errors(&came), told_of_errors(&expected), "{document}\ncame {came:#}");
    }
}
