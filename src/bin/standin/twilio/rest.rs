//! The REST interface that the product calls: basic auth, calls with effects, the account, its numbers, Twilio's error
//! shape, and faults on demand.

use super::Twilio;
use super::call::{Call, Command};
use super::twiml::{self, Method, Target};
use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

/// `Twiml=` may have so many characters.
const TWIML_CHARS_MAX: usize = 4_000;
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A fault of the next `times` requests whose path contains `path`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestFault {
    #[serde(default)]
    pub(crate) path: String,
    pub(crate) times: u32,
    pub(crate) fault: RestFaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RestFaultKind {
    /// Answers with this status and Twilio's error for it.
    Status(u16),
    /// Answers rightly, so many milliseconds late.
    SlowMs(u64),
    /// The connection breaks in the middle of the answer.
    Drop,
}

pub(super) fn router(twilio: Twilio) -> Router {
    let account = Router::new()
        .route("/{account}", get(account))
        .route("/{account}/IncomingPhoneNumbers.json", get(numbers))
        .route("/{account}/Calls.json", post(create))
        .route("/{account}/Calls/{call}", get(read).post(update));
    Router::new()
        .nest("/2010-04-01/Accounts", account)
        .fallback(async || problem(StatusCode::NOT_FOUND, 20_404, "The requested resource was not found"))
        .layer(middleware::from_fn_with_state(twilio.clone(), admit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(twilio)
}

/// The fault that is due, then the account's token.
async fn admit(State(twilio): State<Twilio>, request: Request, next: Next) -> Response {
    match due(&twilio, request.uri().path()) {
        None => {}
        Some(RestFaultKind::SlowMs(ms)) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(RestFaultKind::Status(429)) => {
            return problem(StatusCode::TOO_MANY_REQUESTS, 20_429, "Too Many Requests");
        }
        Some(RestFaultKind::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return problem(status, 20_500, "An internal server error has occurred");
        }
        Some(RestFaultKind::Drop) => {
            let broken = futures_util::stream::iter([
                Ok("{\"sid\":"),
                Err(std::io::Error::other("dropped on demand")),
            ]);
            return Body::from_stream(broken).into_response();
        }
    }
    let mut segments = request.uri().path().split('/').skip_while(|segment| *segment != "Accounts");
    let sid = segments.nth(1).unwrap_or_default().trim_end_matches(".json").to_owned();
    if authorised(&twilio, request.headers(), &sid) {
        next.run(request).await
    } else {
        problem(StatusCode::UNAUTHORIZED, 20_003, "Authenticate")
    }
}

fn due(twilio: &Twilio, path: &str) -> Option<RestFaultKind> {
    let mut books = twilio.books();
    let fault = books.faults.iter_mut().find(|fault| 0 < fault.times && path.contains(&fault.path))?;
    fault.times -= 1;
    Some(fault.fault)
}

fn authorised(twilio: &Twilio, headers: &HeaderMap, sid: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(given) = given.and_then(|value| value.strip_prefix("Basic ")) else { return false };
    twilio.books().accounts.get(sid).is_some_and(|token| STANDARD.encode(format!("{sid}:{token}")) == given)
}

async fn account(Path(file): Path<String>) -> Response {
    let sid = file.trim_end_matches(".json");
    Json(json!({
        "sid": sid, "friendly_name": "The stand-in's account", "status": "active", "type": "Full",
        "date_created": super::now().to_rfc2822(), "uri": format!("/2010-04-01/Accounts/{sid}.json"),
    }))
    .into_response()
}

/// The numbers that have been rung so far.
async fn numbers(State(twilio): State<Twilio>, Path(account): Path<String>) -> Response {
    let mut rung: Vec<(String, String)> = twilio
        .calls()
        .iter()
        .filter(|call| call.order.account_sid == account)
        .map(|call| (call.order.to.clone(), call.order.webhook_url.clone()))
        .collect();
    rung.sort_unstable();
    rung.dedup_by(|one, other| one.0 == other.0);
    let numbers: Vec<Value> = rung
        .into_iter()
        .map(|(number, url)| {
            json!({ "account_sid": account, "phone_number": number, "friendly_name": number, "voice_url": url, "voice_method": "POST" })
        })
        .collect();
    Json(json!({
        "incoming_phone_numbers": numbers, "page": 0, "page_size": 50, "start": 0, "end": numbers.len().saturating_sub(1),
        "uri": format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json?PageSize=50&Page=0"), "next_page_uri": null,
    }))
    .into_response()
}

async fn create() -> Response {
    problem(StatusCode::BAD_REQUEST, 21_210, "Outbound calls are not supported by the stand-in")
}

async fn read(State(twilio): State<Twilio>, Path((account, file)): Path<(String, String)>) -> Response {
    match find(&twilio, &account, &file) {
        Some(call) => Json(told(&call)).into_response(),
        None => unknown(&account, &file),
    }
}

async fn update(
    State(twilio): State<Twilio>,
    Path((account, file)): Path<(String, String)>,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let Some(call) = find(&twilio, &account, &file) else { return unknown(&account, &file) };
    let fields = match form {
        Ok(Form(fields)) => fields,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, 20_001, &rejection.to_string()),
    };
    let command = match command(&fields) {
        Ok(command) => command,
        Err(Refused { code, message }) => return problem(StatusCode::BAD_REQUEST, code, &message),
    };
    call.timeline.record("rest", &json!({ "fields": fields }));
    if !call.command(command) {
        return unknown(&account, &file);
    }
    Json(told(&call)).into_response()
}

fn command(fields: &HashMap<String, String>) -> Result<Command, Refused> {
    let method = match fields.get("Method").map(String::as_str) {
        None | Some("POST") => Method::Post,
        Some("GET") => Method::Get,
        Some(_) => return Err(refused(21_403, "Method must be GET or POST")),
    };
    let field = |name: &str| fields.get(name).map(String::as_str);
    match (field("Status"), field("Twiml"), field("Url")) {
        (Some("completed" | "canceled"), None, None) => Ok(Command::Complete),
        (Some(_), None, None) => Err(refused(21_218, "Status must be completed or canceled")),
        (None, Some(text), None) if text.chars().count() <= TWIML_CHARS_MAX => {
            twiml::read(text).map_err(|error| refused(12_100, &error.to_string()))?;
            Ok(Command::Read(text.to_owned()))
        }
        (None, Some(_), None) => Err(refused(21_202, "Twiml must not have more than 4000 characters")),
        (None, None, Some(url)) if url::Url::parse(url).is_ok() => {
            Ok(Command::Ask(Target { url: url.to_owned(), method }))
        }
        (None, None, Some(_)) => Err(refused(21_205, "Url is not a valid URL")),
        (None, None, None) | (Some(_), Some(_), _) | (_, Some(_), Some(_)) | (Some(_), _, Some(_)) => {
            Err(refused(20_001, "Exactly one of Status, Twiml and Url is required"))
        }
    }
}

/// A call of that account that Twilio would still change.
fn find(twilio: &Twilio, account: &str, file: &str) -> Option<std::sync::Arc<Call>> {
    let call = twilio.call(file.strip_suffix(".json")?)?;
    (call.order.account_sid == account).then_some(call)
}

fn told(call: &Call) -> Value {
    let state = call.state();
    let account = &call.order.account_sid;
    json!({
        "sid": call.sid, "account_sid": account, "api_version": "2010-04-01", "direction": "inbound",
        "from": call.order.from, "to": call.order.to, "status": state.status.word(),
        "duration": state.duration_s.map(|seconds| seconds.to_string()),
        "date_created": state.created.to_rfc2822(), "start_time": state.created.to_rfc2822(),
        "uri": format!("/2010-04-01/Accounts/{account}/Calls/{}.json", call.sid),
    })
}

fn unknown(account: &str, file: &str) -> Response {
    let message = format!("The requested resource /2010-04-01/Accounts/{account}/Calls/{file} was not found");
    problem(StatusCode::NOT_FOUND, 20_404, &message)
}

/// Why an update is not done.
struct Refused {
    code: u32,
    message: String,
}

fn refused(code: u32, message: &str) -> Refused {
    Refused { code, message: message.to_owned() }
}

fn problem(status: StatusCode, code: u32, message: &str) -> Response {
    let body = json!({
        "code": code, "message": message, "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status.as_u16(),
    });
    (status, Json(body)).into_response()
}
