//! Server events as they are written: one flat record in one pass, whose nested parts are looked into only by the event
//! that needs them.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

use super::{
    AudioFormats, BadEvent, ErrorDetail, Item, ResponseDone, ResponseOutcome, ServerEvent, ToolCall, Usage,
};
use crate::providers::pcmu::Pcmu;

/// A text that borrows even inside an `Option`, where serde's own rule for `Cow` copies.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    response_id: Option<Text<'a>>,
    item_id: Option<Text<'a>>,
    previous_item_id: Option<Text<'a>>,
    content_index: Option<u32>,
    delta: Option<Text<'a>>,
    transcript: Option<Text<'a>>,
    session: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    item: Option<&'a RawValue>,
    response: Option<&'a RawValue>,
}

/// What is left of an event that uses our names for other things.
#[derive(Deserialize)]
struct Stranger<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow)]
    audio: Option<SessionAudio<'a>>,
}

#[derive(Deserialize)]
struct SessionAudio<'a> {
    #[serde(borrow)]
    input: Option<Leg<'a>>,
    output: Option<Leg<'a>>,
}

#[derive(Deserialize)]
struct Leg<'a> {
    #[serde(borrow)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    code: Option<Text<'a>>,
    message: Option<Text<'a>>,
    event_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireItem<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    r#type: Option<Text<'a>>,
    status: Option<Text<'a>>,
    call_id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    status: Option<Text<'a>>,
    status_details: Option<StatusDetails<'a>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct StatusDetails<'a> {
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

pub(super) fn read(text: &str) -> Result<ServerEvent<'_>, BadEvent> {
    match serde_json::from_str::<Event<'_>>(text) {
        Ok(event) => event.read(),
        Err(_) => match serde_json::from_str::<Stranger<'_>>(text) {
            Ok(stranger) => Ok(ServerEvent::Other { kind: stranger.r#type.0 }),
            Err(_) => Err(BadEvent::NotAnEvent),
        },
    }
}

fn need<T>(part: Option<T>, name: &'static str) -> Result<T, BadEvent> {
    part.ok_or(BadEvent::Malformed(name))
}

fn text<'a>(part: Option<Text<'a>>, name: &'static str) -> Result<Cow<'a, str>, BadEvent> {
    need(part, name).map(|text| text.0)
}

fn look_into<'a, T: Deserialize<'a>>(part: Option<&'a RawValue>, name: &'static str) -> Result<T, BadEvent> {
    serde_json::from_str(need(part, name)?.get()).map_err(|_| BadEvent::Malformed(name))
}

impl<'a> Event<'a> {
    fn read(self) -> Result<ServerEvent<'a>, BadEvent> {
        Ok(match self.r#type.0.as_ref() {
            "response.output_audio.delta" => ServerEvent::AudioDelta {
                response_id: text(self.response_id, "response_id")?,
                item_id: text(self.item_id, "item_id")?,
                content_index: self.content_index.unwrap_or(0),
                audio: Pcmu::parse(text(self.delta, "delta")?).map_err(|_| BadEvent::Malformed("delta"))?,
            },
            "response.output_audio_transcript.delta" => ServerEvent::TranscriptDelta {
                item_id: text(self.item_id, "item_id")?,
                text: text(self.delta, "delta")?,
            },
            "response.output_audio_transcript.done" => ServerEvent::TranscriptDone {
                item_id: text(self.item_id, "item_id")?,
                text: text(self.transcript, "transcript")?,
            },
            "response.created" => ServerEvent::ResponseCreated { response_id: self.response()?.0 },
            "response.done" => self.response_done()?,
            "response.output_item.done" => ServerEvent::OutputItemDone {
                item: item(self.item)?,
                response_id: text(self.response_id, "response_id")?,
            },
            "session.created" => ServerEvent::SessionCreated,
            "session.updated" => {
                ServerEvent::SessionUpdated { audio: formats(look_into(self.session, "session")?) }
            }
            "error" => ServerEvent::Error(look_into::<Failure<'_>>(self.error, "error")?.detail()),
            _ => return self.read_conversation(),
        })
    }

    fn read_conversation(self) -> Result<ServerEvent<'a>, BadEvent> {
        Ok(match self.r#type.0.as_ref() {
            "input_audio_buffer.speech_started" => {
                ServerEvent::SpeechStarted { item_id: text(self.item_id, "item_id")? }
            }
            "input_audio_buffer.speech_stopped" => {
                ServerEvent::SpeechStopped { item_id: text(self.item_id, "item_id")? }
            }
            "input_audio_buffer.committed" => ServerEvent::SpeechCommitted {
                item_id: text(self.item_id, "item_id")?,
                previous_item_id: self.previous_item_id.map(|id| id.0),
            },
            "conversation.item.input_audio_transcription.completed" => ServerEvent::CallerTranscribed {
                item_id: text(self.item_id, "item_id")?,
                text: text(self.transcript, "transcript")?,
            },
            "conversation.item.input_audio_transcription.failed" => {
                ServerEvent::CallerNotTranscribed { item_id: text(self.item_id, "item_id")? }
            }
            _ => ServerEvent::Other { kind: self.r#type.0 },
        })
    }

    fn response(&self) -> Result<(Cow<'a, str>, Response<'a>), BadEvent> {
        let mut response: Response<'a> = look_into(self.response, "response")?;
        Ok((text(response.id.take(), "response.id")?, response))
    }

    fn response_done(&self) -> Result<ServerEvent<'a>, BadEvent> {
        let (response_id, response) = self.response()?;
        let failure = response.status_details.and_then(|details| details.error);
        let outcome = match response.status.as_ref().map(|status| status.0.as_ref()) {
            Some("failed") => ResponseOutcome::Failed(failure.map(Failure::detail).unwrap_or_default()),
            Some("cancelled") => ResponseOutcome::Cancelled,
            _ => ResponseOutcome::Completed,
        };
        Ok(ServerEvent::ResponseDone(ResponseDone {
            response_id,
            outcome,
            usage: response.usage.unwrap_or_default(),
        }))
    }
}

