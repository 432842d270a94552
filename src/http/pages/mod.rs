//! Pages that are made here: on a tenant's host ([`tenant`]) the way in and out, on the one host for all tenants
//! ([`auth`]) where people prove who they are. HTML without scripts of its own but one, and under one strict policy. Every
//! form that changes something must come from a page of this very host. Must never know a rule.

mod auth;
mod brakes;
mod html;
mod tenant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use governor::clock::MonotonicClock;
use std::sync::Arc;
use std::time::Duration;

use super::origin;
use crate::config::Config;
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::graphql::problem::whole_seconds;
use crate::identity::sessions::Browser;
use crate::tenants::reach::{self, Host};
use crate::tenants::{State, Tenant};
use brakes::Brakes;
use html::Page;

/// Bytes of a form at most.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// What the pages share.
#[derive(Clone)]
struct Pages {
    db: Db,
    base_domain: Arc<str>,
    auth_host: Arc<str>,
    sends_mail: bool,
    /// Proxies of ours that stand in front.
    proxies: u8,
    brakes: Arc<Brakes>,
}

/// The pages of tenants' hosts and of the one where people sign in.
pub fn routes(db: Db, config: &Config) -> Router {
    let pages = Pages {
        db,
        base_domain: config.http.base_domain.as_str().into(),
        auth_host: config.http.auth_host.as_str().into(),
        sends_mail: config.mail.is_some(),
        proxies: config.http.proxies,
        brakes: Arc::new(Brakes::new(&MonotonicClock)),
    };
    Router::new()
        .route("/", get(tenant::home))
        .route("/signin", get(tenant::sign_in))
        .route("/signin/complete", post(tenant::complete))
        .route("/signout", post(tenant::sign_out))
        .route("/signin/{id}", get(auth::choose))
        .route("/signin/{id}/mail", post(auth::by_mail))
        .route("/signin/{id}/invitation", post(auth::by_invitation))
        .route("/signin/{id}/accept", post(auth::accept))
        .route("/link/{token}", get(auth::link))
        .route("/pages/style.css", get(style))
        .route("/pages/hand-over.js", get(hand_over))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(pages)
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("style.css"))
}

async fn hand_over() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("hand_over.js"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

/// A tenant's host that was asked, and the tenant that lives there.
struct Here {
    host: Host,
    /// As the browser named it, with its port.
    named: String,
    tenant: Tenant,
}

impl Pages {
    /// The tenant's host of a request; a page that says so where it is none.
    async fn here(&self, parts: &Parts) -> Result<Here, Response> {
        let named = origin::host_text(&parts.headers, &parts.uri).unwrap_or_default().to_ascii_lowercase();
        let host = Host::parse(&named, &self.base_domain).ok_or_else(|| nobody_here(parts))?;
        let tenant = reach::at_host(&self.db, &host).await.map_err(|fault| failed(&fault, parts))?;
        match tenant {
            Some(tenant) if tenant.state == State::Active => Ok(Here { host, named, tenant }),
            Some(_) | None => Err(nobody_here(parts)),
        }
    }

    /// Whether a request is for the host where people sign in.
    fn is_auth(&self, parts: &Parts) -> bool {
        let named = origin::host_text(&parts.headers, &parts.uri).unwrap_or_default();
        Host::parse(named, &self.base_domain).is_some_and(|host| host.name() == &*self.auth_host)
    }

    /// The host where people sign in, with the port that a browser uses on another host of ours.
    fn auth_beside(&self, named: &str) -> String {
        let port = named.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        port.map_or_else(|| self.auth_host.to_string(), |port| format!("{}:{port}", self.auth_host))
    }
}

/// A form that no page of this very host sent.
fn foreign(parts: &Parts) -> Response {
    let text = "This form came from a page of another site. Open the page here and try again.";
    Page::problem(StatusCode::FORBIDDEN, "That did not come from here", text, &parts.headers).response()
}

fn nobody_here(parts: &Parts) -> Response {
    let text = "Check the address: there is nothing at this one.";
    Page::problem(StatusCode::NOT_FOUND, "Not found", text, &parts.headers).response()
}

/// The one page of everything that cannot go on: it tells nobody who exists, and what to do.
fn not_in(parts: &Parts) -> Response {
    let text = "This sign-in cannot go on: it was finished or is too old, was begun in another browser, or you are no \
                member here and nobody has invited you. Open your business's address and sign in again; if that does \
                not help, ask whoever looks after its members.";
    Page::problem(StatusCode::FORBIDDEN, "You are not signed in", text, &parts.headers).response()
}

fn failed(fault: &Fault, parts: &Parts) -> Response {
    tracing::error!(fault = fault.chain(), "a page cannot be made");
    let text = "The service cannot answer now. Try again soon; if it stays so, tell us the number below.";
    Page::problem(StatusCode::SERVICE_UNAVAILABLE, "Try again soon", text, &parts.headers).response()
}

fn refused(error: Error, parts: &Parts) -> Response {
    match error {
        Error::Fault(fault) | Error::TimedOut(fault) => failed(&fault, parts),
        other @ (Error::Forbidden
        | Error::NotFound(_)
        | Error::Invalid(_)
        | Error::Conflict { .. }
        | Error::Busy { .. }) => failed(&Fault::caused("answer a page", other), parts),
    }
}

/// Somebody tries too often: the same page for whoever it is.
fn too_often(wait: Duration, parts: &Parts) -> Response {
    let seconds = whole_seconds(wait);
    let text = format!("That was tried too often. Try again in {}.", in_words(seconds));
    let page = Page::problem(StatusCode::TOO_MANY_REQUESTS, "Wait a little", &text, &parts.headers);
    let mut response = page.response();
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn in_words(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        more => format!("{} minutes", more.div_ceil(60)),
    }
}

impl Pages {
    /// Slows down who tries too often from one network address.
    fn slow_down(&self, parts: &Parts) -> Result<(), Box<Response>> {
        let Some(address) = origin::client(parts, self.proxies) else { return Ok(()) };
        self.brakes.address(address).map_err(|wait| Box::new(too_often(wait, parts)))
    }

    /// What is known of the browser that sent a request.
    fn browser(&self, parts: &Parts) -> Browser {
        let agent = parts.headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let address = origin::client(parts, self.proxies);
        let address = address.map_or_else(String::new, |address| address.to_string());
        Browser::new(&String::from_utf8_lossy(agent), &address)
    }
}
