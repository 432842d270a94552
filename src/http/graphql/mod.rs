//! GraphQL over HTTP, on the hosts of tenants and, with another schema, on the platform's own: POST and GET by the
//! GraphQL-over-HTTP specification, for tenants a socket for subscriptions ([`socket`]), or a stream of events for each
//! ([`stream`]). Our own handler, because the ready-made one takes mutations from simple form posts and knows one content
//! type. Must never know the schemas' fields.
//!
//! The order of the checks: who may come in, and how often ([`entry`], [`rates`]), what is spoken ([`media`]), what is
//! asked ([`params`]); the answer's form is in [`answer`].

mod answer;
mod entry;
mod media;
mod params;
mod rates;
mod seats;
mod socket;
mod stream;

use async_graphql::Request as GraphQlRequest;
use async_graphql::http::GraphiQLSource;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use governor::clock::MonotonicClock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment};
use crate::graphql::limits::{self, Introspection};
use crate::graphql::trusted::Documents;
use crate::graphql::trusted::Freedom;
use crate::graphql::{Door, Schema, authorised, platform, schema};
use crate::identity::last_use::LastUse;
use crate::ids::{OperatorId, TenantId};
use answer::Refusal;
use entry::{Right, Site};
use media::Media;
use params::Params;
use rates::Rates;
use seats::Seats;

/// Bytes of a request's body at most.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Sockets of this process at most.
const SOCKETS_MAX: usize = 2_000;

/// What the handlers share.
#[derive(Clone)]
struct Api {
    door: Door,
    /// The tenants' own.
    schema: Schema,
    /// The platform's own.
    platform: platform::Schema,
    trusted: Arc<Documents>,
    platform_trusted: Arc<Documents>,
    base_domain: Arc<str>,
    platform_host: Arc<str>,
    introspection: Introspection,
    /// Which documents the session of a browser may have executed.
    in_sessions: Freedom,
    rates: Arc<Rates<TenantId>>,
    operator_rates: Arc<Rates<OperatorId>>,
    last_use: LastUse,
    sockets: Arc<Semaphore>,
    seats: Seats,
    stop: CancellationToken,
}

/// `/graphql`, `/graphql/ws` and `/graphql/stream`. The sockets and streams close when `stop` is cancelled.
pub fn routes(door: Door, last_use: LastUse, config: &Config, stop: CancellationToken) -> Router {
    let (introspection, in_sessions) = match config.environment {
        Environment::Development => (Introspection::Allowed, Freedom::Free),
        Environment::Production => (Introspection::Refused, Freedom::Trusted),
    };
    let api = Api {
        schema: schema(door.clone()),
        platform: platform::schema(door.clone(), &config.http.base_domain),
        trusted: Arc::new(Documents::of_tenants()),
        platform_trusted: Arc::new(Documents::of_the_platform()),
        door,
        base_domain: config.http.base_domain.as_str().into(),
        platform_host: config.http.platform_host.as_str().into(),
        introspection,
        in_sessions,
        rates: Arc::new(Rates::new(MonotonicClock)),
        operator_rates: Arc::new(Rates::new(MonotonicClock)),
        last_use,
        sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
        seats: Seats::default(),
        stop,
    };
    Router::new()
        .route("/graphql", get(by_get).post(by_post))
        .route("/graphql/ws", get(socket::upgrade))
        .route("/graphql/stream", axum::routing::post(stream::begin))
        .with_state(api)
}

async fn by_post(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let media = Media::negotiated(&parts.headers);
    let answered = post(&api, &parts, body, media).await;
    answered.unwrap_or_else(|refusal| refusal.response(media.unwrap_or(Media::Json)))
}

async fn post(api: &Api, parts: &Parts, body: Body, media: Option<Media>) -> Result<Response, Refusal> {
    let right = entry::let_in(api, parts).await?;
    let media = media.ok_or(Refusal::NOT_ACCEPTABLE)?;
    match prepared(api, Params::from_body(&read(parts, body).await?)?, &right) {
        Ok(prepared) => execute(api, prepared.request, right, media).await,
        Err(refused) => Ok(answer::unread(&refused, media)),
    }
}

/// The body of a request, which must be declared to be JSON.
async fn read(parts: &Parts, body: Body) -> Result<Bytes, Refusal> {
    if !media::is_json(&parts.headers) {
        return Err(Refusal::UNSUPPORTED_MEDIA);
    }
    let body = tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, BODY_BYTES_MAX)).await;
    body.map_err(|_| Refusal::TOO_SLOW)?.map_err(|_| Refusal::TOO_LARGE)
}

async fn by_get(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let media = Media::negotiated(&parts.headers);
    let explores = api.introspection == Introspection::Allowed && media::is_browser(&parts.headers);
    let answered = if explores { explorer(&api, &parts).await } else { query(&api, &parts, media).await };
    answered.unwrap_or_else(|refusal| refusal.response(media.unwrap_or(Media::Json)))
}

/// GET reads only: a mutation by link would be a mutation by anybody who makes somebody follow it.
async fn query(api: &Api, parts: &Parts, media: Option<Media>) -> Result<Response, Refusal> {
    let right = entry::let_in(api, parts).await?;
    let media = media.ok_or(Refusal::NOT_ACCEPTABLE)?;
    let params = Params::from_query(parts.uri.query().unwrap_or_default())?;
    match prepared(api, params, &right) {
        Ok(prepared) if prepared.reads => execute(api, prepared.request, right, media).await,
        Ok(_) => Err(Refusal::ONLY_QUERIES),
        Err(refused) => Ok(answer::unread(&refused, media)),
    }
}

async fn execute(
    api: &Api,
    request: GraphQlRequest,
    right: Right,
    media: Media,
) -> Result<Response, Refusal> {
    let executed = async {
        match right {
            Right::Tenant(scope) => api.schema.execute(authorised(request, &api.door, scope)).await,
            Right::Platform(scope) => {
                api.platform.execute(platform::authorised(request, &api.door, scope)).await
            }
        }
    };
    let response = tokio::time::timeout(ANSWER_TIME_MAX, executed).await;
    Ok(answer::response(response.map_err(|_| Refusal::TIMEOUT)?, media))
}

/// A request that stays within the limits.
struct Prepared {
    request: GraphQlRequest,
    /// It does nothing but read once.
    reads: bool,
}

fn prepared(api: &Api, params: Params, right: &Right) -> Result<Prepared, limits::Refused> {
    let trusted = match right {
        Right::Tenant(_) => &api.trusted,
        Right::Platform(_) => &api.platform_trusted,
    };
    let text = trusted.text(params.source, right.freedom(api.in_sessions))?;
    let document = limits::parse(&text, api.introspection)?;
    let reads = limits::only_queries(&document);
    let mut request = GraphQlRequest::new(text).variables(params.variables);
    request.operation_name = params.operation_name;
    request.set_parsed_query(document);
    Ok(Prepared { request, reads })
}

/// A page on which the host's own API is explored.
async fn explorer(api: &Api, parts: &Parts) -> Result<Response, Refusal> {
    let page = GraphiQLSource::build().endpoint("/graphql");
    let page = match entry::site(api, parts)? {
        Site::Tenant(host) => {
            entry::resident(api, &host, parts).await?;
            page.subscription_endpoint("/graphql/ws").title("NeuroSphere GraphQL")
        }
        Site::Platform => page.title("NeuroSphere platform"),
    };
    let mut response = (StatusCode::OK, Html(page.finish())).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
