//! A product double for whole calls over real sockets: a few routes that note what they are asked and answer what the
//! test says, and the words in which the tests read a timeline.

use crate::speech::Library;
use crate::twilio::signature::sign;
use crate::twilio::{Call, Order, Twilio};
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(super) const STREAM: &str =
    r#"<Response><Connect action="/after"><Stream url="WS/media/token-1"/></Connect></Response>"#;

pub(super) type Scene = Arc<dyn Fn(WebSocket) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One request that the double was sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) well_signed: bool,
}

impl Asked {
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

#[derive(Clone)]
pub(super) struct Product {
    pub(super) host: String,
    answers: Arc<HashMap<&'static str, (u16, String)>>,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    scene: Scene,
}

impl Product {
    pub(super) async fn open<F>(
        answers: &[(&'static str, u16, &str)],
        scene: impl Fn(WebSocket) -> F + Send + Sync + 'static,
    ) -> Product
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let filled = |text: &str| text.replace("WS", &format!("ws://{host}"));
        let answers = answers.iter().map(|(path, status, text)| (*path, (*status, filled(text)))).collect();
        let scene: Scene = Arc::new(move |socket| Box::pin(scene(socket)));
        let product = Product { host, answers: Arc::new(answers), asked: Arc::default(), scene };
        let router = Router::new()
            .route("/media/{token}", any(media))
            .route("/{path}", post(answer))
            .with_state(product.clone());
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        product
    }

    pub(super) fn note(
        &self,
        scheme: &str,
        path: &str,
        fields: Vec<(String, String)>,
        headers: &HeaderMap,
    ) -> bool {
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let expected = sign(TOKEN, &format!("{scheme}://{host}{path}"), &fields);
        let well_signed = headers.get("x-twilio-signature").is_some_and(|given| *given == *expected);
        self.asked.lock().unwrap().push(Asked { path: path.to_owned(), fields, well_signed });
        well_signed
    }

    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path == path).cloned().collect()
    }

    /// Places a call to `/voice` and waits for its end.
    pub(super) async fn rung(&self, twilio: &Twilio, steps: Value, options: Value) -> Vec<Value> {
        let call = twilio.place(self.order(&steps, &options)).await.unwrap();
        ended(&call).await
    }

    pub(super) fn order(&self, steps: &Value, options: &Value) -> Order {
        serde_json::from_value(json!({
            "account_sid": ACCOUNT, "auth_token": TOKEN, "from": "+19495550199", "to": "+19495550100",
            "webhook_url": format!("http://{}/voice", self.host), "status_callback_url": format!("http://{}/status", self.host),
            "caller": { "steps": steps }, "options": options,
        }))
        .unwrap()
    }
}

pub(super) async fn answer(
    State(product): State<Product>,
    Path(path): Path<String>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    product.note("http", &format!("/{path}"), fields, &headers);
    match product.answers.get(path.as_str()) {
        Some((status, text)) => {
            (StatusCode::from_u16(*status).unwrap(), [("content-type", "text/xml")], text.clone())
                .into_response()
        }
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

pub(super) async fn media(
    State(product): State<Product>,
    Path(token): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !product.note("ws", &format!("/media/{token}"), Vec::new(), &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let scene = Arc::clone(&product.scene);
    upgrade.on_upgrade(move |socket| scene(socket))
}

pub(super) async fn ended(call: &Call) -> Vec<Value> {
    use futures_util::StreamExt as _;
    let lines = Arc::clone(&call.timeline).follow().map(|line| serde_json::from_str(&line).unwrap());
    let ended = timeout(Duration::from_secs(30), lines.collect()).await;
    ended.unwrap_or_else(|_| panic!("the call does not end: {:#?}", call.timeline.lines()))
}

pub(super) fn twilio() -> Twilio {
    drop(rustls::crypto::ring::default_provider().install_default());
    Twilio::new(Library::open(&[], None).unwrap()).unwrap()
}

pub(super) async fn unused(socket: WebSocket) {
    drop(socket);
}

/// The next message of that kind; the others are passed over.
pub(super) async fn next(socket: &mut WebSocket, event: &str) -> Value {
    loop {
        let message = socket.recv().await.expect("the stream goes on").unwrap();
        if let Message::Text(text) = message {
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["event"] == event {
                return message;
            }
        }
    }
}

pub(super) async fn send(socket: &mut WebSocket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

pub(super) fn spoken(stream_sid: &Value, audio: &[u8]) -> Value {
    json!({ "event": "media", "streamSid": stream_sid, "media": { "payload": STANDARD.encode(audio) } })
}

pub(super) fn mark(stream_sid: &Value, name: &str) -> Value {
    json!({ "event": "mark", "streamSid": stream_sid, "mark": { "name": name } })
}

pub(super) fn find<'a>(timeline: &'a [Value], event: &str) -> &'a Value {
    let found = timeline.iter().find(|line| line["event"] == event);
    found.unwrap_or_else(|| panic!("{event} is in the timeline: {timeline:#?}"))
}

pub(super) fn all<'a>(timeline: &'a [Value], event: &str) -> Vec<&'a Value> {
    timeline.iter().filter(|line| line["event"] == event).collect()
}
