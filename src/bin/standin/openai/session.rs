//! One Realtime session, without sockets and without a clock of its own: client events, audio and time go in, server
//! events come out of [`Session::next`]. What the caller's turns cause is in `turns.rs`, how an answer is played in
//! `reply.rs`. Must never know HTTP.

use super::conversation::{Conversation, Item};
use super::faults::Faults;
use super::fields::Fields;
use super::input::InputBuffer;
use super::journal::Page;
use super::refusal::Refusal;
use super::reply::Reply;
use super::script::{Pending, Script};
use super::settings::Settings;
use super::turns::Transcription;
use super::wire::{Outgoing, Wire};
use crate::speech::Library;
use crate::tap::Leg;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// How long a session may last.
pub(super) const LIFETIME: Duration = Duration::from_hours(1);

pub(super) struct Session {
    pub(super) id: String,
    pub(super) expires_at: u64,
    pub(super) wire: Wire,
    pub(super) settings: Settings,
    pub(super) conversation: Conversation,
    pub(super) input: InputBuffer,
    /// The id of the item that the caller is speaking.
    pub(super) turn_item: Option<String>,
    pub(super) reply: Option<Reply>,
    pub(super) pending: Option<Pending>,
    pub(super) transcriptions: Vec<Transcription>,
    pub(super) idle_at: Option<Instant>,
    pub(super) script: Script,
    pub(super) speech: Library,
    pub(super) leg: Leg,
    pub(super) faults: Faults,
    pub(super) has_spoken: bool,
    ends_at: Instant,
    scratch: Vec<u8>,
}

/// Who a session is and what will happen to it.
pub(super) struct Opening {
    pub(super) model: String,
    pub(super) page: Page,
    pub(super) script: Script,
    pub(super) speech: Library,
    pub(super) leg: Leg,
    pub(super) faults: Faults,
    pub(super) expires_at: u64,
}

/// The audio of an append that is written as nearly everybody writes it: fifty a second come in every session.
fn plain_append(text: &str) -> Option<&str> {
    text.strip_prefix(r#"{"type":"input_audio_buffer.append","audio":""#)?.strip_suffix(r#""}"#)
}

/// An append in whatever order of fields, read without a copy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    audio: Cow<'a, str>,
    #[serde(borrow)]
    event_id: Option<Cow<'a, str>>,
}

const APPEND: &str = "input_audio_buffer.append";
const KINDS: [&str; 11] = [
    "session.update",
    APPEND,
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
    "output_audio_buffer.clear",
];

impl Session {
    /// Greets the client with `session.created`, or with the planned fault.
    pub(super) fn open(opening: Opening, now: Instant) -> Self {
        let Opening { model, page, script, speech, leg, faults, expires_at } = opening;
        let mut wire = Wire::new(page);
        let id = wire.fresh_id("sess");
        let ends_after_ms = faults.close().map(|(_, after_ms)| after_ms).or(faults.expire_after_ms());
        let lifetime = ends_after_ms.map_or(LIFETIME, Duration::from_millis);
        let mut session = Self {
            id,
            expires_at,
            wire,
            settings: Settings::new(&model),
            conversation: Conversation::default(),
            input: InputBuffer::default(),
            turn_item: None,
            reply: None,
            pending: None,
            transcriptions: Vec::new(),
            idle_at: None,
            script,
            speech,
            leg,
            faults,
            has_spoken: false,
            ends_at: now + lifetime,
            scratch: Vec::new(),
        };
        match session.faults.error_at_start() {
            Some(code) => session.refuse_at_start(&code),
            None => session.tell("session.created"),
        }
        session
    }

    /// The next thing for the socket.
    pub(super) fn next(&mut self) -> Option<Outgoing> {
        self.wire.next()
    }

    /// When [`Session::wake`] is due.
    pub(super) fn deadline(&self) -> Instant {
        let reply = self.reply.as_ref().and_then(Reply::due);
        let transcription = self.transcriptions.iter().map(|due| due.at).min();
        [reply, transcription, self.idle_at].into_iter().flatten().fold(self.ends_at, Instant::min)
    }

