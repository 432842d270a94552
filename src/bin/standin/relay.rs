//! `standin relay`: the least that can stand between a Twilio and an OpenAI, as a measure for benchmarks. It copies audio
//! both ways, clears when the caller speaks, and does nothing else that a product must: no signature, no tenant, no
//! transcript, no limits. Must never grow: what it costs is what the wires alone cost.

use crate::serve::{READ_BYTES, at_once};
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Bridges calls to a Realtime API and does nothing else; a measure for benchmarks.
///
/// Answers `POST /twilio/voice` with a media stream to itself. Prints one line of JSON with its URL when ready; ends with
/// its standard input.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The Realtime API, without `/realtime`.
    #[arg(long, value_name = "URL")]
    openai: String,
    /// The model to ask for.
    #[arg(long, default_value = "gpt-realtime-2.1")]
    model: String,
}

struct Relay {
    own_url: String,
    realtime_url: String,
}

/// What comes from Twilio, as far as a relay must look.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum FromTwilio<'a> {
    Start {
        #[serde(rename = "streamSid")]
        stream_sid: String,
    },
    Media {
        #[serde(borrow)]
        media: Media<'a>,
    },
    Stop {},
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// What comes from OpenAI, as far as a relay must look.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum FromOpenAi<'a> {
    #[serde(rename = "response.output_audio.delta")]
    Audio {
        #[serde(borrow)]
        delta: Cow<'a, str>,
    },
    #[serde(rename = "input_audio_buffer.speech_started")]
    SpeechStarted {},
    #[serde(other)]
    Other,
}

pub(crate) async fn relay(arguments: Arguments) -> Result<(), String> {
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| error.to_string())?;
    let own_url = listener.local_addr().map_err(|error| error.to_string())?.to_string();
    let openai = arguments.openai.replacen("http", "ws", 1);
    let realtime_url = format!("{openai}/realtime?model={}", arguments.model);
    let mut out = std::io::stdout();
    let ready = json!({ "relay": format!("http://{own_url}") });
    writeln!(out, "{ready}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    let router = Router::new()
        .route("/twilio/voice", post(answer))
        .route("/twilio/status", post(async || ()))
        .route(
            "/twilio/after",
            post(async || ([(header::CONTENT_TYPE, "text/xml")], "<Response><Hangup/></Response>")),
        )
        .route("/media/{call}", get(upgrade))
        .with_state(Arc::new(Relay { own_url, realtime_url }));
    tokio::select! {
        served = axum::serve(at_once(listener), router) => served.map_err(|error| error.to_string()),
        stopped = crate::serve::told_to_stop(false) => stopped,
    }
}

/// Each answer names a stream of its own, so that a load generator can tell calls apart.
async fn answer(State(relay): State<Arc<Relay>>) -> Response {
    let url = format!("ws://{}/media/{:016x}", relay.own_url, rand::random::<u64>());
    let document = format!(
        r#"<Response><Connect action="http://{}/twilio/after" method="POST"><Stream url="{url}" name="relay"/></Connect></Response>"#,
        relay.own_url
    );
    ([(header::CONTENT_TYPE, "text/xml")], document).into_response()
}

async fn upgrade(
    State(relay): State<Arc<Relay>>,
    Path(_call): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.read_buffer_size(READ_BYTES).on_upgrade(async move |socket| {
        if let Err(problem) = bridge(&relay.realtime_url, socket).await {
            tracing::debug!(problem, "a relayed call ended");
        }
    })
}

/// Copies until one side is gone.
async fn bridge(realtime_url: &str, mut twilio: WebSocket) -> Result<(), String> {
    let mut request = realtime_url.into_client_request().map_err(|error| error.to_string())?;
    request.headers_mut().insert(header::AUTHORIZATION, header::HeaderValue::from_static("Bearer sk-relay"));
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    let no_delay = true;
    let connected = tokio_tungstenite::connect_async_with_config(request, Some(config), no_delay).await;
    let (mut openai, _) = connected.map_err(|error| error.to_string())?;
    for event in greeting() {
        openai.send(tungstenite::Message::text(event)).await.map_err(|error| error.to_string())?;
    }
    let mut stream_sid = String::new();
    loop {
        tokio::select! {
            message = twilio.recv() => match message {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).map_err(|error| error.to_string())? {
                    FromTwilio::Media { media } => {
                        let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, media.payload);
                        openai.send(tungstenite::Message::text(append)).await.map_err(|error| error.to_string())?;
                    }
                    FromTwilio::Start { stream_sid: sid } => stream_sid = sid,
                    FromTwilio::Stop {} => return openai.close(None).await.map_err(|error| error.to_string()),
                    FromTwilio::Other => {}
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return openai.close(None).await.map_err(|error| error.to_string()),
            },
            message = openai.next() => match message {
                Some(Ok(tungstenite::Message::Text(text))) => {
                    let frame = match serde_json::from_str(&text).map_err(|error| error.to_string())? {
                        FromOpenAi::Audio { delta } => format!(
                            r#"{{"event":"media","streamSid":"{stream_sid}","media":{{"payload":"{delta}"}}}}"#
                        ),
                        FromOpenAi::SpeechStarted {} => format!(r#"{{"event":"clear","streamSid":"{stream_sid}"}}"#),
                        FromOpenAi::Other => continue,
                    };
                    twilio.send(Message::text(frame)).await.map_err(|error| error.to_string())?;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
        }
    }
}

/// Sets the session up for the telephone's audio, and lets the model speak first.
fn greeting() -> [String; 2] {
    let pcmu = json!({ "type": "audio/pcmu" });
    let hearing =
        json!({ "format": pcmu, "turn_detection": { "type": "server_vad", "silence_duration_ms": 500 } });
    let session = json!({
        "type": "realtime", "output_modalities": ["audio"], "instructions": "Be brief.",
        "audio": { "input": hearing, "output": { "format": pcmu, "voice": "marin" } },
    });
    [
        json!({ "type": "session.update", "session": session }).to_string(),
        json!({ "type": "response.create" }).to_string(),
    ]
}
