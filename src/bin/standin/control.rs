//! How tests, demo and bench tell the stand-in Twilio what to do, as JSON over HTTP on a port of its own:
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /calls` | an order, below | 202 `{"call_sid"}`; 422 `{"error"}` |
//! | `GET /calls` | | `[{"call_sid","status","reason"}]` |
//! | `GET /calls/{sid}` | | `{"call_sid","status","reason","duration_s","timeline":[…]}` |
//! | `GET /calls/{sid}/events` | | NDJSON: the timeline from its first line, as it grows, to its end |
//! | `DELETE /calls/{sid}` | | 202: the caller hangs up; 409 when the call is over |
//! | `PUT /accounts/{sid}` | `{"auth_token"}` | 204: the REST interface knows the account (a call does this too) |
//! | `POST /twilio/faults` | `{"path":"Calls","times":2,"fault":{"status":429}}`, `{"slow_ms":3000}` or `"drop"` | 204 |
//! | `/openai/journal`, `/openai/script`, `/openai/faults` | | the model's, see `openai/control.rs` |
//!
//! An order: `{"account_sid","auth_token","webhook_url","status_callback_url"?,"fallback_url"?,"from","to",` one of
//! `"caller": {"voice","steps"}` and `"caller_file": path,` `"options"?: {"record_wav_dir"?,"media_host_override"?,`
//! `"webhook_timeout_ms"?,"limit_ms"?,"status_events"?,"fields"?,"faults"?}}`; steps are described in
//! [`crate::twilio`]'s `caller.rs`, options and faults in its `order.rs`.
//!
//! A timeline's line is `{"at_ms","event",…}`. Events: `ringing`, `document` (of `webhook`, `duplicate_webhook`, `fallback`,
//! `action`, `redirect` or `rest_url`, with `status`, `took_ms`, `body`), `answered`, `stream_starts`, `first_media`, `mark`,
//! `mark_returned` (`how`: played or cleared), `clear`, `warning` (31951), `caller_starts`, `caller` and `agent_starts`,
//! `agent` (`from_ms`, `to_ms`, `text`; the agent's is what was recognised, null when cut off), `caller_acts`, `unheard`, `step_failed`,
//! `say`, `play_ignored`, `stop`, `stream_ends`, `closed_by_product`, `second_stream`, `rest`, `callback`, `error`
//! (with Twilio's code), `replaced`, `hung_up` (reason), `recorded`, `ended` (`status`, `reason`, `duration_s`), always last. Reasons:
//! `caller_hung_up`, `completed_by_rest`, `hangup_verb`, `no_more_verbs`, `rejected`, `rejected_late`, `limit`,
//! `too_many_documents`.

use crate::twilio::{Call, Command, Order, RestFault, Twilio};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;

pub(crate) fn router(twilio: Twilio) -> Router {
    Router::new()
        .route("/calls", post(place).get(list))
        .route("/calls/{sid}", get(show).delete(hang_up))
        .route("/calls/{sid}/events", get(events))
        .route("/accounts/{sid}", put(open_account))
        .route("/twilio/faults", post(fail))
        .with_state(twilio)
}

async fn place(State(twilio): State<Twilio>, Json(order): Json<Order>) -> Response {
    match twilio.place(order).await {
        Ok(call) => (StatusCode::ACCEPTED, Json(json!({ "call_sid": call.sid }))).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": error }))).into_response(),
    }
}

async fn list(State(twilio): State<Twilio>) -> Json<Vec<Value>> {
    let short = |call: Arc<Call>| {
        let state = call.state();
        json!({ "call_sid": call.sid, "status": state.status.word(), "reason": state.end })
    };
    Json(twilio.calls().into_iter().map(short).collect())
}

async fn show(State(twilio): State<Twilio>, Path(sid): Path<String>) -> Response {
    let Some(call) = twilio.call(&sid) else { return unknown(&sid) };
    let timeline: Vec<Box<RawValue>> = call
        .timeline
        .lines()
        .iter()
        .filter_map(|line| RawValue::from_string(line.to_string()).ok())
        .collect();
    let state = call.state();
    let head = json!({
        "call_sid": call.sid, "status": state.status.word(), "reason": state.end, "duration_s": state.duration_s,
    });
    let timeline = serde_json::to_string(&timeline).unwrap_or_default();
    let body = format!("{},\"timeline\":{timeline}}}", head.to_string().trim_end_matches('}'));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn events(State(twilio): State<Twilio>, Path(sid): Path<String>) -> Response {
    let Some(call) = twilio.call(&sid) else { return unknown(&sid) };
    let lines = Arc::clone(&call.timeline).follow().map(|line| Ok::<_, Infallible>(format!("{line}\n")));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn hang_up(State(twilio): State<Twilio>, Path(sid): Path<String>) -> Response {
    match twilio.call(&sid) {
        None => unknown(&sid),
        Some(call) if call.command(Command::HangUp) => StatusCode::ACCEPTED.into_response(),
        Some(_) => (StatusCode::CONFLICT, Json(json!({ "error": "the call is over" }))).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    auth_token: String,
}

async fn open_account(
    State(twilio): State<Twilio>,
    Path(sid): Path<String>,
    Json(account): Json<Account>,
) -> StatusCode {
    twilio.open_account(sid, account.auth_token);
    StatusCode::NO_CONTENT
}

async fn fail(State(twilio): State<Twilio>, Json(fault): Json<RestFault>) -> StatusCode {
    twilio.fail(fault);
    StatusCode::NO_CONTENT
}

fn unknown(sid: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": format!("no call {sid}") }))).into_response()
}