    /// Does what has become due.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.ends_at <= now {
            self.end();
            return;
        }
        self.tell_transcripts(now);
        self.play(now);
        if self.idle_at.is_some_and(|at| at <= now) {
            self.idle_at = None;
            self.prompt_silent_caller(now);
        }
    }

    /// Takes one client event.
    pub(super) fn receive(&mut self, now: Instant, text: &str) {
        if plain_append(text).is_some_and(|audio| self.append(now, audio).is_ok()) {
            return;
        }
        if let Ok(append) = serde_json::from_str::<Append<'_>>(text)
            && append.kind == APPEND
        {
            if let Err(refusal) = self.append(now, &append.audio) {
                self.wire.refuse(&refusal, append.event_id.as_deref());
            }
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(text) else {
            let refusal = Refusal::invalid("invalid_json", "The event is not valid JSON.");
            self.wire.refuse(&refusal, None);
            return;
        };
        self.wire.page().event("client", &event);
        let event_id = event.get("event_id").and_then(Value::as_str);
        if let Err(refusal) = self.obey(now, &event) {
            self.wire.refuse(&refusal, event_id);
        }
    }

    fn obey(&mut self, now: Instant, event: &Value) -> Result<(), Refusal> {
        let fields = Fields::of("event", event)?;
        let kind = fields.get("type").and_then(Value::as_str).ok_or_else(|| Refusal::missing("type"))?;
        let allowed: &[&str] = match kind {
            "session.update" => &["session"],
            "input_audio_buffer.commit" | "input_audio_buffer.clear" | "output_audio_buffer.clear" => &[],
            APPEND => &["audio"],
            "conversation.item.create" => &["item", "previous_item_id"],
            "conversation.item.delete" | "conversation.item.retrieve" => &["item_id"],
            "conversation.item.truncate" => &["item_id", "content_index", "audio_end_ms"],
            "response.create" => &["response"],
            "response.cancel" => &["response_id"],
            _ => return Err(Refusal::not_one_of("type", kind, &KINDS)),
        };
        let own = ["type", "event_id"];
        if let Some(name) = event.as_object().and_then(|event| {
            event.keys().find(|name| !allowed.contains(&name.as_str()) && !own.contains(&name.as_str()))
        }) {
            return Err(Refusal::unknown(name));
        }
        let item_id = || fields.text("item_id")?.ok_or_else(|| Refusal::missing("item_id"));
        match kind {
            "session.update" => self.update(event.get("session").unwrap_or(&Value::Null)),
            APPEND => self.append(now, fields.text("audio")?.ok_or_else(|| Refusal::missing("audio"))?),
            "input_audio_buffer.commit" => self.commit(now),
            "input_audio_buffer.clear" => {
                drop(self.input.take());
                self.turn_item = None;
                self.wire.send("input_audio_buffer.cleared", json!({}));
                Ok(())
            }
            "conversation.item.create" => self.create_item(&fields),
            "conversation.item.delete" => {
                let id = item_id()?;
                self.conversation.remove(id)?;
                self.wire.send("conversation.item.deleted", json!({ "item_id": id }));
                Ok(())
            }
            "conversation.item.retrieve" => {
                let id = item_id()?;
                let item = self.conversation.get(id).map(Item::to_json);
                let missing =
                    || Refusal::invalid("item_not_found", format!("Item with id '{id}' not found."));
                self.wire.send("conversation.item.retrieved", json!({ "item": item.ok_or_else(missing)? }));
                Ok(())
            }
            "conversation.item.truncate" => self.truncate(item_id()?, &fields),
            "response.create" => self.create_response(now, event.get("response")),
            "response.cancel" => self.cancel_response(now, fields.text("response_id")?),
            _ => Err(Refusal::invalid("invalid_value", "This event is only for WebRTC and SIP connections.")),
        }
    }

    fn update(&mut self, session: &Value) -> Result<(), Refusal> {
        self.settings = self.settings.updated(session, self.has_spoken)?;
        self.tell("session.updated");
        Ok(())
    }

    fn append(&mut self, now: Instant, base64: &str) -> Result<(), Refusal> {
        let mut audio = std::mem::take(&mut self.scratch);
        audio.clear();
        let decoded = STANDARD.decode_vec(base64, &mut audio);
        if decoded.is_ok() {
            self.wire.page().audio_in(audio.len());
            self.leg.heard(&audio);
            self.hear(now, &audio);
        }
        self.scratch = audio;
        decoded.map_err(|_| Refusal::value("audio", "Invalid 'audio'. Expected base64-encoded audio bytes."))
    }

    fn create_item(&mut self, fields: &Fields<'_>) -> Result<(), Refusal> {
        let value = fields.get("item").ok_or_else(|| Refusal::missing("item"))?;
        let wire = &mut self.wire;
        let item = Item::read(value, || wire.fresh_id("item"))?;
        let told = item.to_json();
        let after = match fields.get("previous_item_id") {
            None | Some(Value::Null) => None,
            Some(_) => fields.text("previous_item_id")?,
        };
        let previous = self.conversation.insert(item, after)?;
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.wire.send(kind, json!({ "previous_item_id": previous, "item": told }));
        }
        Ok(())
    }

    fn truncate(&mut self, item_id: &str, fields: &Fields<'_>) -> Result<(), Refusal> {
        let index = fields
            .integer("content_index", 0..=u64::MAX)?
            .ok_or_else(|| Refusal::missing("content_index"))?;
        let end_ms =
            fields.integer("audio_end_ms", 0..=u64::MAX)?.ok_or_else(|| Refusal::missing("audio_end_ms"))?;
        self.conversation.truncate(item_id, index, end_ms)?;
        let told = json!({ "item_id": item_id, "content_index": index, "audio_end_ms": end_ms });
        self.wire.send("conversation.item.truncated", told);
        Ok(())
    }

    fn tell(&mut self, kind: &str) {
        let told = self.settings.to_json(&self.id, self.expires_at);
        self.wire.page().settings(told.clone());
        self.wire.send(kind, json!({ "session": told }));
    }

    fn refuse_at_start(&mut self, code: &str) {
        let kind = if code == "insufficient_quota" { "insufficient_quota" } else { "invalid_request_error" };
        let message = format!("The session cannot start: {code}.");
        let refusal = Refusal { kind, ..Refusal::invalid(code, message) };
        self.wire.refuse(&refusal, None);
        self.wire.raw(Outgoing::Close { code: 3_000, reason: format!("{kind}.{code}") });
    }

    /// The end that was planned, or that comes to each session after an hour.
    fn end(&mut self) {
        if let Some((code, _)) = self.faults.close() {
            self.wire.raw(Outgoing::Close { code, reason: String::new() });
            return;
        }
        let message = "Your session hit the maximum duration of 60 minutes.";
        self.wire.refuse(&Refusal::invalid("session_expired", message), None);
        self.wire.raw(Outgoing::Close { code: 1_001, reason: "session_expired".to_owned() });
    }
}
