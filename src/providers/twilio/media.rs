//! Media Streams: the JSON text frames of a call's audio, both ways. Reading borrows from the frame and costs no
//! allocation for audio; writing costs the frame itself. Must never know what the audio means.
//!
//! <https://www.twilio.com/docs/voice/media-streams/websocket-messages>

use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::{AccountSid, CallSid, StreamSid};
use crate::providers::pcmu::Pcmu;

/// The largest frame that is read: a second of audio needs 11 kB.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// One frame from Twilio.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The stream it belongs to; absent on `connected`.
    pub stream_sid: Option<Cow<'a, str>>,
    /// What happened.
    pub received: Received<'a>,
}

/// What a frame says.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The socket is up; the stream is not yet.
    Connected,
    /// The stream begins.
    Start(Start),
    /// The caller's audio.
    Media {
        /// When it was spoken, in milliseconds from the stream's start by the caller's clock.
        timestamp_ms: u64,
        /// The audio.
        audio: Pcmu<'a>,
    },
    /// The caller pressed a key.
    Dtmf(Key),
    /// Everything before our mark was played, or was cleared.
    Mark {
        /// The name that we gave it.
        name: Cow<'a, str>,
    },
    /// The stream is over.
    Stop,
    /// An event that we do not know.
    Other {
        /// Its name.
        event: Cow<'a, str>,
    },
}

/// How the stream introduces itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    /// The stream.
    pub stream_sid: StreamSid,
    /// The call that it carries.
    pub call_sid: CallSid,
    /// The account of that call.
    pub account_sid: AccountSid,
}

/// A key of a telephone: `0`–`9`, `*`, `#`, `A`–`D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(char);

impl Key {
    /// The key as a character.
    pub fn as_char(self) -> char {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let mut letters = text.chars();
        let key = letters.next().filter(|key| matches!(key, '0'..='9' | '*' | '#' | 'A'..='D'))?;
        letters.next().is_none().then_some(Self(key))
    }
}

/// Why a frame is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Above [`FRAME_BYTES_MAX`].
    #[error("larger than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    /// Not JSON, or a field of the wrong type.
    #[error("not the JSON of a frame")]
    NotAFrame,
    /// The part that the event promises is absent or malformed.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The stream is not µ-law at 8 kHz on one channel.
    #[error("not µ-law at 8 kHz on one channel")]
    WrongFormat,
}

impl<'a> Frame<'a> {
    /// Reads one text frame.
    pub fn parse(text: &'a str) -> Result<Self, BadFrame> {
        if FRAME_BYTES_MAX < text.len() {
            return Err(BadFrame::TooLarge);
        }
        let wire: wire::Frame<'a> = serde_json::from_str(text).map_err(|_| BadFrame::NotAFrame)?;
        let received = match wire.event.as_str() {
            "connected" => Received::Connected,
            "start" => Received::Start(wire.start.ok_or(BadFrame::Malformed("start"))?.check()?),
            "media" => media_of(wire.media)?,
            "dtmf" => {
                let dtmf = wire.dtmf.ok_or(BadFrame::Malformed("dtmf"))?;
                Received::Dtmf(Key::parse(dtmf.digit.as_str()).ok_or(BadFrame::Malformed("dtmf.digit"))?)
            }
            "mark" => Received::Mark { name: wire.mark.ok_or(BadFrame::Malformed("mark"))?.name.0 },
            "stop" => Received::Stop,
            _ => Received::Other { event: wire.event.0 },
        };
        Ok(Self { stream_sid: wire.stream_sid.map(|sid| sid.0), received })
    }
}