impl<'a> Failure<'a> {
    fn detail(self) -> ErrorDetail<'a> {
        ErrorDetail {
            code: self.code.map(|text| text.0),
            message: self.message.map(|text| text.0),
            event_id: self.event_id.map(|text| text.0),
        }
    }
}

fn formats(session: Session<'_>) -> AudioFormats<'_> {
    let format = |leg: Option<Leg<'_>>| leg?.format?.r#type.map(|text| Cow::Owned(text.0.into_owned()));
    match session.audio {
        Some(audio) => AudioFormats { input: format(audio.input), output: format(audio.output) },
        None => AudioFormats { input: None, output: None },
    }
}

fn item(part: Option<&RawValue>) -> Result<Item<'_>, BadEvent> {
    let item: WireItem<'_> = look_into(part, "item")?;
    let is = |part: &Option<Text<'_>>, word| part.as_ref().is_some_and(|text| text.0 == word);
    let tool_call = if is(&item.r#type, "function_call") && is(&item.status, "completed") {
        Some(ToolCall {
            call_id: text(item.call_id, "item.call_id")?,
            name: text(item.name, "item.name")?,
            arguments: item.arguments.map_or(Cow::Borrowed(""), |text| text.0),
        })
    } else {
        None
    };
    Ok(Item { id: text(item.id, "item.id")?, tool_call })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a table reads better without references")]
    fn check(json: &str, expected: Result<ServerEvent<'_>, BadEvent>) {
        assert_eq!(ServerEvent::parse(json), expected, "{json}");
    }

    fn failed(code: &'static str) -> ErrorDetail<'static> {
        ErrorDetail { code: Some(code.into()), ..ErrorDetail::default() }
    }

    #[test]
    fn reads_what_a_call_needs() {
        check(
            r#"{"type":"session.created","event_id":"e","session":{"id":"s"}}"#,
            Ok(ServerEvent::SessionCreated),
        );
        check(
            r#"{"type":"session.updated","session":{"audio":{"input":{"format":{"type":"audio/pcmu"}},"output":{"format":{"type":"audio/pcm","rate":24000}}}}}"#,
            Ok(ServerEvent::SessionUpdated {
                audio: AudioFormats { input: Some("audio/pcmu".into()), output: Some("audio/pcm".into()) },
            }),
        );
        check(
            r#"{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,"content_index":0,"delta":"////"}"#,
            Ok(ServerEvent::AudioDelta {
                response_id: "r".into(),
                item_id: "i".into(),
                content_index: 0,
                audio: Pcmu::silence(3),
            }),
        );
        check(
            r#"{"type":"input_audio_buffer.committed","item_id":"i","previous_item_id":null}"#,
            Ok(ServerEvent::SpeechCommitted { item_id: "i".into(), previous_item_id: None }),
        );
        let call = ToolCall { call_id: "c".into(), name: "n".into(), arguments: "{\"a\":1}".into() };
        for (kind, status, tool_call) in [
            ("function_call", "completed", Some(call)),
            ("function_call", "incomplete", None),
            ("message", "completed", None),
        ] {
            let json = format!(
                r#"{{"type":"response.output_item.done","response_id":"r","item":{{"id":"i","type":"{kind}","status":"{status}","call_id":"c","name":"n","arguments":"{{\"a\":1}}"}}}}"#
            );
            let item = Item { id: "i".into(), tool_call };
            check(&json, Ok(ServerEvent::OutputItemDone { response_id: "r".into(), item }));
        }
        check(
            r#"{"type":"response.done","response":{"id":"r","status":"failed","status_details":{"type":"failed","error":{"code":"insufficient_quota"}},"usage":null}}"#,
            Ok(ServerEvent::ResponseDone(ResponseDone {
                response_id: "r".into(),
                outcome: ResponseOutcome::Failed(failed("insufficient_quota")),
                usage: Usage::default(),
            })),
        );
        check(
            r#"{"type":"response.done","response":{"id":"r","status":"completed","status_details":null,"usage":{"input_tokens":3,"total_tokens":9,"output_tokens":6}}}"#,
            Ok(ServerEvent::ResponseDone(ResponseDone {
                response_id: "r".into(),
                outcome: ResponseOutcome::Completed,
                usage: Usage { input_tokens: 3, output_tokens: 6 },
            })),
        );
    }

    #[test]
    fn unknown_events_are_kept_and_known_ones_are_held_to_their_word() {
        check(
            r#"{"type":"brand.new","delta":{"x":[1]},"item":7}"#,
            Ok(ServerEvent::Other { kind: "brand.new".into() }),
        );
        check(
            r#"{"type":"rate_limits.updated","rate_limits":[]}"#,
            Ok(ServerEvent::Other { kind: "rate_limits.updated".into() }),
        );
        check(r#"{"type":"response.created","response":{}}"#, Err(BadEvent::Malformed("response.id")));
        check(r#"{"type":"response.created","response":"r"}"#, Err(BadEvent::Malformed("response")));
        check(r#"{"type":"error"}"#, Err(BadEvent::Malformed("error")));
        check(
            r#"{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"\"}"}"#,
            Err(BadEvent::Malformed("delta")),
        );
        for json in ["", "{", "[]", "{}", r#"{"type":7}"#, "\u{0}"] {
            check(json, Err(BadEvent::NotAnEvent));
        }
        check(&" ".repeat(super::super::EVENT_BYTES_MAX + 1), Err(BadEvent::TooLarge));
    }

    #[test]
    fn audio_is_borrowed_from_the_event() {
        let json = r#"{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"////"}"#;
        let Ok(ServerEvent::AudioDelta { audio, item_id: Cow::Borrowed("i"), .. }) = ServerEvent::parse(json)
        else {
            panic!("not borrowed");
        };
        assert!(json.as_bytes().as_ptr_range().contains(&audio.base64().as_ptr()));
    }

    #[test]
    fn errors_have_a_severity() {
        use super::super::Severity;
        for (json, severity) in [
            (r#"{"code":"response_cancel_not_active"}"#, Severity::Benign),
            (r#"{"code":null,"message":"Cancellation failed: no active response found"}"#, Severity::Benign),
            (r#"{"code":"conversation_already_has_active_response"}"#, Severity::AlreadyAnswering),
            (r#"{"code":"session_expired"}"#, Severity::Expired),
            (r#"{"code":"insufficient_quota"}"#, Severity::Fatal),
            (r#"{"code":"beta_api_shape_disabled"}"#, Severity::Fatal),
            (r#"{"type":"server_error","message":"The server had an error"}"#, Severity::Odd),
            (r"{}", Severity::Odd),
        ] {
            let event = format!(r#"{{"type":"error","error":{json}}}"#);
            let Ok(ServerEvent::Error(detail)) = ServerEvent::parse(&event) else { panic!("{event}") };
            assert_eq!(detail.severity(), severity, "{json}");
        }
    }
}
