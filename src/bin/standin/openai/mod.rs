//! The stand-in OpenAI: Realtime GA over a WebSocket (`realtime`, `session`), responses, embeddings and models, faithful
//! to what the real one was seen to do, scripted and faulty on demand. Must never know Twilio, the product or a tenant;
//! it writes its JSON by hand, so that a mistake in the product's wire types is not made twice.
//! Start at [`OpenAi::router`]; how a session lives is told in `session.rs`.

mod analysis;
mod control;
mod conversation;
mod embeddings;
mod faults;
mod fields;
mod input;
mod journal;
mod models;
mod realtime;
mod refusal;
mod reply;
mod requests;
mod responses;
pub(crate) mod script;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod turns;
mod vad;
mod wire;

use crate::speech::Library;
use crate::tap::Tap;
use axum::Router;
use axum::http::{HeaderMap, header::AUTHORIZATION};
use axum::routing::{any, get, post};
use faults::Planned;
use journal::Journal;
use refusal::Refusal;
use script::Script;
use std::sync::{Arc, PoisonError, RwLock};

/// The stand-in OpenAI; clones share its journal, script and faults.
#[derive(Clone)]
pub(crate) struct OpenAi(Arc<State>);

struct State {
    speech: Library,
    tap: Tap,
    journal: Journal,
    script: RwLock<Script>,
    faults: RwLock<Vec<Planned>>,
}

impl OpenAi {
    /// A stand-in that speaks with these voices and by this script.
    pub(crate) fn new(speech: Library, script: Script) -> OpenAi {
        OpenAi::with(speech, script, Tap::default(), Journal::new())
    }

    /// The same, whose sessions take part in a measurement.
    pub(crate) fn measured(speech: Library, script: Script, tap: Tap) -> OpenAi {
        OpenAi::with(speech, script, tap, Journal::of_counts())
    }

    fn with(speech: Library, script: Script, tap: Tap, journal: Journal) -> OpenAi {
        let (script, faults) = (RwLock::new(script), RwLock::default());
        OpenAi(Arc::new(State { speech, tap, journal, script, faults }))
    }

    /// What the product talks to.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/v1/realtime", get(realtime::accept))
            .route("/v1/responses", post(responses::create))
            .route("/v1/embeddings", post(embeddings::create))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{model}", get(models::retrieve))
            .route("/v1/{*other}", any(async || Refusal::of_status(404)))
            .with_state(self.clone())
    }

    /// What tests and demos talk to: `GET` and `DELETE /journal`, `PUT /script`, `PUT /faults`.
    pub(crate) fn control(&self) -> Router {
        control::router(self.clone())
    }

    fn script(&self) -> Script {
        self.0.script.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn faults(&self) -> Vec<Planned> {
        self.0.faults.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The key of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").filter(|key| !key.trim().is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in is another process than the product and has no Clock"
)]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
