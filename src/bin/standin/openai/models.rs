//! The models that there are: `GET /v1/models`.

use super::refusal::Refusal;
use super::{OpenAi, bearer};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

pub(super) const REALTIME: [&str; 7] = [
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2",
    "gpt-realtime-1.5",
    "gpt-realtime",
    "gpt-realtime-mini",
    "gpt-realtime-2025-08-28",
];
pub(super) const TEXT: [&str; 6] =
    ["gpt-5.1", "gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4.1-mini", "gpt-4o-mini"];
/// Each embedding model with its largest, and default, number of dimensions.
pub(super) const EMBEDDING: [(&str, usize); 3] =
    [("text-embedding-3-small", 1_536), ("text-embedding-3-large", 3_072), ("text-embedding-ada-002", 1_536)];
const TRANSCRIPTION: [&str; 3] = ["gpt-4o-mini-transcribe", "gpt-4o-transcribe", "whisper-1"];

pub(super) async fn list(State(_): State<OpenAi>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    bearer(&headers).ok_or_else(Refusal::no_key)?;
    let models: Vec<Value> = names().map(model).collect();
    Ok(Json(json!({ "object": "list", "data": models })))
}

pub(super) async fn retrieve(
    State(_): State<OpenAi>,
    headers: HeaderMap,
    Path(wanted): Path<String>,
) -> Result<Json<Value>, Refusal> {
    bearer(&headers).ok_or_else(Refusal::no_key)?;
    let found = names().find(|name| *name == wanted);
    found.map(|name| Json(model(name))).ok_or_else(|| Refusal::of_status(404))
}

fn names() -> impl Iterator<Item = &'static str> {
    let embedding = EMBEDDING.iter().map(|(name, _)| *name);
    REALTIME.into_iter().chain(TEXT).chain(TRANSCRIPTION).chain(embedding)
}

fn model(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": 1_756_339_200, "owned_by": "standin" })
}
