//! HTTP: the layers around every route, and the routes that belong to nobody else: health and metrics. Decodes, calls
//! one operation, encodes; must never know a rule of the business, nor SQL.

mod cookies;
pub mod graphql;
mod origin;
pub mod pages;
pub mod twilio;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::TraceLayer;

use crate::db::Db;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const READY_MAX: Duration = Duration::from_secs(2);

/// What health and metrics are read from.
#[derive(Clone)]
pub struct Vitals {
    /// Readiness asks it.
    pub db: Db,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
}

/// The whole site: the given routes, health and metrics, and the layers around all of them.
pub fn site(routes: Router, vitals: Vitals) -> Router {
    let own = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(printed_metrics))
        .with_state(vitals);
    routes
        .merge(own)
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
}

/// The path without its query, and without the token of a media stream or of a link.
fn span(request: &axum::extract::Request) -> tracing::Span {
    let path = request.uri().path();
    let path = match path {
        media if media.starts_with("/twilio/media/") => "/twilio/media/{token}",
        link if link.starts_with("/link/") => "/link/{token}",
        other => other,
    };
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("http", method = %request.method(), path, request_id = id)
}

async fn alive() -> Response {
    axum::Json(json!({"status": "healthy"})).into_response()
}

async fn ready(State(vitals): State<Vitals>) -> Response {
    let asked = tokio::time::timeout(READY_MAX, vitals.db.platform()).await;
    let (status, word) = match asked {
        Ok(Ok(_tx)) => (StatusCode::OK, "connected"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    (
        status,
        axum::Json(
            json!({"status": if status.is_success() { "ready" } else { "degraded" }, "database": word}),
        ),
    )
        .into_response()
}

async fn printed_metrics(State(vitals): State<Vitals>) -> Response {
    let (open, idle) = vitals.db.connections();
    metrics::gauge!("neurosphere_db_connections", "state" => "open").set(count(open));
    metrics::gauge!("neurosphere_db_connections", "state" => "idle").set(count(idle));
    let (inside, waiting) = vitals.db.crowd();
    metrics::gauge!("neurosphere_tenant_sessions", "state" => "open").set(count(inside));
    metrics::gauge!("neurosphere_tenant_sessions", "state" => "waiting").set(count(waiting));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], vitals.metrics.render()).into_response()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
