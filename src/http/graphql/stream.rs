//! Subscriptions over server-sent events, in the protocol graphql-sse with a connection for each operation: where a socket
//! does not pass, a stream of events does. Must never know what is followed.

use async_graphql::Response as GraphQlResponse;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::answer::{self, Refusal};
use super::entry::{self, Right};
use super::media::{self, Media};
use super::params::Params;
use super::seats::Seat;
use super::socket::{RECHECK, keys_changed, terms};
use super::{Api, prepared, read};
use crate::access::TenantScope;
use crate::db::listen::{Channel, Heard};
use crate::graphql::authorised;
use crate::refusals::{self, Limit};

/// How often something is sent where nothing happens, so that nobody between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// Begins an operation's stream.
pub(super) async fn begin(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let begun = begun(&api, &parts, body).await;
    begun.unwrap_or_else(|refusal| refusal.response(Media::Json))
}

async fn begun(api: &Api, parts: &Parts, body: Body) -> Result<Response, Refusal> {
    let right = entry::let_in(api, parts).await?;
    let Right::Tenant(scope) = right else { return Err(Refusal::NOTHING_TO_FOLLOW) };
    if !media::takes_events(&parts.headers) {
        return Err(Refusal::NO_EVENTS);
    }
    let params = Params::from_body(&read(parts, body).await?)?;
    let Ok(place) = std::sync::Arc::clone(&api.sockets).try_acquire_owned() else {
        return Err(Refusal::UNAVAILABLE);
    };
    let Some(seat) = api.seats.take(scope.tenant()) else {
        refusals::note(Limit::Sockets, scope.tenant());
        return Err(Refusal::TOO_MANY_STREAMS);
    };
    // What is wrong with a document is the operation's first and only result.
    let events = match prepared(api, params, &right) {
        Ok(prepared) => {
            let responses = api.schema.execute_stream(authorised(prepared.request, &api.door, scope));
            Following::new(api, parts, scope, responses.boxed(), (place, seat)).events()
        }
        Err(refused) => stream::iter([next(&answer::unread_body(&refused)), complete()]).boxed(),
    };
    let events = events.map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn next(body: &serde_json::Value) -> Event {
    Event::default().event("next").data(body.to_string())
}

fn complete() -> Event {
    Event::default().event("complete").data("")
}

/// An operation under way.
struct Following {
    api: Api,
    /// The request, whose credential is looked at again.
    parts: Parts,
    scope: TenantScope,
    responses: BoxStream<'static, GraphQlResponse>,
    heard: Receiver<Heard>,
    recheck: Interval,
    /// The operation's place in this process, and its tenant's; given back with it.
    _places: (OwnedSemaphorePermit, Seat),
}

/// What is sent after an event.
enum After {
    More(Box<Following>),
    Complete,
    Nothing,
}

impl Following {
    fn new(
        api: &Api,
        parts: &Parts,
        scope: TenantScope,
        responses: BoxStream<'static, GraphQlResponse>,
        places: (OwnedSemaphorePermit, Seat),
    ) -> Self {
        let mut recheck = interval(RECHECK);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        recheck.reset();
        let heard = api.door.hub.subscribe(Channel::Keys);
        let (api, parts) = (api.clone(), parts.clone());
        Self { api, parts, scope, responses, heard, recheck, _places: places }
    }

    fn events(self) -> BoxStream<'static, Event> {
        let step = |after| async {
            match after {
                After::More(following) => following.step().await,
                After::Complete => Some((complete(), After::Nothing)),
                After::Nothing => None,
            }
        };
        stream::unfold(After::More(Box::new(self)), step).boxed()
    }

    /// The next event. A stream that ends without `complete` is one that clients begin again, and are let in anew.
    async fn step(mut self: Box<Self>) -> Option<(Event, After)> {
        let stop = self.api.stop.clone();
        loop {
            let response = tokio::select! {
                () = stop.cancelled() => return None,
                _ = self.recheck.tick() => None,
                () = keys_changed(&mut self.heard, Some(&self.scope)) => None,
                response = self.responses.next() => Some(response),
            };
            match response {
                Some(Some(response)) => {
                    let executed = answer::is_executed(&response);
                    let event = next(&answer::body(response));
                    return Some((event, if executed { After::More(self) } else { After::Complete }));
                }
                Some(None) => return Some((complete(), After::Nothing)),
                None if may_go_on(&self.api, &self.parts, &self.scope).await => {}
                None => return None,
            }
        }
    }
}

/// Whether the request's credential is still good, and good for the same.
async fn may_go_on(api: &Api, parts: &Parts, scope: &TenantScope) -> bool {
    match entry::again(api, parts).await {
        Ok(Right::Tenant(now)) => terms(&now) == terms(scope),
        Ok(Right::Platform(_)) | Err(_) => false,
    }
}
