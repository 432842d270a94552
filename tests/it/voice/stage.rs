//! A running gateway between a stand-in world and a database that can be cut off, and a carrier of our own that sends
//! what no real one would.

use crate::standin::Standin;
use crate::wire::Wire;
use crate::world::{ACCOUNT_SID, AUTH_TOKEN, TestTenant, World};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use neurosphere::access::Role;
use neurosphere::app::{App, Only, Running};
use neurosphere::calls::{self, Stretch};
use neurosphere::clock::Clock;
use neurosphere::config::Config;
use neurosphere::db::page::Page;
use neurosphere::tenants::{self, agent::AgentChange};
use neurosphere::voice::{Gateway, Limits};
use serde_json::{Value, json};
use sha1::Sha1;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

static CALLS: AtomicU32 = AtomicU32::new(0);

/// The caller of every test.
pub(super) const CALLER: &str = "+19495550199";

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) tenant: TestTenant,
    pub(super) standin: Standin,
    pub(super) running: Running,
    pub(super) postgres: Wire,
    public: String,
}

impl Stage {
    pub(super) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// A gateway whose configuration is changed last.
    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::set(change, |_| {}).await
    }

    /// A gateway with other limits.
    pub(super) async fn limited(limit: impl FnOnce(&mut Limits)) -> Self {
        Self::set(|_| {}, limit).await
    }

    async fn set(change: impl FnOnce(&mut Config), limit: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::STANDARD;
        limit(&mut limits);
        let (world, standin) = (World::new().await, Standin::start());
        let tenant = world.tenant().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public = format!("http://{}", listener.local_addr().unwrap());
        let mut config = world.app.config.clone();
        config.http.public_url = public.parse().unwrap();
        config.openai.base_url = format!("{}/v1", standin.openai).parse().unwrap();
        config.twilio.api_url = standin.twilio.parse().unwrap();
        let postgres = Wire::to(config.database.main.app_url.reveal()).await;
        config.database.main.app_url = postgres.url.clone();
        change(&mut config);
        let mut app = App::new(config, Clock::system()).unwrap();
        app.voice = Gateway::new(&app.config, &app.db, &app.clock, &app.http, limits).unwrap();
        let running = app.start_on(listener, Only::Voice).unwrap();
        Self { world, tenant, standin, running, postgres, public }
    }

    /// The fields of a webhook about a call to the tenant.
    pub(super) fn fields<'a>(&'a self, call: &'a str, status: &'a str) -> BTreeMap<&'a str, &'a str> {
        BTreeMap::from([
            ("CallSid", call),
            ("AccountSid", ACCOUNT_SID),
            ("From", CALLER),
            ("To", self.tenant.number.reveal()),
            ("CallStatus", status),
            ("Direction", "inbound"),
        ])
    }

    /// A webhook, properly signed: status and body of the answer.
    pub(super) async fn webhook(&self, path: &str, fields: &BTreeMap<&str, &str>) -> (u16, String) {
        let signed: String = fields.iter().flat_map(|(name, value)| [*name, *value]).collect();
        self.post(path, fields, &sign(AUTH_TOKEN, &format!("{}{path}{signed}", self.public))).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        fields: &BTreeMap<&str, &str>,
        signature: &str,
    ) -> (u16, String) {
        let request = self.world.app.http.post(format!("{}{path}", self.public)).form(fields);
        let answer = request.header("X-Twilio-Signature", signature).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Lets a call ring; the URL of its stream.
    pub(super) async fn ring(&self, call: &str) -> String {
        let (status, twiml) = self.webhook("/twilio/voice", &self.fields(call, "ringing")).await;
        assert_eq!(status, 200, "{twiml}");
        let url = twiml.split("<Stream url=\"").nth(1).expect("a stream").split('"').next().unwrap();
        url.to_owned()
    }

    /// Calls, and opens the stream as a carrier of our own.
    pub(super) async fn call(&self) -> Carrier {
        let sid = fresh_sid();
        let url = self.ring(&sid).await;
        let mut carrier = Carrier { sid, socket: upgrade(&url, &sign(AUTH_TOKEN, &url)).await.unwrap() };
        carrier.send(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})).await;
        let start = json!({"accountSid": ACCOUNT_SID, "streamSid": "MZ1", "callSid": carrier.sid, "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}, "customParameters": {}});
        carrier
            .send(json!({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start}))
            .await;
        carrier
    }

    /// Waits until the call has ended in Postgres, and gives its reason and its turns.
    pub(super) async fn ended(&self, call_sid: &str) -> (String, Vec<calls::Turn>) {
        for _ in 0..200 {
            let mut session = self.world.app.db.tenant(&self.tenant.scope(Role::Owner)).await.unwrap();
            let mut tx = session.begin().await.unwrap();
            if let Some(reason) = calls::end_reason(&mut tx, call_sid).await.unwrap() {
                let all = calls::list(&mut tx, Page { first: 50, after: None }).await.unwrap();
                let mut turns = Vec::new();
                for call in &all {
                    turns.extend(
                        calls::turns(&mut tx, Stretch { call: call.id, after: 0, limit: 100 }).await.unwrap(),
                    );
                }
                return (reason, turns);
            }
            drop(tx);
            drop(session);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the call has not ended within 20 s");
    }

    /// Has the tenant's agent speak another language.
    pub(super) async fn speak(&self, language: &str) {
        let mut session = self.world.app.db.tenant(&self.tenant.scope(Role::Owner)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        let change = AgentChange { language: Some(language.to_owned()), ..AgentChange::default() };
        tenants::change_agent(&mut tx, change).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// How many calls the tenant has.
    pub(super) async fn calls_count(&self) -> usize {
        let mut session = self.world.app.db.tenant(&self.tenant.scope(Role::Owner)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        calls::list(&mut tx, Page { first: 50, after: None }).await.unwrap().len()
    }

    /// Has the stand-in carrier place a call, and gives its timeline once it is over.
    pub(super) async fn place(&self, caller: Value) -> (String, Vec<Value>) {
        let order = json!({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "from": CALLER,
            "to": self.tenant.number.reveal(), "caller": caller,
            "webhook_url": format!("{}/twilio/voice", self.public),
            "status_callback_url": format!("{}/twilio/status", self.public)});
        let control = &self.standin.control;
        let http = &self.world.app.http;
        let placed = http.post(format!("{control}/calls")).json(&order).send().await.unwrap();
        let placed: Value = placed.json().await.unwrap();
        let sid = placed["call_sid"].as_str().expect("a call").to_owned();
        let events = http.get(format!("{control}/calls/{sid}/events")).send().await.unwrap();
        let lines = events.text().await.unwrap();
        (sid, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// A carrier's end of a stream.
pub(super) struct Carrier {
    pub(super) sid: String,
    pub(super) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Carrier {
    pub(super) async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Waits for a frame of this kind, returning marks as if all were heard at once.
    pub(super) async fn until(&mut self, event: &str) -> Value {
        while let Some(frame) = self.next().await {
            if frame["event"] == event {
                return frame;
            }
        }
        panic!("the stream ended before a {event}");
    }

    /// Listens until the gateway closes the stream.
    pub(super) async fn until_closed(&mut self) {
        while self.next().await.is_some() {}
    }

    async fn next(&mut self) -> Option<Value> {
        let waiting = tokio::time::timeout(Duration::from_secs(20), self.socket.next());
        let message = waiting.await.expect("something within 20 s")?.ok()?;
        let text = message.into_text().ok().filter(|text| !text.is_empty())?;
        let frame: Value = serde_json::from_str(&text).ok()?;
        if frame["event"] == "mark" {
            self.socket.send(Message::text(frame.to_string())).await.ok()?;
        }
        Some(frame)
    }
}

pub(crate) async fn upgrade(
    url: &str,
    signature: &str,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, u16> {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-twilio-signature", signature.parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn sign(token: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

pub(super) fn fresh_sid() -> String {
    format!("CA{:032x}", CALLS.fetch_add(1, Ordering::Relaxed))
}
