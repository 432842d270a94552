//! What all HTTP requests with a JSON body share: a size limit, a key, planned faults, a line in the journal.

use super::faults::Faults;
use super::refusal::Refusal;
use super::{OpenAi, bearer};
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

/// The largest request body that is read.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

type Answer = fn(&OpenAi, &Faults, &Value) -> Result<Value, Refusal>;

/// Answers one request and notes it.
pub(super) async fn answer(
    openai: &OpenAi,
    path: &str,
    headers: &HeaderMap,
    body: Body,
    answer: Answer,
) -> Result<Json<Value>, Refusal> {
    let number = openai.0.journal.next_request();
    let (asked, answered) = match read(headers, body).await {
        Ok(asked) => {
            let answered = answer(openai, &Faults::of(&openai.faults(), number), &asked);
            (asked, answered)
        }
        Err(refusal) => (Value::Null, Err(refusal)),
    };
    let status = answered.as_ref().map_or_else(|refusal| refusal.status, |_| StatusCode::OK);
    openai.0.journal.request(number, path, status.as_u16(), &asked);
    answered.map(Json)
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Value, Refusal> {
    bearer(headers).ok_or_else(Refusal::no_key)?;
    let Ok(bytes) = to_bytes(body, BODY_BYTES_MAX).await else {
        let refusal = Refusal::invalid("request_too_large", "The request is larger than 10 MB.");
        return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, ..refusal });
    };
    let message = "We could not parse the JSON body of your request.";
    serde_json::from_slice(&bytes).map_err(|_| Refusal::invalid("invalid_json", message))
}
