//! An operator at the platform's API.

use crate::api::{Api, Headers};
use crate::world::World;
use neurosphere::operators::{self, Operator};
use neurosphere::secret::Secret;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// The running API of a world, and an operator with a key for it.
pub(crate) struct Office {
    pub(crate) api: Api,
    pub(crate) operator: Operator,
    pub(crate) key: Secret,
}

impl Office {
    pub(crate) async fn of(world: &World) -> Self {
        let made = world.operate(async |tx| operators::create(tx, "Grace Hopper").await).await;
        let (operator, key) = made.unwrap();
        Self { api: Api::of(world).await, operator, key }
    }

    /// Any request to the platform's host with the operator's key, unless they are replaced.
    pub(crate) async fn send(
        &self,
        to: (Method, &str),
        headers: Headers<'_>,
        body: impl Into<reqwest::Body>,
    ) -> Response {
        self.api.request(to, ("platform", &self.key), headers, body).await
    }

    /// The answer to a document, whatever it is.
    pub(crate) async fn answer(&self, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables}).to_string();
        let response = self.send((Method::POST, "/graphql"), &[], body).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        response.json().await.unwrap()
    }

    /// The data of a document that must be answered without errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.answer(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
        answer["data"].take()
    }

    /// The payload of a mutation, with the asked fields of it and its refusals.
    pub(crate) async fn mutate(&self, name: &str, input: Value, fields: &str) -> Value {
        let query = mutation(name, fields);
        self.data(&query, json!({"input": input})).await[name].take()
    }

    /// What is asked of the payload of a mutation that must not be refused.
    pub(crate) async fn done(&self, name: &str, input: Value, fields: &str) -> Value {
        let payload = self.mutate(name, input, fields).await;
        assert_eq!(payload["errors"], json!([]), "{name}: {payload}");
        payload
    }

    /// Code and field of the refusal of a mutation.
    pub(crate) async fn refusal(&self, name: &str, input: Value) -> (String, Option<String>) {
        let payload = self.mutate(name, input, "__typename").await;
        let refused = payload["errors"].get(0).unwrap_or_else(|| panic!("{name} is not refused: {payload}"));
        (refused["code"].as_str().unwrap().to_owned(), refused["field"].as_str().map(str::to_owned))
    }
}

/// The document of a mutation that asks for these fields of its payload, and for the refusals.
pub(crate) fn mutation(name: &str, fields: &str) -> String {
    let (first, rest) = name.split_at(1);
    let typed = format!("{}{rest}Input", first.to_uppercase());
    format!(
        "mutation($input: {typed}!) {{ {name}(input: $input) {{ {fields} errors {{ code message field }} }} }}"
    )
}
