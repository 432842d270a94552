//! The messages of a media stream: writes Twilio's, letter by letter, and reads the product's as strictly as Twilio
//! does. Knows no socket.

use super::call::Call;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What the product may send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FromProduct {
    Media(Vec<u8>),
    Mark(String),
    Clear,
}

/// Counts and writes the messages of one stream.
pub(crate) struct Writer {
    stream_sid: String,
    sequence: u64,
    chunk: u64,
}

impl Writer {
    pub(crate) fn new(stream_sid: String) -> Writer {
        Writer { stream_sid, sequence: 0, chunk: 0 }
    }

    pub(crate) fn stream_sid(&self) -> &str {
        &self.stream_sid
    }

    pub(crate) fn chunks(&self) -> u64 {
        self.chunk
    }

    pub(crate) fn connected() -> String {
        r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#.to_owned()
    }

    pub(crate) fn start(&mut self, call: &Call, parameters: &[(String, String)]) -> String {
        let parameters: Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let start = json!({
            "accountSid": call.order.account_sid,
            "streamSid": self.stream_sid,
            "callSid": call.sid,
            "tracks": ["inbound"],
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": parameters,
        });
        self.message("start", &start)
    }

    /// A media message; written by hand, because there are fifty a second in every call.
    pub(crate) fn media(&mut self, timestamp_ms: u64, audio: &[u8]) -> String {
        use std::fmt::Write as _;
        self.sequence += 1;
        self.chunk += 1;
        let mut message = String::with_capacity(240 + audio.len() * 4 / 3);
        let written = write!(
            message,
            r#"{{"event":"media","sequenceNumber":"{}","streamSid":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{timestamp_ms}","payload":""#,
            self.sequence, self.stream_sid, self.chunk
        );
        debug_assert!(written.is_ok(), "a String takes everything");
        STANDARD.encode_string(audio, &mut message);
        message.push_str("\"}}");
        message
    }

    pub(crate) fn dtmf(&mut self, digit: char) -> String {
        self.message("dtmf", &json!({ "track": "inbound_track", "digit": digit.to_string() }))
    }

    pub(crate) fn mark(&mut self, name: &str) -> String {
        self.message("mark", &json!({ "name": name }))
    }

    pub(crate) fn stop(&mut self, call: &Call) -> String {
        self.message("stop", &json!({ "accountSid": call.order.account_sid, "callSid": call.sid }))
    }

    fn message(&mut self, event: &str, detail: &Value) -> String {
        self.sequence += 1;
        json!({
            "event": event,
            "sequenceNumber": self.sequence.to_string(),
            "streamSid": self.stream_sid,
            event: detail,
        })
        .to_string()
    }
}

/// A message of the product; what is wrong with it otherwise, which Twilio reports as warning 31951.
pub(crate) fn read(text: &str, stream_sid: &str) -> Result<FromProduct, String> {
    if let Some(audio) = plain_media(text, stream_sid).and_then(|payload| STANDARD.decode(payload).ok()) {
        return Ok(FromProduct::Media(audio));
    }
    let message: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    let event = string(&message, "event")?;
    if string(&message, "streamSid")? != stream_sid {
        return Err("streamSid is not this stream's".to_owned());
    }
    match event {
        "media" => {
            only(&message, &["event", "streamSid", "media"])?;
            let payload = string(inner(&message, "media", "payload")?, "payload")?;
            let audio = STANDARD.decode(payload).map_err(|error| format!("payload: {error}"))?;
            Ok(FromProduct::Media(audio))
        }
        "mark" => {
            only(&message, &["event", "streamSid", "mark"])?;
            Ok(FromProduct::Mark(string(inner(&message, "mark", "name")?, "name")?.to_owned()))
        }
        "clear" => {
            only(&message, &["event", "streamSid"])?;
            Ok(FromProduct::Clear)
        }
        other => Err(format!("{other:?} is not media, mark or clear")),
    }
}

/// The payload of audio that is written as nearly everybody writes it: the bulk of all bytes, so it is found without a
/// parser. Whatever else stands in there is no base64.
fn plain_media<'a>(text: &'a str, stream_sid: &str) -> Option<&'a str> {
    let after_sid = text.strip_prefix(r#"{"event":"media","streamSid":""#)?.strip_prefix(stream_sid)?;
    after_sid.strip_prefix(r#"","media":{"payload":""#)?.strip_suffix(r#""}}"#)
}

fn string<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is missing or no string"))
}

fn inner<'a>(
    message: &'a Map<String, Value>,
    name: &str,
    field: &str,
) -> Result<&'a Map<String, Value>, String> {
    let inside = message
        .get(name)
        .and_then(Value::as_object)
        .ok_or_else(|| format!("{name} is missing or no object"))?;
    only(inside, &[field])?;
    Ok(inside)
}

fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(strange) => Err(format!("{strange} is not expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_written_as_twilio_writes_it() {
        let mut writer = Writer::new("MZ1".to_owned());
        writer.media(0, &[0xff; 160]);
        let message: Value = serde_json::from_str(&writer.media(20, &[0, 1, 2])).unwrap();
        let expected = json!({
            "event": "media", "sequenceNumber": "2", "streamSid": "MZ1",
            "media": { "track": "inbound", "chunk": "2", "timestamp": "20", "payload": "AAEC" },
        });
        assert_eq!(message, expected);
        let digit: Value = serde_json::from_str(&writer.dtmf('#')).unwrap();
        let expected = json!({
            "event": "dtmf", "sequenceNumber": "3", "streamSid": "MZ1", "dtmf": { "track": "inbound_track", "digit": "#" },
        });
        assert_eq!(digit, expected);
    }

    #[test]
    fn reads_three_kinds_of_messages_and_nothing_else() {
        for (text, expected) in [
            (
                r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AAEC"}}"#,
                Ok(FromProduct::Media(vec![0, 1, 2])),
            ),
            (
                r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"a"}}"#,
                Ok(FromProduct::Mark("a".to_owned())),
            ),
            (
                r#"{ "media": { "payload": "AAEC" }, "streamSid": "MZ1", "event": "media" }"#,
                Ok(FromProduct::Media(vec![0, 1, 2])),
            ),
            (
                r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AAEC"},"more":{"x":""}}"#,
                Err("more is not expected"),
            ),
            (r#"{"event":"clear","streamSid":"MZ1"}"#, Ok(FromProduct::Clear)),
            (r#"{"event":"clear","streamSid":"MZ2"}"#, Err("not this stream's")),
            (r#"{"event":"clear"}"#, Err("streamSid is missing")),
            (r#"{"event":"clear","streamSid":"MZ1","why":1}"#, Err("why is not expected")),
            (r#"{"event":"stop","streamSid":"MZ1"}"#, Err("\"stop\" is not")),
            (r#"{"event":"media","streamSid":"MZ1"}"#, Err("media is missing")),
            (r#"{"event":"media","streamSid":"MZ1","media":{"payload":"A"}}"#, Err("payload:")),
            (
                r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AAEC","track":"x"}}"#,
                Err("track is not expected"),
            ),
            (r#"{"event":"mark","streamSid":"MZ1","mark":{"name":7}}"#, Err("name is missing or no string")),
            ("[]", Err("not a JSON object")),
            ("{", Err("not a JSON object")),
        ] {
            match (read(text, "MZ1"), expected) {
                (Ok(message), Ok(expected)) => assert_eq!(message, expected, "{text}"),
                (Err(problem), Err(expected)) => assert!(problem.contains(expected), "{text}: {problem}"),
                (read, expected) => panic!("{text}: {read:?}, not {expected:?}"),
            }
        }
    }
}
