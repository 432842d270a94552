//! The carrier's webhooks and media streams: decodes, verifies who asks, calls one operation of [`crate::voice`], answers
//! with a document. Must never know a tenant, nor what a call is about.

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, future};
use std::ops::Deref;
use tokio_tungstenite::tungstenite;

use crate::error::Error;
use crate::ids::PhoneNumber;
use crate::providers::twilio::media::FRAME_BYTES_MAX;
use crate::providers::twilio::twiml::{ConnectStream, Twiml};
use crate::providers::twilio::webhook::{BadForm, Form, IncomingCall, StatusCallback, signature};
use crate::secret::Secret;
use crate::sentences::{Language, Sentence};
use crate::voice::session::Closed;
use crate::voice::{Aftermath, Frame, Gateway, Reception, Refused};

/// How much of a stream is read at once: some frames. So much is cleared before each look for one, and kept as long as
/// the call; the library's own default is 128 KiB.
const READ_BYTES: usize = 1024;
/// How much may wait to be written to a stream before it counts as stalled.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// The routes that the carrier is given.
pub fn routes(gateway: Gateway) -> Router {
    Router::new()
        .route("/twilio/voice", post(incoming))
        .route("/twilio/status", post(status))
        .route("/twilio/after", post(after))
        .route("/twilio/media/{token}", get(media))
        .layer(DefaultBodyLimit::max(Form::BYTES_MAX))
        .with_state(gateway)
}

impl IntoResponse for Twiml {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, Self::MEDIA_TYPE)], self.into_text()).into_response()
    }
}

/// Why a webhook is not answered.
enum Rejected {
    NotAForm(BadForm),
    NotAWebhook,
    Forged,
    Trouble(Error),
}

impl From<BadForm> for Rejected {
    fn from(bad: BadForm) -> Self {
        Self::NotAForm(bad)
    }
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        match self {
            Self::NotAForm(bad @ BadForm::TooLarge) => {
                (StatusCode::PAYLOAD_TOO_LARGE, bad.to_string()).into_response()
            }
            Self::NotAForm(bad @ (BadForm::TooManyFields | BadForm::NotJson | BadForm::Field(_))) => {
                (StatusCode::BAD_REQUEST, bad.to_string()).into_response()
            }
            Self::NotAWebhook => StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
            Self::Forged => {
                (StatusCode::FORBIDDEN, "the signature is not that of the account").into_response()
            }
            Self::Trouble(error) => trouble(&error),
        }
    }
}

/// The caller hears that we have trouble; the operator reads which.
fn trouble(error: &Error) -> Response {
    match error {
        Error::Fault(fault) | Error::TimedOut(fault) => {
            tracing::error!(fault = fault.chain(), "a webhook met with trouble");
        }
        // Counted where it was refused.
        Error::Busy { .. } => return say(Sentence::NoRoom, Language::English).into_response(),
        Error::Forbidden | Error::NotFound(_) | Error::Invalid(_) | Error::Conflict { .. } => {
            tracing::error!(code = error.code(), "a webhook met with an unexpected refusal");
        }
    }
    say(Sentence::Trouble, Language::English).into_response()
}

/// A webhook as it came.
struct Webhook<'a> {
    gateway: &'a Gateway,
    uri: &'a OriginalUri,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

