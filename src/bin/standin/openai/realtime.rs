//! The Realtime WebSocket: the handshake, and the loop that moves frames between the socket, the clock and a
//! [`Session`], which decides everything.

use super::faults::Faults;
use super::journal::Page;
use super::refusal::Refusal;
use super::session::{LIFETIME, Opening, Session};
use super::wire::Outgoing;
use super::{OpenAi, bearer, models};
use crate::serve::READ_BYTES;
use crate::speech::Library;
use crate::tap::Leg;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// An append of 15 MiB and its envelope.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a client may take to read, and to answer a close.
const PATIENCE: Duration = Duration::from_secs(10);
const BETA_REFUSED: &str = "beta_api_shape_disabled";

#[derive(Deserialize)]
pub(super) struct Asked {
    model: Option<String>,
}

type Speech = BoxFuture<'static, (String, Arc<[u8]>)>;

/// `GET /v1/realtime?model=…`
pub(super) async fn accept(
    State(openai): State<OpenAi>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let model = asked.model.unwrap_or_default();
    let page = openai.0.journal.open(&headers, &model);
    let faults = Faults::of(&openai.faults(), page.number);
    if let Err(refusal) = admit(&headers, &model, &faults) {
        page.ended_by(&refusal.message);
        return Err(refusal);
    }
    let beta = headers.contains_key("openai-beta");
    let upgrade = upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BYTES);
    Ok(upgrade.on_upgrade(async move |socket| {
        if beta {
            refuse_beta(socket, &page).await;
            return;
        }
        let expires_at = super::unix_seconds() + LIFETIME.as_secs();
        let (script, speech) = (openai.script(), openai.0.speech.clone());
        let leg = Leg::new(openai.0.tap.clone());
        let opening = Opening { model, page, script, speech: speech.clone(), leg, faults, expires_at };
        let why = run(socket, Session::open(opening, Instant::now()), speech).boxed().await;
        tracing::debug!(why, "a realtime session ended");
    }))
}

fn admit(headers: &HeaderMap, model: &str, faults: &Faults) -> Result<(), Refusal> {
    if bearer(headers).is_none() {
        return Err(Refusal::no_key());
    }
    if let Some(status) = faults.refuse() {
        return Err(Refusal::of_status(status));
    }
    if model.is_empty() {
        return Err(Refusal::missing("model"));
    }
    if !models::REALTIME.contains(&model) {
        return Err(Refusal::of_status(404));
    }
    Ok(())
}

/// What a client of the API that is gone is told: the upgrade, one error, close 4000.
async fn refuse_beta(mut socket: WebSocket, page: &Page) {
    let message = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.";
    let error = Refusal::invalid(BETA_REFUSED, message).of_event(None);
    let event = json!({ "type": "error", "event_id": "event_beta", "error": error });
    let reason = format!("invalid_request_error.{BETA_REFUSED}");
    page.ended_by(BETA_REFUSED);
    if socket.send(Message::Text(event.to_string().into())).await.is_ok() {
        close(socket, 4_000, reason).await;
    }
}

/// Runs a session to its end; tells why it ended.
async fn run(mut socket: WebSocket, mut session: Session, speech: Library) -> &'static str {
    let timer = sleep_until(session.deadline());
    tokio::pin!(timer);
    let mut speaking: Option<Speech> = None;
    let why = loop {
        match flush(&mut socket, &mut session).await {
            Ok(None) => {}
            Ok(Some((code, reason))) => {
                session.wire.page().ended_by(&format!("close {code} by the model"));
                close(socket, code, reason).await;
                return "closed by the model";
            }
            Err(why) => break why,
        }
        if let Some((text, voice)) = session.wants_speech() {
            let speech = speech.clone();
            speaking = Some(
                async move { (speech.speak(&text, &voice).await, text) }
                    .map(|(audio, text)| (text, audio))
                    .boxed(),
            );
        }
        let deadline = session.deadline();
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            // What is due is sent whatever the client sends.
            biased;
            () = &mut timer => session.wake(Instant::now()),
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => session.receive(Instant::now(), &text),
                Some(Ok(Message::Binary(_))) => {
                    let refusal = Refusal::invalid("invalid_event", "Binary frames are not supported.");
                    session.wire.refuse(&refusal, None);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => break "closed by the client",
                Some(Err(_)) => break "the connection broke",
            },
            (text, audio) = async { match speaking.as_mut() { Some(speech) => speech.await, None => std::future::pending().await } } => {
                speaking = None;
                session.speech_made(Instant::now(), &text, audio);
                session.play(Instant::now());
            }
        }
    };
    session.wire.page().ended_by(why);
    why
}

/// Sends what the session has to say; tells the close that it wants.
async fn flush(socket: &mut WebSocket, session: &mut Session) -> Result<Option<(u16, String)>, &'static str> {
    let mut fed = false;
    while let Some(outgoing) = session.next() {
        let message = match outgoing {
            Outgoing::Text(text) => Message::Text(text.into()),
            Outgoing::Binary(bytes) => Message::Binary(bytes.into()),
            Outgoing::Close { code, reason } => return Ok(Some((code, reason))),
            Outgoing::Drop => {
                send(socket.flush()).await?;
                return Err("dropped by the model");
            }
        };
        send(socket.feed(message)).await?;
        fed = true;
    }
    if fed {
        send(socket.flush()).await?;
    }
    Ok(None)
}

async fn send(sending: impl Future<Output = Result<(), axum::Error>>) -> Result<(), &'static str> {
    match timeout(PATIENCE, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("the connection broke"),
        Err(_) => Err("the client does not read"),
    }
}

/// Closes, and reads on for a moment so that the client sees the close and not a reset.
async fn close(mut socket: WebSocket, code: u16, reason: String) {
    let frame = CloseFrame { code, reason: reason.into() };
    if timeout(PATIENCE, socket.send(Message::Close(Some(frame)))).await.is_ok_and(|sent| sent.is_ok()) {
        let drain = async { while let Some(Ok(_)) = socket.recv().await {} };
        if timeout(PATIENCE, drain).await.is_err() {
            tracing::debug!("a client did not answer the close");
        }
    }
}
