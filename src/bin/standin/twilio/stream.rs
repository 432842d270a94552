//! A bidirectional media stream: frames out every 20 ms, the product's messages in, marks back by the playback clock.
//! Ends when either side ends it; what comes after is [`super::talk`]'s. Writes and reads messages through
//! [`super::frames`], sound through the call's line.

use super::callbacks::Callback;
use super::frames::{self, FromProduct, Writer};
use super::line::FRAME_MS;
use super::order::Fault;
use super::performer::Action;
use super::socket::{self, Socket, StreamError};
use super::talk::{Flow, Next, Talk};
use super::twiml::Stream;
use super::web::Signed;
use crate::speech::ulaw::{FRAME, SILENCE};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Frames from then on are measured: before, the product may still be calling the model.
const SETTLED_FRAMES: u64 = 150;

/// How a stream ended for itself; the talk goes on.
enum Ended {
    /// The product closed the socket, or lost it.
    ByProduct(Value),
    Failed(StreamError),
    /// The script broke the socket.
    Vanished,
    /// By the call.
    Left(Next),
}

impl From<StreamError> for Ended {
    fn from(error: StreamError) -> Ended {
        Ended::Failed(error)
    }
}

impl From<Next> for Ended {
    fn from(next: Next) -> Ended {
        Ended::Left(next)
    }
}

struct Carried<'a> {
    talk: &'a mut Talk,
    stream: &'a Stream,
    socket: Socket,
    writer: Writer,
    frames: u64,
    media_in: u64,
    bytes_in: u64,
    warned: bool,
}

/// Connects, carries, and comes back when the stream is over: `Ok` when the next verb's turn has come.
pub(super) async fn carry(talk: &mut Talk, stream: &Stream) -> Flow<()> {
    let call = Arc::clone(&talk.call);
    let writer = Writer::new(format!("MZ{}", uuid::Uuid::new_v4().simple()));
    let signed = Signed::stream(&call.order);
    let opened = talk.wait_for(Box::pin(socket::open(&call.order, &stream.url, signed))).await?;
    talk.begin_caller();
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            failed(talk, stream, &writer, &error);
            return Ok(());
        }
    };
    call.timeline.record("stream_starts", &json!({ "stream_sid": writer.stream_sid(), "url": stream.url }));
    tell(talk, stream, &writer, "stream-started", None);
    if call.order.has(Fault::SecondStream) {
        let url = stream.url.clone();
        talk.twilio.spawn(async move {
            let outcome = match socket::open(&call.order, &url, Signed::Well).await {
                Ok(second) => {
                    socket::close(second).await;
                    json!({ "status": 101 })
                }
                Err(error) => json!({ "status": error.status, "code": error.code, "problem": error.message }),
            };
            call.timeline.record("second_stream", &outcome);
        });
    }
    let carried =
        Carried { talk, stream, socket, writer, frames: 0, media_in: 0, bytes_in: 0, warned: false };
    carried.carry().await
}

