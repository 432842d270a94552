//! `POST /v1/responses`, not streaming: text in, text out, in the shape of the JSON Schema that was asked for.

use super::faults::{Fault, Faults};
use super::fields::Fields;
use super::refusal::Refusal;
use super::{OpenAi, analysis, requests, unix_seconds};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

const FIELDS: [&str; 24] = [
    "model",
    "input",
    "instructions",
    "text",
    "temperature",
    "top_p",
    "max_output_tokens",
    "store",
    "stream",
    "metadata",
    "reasoning",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "truncation",
    "user",
    "safety_identifier",
    "include",
    "previous_response_id",
    "service_tier",
    "background",
    "prompt_cache_key",
    "top_logprobs",
    "max_tool_calls",
];

pub(super) async fn create(
    State(openai): State<OpenAi>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    requests::answer(&openai, "/v1/responses", &headers, body, answer).await
}

fn answer(openai: &OpenAi, faults: &Faults, asked: &Value) -> Result<Value, Refusal> {
    if let Some(status) = faults.responses_status() {
        return Err(Refusal::of_status(status));
    }
    let fields = Fields::of("", asked)?.only(&FIELDS)?;
    let model = fields.required("model", fields.text("model")?)?;
    if !super::models::TEXT.contains(&model) {
        return Err(Refusal::of_status(404));
    }
    if fields.get("stream").is_some_and(|stream| stream == true) {
        return Err(Refusal::value("stream", "The stand-in does not stream responses."));
    }
    let transcript = input_text(fields.get("input").ok_or_else(|| Refusal::missing("input"))?)?;
    let format = asked.pointer("/text/format").cloned().unwrap_or_else(|| json!({ "type": "text" }));
    let script = openai.script();
    let text = match format.get("type").and_then(Value::as_str) {
        Some("json_schema") if faults.has(&Fault::ResponsesNonsense) => "I would rather not say.".to_owned(),
        Some("json_schema") => {
            let schema = format.get("schema").ok_or_else(|| Refusal::missing("text.format.schema"))?;
            format.get("name").ok_or_else(|| Refusal::missing("text.format.name"))?;
            check_strict(&format, schema)?;
            analysis::analysed(&script, &transcript, schema).to_string()
        }
        Some("text") => analysis::summarised(&script, &transcript),
        other => {
            let other = other.unwrap_or_default();
            return Err(Refusal::not_one_of("text.format.type", other, &["text", "json_schema"]));
        }
    };
    Ok(response(asked, &format, &text, transcript.len() / 4))
}

/// Strict schemas must close each object and require each property, as the real API insists.
fn check_strict(format: &Value, schema: &Value) -> Result<(), Refusal> {
    if format.get("strict") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let invalid = |what: &str| {
            let message = format!("Invalid schema for response_format: {what}.");
            Refusal {
                code: Some("invalid_json_schema".to_owned()),
                ..Refusal::value("text.format.schema", message)
            }
        };
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(invalid("'additionalProperties' is required to be supplied and to be false"));
        }
        let required = schema.get("required").and_then(Value::as_array);
        if let Some(name) =
            properties.keys().find(|name| !required.is_some_and(|all| all.iter().any(|one| one == *name)))
        {
            return Err(invalid(&format!(
                "'required' must include every key in properties; '{name}' is missing"
            )));
        }
        for property in properties.values() {
            check_strict(format, property)?;
        }
    }
    schema.get("items").map_or(Ok(()), |items| check_strict(format, items))
}

/// The text of the input: a string, or messages whose content is a string or parts.
fn input_text(input: &Value) -> Result<String, Refusal> {
    if let Some(text) = input.as_str() {
        return Ok(text.to_owned());
    }
    let messages =
        input.as_array().ok_or_else(|| Refusal::wrong_type("input", "a string or an array", input))?;
    let mut texts: Vec<&str> = Vec::new();
    for message in messages {
        if !message.get("role").is_some_and(|role| role == "user") {
            continue;
        }
        match message.get("content") {
            Some(Value::String(text)) => texts.push(text),
            Some(Value::Array(parts)) => {
                texts.extend(parts.iter().filter_map(|part| part.get("text")?.as_str()));
            }
            _ => return Err(Refusal::missing("input[].content")),
        }
    }
    Ok(texts.join("\n"))
}

fn response(asked: &Value, format: &Value, text: &str, input_tokens: usize) -> Value {
    let field = |name: &str, default: Value| match asked.get(name) {
        None | Some(Value::Null) => default,
        Some(value) => value.clone(),
    };
    let id = || uuid::Uuid::new_v4().simple().to_string();
    let now = unix_seconds();
    let output_tokens = text.len() / 4 + 1;
    let content = json!([{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }]);
    json!({
        "id": format!("resp_{}", id()), "object": "response", "created_at": now, "completed_at": now,
        "status": "completed", "background": false, "error": null, "incomplete_details": null,
        "instructions": field("instructions", Value::Null), "max_output_tokens": field("max_output_tokens", Value::Null),
        "model": field("model", Value::Null), "previous_response_id": null, "parallel_tool_calls": true,
        "output": [{ "type": "message", "id": format!("msg_{}", id()), "status": "completed", "role": "assistant",
            "content": content }],
        "reasoning": { "effort": null, "summary": null }, "service_tier": "default", "store": field("store", json!(true)),
        "temperature": field("temperature", json!(1.0)), "top_p": field("top_p", json!(1.0)), "text": { "format": format, "verbosity": "medium" },
        "tool_choice": "auto", "tools": [], "top_logprobs": 0, "truncation": "disabled", "user": null,
        "metadata": field("metadata", json!({})),
        "usage": {
            "input_tokens": input_tokens, "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
            "output_tokens": output_tokens, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": input_tokens + output_tokens,
        },
    })
}
