//! Subscriptions over WebSocket, in the protocol graphql-transport-ws with exactly its close codes. A key comes in the
//! `Authorization` header or in the payload of `connection_init` as `authorization`, a session in its cookie. Must never know what is
//! followed.

use async_graphql::Response as GraphQlResponse;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use futures_util::future;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_stream::StreamMap;

use super::answer::{self, Refusal};
use super::entry::{self, Credential, Right, Site};
use super::media::Media;
use super::params::Params;
use super::seats::Seat;
use super::{Api, Prepared, prepared};
use crate::access::{Rights, TenantScope};
use crate::db::listen::{Channel, Heard};
use crate::graphql::authorised;
use crate::refusals::{self, Limit};
use crate::tenancy::{ClusterIndex, Limits};
use crate::tenants::reach::Host;

const PROTOCOL: &str = "graphql-transport-ws";
/// Bytes of a message at most.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Operations under way on one socket at most.
const OPERATIONS_MAX: usize = 20;
/// How long a client may take to say who it is.
const INIT_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a message may take to be taken by the client.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
/// How often the client is pinged, and what it came with looked at again.
pub(super) const RECHECK: Duration = Duration::from_secs(20);

/// Why a socket is closed, in the protocol's own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    GoingAway,
    /// Clients connect again, and the new socket knows what has changed.
    NewTerms,
    /// Too many at once, or nobody can be let in just now: clients connect again after a pause.
    NoRoom,
    TooMuch,
    BadMessage,
    Unauthorized,
    Forbidden,
    InitTimeout,
    Duplicate,
    SecondInit,
    /// The client left.
    Left,
}

impl Closed {
    const fn frame(self) -> Option<(u16, &'static str)> {
        match self {
            Self::GoingAway => Some((1001, "Going away")),
            Self::NewTerms => Some((1012, "Terms have changed; connect again")),
            Self::NoRoom => Some((1013, "Try again later")),
            Self::TooMuch => Some((4413, "Too many operations")),
            Self::BadMessage => Some((4400, "Invalid message")),
            Self::Unauthorized => Some((4401, "Unauthorized")),
            Self::Forbidden => Some((4403, "Forbidden")),
            Self::InitTimeout => Some((4408, "Connection initialisation timeout")),
            Self::Duplicate => Some((4409, "Subscriber already exists")),
            Self::SecondInit => Some((4429, "Too many initialisation requests")),
            Self::Left => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Value>,
    },
    Ping {},
    Pong {},
    Subscribe {
        id: String,
        payload: Value,
    },
    Complete {
        id: String,
    },
}

/// Something that an operation brought.
enum Brought {
    Response(Box<GraphQlResponse>),
    End,
}

/// Upgrades a request of a known host to a socket.
pub(super) async fn upgrade(State(api): State<Api>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match checked(&api, &parts).await {
        Ok((host, credential)) => accept(api, &mut parts, host, credential).await,
        Err(refusal) => refusal.response(Media::Json),
    }
}

async fn checked(api: &Api, parts: &Parts) -> Result<(Host, Option<Credential>), Refusal> {
    let Site::Tenant(host) = entry::site(api, parts)? else { return Err(Refusal::NOTHING_TO_FOLLOW) };
    entry::own_origin(&parts.headers, &parts.uri)?;
    let credential = entry::credential(&parts.headers, &parts.uri)?;
    entry::resident(api, &host, parts).await?;
    Ok((host, credential))
}

async fn accept(api: Api, parts: &mut Parts, host: Host, credential: Option<Credential>) -> Response {
    let upgrade = match WebSocketUpgrade::from_request_parts(parts, &api).await {
        Ok(upgrade) => upgrade.protocols([PROTOCOL]).max_message_size(MESSAGE_BYTES_MAX),
        Err(rejection) => return rejection.into_response(),
    };
    if upgrade.selected_protocol().is_none() {
        return Refusal::PROTOCOL.response(Media::Json);
    }
    let Ok(place) = std::sync::Arc::clone(&api.sockets).try_acquire_owned() else {
        return Refusal::UNAVAILABLE.response(Media::Json);
    };
    let tasks = api.door.tasks.clone();
    upgrade.on_upgrade(move |socket| {
        tasks.track_future(async move {
            let mut session =
                Session { api, host, credential, scope: None, seat: None, operations: StreamMap::new() };
            session.run(socket).await;
            drop(place);
        })
    })
}

/// Returns when a key or a session of the tenant may open nothing any more. Where notices were missed nothing is done: all sockets would
/// look again at once, and each does so before long.
pub(super) async fn keys_changed(heard: &mut Receiver<Heard>, scope: Option<&TenantScope>) {
    let Some(scope) = scope else { return future::pending().await };
    loop {
        match heard.recv().await {
            Ok(Heard::Notice(tenant)) if tenant.parse() == Ok(scope.tenant()) => return,
            Ok(Heard::Notice(_) | Heard::Gap) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return future::pending().await,
        }
    }
}

/// What an operation goes on with from its beginning to its end.
pub(super) fn terms(scope: &TenantScope) -> (Limits, ClusterIndex, u16, Rights) {
    let tenancy = scope.tenancy();
    (tenancy.limits, tenancy.placement.cluster, tenancy.placement.login, scope.rights())
}

struct Session {
    api: Api,
    host: Host,
    credential: Option<Credential>,
    /// Once the client has said who it is.
    scope: Option<TenantScope>,
    seat: Option<Seat>,
    operations: StreamMap<String, BoxStream<'static, Brought>>,
}

impl Session {
    async fn run(&mut self, mut socket: WebSocket) {
        let closed = self.talk(&mut socket).await;
        self.operations.clear();
        if let Some((code, reason)) = closed.frame() {
            let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
            drop(timeout(SEND_TIME_MAX, socket.send(frame)).await);
        }
    }

