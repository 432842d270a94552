//! The parameters of a request, each of its own type or refused. Pure.

use async_graphql::Variables;
use serde_json::{Map, Value};

use super::answer::Refusal;
use crate::graphql::trusted::Source;

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Params {
    pub(super) source: Source,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Variables,
}

impl Params {
    /// Of a JSON body: one object, no batch.
    pub(super) fn from_body(body: &[u8]) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::BAD_JSON)?;
        Self::from_payload(body)
    }

    /// Of a value that was read already.
    pub(super) fn from_payload(payload: Value) -> Result<Self, Refusal> {
        let Value::Object(fields) = payload else { return Err(Refusal::NO_BATCHES) };
        Self::from_fields(fields)
    }

    /// Of the query string of a GET, where variables and extensions are JSON texts.
    pub(super) fn from_query(query: &str) -> Result<Self, Refusal> {
        let mut fields = Map::new();
        for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = match name.as_ref() {
                "variables" | "extensions" => serde_json::from_str(&text).map_err(|_| Refusal::BAD_JSON)?,
                _ => Value::from(text.into_owned()),
            };
            if fields.insert(name.into_owned(), value).is_some() {
                return Err(Refusal::BAD_PARAMETERS);
            }
        }
        Self::from_fields(fields)
    }

    fn from_fields(mut fields: Map<String, Value>) -> Result<Self, Refusal> {
        let source = match (fields.remove("query"), fields.remove("documentId")) {
            (Some(Value::String(text)), None) => Source::Text(text),
            (None, Some(Value::String(id))) => Source::Id(id),
            (Some(_) | None, Some(_) | None) => return Err(Refusal::BAD_PARAMETERS),
        };
        let operation_name = match fields.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(Refusal::BAD_PARAMETERS);
            }
        };
        let variables = object(fields.remove("variables"))?;
        object(fields.remove("extensions"))?;
        Ok(Self { source, operation_name, variables: Variables::from_json(variables) })
    }
}

fn object(value: Option<Value>) -> Result<Value, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(Value::Object(Map::new())),
        Some(object @ Value::Object(_)) => Ok(object),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(Refusal::BAD_PARAMETERS)
        }
    }
}
