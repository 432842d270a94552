//! A client of the GraphQL API: the application on a port, requests with the host and the key of a tenant, and a socket
//! that speaks graphql-transport-ws frame by frame.

use crate::world::{TestTenant, World};
use futures_util::{SinkExt as _, StreamExt as _};
use neurosphere::access::Role;
use neurosphere::app::{Only, Running};
use neurosphere::callers;
use neurosphere::calls::{self, Arrival, Arrived, Speaker, Turn};
use neurosphere::ids::{CallId, PhoneNumber};
use neurosphere::memory::{self, Kind, NewMemory, Source};
use neurosphere::secret::Secret;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

/// The running API of a world.
pub(crate) struct Api {
    pub(crate) running: Running,
    http: reqwest::Client,
}

/// Headers that replace those of an ordinary request; an empty value leaves a header out.
pub(crate) type Headers<'h> = &'h [(&'static str, &'h str)];

impl Api {
    pub(crate) async fn of(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = world.app.clone().start_on(listener, Only::Api).unwrap();
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { running, http }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Any request to `/graphql…`, with the tenant's host and key unless they are replaced.
    pub(crate) async fn send(
        &self,
        to: (Method, &str),
        tenant: &TestTenant,
        headers: Headers<'_>,
        body: impl Into<reqwest::Body>,
    ) -> Response {
        self.request(to, (&tenant.slug, &tenant.api_key), headers, body).await
    }

    /// Any request to `/graphql…` of a host below `localhost`, with a key, unless they are replaced.
    pub(crate) async fn request(
        &self,
        (method, path): (Method, &str),
        (label, key): (&str, &Secret),
        headers: Headers<'_>,
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let mut all = HeaderMap::new();
        let host = format!("{label}.localhost:{}", self.address().port());
        let bearer = format!("Bearer {}", key.reveal());
        let usual = [("host", &*host), ("authorization", &*bearer), ("content-type", "application/json")];
        for (name, value) in usual.into_iter().chain(headers.iter().copied()) {
            all.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let emptied: Vec<_> =
            all.iter().filter(|(_, v)| v.is_empty()).map(|(name, _)| name.clone()).collect();
        for name in emptied {
            all.remove(name);
        }
        let url = format!("http://{}{path}", self.address());
        self.http.request(method, url).headers(all).body(body).send().await.unwrap()
    }

    /// The answer to a document, whatever it is.
    pub(crate) async fn answer(&self, tenant: &TestTenant, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables}).to_string();
        let response = self.send((Method::POST, "/graphql"), tenant, &[], body).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        response.json().await.unwrap()
    }

    /// The data of a document that must be answered without errors.
    pub(crate) async fn data(&self, tenant: &TestTenant, query: &str, variables: Value) -> Value {
        let mut answer = self.answer(tenant, query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
        answer["data"].take()
    }

    /// The answer to a request that is written byte by byte, as no client would.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut answer));
        read.await.expect("no answer for 8 s").unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// A socket with the tenant's host, its headers replaced as told; the status where it is refused.
    pub(crate) async fn socket(
        &self,
        tenant: &TestTenant,
        headers: Headers<'_>,
    ) -> Result<Socket, tungstenite::http::StatusCode> {
        let mut request = format!("ws://{}/graphql/ws", self.address()).into_client_request().unwrap();
        let host = format!("{}.localhost:{}", tenant.slug, self.address().port());
        let usual = [("host", &*host), ("sec-websocket-protocol", "graphql-transport-ws")];
        for (name, value) in usual.into_iter().chain(headers.iter().copied()) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address()).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("the socket failed: {error}"),
        }
    }

    /// A socket that the tenant's key has opened.
    pub(crate) async fn entered(&self, tenant: &TestTenant) -> Socket {
        let mut socket = self.socket(tenant, &[]).await.unwrap();
        let authorization = format!("Bearer {}", tenant.api_key.reveal());
        socket.say(&json!({"type": "connection_init", "payload": {"authorization": authorization}})).await;
        assert_eq!(socket.hear().await, Ok(json!({"type": "connection_ack"})));
        socket
    }
}

/// A client's end of a socket.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn say(&mut self, message: &Value) {
        self.say_raw(Message::text(message.to_string())).await;
    }

    pub(crate) async fn say_raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        self.say(
            &json!({"type": "subscribe", "id": id, "payload": {"query": query, "variables": variables}}),
        )
        .await;
    }

    /// The next message, or the code that the server closed with.
    pub(crate) async fn hear(&mut self) -> Result<Value, u16> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => panic!("the socket broke: {error}"),
                    None => return Err(0),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(8), next).await.expect("nothing came for 8 s")
    }

    /// What comes within a moment; usually nothing should.
    pub(crate) async fn stray(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(Duration::from_millis(300), self.0.next());
        next.await.ok().flatten().map(|message| message.unwrap())
    }
}

/// A call that came in and is in progress.
pub(crate) async fn call_from(world: &World, tenant: &TestTenant, number: &str) -> CallId {
    let mut session = world.app.db.tenant(&tenant.scope(Role::Carrier)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let arrival = Arrival {
        call_sid: format!("CA{}", uuid::Uuid::new_v4().simple()),
        account_sid: crate::world::ACCOUNT_SID.to_owned(),
        from: Some(number.parse::<PhoneNumber>().unwrap()),
        to: tenant.number.clone(),
    };
    let Arrived::In { call, .. } = calls::arrive(&mut tx, &arrival).await.unwrap() else { panic!("busy") };
    tx.commit().await.unwrap();
    drop(session);
    calls::open(&world.app.db, &tenant.scope(Role::Call), call).await.unwrap();
    call
}

/// Writes turns with these sequences, as the gateway does.
pub(crate) async fn say(
    world: &World,
    tenant: &TestTenant,
    call: CallId,
    sequences: std::ops::RangeInclusive<i32>,
) {
    let turn = |sequence: i32| Turn {
        sequence,
        speaker: if sequence % 2 == 1 { Speaker::Agent } else { Speaker::Caller },
        text: format!("turn {sequence}"),
        started_ms: sequence * 1_000,
        ended_ms: sequence * 1_000 + 900,
        heard_ms: None,
        interrupted: false,
    };
    let turns: Vec<_> = sequences.map(turn).collect();
    let mut session = world.app.db.tenant(&tenant.scope(Role::Call)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    calls::record(&mut tx, call, &turns, &[]).await.unwrap();
    tx.commit().await.unwrap();
}

/// Ends a call as the gateway does.
pub(crate) async fn hang_up(world: &World, tenant: &TestTenant, call: CallId) {
    let mut session = world.app.db.tenant(&tenant.scope(Role::Call)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    calls::end(&mut tx, call, "caller_hung_up").await.unwrap();
    tx.commit().await.unwrap();
}

/// A call in which the caller said nothing, so that rules conclude it, with something that is known of the caller then.
pub(crate) async fn concluded_call(world: &World, tenant: &TestTenant, number: &str) {
    let call = call_from(world, tenant, number).await;
    say(world, tenant, call, 1..=1).await;
    hang_up(world, tenant, call).await;
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let caller = calls::get(&mut tx, call).await.unwrap().caller.unwrap();
    let text = format!("Called, and it was {call}.");
    let new =
        NewMemory { caller, call: Some(call), kind: Kind::Fact, text, importance: 3, source: Source::Agent };
    memory::remember(&mut tx, new).await.unwrap();
    callers::patch_profile(&mut tx, caller, &json!({"client_since": 2020}), None).await.unwrap();
    tx.commit().await.unwrap();
    drop(session);
    world.app.runner().run_due().await.unwrap();
}
