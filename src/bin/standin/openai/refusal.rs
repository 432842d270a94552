//! What OpenAI says when it will not: one shape for HTTP answers and Realtime `error` events.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A refused request or event.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) param: Option<String>,
}

impl Refusal {
    fn new(code: &str, message: String, param: Option<&str>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code: Some(code.to_owned()),
            message,
            param: param.map(str::to_owned),
        }
    }

    pub(super) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message.into(), None)
    }

    pub(super) fn unknown(param: &str) -> Self {
        Self::new("unknown_parameter", format!("Unknown parameter: '{param}'."), Some(param))
    }

    pub(super) fn missing(param: &str) -> Self {
        Self::new(
            "missing_required_parameter",
            format!("Missing required parameter: '{param}'."),
            Some(param),
        )
    }

    pub(super) fn wrong_type(param: &str, expected: &str, got: &Value) -> Self {
        let got = kind_of(got);
        let message = format!("Invalid type for '{param}': expected {expected}, but got {got} instead.");
        Self::new("invalid_type", message, Some(param))
    }

    pub(super) fn value(param: &str, message: impl Into<String>) -> Self {
        Self::new("invalid_value", message.into(), Some(param))
    }

    pub(super) fn not_one_of(param: &str, got: &str, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("'{value}'")).collect();
        let message = format!("Invalid value: '{got}'. Supported values are: {}.", supported.join(", "));
        Self::new("invalid_value", message, Some(param))
    }

    /// The refusal that OpenAI gives with this status.
    pub(super) fn of_status(status: u16) -> Self {
        let (kind, code, message) = match status {
            400 => ("invalid_request_error", None, "Invalid request."),
            401 => ("invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided."),
            404 => (
                "invalid_request_error",
                Some("model_not_found"),
                "The model does not exist or you do not have access to it.",
            ),
            429 => ("requests", Some("rate_limit_exceeded"), "Rate limit reached. Please try again in 1s."),
            _ => ("server_error", None, "The server had an error while processing your request."),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = code.map(str::to_owned);
        Self { status, kind, code, message: message.to_owned(), param: None }
    }

    /// The refusal without a usable `Authorization` header.
    pub(super) fn no_key() -> Self {
        let message = "Missing bearer or basic authentication in header".to_owned();
        Self { code: None, message, ..Self::of_status(401) }
    }

    pub(super) fn body(&self) -> Value {
        json!({ "message": self.message, "type": self.kind, "param": self.param, "code": self.code })
    }

    /// The `error` object of a Realtime event, which names the client's event.
    pub(super) fn of_event(&self, event_id: Option<&str>) -> Value {
        let mut body = self.body();
        if let Value::Object(fields) = &mut body {
            fields.insert("event_id".to_owned(), event_id.into());
        }
        body
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.body() }))).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