impl Carried<'_> {
    async fn carry(mut self) -> Flow<()> {
        let Err(ended) = self.run().await;
        let carried = json!({ "frames_out": self.writer.chunks(), "media_in": self.media_in, "bytes_in": self.bytes_in });
        self.talk.call.timeline.record("stream_ends", &carried);
        self.talk.cut();
        match ended {
            Ended::ByProduct(how) => {
                self.talk.call.timeline.record("closed_by_product", &how);
                socket::close(self.socket).await;
            }
            Ended::Failed(error) => failed(self.talk, self.stream, &self.writer, &error),
            Ended::Vanished => {}
            Ended::Left(next) => {
                let stop = self.writer.stop(&self.talk.call);
                match socket::send(&mut self.socket, Message::text(stop)).await {
                    Ok(()) => self.talk.call.timeline.record("stop", &json!({})),
                    Err(error) => failed(self.talk, self.stream, &self.writer, &error),
                }
                socket::close(self.socket).await;
                tell(self.talk, self.stream, &self.writer, "stream-stopped", None);
                return Err(next);
            }
        }
        tell(self.talk, self.stream, &self.writer, "stream-stopped", None);
        Ok(())
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, Ended> {
        socket::send(&mut self.socket, Message::text(Writer::connected())).await?;
        let start = self.writer.start(&self.talk.call, &self.stream.parameters);
        socket::send(&mut self.socket, Message::text(start)).await?;
        loop {
            tokio::select! {
                // The line's time goes on whatever the product sends.
                biased;
                due = self.talk.ticker.tick() => {
                    self.talk.twilio.tap().late(due.elapsed());
                    self.talk.look_for_command()?;
                    self.tick().await?;
                }
                message = self.socket.next() => self.receive(message).await?,
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Ended> {
        let tick = self.talk.tick()?;
        self.return_marks(tick.marks, "played").await?;
        let timestamp_ms = self.frames * FRAME_MS;
        self.frames += 1;
        if let Some(mut frame) = tick.frame {
            if SETTLED_FRAMES < self.frames {
                self.talk.twilio.tap().send_frame(self.talk.call.number, &mut frame);
            }
            let message = self.writer.media(timestamp_ms, &frame);
            socket::send(&mut self.socket, Message::text(message)).await?;
        }
        for action in tick.actions {
            self.act(action, timestamp_ms).await?;
        }
        Ok(())
    }

    async fn act(&mut self, action: Action, timestamp_ms: u64) -> Result<(), Ended> {
        self.talk.call.timeline.record("caller_acts", &json!({ "action": format!("{action:?}") }));
        let socket = &mut self.socket;
        match action {
            Action::Key(digit) => socket::send(socket, Message::text(self.writer.dtmf(digit))).await?,
            Action::Text { text, times } => {
                let text = text.replace("{stream_sid}", self.writer.stream_sid());
                for _ in 0..times {
                    socket::send(socket, Message::text(text.clone())).await?;
                }
            }
            Action::Binary { bytes, times } => {
                for _ in 0..times {
                    socket::send(socket, Message::binary(vec![0; bytes])).await?;
                }
            }
            Action::Oversized { bytes } => {
                let message = self.writer.media(timestamp_ms, &vec![SILENCE; bytes]);
                socket::send(socket, Message::text(message)).await?;
            }
            Action::Flood { frames } => {
                for _ in 0..frames {
                    let message = self.writer.media(timestamp_ms, &[SILENCE; FRAME]);
                    socket::send(socket, Message::text(message)).await?;
                }
            }
            Action::Vanish => return Err(Ended::Vanished),
            Action::HangUp => {} // the talk has seen to it
        }
        Ok(())
    }

    async fn receive(&mut self, message: Option<Result<Message, Error>>) -> Result<(), Ended> {
        match message {
            Some(Ok(Message::Text(text))) => match frames::read(&text, self.writer.stream_sid()) {
                Ok(message) => self.obey(message).await,
                Err(problem) => {
                    self.warn(&problem);
                    Ok(())
                }
            },
            Some(Ok(Message::Binary(bytes))) => {
                self.warn(&format!("a binary message of {} bytes", bytes.len()));
                Ok(())
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame
                    .map_or((1005, String::new()), |frame| (u16::from(frame.code), frame.reason.to_string()));
                Err(Ended::ByProduct(json!({ "code": code, "reason": reason })))
            }
            Some(Err(error)) => {
                let code = match error {
                    Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => 31_924,
                    Error::ConnectionClosed
                    | Error::AlreadyClosed
                    | Error::Io(_)
                    | Error::Tls(_)
                    | Error::WriteBufferFull(_)
                    | Error::AttackAttempt
                    | Error::Url(_)
                    | Error::Http(_)
                    | Error::HttpFormat(_) => 31_903,
                };
                Err(Ended::Failed(StreamError { code, message: error.to_string(), status: None }))
            }
            None => Err(Ended::ByProduct(json!({ "code": 1006, "reason": "" }))),
        }
    }

    async fn obey(&mut self, message: FromProduct) -> Result<(), Ended> {
        let tap = self.talk.twilio.tap().clone();
        let Some(line) = self.talk.line() else { return Ok(()) };
        match message {
            FromProduct::Media(audio) => {
                tap.receive_audio(&audio);
                let bytes = u64::try_from(audio.len()).unwrap_or(u64::MAX);
                let full = line.playback.push_audio(audio).is_err();
                self.media_in += 1;
                self.bytes_in += bytes;
                if self.media_in == 1 {
                    self.talk.call.timeline.record("first_media", &json!({ "bytes": bytes }));
                }
                if full {
                    self.warn("the playback buffer is full");
                }
                Ok(())
            }
            FromProduct::Mark(name) => {
                self.talk.call.timeline.record("mark", &json!({ "name": name }));
                if self.talk.line().is_some_and(|line| line.playback.push_mark(name).is_err()) {
                    self.warn("too many marks wait");
                }
                Ok(())
            }
            FromProduct::Clear => {
                let marks = line.clear();
                tap.receive_clear(self.talk.call.number);
                self.talk.call.timeline.record("clear", &json!({ "marks": marks.len() }));
                self.return_marks(marks, "cleared").await
            }
        }
    }

    async fn return_marks(&mut self, marks: Vec<String>, how: &str) -> Result<(), Ended> {
        if self.talk.call.order.has(Fault::WithheldMarks) {
            return Ok(());
        }
        for name in marks {
            let message = self.writer.mark(&name);
            self.talk.call.timeline.record("mark_returned", &json!({ "name": name, "how": how }));
            socket::send(&mut self.socket, Message::text(message)).await?;
        }
        Ok(())
    }

    /// Twilio warns once per stream and ignores the message.
    fn warn(&mut self, problem: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            self.talk.call.timeline.record("warning", &json!({ "code": 31_951, "problem": problem }));
        }
    }
}

fn failed(talk: &Talk, stream: &Stream, writer: &Writer, error: &StreamError) {
    let detail =
        json!({ "of": "stream", "code": error.code, "problem": error.message, "status": error.status });
    talk.call.timeline.record("error", &detail);
    tell(talk, stream, writer, "stream-error", Some(error));
}

/// The stream's own status callback, when its TwiML names one.
fn tell(talk: &Talk, stream: &Stream, writer: &Writer, event: &'static str, error: Option<&StreamError>) {
    let Some(url) = stream.status_callback.clone() else { return };
    let mut fields = vec![
        ("AccountSid".to_owned(), talk.call.order.account_sid.clone()),
        ("CallSid".to_owned(), talk.call.sid.clone()),
        ("StreamSid".to_owned(), writer.stream_sid().to_owned()),
        ("StreamEvent".to_owned(), event.to_owned()),
        ("Timestamp".to_owned(), super::now().to_rfc3339()),
    ];
    fields.extend(stream.name.iter().map(|name| ("StreamName".to_owned(), name.clone())));
    fields.extend(
        error.iter().map(|error| ("StreamError".to_owned(), format!("{}: {}", error.code, error.message))),
    );
    talk.tell(Callback { of: event, url, fields });
}
