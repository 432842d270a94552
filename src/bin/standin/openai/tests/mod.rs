//! The stand-in OpenAI over real sockets, with tokio-tungstenite as the client.

mod faults;
mod handshake;
mod http;
mod talk;

use super::OpenAi;
use super::script::Script;
use crate::speech::Library;
use crate::speech::ulaw::{FRAME, SILENCE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_secs(10);
const HELLO: &str = "Hello. Do you know who I am?";
const EXPLAIN: &str = "Can you explain how your car policies work?";
const INTRODUCTION: &str =
    "Hello, my name is John Smith. I would like to insure my car, a 2019 Toyota Camry.";

/// A stand-in on a port of its own.
struct World {
    openai: OpenAi,
    speech: Library,
    address: String,
    _server: JoinSet<()>,
}

/// A Realtime client.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl World {
    /// A world that answers at once and sends audio a hundred times faster than it plays.
    async fn fast() -> Self {
        static SCRIPT: LazyLock<Script> =
            LazyLock::new(|| demo_script("think_ms = 0\nspeed = 100.0\ntranscription_ms = 0"));
        Self::with(SCRIPT.clone()).await
    }

    /// A world in which audio is sent only so many times faster than it plays.
    async fn at_speed(speed: f64) -> Self {
        Self::with(demo_script(&format!("think_ms = 0\nspeed = {speed:.1}\ntranscription_ms = 0"))).await
    }

    async fn with(script: Script) -> Self {
        static SPEECH: LazyLock<Library> =
            LazyLock::new(|| Library::open(&[fixtures().join("speech")], None).unwrap());
        let speech = SPEECH.clone();
        let openai = OpenAi::new(speech.clone(), script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = openai.router();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { openai, speech, address, _server: server }
    }

    async fn knock(&self, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
        let url = format!("ws://{}/v1/realtime?model=gpt-realtime-2.1", self.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| Client(socket))
    }

    /// A client whose session is set up for telephone audio.
    async fn client(&self) -> Client {
        let mut client = self.knock(&[("authorization", "Bearer sk-test")]).await.unwrap();
        client.until("session.created").await;
        client.send(telephone()).await;
        client.until("session.updated").await;
        client
    }

    /// Says a fixture's line and the silence after it, as fast as the socket takes it.
    async fn say(&self, client: &mut Client, line: &str) {
        let audio = self.speech.speak(line, "caller").await;
        let silence = vec![SILENCE; FRAME * 40];
        for frame in audio.chunks(FRAME).chain(silence.chunks(FRAME)) {
            client
                .send(json!({ "type": "input_audio_buffer.append", "audio": STANDARD.encode(frame) }))
                .await;
        }
    }

    fn plan(&self, faults: Value) {
        self.openai.0.faults.write().unwrap().clone_from(&serde_json::from_value(faults).unwrap());
    }
}

impl Client {
    async fn send(&mut self, event: Value) {
        self.0.send(Message::text(event.to_string())).await.unwrap();
    }

    /// The next event.
    async fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.frame().await {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn frame(&mut self) -> Message {
        let frame = timeout(PATIENCE, self.0.next()).await.expect("a frame in time");
        frame.expect("an open socket").unwrap()
    }

    /// The events up to and with the first of this type.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let found = event["type"] == kind;
            events.push(event);
            if found {
                return events;
            }
        }
    }

    /// The first event of this type.
    async fn first(&mut self, kind: &str) -> Value {
        self.until(kind).await.pop().unwrap()
    }

    /// Sends an event that must be refused; the refusal's error.
    async fn refused(&mut self, event: Value) -> Value {
        self.send(event).await;
        self.first("error").await["error"].take()
    }

    /// The code of the close frame that ends the session.
    async fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.frame().await {
                return frame.unwrap().code.into();
            }
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The demo's rules at another pace.
fn demo_script(pace: &str) -> Script {
    let text = std::fs::read_to_string(fixtures().join("scripts/insurance.toml")).unwrap();
    let (before, rest) = text.split_once("[pace]").unwrap();
    let (_, rules) = rest.split_once("[[rule]]").unwrap();
    Script::parse(&format!("{before}[pace]\n{pace}\n[[rule]]{rules}")).unwrap()
}

fn telephone() -> Value {
    json!({ "type": "session.update", "session": {
        "type": "realtime", "instructions": "You are Barbara.",
        "audio": {
            "input": {
                "format": { "type": "audio/pcmu" }, "transcription": { "model": "gpt-4o-mini-transcribe" },
                "turn_detection": { "type": "server_vad", "silence_duration_ms": 500 },
            },
            "output": { "format": { "type": "audio/pcmu" }, "voice": "marin" },
        },
        "tools": [{ "type": "function", "name": "remember", "parameters": { "type": "object" } }],
    } })
}

/// The types of events, each run of the same type once.
fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    kinds.dedup();
    kinds
}

/// The audio of all deltas, joined.
fn audio(events: &[Value]) -> Vec<u8> {
    let deltas = events.iter().filter(|event| event["type"] == "response.output_audio.delta");
    deltas.flat_map(|event| STANDARD.decode(event["delta"].as_str().unwrap()).unwrap()).collect()
}