fn media_of(media: Option<wire::Media<'_>>) -> Result<Received<'_>, BadFrame> {
    let media = media.ok_or(BadFrame::Malformed("media"))?;
    if media.track.as_ref().is_some_and(|track| track.as_str() != "inbound") {
        return Ok(Received::Other { event: Cow::Borrowed("media of another track") });
    }
    let digits = media.timestamp.as_str();
    // `u64::from_str` alone would take a leading `+`.
    let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
    let timestamp_ms = digits.parse().ok().filter(|_| all_digits);
    let timestamp_ms = timestamp_ms.ok_or(BadFrame::Malformed("media.timestamp"))?;
    let audio = Pcmu::parse(media.payload.0).map_err(|_| BadFrame::Malformed("media.payload"))?;
    Ok(Received::Media { timestamp_ms, audio })
}

/// Audio for the caller, played after what was sent before.
pub fn media(stream: &StreamSid, audio: &Pcmu<'_>) -> String {
    let mut frame = open("media", stream, 32 + audio.base64().len());
    frame.push_str(",\"media\":{\"payload\":\"");
    frame.push_str(audio.base64());
    frame.push_str("\"}}");
    frame
}

/// A mark that Twilio returns once what was sent before has been played or cleared. The name's `Display` must need no
/// escaping in JSON.
pub fn mark(stream: &StreamSid, name: impl fmt::Display) -> String {
    let mut frame = open("mark", stream, 64);
    frame.push_str(",\"mark\":{\"name\":\"");
    // Writing into a String cannot fail.
    write!(frame, "{name}").unwrap_or_default();
    frame.push_str("\"}}");
    frame
}

/// Throws away what was sent and not yet played; all outstanding marks come back.
pub fn clear(stream: &StreamSid) -> String {
    let mut frame = open("clear", stream, 1);
    frame.push('}');
    frame
}

fn open(event: &str, stream: &StreamSid, rest: usize) -> String {
    let mut frame = String::with_capacity(32 + event.len() + stream.as_str().len() + rest);
    frame.push_str("{\"event\":\"");
    frame.push_str(event);
    frame.push_str("\",\"streamSid\":\"");
    frame.push_str(stream.as_str());
    frame.push('"');
    frame
}

mod wire {
    //! The frames as they are written; absent and null are the same.

    use super::{BadFrame, Cow, Deserialize};

    /// A text that borrows even inside an `Option`, where serde's own rule for `Cow` copies.
    #[derive(Deserialize)]
    #[serde(transparent)]
    pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

    impl Text<'_> {
        pub(super) fn as_str(&self) -> &str {
            &self.0
        }
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Frame<'a> {
        #[serde(borrow)]
        pub(super) event: Text<'a>,
        pub(super) stream_sid: Option<Text<'a>>,
        pub(super) start: Option<Start<'a>>,
        pub(super) media: Option<Media<'a>>,
        pub(super) dtmf: Option<Dtmf<'a>>,
        pub(super) mark: Option<Mark<'a>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Start<'a> {
        #[serde(borrow)]
        stream_sid: Text<'a>,
        call_sid: Text<'a>,
        account_sid: Text<'a>,
        media_format: MediaFormat<'a>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct MediaFormat<'a> {
        #[serde(borrow)]
        encoding: Text<'a>,
        sample_rate: u32,
        channels: u32,
    }

    #[derive(Deserialize)]
    pub(super) struct Media<'a> {
        #[serde(borrow)]
        pub(super) track: Option<Text<'a>>,
        pub(super) timestamp: Text<'a>,
        pub(super) payload: Text<'a>,
    }

    #[derive(Deserialize)]
    pub(super) struct Dtmf<'a> {
        #[serde(borrow)]
        pub(super) digit: Text<'a>,
    }

    #[derive(Deserialize)]
    pub(super) struct Mark<'a> {
        #[serde(borrow)]
        pub(super) name: Text<'a>,
    }

    impl Start<'_> {
        pub(super) fn check(self) -> Result<super::Start, BadFrame> {
            let format = &self.media_format;
            if format.encoding.as_str() != "audio/x-mulaw"
                || format.sample_rate != 8000
                || format.channels != 1
            {
                return Err(BadFrame::WrongFormat);
            }
            let bad = |_| BadFrame::Malformed("start");
            Ok(super::Start {
                stream_sid: self.stream_sid.as_str().parse().map_err(bad)?,
                call_sid: self.call_sid.as_str().parse().map_err(bad)?,
                account_sid: self.account_sid.as_str().parse().map_err(bad)?,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a table reads better without references")]
    fn check(text: &str, expected: Result<Received<'_>, BadFrame>) {
        assert_eq!(Frame::parse(text).map(|frame| frame.received), expected, "{text}");
    }

    fn start(format: &str) -> String {
        format!(
            r#"{{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{{"accountSid":"AC1","streamSid":"MZ1",
            "callSid":"CA1","tracks":["inbound"],"mediaFormat":{format},"customParameters":{{"x":"y"}}}}}}"#
        )
    }

    #[test]
    fn reads_every_kind_of_frame() {
        check(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#, Ok(Received::Connected));
        let good = start(r#"{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}"#);
        let sid = |text: &str| text.parse().unwrap();
        let begun = Start {
            stream_sid: sid("MZ1"),
            call_sid: "CA1".parse().unwrap(),
            account_sid: "AC1".parse().unwrap(),
        };
        check(&good, Ok(Received::Start(begun)));
        check(
            r#"{"event":"media","sequenceNumber":"3","streamSid":"MZ1","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"/w=="}}"#,
            Ok(Received::Media { timestamp_ms: 5, audio: Pcmu::silence(1) }),
        );
        check(
            r##"{"event":"dtmf","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"#"}}"##,
            Ok(Received::Dtmf(Key('#'))),
        );
        check(
            r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"1.2"}}"#,
            Ok(Received::Mark { name: "1.2".into() }),
        );
        check(
            r#"{"event":"stop","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#,
            Ok(Received::Stop),
        );
        check(
            r#"{"event":"new thing","more":[1,{"x":null}]}"#,
            Ok(Received::Other { event: "new thing".into() }),
        );
    }

    #[test]
    fn refuses_what_arithmetic_cannot_rest_on() {
        for timestamp in [r#""""#, r#""-1""#, r#""+1""#, r#""1.5""#, r#""1e3""#, r#""18446744073709551616""#]
        {
            let text = format!(r#"{{"event":"media","media":{{"timestamp":{timestamp},"payload":""}}}}"#);
            check(&text, Err(BadFrame::Malformed("media.timestamp")));
        }
        check(r#"{"event":"media","media":{"timestamp":5,"payload":""}}"#, Err(BadFrame::NotAFrame));
        check(
            r#"{"event":"media","media":{"timestamp":"5","payload":"\"}"}}"#,
            Err(BadFrame::Malformed("media.payload")),
        );
        check(r#"{"event":"media"}"#, Err(BadFrame::Malformed("media")));
        check(r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#, Err(BadFrame::Malformed("dtmf.digit")));
        check(r#"{"event":"dtmf","dtmf":{"digit":""}}"#, Err(BadFrame::Malformed("dtmf.digit")));
        check(r#"{"event":"mark"}"#, Err(BadFrame::Malformed("mark")));
        for text in ["", "{", "null", "[]", "7", r#"{"event":null}"#, r#"{"Event":"stop"}"#] {
            check(text, Err(BadFrame::NotAFrame));
        }
        check(&" ".repeat(FRAME_BYTES_MAX + 1), Err(BadFrame::TooLarge));
        for format in [
            r#"{"encoding":"audio/x-mulaw","sampleRate":16000,"channels":1}"#,
            r#"{"encoding":"audio/l16","sampleRate":8000,"channels":1}"#,
        ] {
            check(&start(format), Err(BadFrame::WrongFormat));
        }
    }

    #[test]
    fn audio_is_borrowed_from_the_frame() {
        let text = r#"{"event":"media","streamSid":"MZ1","media":{"timestamp":"5","payload":"/w=="}}"#;
        let frame = Frame::parse(text).unwrap();
        assert!(matches!(frame.stream_sid, Some(Cow::Borrowed("MZ1"))));
        let Received::Media { audio, .. } = frame.received else { panic!("not media") };
        assert!(text.as_bytes().as_ptr_range().contains(&audio.base64().as_ptr()));
    }

    #[test]
    fn writes_the_three_messages_exactly() {
        let stream = "MZ1".parse().unwrap();
        let audio = media(&stream, &Pcmu::silence(3));
        assert_eq!(audio, r#"{"event":"media","streamSid":"MZ1","media":{"payload":"////"}}"#);
        assert_eq!(mark(&stream, 7), r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"7"}}"#);
        assert_eq!(clear(&stream), r#"{"event":"clear","streamSid":"MZ1"}"#);
        assert!(audio.len() <= audio.capacity() && audio.capacity() < audio.len() + 64, "one allocation");
    }
}
