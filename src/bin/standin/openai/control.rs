//! The stand-in OpenAI's own controls: its journal, its script, its faults.

use super::OpenAi;
use super::faults::Planned;
use super::script::Script;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::Value;
use std::sync::PoisonError;

pub(super) fn router(openai: OpenAi) -> Router {
    Router::new()
        .route("/journal", get(journal).delete(clear))
        .route("/script", put(set_script))
        .route("/faults", put(set_faults).get(faults))
        .with_state(openai)
}

async fn journal(State(openai): State<OpenAi>) -> Json<Value> {
    Json(openai.0.journal.to_json())
}

async fn clear(State(openai): State<OpenAi>) -> StatusCode {
    openai.0.journal.clear();
    StatusCode::NO_CONTENT
}

/// Takes a script as TOML; sessions that are open keep theirs.
async fn set_script(State(openai): State<OpenAi>, text: String) -> Result<StatusCode, (StatusCode, String)> {
    let script = Script::parse(&text).map_err(|problem| (StatusCode::UNPROCESSABLE_ENTITY, problem))?;
    *openai.0.script.write().unwrap_or_else(PoisonError::into_inner) = script;
    Ok(StatusCode::NO_CONTENT)
}

async fn faults(State(openai): State<OpenAi>) -> Json<Vec<Planned>> {
    Json(openai.faults())
}

/// Replaces all planned faults; `[]` ends them. They befall sessions and requests that begin from now on.
async fn set_faults(State(openai): State<OpenAi>, Json(planned): Json<Vec<Planned>>) -> StatusCode {
    *openai.0.faults.write().unwrap_or_else(PoisonError::into_inner) = planned;
    StatusCode::NO_CONTENT
}
