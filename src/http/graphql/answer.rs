//! The form of answers: status, content type, and what of the errors is told. At most ten of them, none of them long,
//! so that a small request never makes a large answer. Must never know what was asked.

use async_graphql::{Response as GraphQlResponse, ServerError, Value};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use std::borrow::Cow;
use std::time::Duration;

use super::media::Media;
use super::rates::TooMany;
use crate::graphql::limits::Refused;
use crate::graphql::problem::{RETRY_AFTER, whole_seconds};

const ERRORS_MAX: usize = 10;
const MESSAGE_CHARS_MAX: usize = 200;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request that is not executed, for a reason that concerns HTTP.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    /// Where to ask instead.
    location: Option<String>,
    /// When the same request is worth another try.
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) const UNKNOWN_HOST: Self =
        Self::new(StatusCode::NOT_FOUND, "UNKNOWN_HOST", "no business is reached at this host");
    pub(super) const UNAUTHORIZED: Self = Self::new(
        StatusCode::UNAUTHORIZED,
        "UNAUTHORIZED",
        "send an API key of this business as `Authorization: Bearer …`",
    );
    pub(super) const NO_OPERATOR: Self = Self::new(
        StatusCode::UNAUTHORIZED,
        "UNAUTHORIZED",
        "send an operator's key as `Authorization: Bearer …`",
    );
    pub(super) const NOTHING_TO_FOLLOW: Self =
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there are no subscriptions at this host");
    pub(super) const FOREIGN_ORIGIN: Self =
        Self::new(StatusCode::FORBIDDEN, "FOREIGN_ORIGIN", "pages of another origin may not call this API");
    pub(super) const UNAVAILABLE: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "UNAVAILABLE",
        "the service cannot answer now; try again soon",
    );
    pub(super) const NOT_ACCEPTABLE: Self = Self::new(
        StatusCode::NOT_ACCEPTABLE,
        "NOT_ACCEPTABLE",
        "accept application/graphql-response+json or application/json",
    );
    pub(super) const NO_EVENTS: Self =
        Self::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "accept text/event-stream");
    pub(super) const TOO_MANY_STREAMS: Self = Self::new(
        StatusCode::TOO_MANY_REQUESTS,
        "TOO_MANY_REQUESTS",
        "this business follows as much as it may at once; end something first",
    );
    pub(super) const UNSUPPORTED_MEDIA: Self =
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA", "send application/json in UTF-8");
    pub(super) const TOO_LARGE: Self =
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", "the body must not exceed 256 KB");
    pub(super) const TOO_SLOW: Self =
        Self::new(StatusCode::REQUEST_TIMEOUT, "TOO_SLOW", "the body took too long to arrive");
    pub(super) const TIMEOUT: Self =
        Self::new(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT", "the answer took too long; ask for less at once");
    pub(super) const BAD_JSON: Self = Self::new(StatusCode::BAD_REQUEST, "BAD_JSON", "this is not JSON");
    pub(super) const NO_BATCHES: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "BAD_PARAMETERS",
        "send one object with a query; batches are not executed",
    );
    pub(super) const BAD_PARAMETERS: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "BAD_PARAMETERS",
        "send query or documentId as text, and if need be operationName as text, variables and extensions as objects",
    );
    pub(super) const ONLY_QUERIES: Self = Self::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "ONLY_QUERIES",
        "by GET only queries are executed; use POST",
    );
    pub(super) const PROTOCOL: Self =
        Self::new(StatusCode::BAD_REQUEST, "PROTOCOL", "ask for the sub-protocol graphql-transport-ws");

    const MOVED: Self = Self::new(
        StatusCode::PERMANENT_REDIRECT,
        "MOVED",
        "this business is reached at another host now; ask there, with the same key",
    );

    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message: Cow::Borrowed(message), location: None, retry_after: None }
    }

    /// The same request is to be sent elsewhere.
    pub(super) fn moved(location: String) -> Self {
        Self { location: Some(location), ..Self::MOVED }
    }

    /// Whoever asks has sent more than it may.
    pub(super) fn too_many(whose: &str, TooMany { requests_per_s, wait }: TooMany) -> Self {
        let per_second =
            if requests_per_s == 1 { "1 request" } else { &*format!("{requests_per_s} requests") };
        let message = format!(
            "{whose} may send {per_second} per second; send fewer, and this one again in {} s",
            whole_seconds(wait)
        );
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "TOO_MANY_REQUESTS",
            message: Cow::Owned(message),
            location: None,
            retry_after: Some(wait),
        }
    }

    /// The errors of the answer.
    pub(super) fn errors(&self) -> serde_json::Value {
        let mut extensions = json!({"code": self.code});
        if let (Some(wait), Some(extensions)) = (self.retry_after, extensions.as_object_mut()) {
            extensions.insert(RETRY_AFTER.to_owned(), json!(whole_seconds(wait)));
        }
        json!([{"message": self.message, "extensions": extensions}])
    }

    pub(super) fn response(self, media: Media) -> Response {
        let body = json!({"errors": self.errors()});
        let mut response = sent(self.status, media, body.to_string());
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

fn sent(status: StatusCode, media: Media, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, media.content_type()), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// The answer to a document that was refused unread.
pub(super) fn unread(refused: &Refused, media: Media) -> Response {
    sent(status(false, media), media, unread_body(refused).to_string())
}

/// The errors of a document that was refused unread.
pub(super) fn unread_body(refused: &Refused) -> serde_json::Value {
    let mut error = json!({"message": refused.to_string(), "extensions": {"code": refused.code()}});
    if let (Refused::Syntax { line, column }, Some(error)) = (refused, error.as_object_mut()) {
        error.insert("locations".to_owned(), json!([{"line": line, "column": column}]));
    }
    json!({"errors": [error]})
}

/// The answer of the schema.
pub(super) fn response(response: GraphQlResponse, media: Media) -> Response {
    let executed = is_executed(&response);
    let no_room = no_room(&response);
    let body = body(response).to_string();
    if let Some(seconds) = no_room {
        let mut response = sent(StatusCode::TOO_MANY_REQUESTS, media, body);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return response;
    }
    if ANSWER_BYTES_MAX < body.len() {
        let error = json!({"message": "the answer is too large; ask for fewer rows", "extensions": {"code": "TOO_LARGE"}});
        return sent(status(true, media), media, json!({"data": null, "errors": [error]}).to_string());
    }
    sent(status(executed, media), media, body)
}

/// After how many seconds a request is worth another try of which nothing was answered because there was no room. Where
/// something was answered, the errors beside it say so.
fn no_room(response: &GraphQlResponse) -> Option<u64> {
    if response.data != Value::Null {
        return None;
    }
    response.errors.iter().find_map(|error| {
        let Some(Value::Number(seconds)) = error.extensions.as_ref()?.get(RETRY_AFTER) else { return None };
        seconds.as_u64()
    })
}

/// With `application/json` a well-formed request is a success whatever came of it.
const fn status(executed: bool, media: Media) -> StatusCode {
    match media {
        Media::GraphQl if !executed => StatusCode::BAD_REQUEST,
        Media::GraphQl | Media::Json => StatusCode::OK,
    }
}

/// False when the request failed before its execution began: then no error has a path.
pub(super) fn is_executed(response: &GraphQlResponse) -> bool {
    response.data != Value::Null || response.errors.iter().any(|error| !error.path.is_empty())
}

/// The answer as JSON; `data` is there only when something was executed.
pub(super) fn body(response: GraphQlResponse) -> serde_json::Value {
    let executed = is_executed(&response);
    let mut body = serde_json::Map::new();
    if !response.errors.is_empty() {
        let errors = response.errors.into_iter().take(ERRORS_MAX);
        body.insert("errors".to_owned(), errors.map(|error| told(error, executed)).collect());
    }
    if executed {
        body.insert("data".to_owned(), json!(response.data));
    }
    if !response.extensions.is_empty() {
        body.insert("extensions".to_owned(), json!(response.extensions));
    }
    serde_json::Value::Object(body)
}

fn told(mut error: ServerError, executed: bool) -> serde_json::Value {
    if MESSAGE_CHARS_MAX < error.message.chars().count() {
        error.message = error.message.chars().take(MESSAGE_CHARS_MAX - 1).chain(['…']).collect();
    }
    error.locations.truncate(1);
    let extensions = error.extensions.get_or_insert_default();
    if extensions.get("code").is_none() {
        extensions.set("code", if executed { "BAD_INPUT" } else { "VALIDATION" });
    }
    json!(error)
}