    async fn talk(&mut self, socket: &mut WebSocket) -> Closed {
        let stop = self.api.stop.clone();
        let init_until = Instant::now() + INIT_TIME_MAX;
        let mut heard = self.api.door.hub.subscribe(Channel::Keys);
        let mut recheck = interval(RECHECK);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        recheck.reset();
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => Err(Closed::GoingAway),
                () = sleep_until(init_until), if self.scope.is_none() => Err(Closed::InitTimeout),
                _ = recheck.tick() => self.recheck().await.map(|()| vec![json!({"type": "ping"})]),
                () = keys_changed(&mut heard, self.scope.as_ref()) => self.recheck().await.map(|()| Vec::new()),
                said = socket.recv() => self.hear(said).await,
                Some((id, brought)) = self.operations.next(), if !self.operations.is_empty() => Ok(vec![self.pass_on(&id, brought)]),
            };
            let messages = match next {
                Ok(messages) => messages,
                Err(closed) => return closed,
            };
            for message in messages {
                let sent =
                    timeout(SEND_TIME_MAX, socket.send(Message::Text(message.to_string().into()))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Closed::Left;
                }
            }
        }
    }

    /// A key or a session that is over, or a tenant that was suspended, ends what is under way; other limits, other rights
    /// and another place of its data end it, too, since operations go on with what they began with.
    async fn recheck(&mut self) -> Result<(), Closed> {
        let Some(known) = self.scope else { return Ok(()) };
        let scope = self.enter().await?;
        if terms(&scope) != terms(&known) && !self.operations.is_empty() {
            return Err(Closed::NewTerms);
        }
        Ok(())
    }

    /// The right to act that what the client came with gives now.
    async fn enter(&mut self) -> Result<TenantScope, Closed> {
        let credential = self.credential.as_ref().ok_or(Closed::Forbidden)?;
        match entry::holder(&self.api, &self.host, credential).await {
            Ok(Some(scope)) => Ok(*self.scope.insert(scope)),
            Ok(None) => Err(Closed::Forbidden),
            Err(_) => Err(Closed::NoRoom),
        }
    }

    async fn hear(&mut self, said: Option<Result<Message, axum::Error>>) -> Result<Vec<Value>, Closed> {
        let text = match said {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(Vec::new()),
            Some(Ok(Message::Binary(_))) => return Err(Closed::BadMessage),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Closed::Left),
        };
        match serde_json::from_str(&text).map_err(|_| Closed::BadMessage)? {
            Said::ConnectionInit { payload } => self.init(payload).await,
            Said::Ping {} => Ok(vec![json!({"type": "pong"})]),
            Said::Pong {} => Ok(Vec::new()),
            Said::Subscribe { id, payload } => self.subscribe(id, payload).await,
            Said::Complete { id } => {
                self.operations.remove(&id);
                Ok(Vec::new())
            }
        }
    }

    async fn init(&mut self, payload: Option<Value>) -> Result<Vec<Value>, Closed> {
        if self.scope.is_some() {
            return Err(Closed::SecondInit);
        }
        let authorization = payload.as_ref().and_then(|p| p.get("authorization")).and_then(Value::as_str);
        if let Some(text) = authorization {
            self.credential = entry::bearer(text).map(Credential::Key);
        }
        let scope = self.enter().await?;
        entry::within_rate(&self.api, &scope).map_err(|_| Closed::NoRoom)?;
        self.seat = self.api.seats.take(scope.tenant());
        if self.seat.is_none() {
            refusals::note(Limit::Sockets, scope.tenant());
            return Err(Closed::NoRoom);
        }
        Ok(vec![json!({"type": "connection_ack"})])
    }

    /// An operation is what a request is elsewhere: its right and its limits are read afresh.
    async fn subscribe(&mut self, id: String, payload: Value) -> Result<Vec<Value>, Closed> {
        self.scope.ok_or(Closed::Unauthorized)?;
        if self.operations.contains_key(&id) {
            return Err(Closed::Duplicate);
        }
        if OPERATIONS_MAX <= self.operations.len() {
            return Err(Closed::TooMuch);
        }
        let params = Params::from_payload(payload).map_err(|_| Closed::BadMessage)?;
        let scope = self.enter().await?;
        if let Err(refusal) = entry::within_rate(&self.api, &scope) {
            return Ok(vec![json!({"type": "error", "id": id, "payload": refusal.errors()})]);
        }
        match prepared(&self.api, params, &Right::Tenant(scope)) {
            Ok(Prepared { request, .. }) => {
                let responses = self
                    .api
                    .schema
                    .execute_stream(authorised(request, &self.api.door, scope))
                    .map(|response| Brought::Response(Box::new(response)));
                self.operations.insert(id, responses.chain(stream::iter([Brought::End])).boxed());
                Ok(Vec::new())
            }
            Err(refused) => {
                let errors = answer::unread_body(&refused).get("errors").cloned();
                Ok(vec![json!({"type": "error", "id": id, "payload": errors})])
            }
        }
    }

    /// What an operation brought, in the protocol's words. An error before execution ends the operation without a
    /// `complete`.
    fn pass_on(&mut self, id: &str, brought: Brought) -> Value {
        match brought {
            Brought::End => {
                self.operations.remove(id);
                json!({"type": "complete", "id": id})
            }
            Brought::Response(response) if !answer::is_executed(&response) => {
                self.operations.remove(id);
                json!({"type": "error", "id": id, "payload": answer::body(*response).get("errors")})
            }
            Brought::Response(response) => {
                json!({"type": "next", "id": id, "payload": answer::body(*response)})
            }
        }
    }
}