impl<'a> Webhook<'a> {
    /// The fields, once it is clear whose they are.
    async fn verified(&self) -> Result<Form<'a>, Rejected> {
        let given = text(self.headers, "x-twilio-signature").ok_or(Rejected::Forged)?;
        let url = self.gateway.public_url(self.uri.path_and_query().map_or("", |path| path.as_str()));
        let kind = text(self.headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let json = kind.eq_ignore_ascii_case("application/json");
        if !json && !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Rejected::NotAWebhook);
        }
        let form = if json { Form::parse_json(self.body)? } else { Form::parse(self.body)? };
        // A body without an account is nobody's.
        let sid = form.account_sid().map_err(|_| Rejected::Forged)?;
        let account = self.gateway.account(&sid).await.map_err(Rejected::Trouble)?.ok_or(Rejected::Forged)?;
        let verified = if json {
            signature::verify_json(&account.auth_token, &url, self.body, given)
        } else {
            signature::verify_form(&account.auth_token, &url, &form, given)
        };
        verified.map_err(|_| Rejected::Forged)?;
        Ok(form)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn incoming(
    State(gateway): State<Gateway>,
    uri: OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Rejected> {
    let webhook = Webhook { gateway: &gateway, uri: &uri, headers: &headers, body: &body };
    let call = IncomingCall::read(&webhook.verified().await?)?;
    let reception = gateway.receive(&call).await.map_err(Rejected::Trouble)?;
    let twiml = match reception {
        Reception::Connect { token } => Twiml::connect(&ConnectStream {
            stream_url: &gateway.stream_url(&token),
            name: call.call_sid.as_str(),
            after_url: &gateway.public_url("/twilio/after"),
        }),
        Reception::NotInService => say(Sentence::NotInService, Language::English),
        Reception::Closed(language) => say(Sentence::Closed, language),
        // Nobody was asked whose call it is: what there is no room for must cost nothing.
        Reception::NoRoom => say(Sentence::NoRoom, Language::English),
        Reception::Busy { message: Some(said), language } => Twiml::say_and_hang_up(&said, language.tag()),
        Reception::Busy { message: None, language } => say(Sentence::NoRoom, language),
        Reception::Over => Twiml::hang_up(),
        Reception::Forged => return Err(Rejected::Forged),
    };
    Ok(twiml.into_response())
}

async fn status(
    State(gateway): State<Gateway>,
    uri: OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Rejected> {
    let webhook = Webhook { gateway: &gateway, uri: &uri, headers: &headers, body: &body };
    let form = webhook.verified().await?;
    let news = StatusCallback::read(&form)?;
    match gateway.report(&news, &dialled(&form)?).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        // Nobody listens; the carrier may try again.
        Err(error) => {
            let told = trouble(&error);
            drop(told);
            Ok(StatusCode::SERVICE_UNAVAILABLE.into_response())
        }
    }
}

async fn after(
    State(gateway): State<Gateway>,
    uri: OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Rejected> {
    let webhook = Webhook { gateway: &gateway, uri: &uri, headers: &headers, body: &body };
    let form = webhook.verified().await?;
    let call = form.call_sid()?;
    let twiml = match gateway.after(&call, &dialled(&form)?, &form.account_sid()?).await {
        Aftermath::HangUp => Twiml::hang_up(),
        Aftermath::Apologise(language) => say(Sentence::Trouble, language),
    };
    Ok(twiml.into_response())
}

fn say(sentence: Sentence, language: Language) -> Twiml {
    Twiml::say_and_hang_up(sentence.said_in(language), language.tag())
}

fn dialled(form: &Form<'_>) -> Result<PhoneNumber, BadForm> {
    form.get("To").and_then(|to| to.parse().ok()).ok_or(BadForm::Field("To"))
}

async fn media(
    State(gateway): State<Gateway>,
    Path(token): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let given = text(&headers, "x-twilio-signature").unwrap_or_default();
    match gateway.admit(&Secret::new(token), given).await {
        Ok(admitted) => upgrade
            .max_message_size(FRAME_BYTES_MAX)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_write_buffer_size(WRITE_BYTES_MAX)
            .read_buffer_size(READ_BYTES)
            .on_upgrade(move |socket| admitted.hold(frames(socket))),
        Err(Refused::NoSuchStream) => StatusCode::NOT_FOUND.into_response(),
        Err(Refused::Forged) => StatusCode::FORBIDDEN.into_response(),
        Err(Refused::NoRoom) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(Refused::Fault(fault)) => {
            tracing::error!(fault = fault.chain(), "a media stream could not be admitted");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// A socket in the words of the call's driver.
fn frames(socket: WebSocket) -> impl Stream<Item = Frame<impl Deref<Target = str>>> + Sink<String> + Unpin {
    let frames = socket.map(|message| match message {
        Ok(Message::Text(text)) => Frame::Text(text),
        Ok(Message::Binary(_)) => Frame::Binary,
        Ok(Message::Ping(_) | Message::Pong(_)) => Frame::Quiet,
        Ok(Message::Close(_)) => Frame::Closed(Closed::Gone),
        Err(error) => Frame::Closed(closed_by(error)),
    });
    frames.with(|text: String| future::ready(Ok::<_, axum::Error>(Message::Text(text.into()))))
}

fn closed_by(error: axum::Error) -> Closed {
    let error = error.into_inner();
    error.downcast_ref::<tungstenite::Error>().map_or(Closed::Gone, crate::voice::closed_by)
}
