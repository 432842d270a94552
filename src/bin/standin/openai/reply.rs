//! One response of the model, from `response.created` to `response.done`: its lines are sent in bursts faster than
//! they play, its tool calls at once. At most one is active in a session.

use super::conversation::{Body, Item};
use super::faults::Fault;
use super::refusal::Refusal;
use super::script::{Moment, Output};
use super::session::Session;
use super::settings::{Format, Modality, Settings};
use super::wire::{Outgoing, Position};
use crate::speech::ulaw::{self, BYTES_PER_MS, FRAME};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Characters per text delta.
const TEXT_DELTA_CHARACTERS: usize = 40;

/// Why a response begins.
pub(super) enum Cause {
    Turn,
    Silence,
    Client { settings: Box<Settings>, literal: bool, metadata: Value, in_conversation: bool },
}

pub(super) struct Reply {
    id: String,
    settings: Settings,
    metadata: Value,
    in_conversation: bool,
    queue: VecDeque<Output>,
    done: Vec<Item>,
    line: Option<Line>,
    /// None while the line's audio is being made.
    due: Option<Instant>,
    first_audio_at: Option<Instant>,
    audio_bytes: usize,
    text_characters: usize,
}

/// The line being said.
struct Line {
    item_id: String,
    previous: Option<String>,
    text: String,
    audio: Option<Arc<[u8]>>,
    asked_for: bool,
    sent: usize,
    /// How many bytes of `text` were told.
    told: usize,
}

impl Reply {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    fn to_json(&self, status: &str, details: &Value, usage: &Value) -> Value {
        let output: Vec<Value> = self.done.iter().map(Item::to_json).collect();
        json!({
            "object": "realtime.response", "id": self.id, "status": status, "status_details": details, "output": output,
            "conversation_id": self.in_conversation.then_some("conv_default"), "metadata": self.metadata,
            "output_modalities": self.settings.modalities(), "max_output_tokens": "inf",
            "audio": { "output": self.settings.audio_output() }, "usage": usage,
        })
    }
}

impl Session {
    /// `response.create`.
    pub(super) fn create_response(&mut self, now: Instant, asked: Option<&Value>) -> Result<(), Refusal> {
        let empty = json!({});
        let asked = asked.unwrap_or(&empty);
        let field = |name: &str| asked.get(name).cloned().unwrap_or(Value::Null);
        let in_conversation = field("conversation") != "none";
        let literal = asked.get("instructions").is_some();
        let settings = Box::new(self.settings.for_response(asked)?);
        self.begin_reply(
            now,
            Cause::Client { settings, literal, metadata: field("metadata"), in_conversation },
        )
    }

    /// `response.cancel`.
    pub(super) fn cancel_response(&mut self, now: Instant, id: Option<&str>) -> Result<(), Refusal> {
        match &self.reply {
            Some(reply) if id.is_none_or(|id| id == reply.id) => self.stop_reply(now, "client_cancelled"),
            _ => {
                let message = "Cancellation failed: no active response found";
                return Err(Refusal::invalid("response_cancel_not_active", message));
            }
        }
        Ok(())
    }

    pub(super) fn begin_reply(&mut self, now: Instant, cause: Cause) -> Result<(), Refusal> {
        if let Some(active) = &self.reply {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the response is finished \
                 before creating a new one.",
                active.id
            );
            return Err(Refusal::invalid("conversation_already_has_active_response", message));
        }
        if self.faults.has(&Fault::NeverAnswer) {
            return Ok(());
        }
        self.idle_at = None;
        let silent = matches!(cause, Cause::Silence);
        let (settings, literal, metadata, in_conversation) = match cause {
            Cause::Turn | Cause::Silence => (self.settings.clone(), false, Value::Null, true),
            Cause::Client { settings, literal, metadata, in_conversation } => {
                (*settings, literal, metadata, in_conversation)
            }
        };
        let queue = if silent { self.script.idle() } else { self.answer(&settings, literal) };
        let reply = Reply {
            id: self.wire.fresh_id("resp"),
            settings,
            metadata,
            in_conversation,
            queue: queue.into(),
            done: Vec::new(),
            line: None,
            due: Some(now + Duration::from_millis(self.script.pace().think_ms)),
            first_audio_at: None,
            audio_bytes: 0,
            text_characters: 0,
        };
        self.wire.send(
            "response.created",
            json!({ "response": reply.to_json("in_progress", &Value::Null, &Value::Null) }),
        );
        let limit = |name: &str, limit: u64| json!({ "name": name, "limit": limit, "remaining": limit - 1, "reset_seconds": 0.1 });
        let limits = [limit("requests", 10_000), limit("tokens", 2_000_000)];
        self.wire.send("rate_limits.updated", json!({ "rate_limits": limits }));
        self.send_strange_frames();
        if self.faults.has(&Fault::RateLimit) {
            let error = Refusal::of_status(429);
            let details = json!({ "type": "failed", "error": { "type": error.kind, "code": error.code, "message": error.message } });
            self.finish(now, &reply, "failed", &details);
            return Ok(());
        }
        self.reply = Some(reply);
        Ok(())
    }

    /// What to say and call now.
    fn answer(&mut self, settings: &Settings, literal: bool) -> Vec<Output> {
        let outputs = self.conversation.fresh_tool_outputs();
        if let Some(pending) = self.pending.take()
            && !outputs.is_empty()
        {
            return self.script.continued(pending, &outputs);
        }
        let heard = self.conversation.heard();
        let literal = literal || heard.is_empty();
        let moment = Moment {
            instructions: &settings.instructions,
            literal,
            heard: &heard,
            tools: &settings.offered(),
        };
        let (outputs, pending) = self.script.answer(&moment);
        self.pending = pending;
        outputs
    }

    /// The line whose audio is needed, and its voice; told once.
    pub(super) fn wants_speech(&mut self) -> Option<(String, String)> {
        let reply = self.reply.as_mut()?;
        let line = reply.line.as_mut().filter(|line| !line.asked_for)?;
        line.asked_for = true;
        Some((line.text.clone(), reply.settings.voice.clone()))
    }

    /// The audio that was wanted.
    pub(super) fn speech_made(&mut self, now: Instant, text: &str, audio: Arc<[u8]>) {
        let Some(reply) = &mut self.reply else { return };
        let Some(line) = reply.line.as_mut().filter(|line| line.audio.is_none() && line.text == text) else {
            return;
        };
        line.audio = Some(audio);
        reply.due = Some(now);
    }

    /// Sends what is due of the active response.
    pub(super) fn play(&mut self, now: Instant) {
        while let Some(mut reply) = self.reply.take_if(|reply| reply.due.is_some_and(|due| due <= now)) {
            if reply.line.is_some() {
                self.continue_line(now, &mut reply);
            } else {
                match reply.queue.pop_front() {
                    None => {
                        self.finish(now, &reply, "completed", &Value::Null);
                        return;
                    }
                    Some(Output::Say(text)) => self.begin_line(&mut reply, text),
                    Some(Output::Call { name, arguments }) => self.call_tool(&mut reply, &name, &arguments),
                }
            }
            self.reply = Some(reply);
        }
    }

    fn begin_line(&mut self, reply: &mut Reply, text: String) {
        let item_id = self.wire.fresh_id("item");
        let silent = reply.settings.modality == Modality::Text;
        let body = if silent {
            Body::Answered { text: String::new() }
        } else {
            Body::Spoken { text: None, audio_bytes: 0 }
        };
        let item = Item { id: item_id.clone(), status: "in_progress", body };
        let previous = self.add_item(reply, item);
        let part = if silent {
            json!({ "type": "text", "text": "" })
        } else {
            json!({ "type": "audio", "transcript": "" })
        };
        let at = Position { response_id: &reply.id, item_id: &item_id, output_index: reply.done.len() };
        self.wire.send("response.content_part.added", at.with(json!({ "part": part })));
        let line = Line { item_id, previous, text, audio: None, asked_for: silent, sent: 0, told: 0 };
        reply.line = Some(line);
        if !silent {
            reply.due = None;
        }
    }

    /// Tells of a new output item, and of its place in the conversation.
    fn add_item(&mut self, reply: &Reply, item: Item) -> Option<String> {
        let told = item.to_json();
        let at = Position { response_id: &reply.id, item_id: "", output_index: reply.done.len() };
        self.wire.send("response.output_item.added", at.item(json!({ "item": told })));
        if !reply.in_conversation {
            return None;
        }
        match self.conversation.insert(item, None) {
            Ok(previous) => {
                let added = json!({ "previous_item_id": previous, "item": told });
                self.wire.send("conversation.item.added", added);
                previous
            }
            Err(refusal) => {
                self.wire.refuse(&refusal, None);
                None
            }
        }
    }

    fn continue_line(&mut self, now: Instant, reply: &mut Reply) {
        let pace = self.script.pace();
        let Some(line) = &mut reply.line else { return };
        let at = Position { response_id: &reply.id, item_id: &line.item_id, output_index: reply.done.len() };
        if reply.settings.modality == Modality::Text {
            while let Some(delta) = next_words(&line.text, &mut line.told, TEXT_DELTA_CHARACTERS) {
                self.wire.send("response.output_text.delta", at.with(json!({ "delta": delta })));
            }
            return self.close_line(reply, "completed");
        }
        let Some(audio) = line.audio.clone() else { return };
        let wanted = usize::try_from(pace.delta_ms).unwrap_or(FRAME).saturating_mul(BYTES_PER_MS);
        let chunk = audio.get(line.sent..audio.len().min(line.sent + wanted)).unwrap_or_default();
        if chunk.is_empty() {
            return self.close_line(reply, "completed");
        }
        let characters = line.text.len() * chunk.len() / audio.len() + 1;
        if let Some(delta) = next_words(&line.text, &mut line.told, characters) {
            self.wire.send("response.output_audio_transcript.delta", at.with(json!({ "delta": delta })));
        }
        let base64 = match reply.settings.output {
            Format::Pcmu if self.leg.measures() => {
                let mut stamped = chunk.to_vec();
                self.leg.send_delta(&mut stamped);
                STANDARD.encode(stamped)
            }
            Format::Pcmu => STANDARD.encode(chunk),
            Format::Pcm => STANDARD.encode(to_pcm(chunk)),
        };
        self.wire.send_audio(&at, &base64, chunk.len());
        line.sent += chunk.len();
        reply.audio_bytes += chunk.len();
        reply.first_audio_at.get_or_insert(now);
        self.has_spoken = true;
        let late_ms = self.faults.delta_delay_ms().unwrap_or(0);
        let played = Duration::from_millis(ulaw::milliseconds(chunk.len())).div_f64(pace.speed);
        reply.due = reply.due.map(|due| due + played + Duration::from_millis(late_ms));
        let sent_ms = ulaw::milliseconds(reply.audio_bytes);
        if self.faults.drop_after_audio_ms().is_some_and(|after_ms| after_ms <= sent_ms) {
            self.wire.raw(Outgoing::Drop);
        }
    }

    /// Ends the line being said, whole or cut off.
    fn close_line(&mut self, reply: &mut Reply, status: &'static str) {
        let Some(mut line) = reply.line.take() else { return };
        let at = Position { response_id: &reply.id, item_id: &line.item_id, output_index: reply.done.len() };
        let spoken = reply.settings.modality == Modality::Audio;
        if spoken
            && status == "completed"
            && let Some(rest) = next_words(&line.text, &mut line.told, usize::MAX)
        {
            self.wire.send("response.output_audio_transcript.delta", at.with(json!({ "delta": rest })));
        }
        let text = line.text.get(..line.told).unwrap_or_default().to_owned();
        reply.text_characters += text.len();
        let (part, body) = if spoken {
            self.wire.send("response.output_audio.done", at.with(json!({})));
            self.wire.send("response.output_audio_transcript.done", at.with(json!({ "transcript": text })));
            let body = Body::Spoken { text: Some(text.clone()), audio_bytes: line.sent };
            (json!({ "type": "audio", "transcript": text }), body)
        } else {
            self.wire.send("response.output_text.done", at.with(json!({ "text": text })));
            (json!({ "type": "text", "text": text }), Body::Answered { text })
        };
        self.wire.send("response.content_part.done", at.with(json!({ "part": part })));
        let item = Item { id: line.item_id, status, body };
        self.close_item(reply, item, line.previous.as_deref());
    }

    fn close_item(&mut self, reply: &mut Reply, item: Item, previous: Option<&str>) {
        let told = item.to_json();
        if let Some(kept) = self.conversation.get_mut(&item.id) {
            *kept = item.clone();
            self.wire.send("conversation.item.done", json!({ "previous_item_id": previous, "item": told }));
        }
        let at = Position { response_id: &reply.id, item_id: "", output_index: reply.done.len() };
        self.wire.send("response.output_item.done", at.item(json!({ "item": told })));
        reply.done.push(item);
    }

    fn call_tool(&mut self, reply: &mut Reply, name: &str, arguments: &Value) {
        let (id, call_id) = (self.wire.fresh_id("item"), self.wire.fresh_id("call"));
        let arguments = arguments.to_string();
        let body = |arguments: &str| Body::Call {
            call_id: call_id.clone(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let previous = self.add_item(reply, Item { id: id.clone(), status: "in_progress", body: body("") });
        let at = Position { response_id: &reply.id, item_id: &id, output_index: reply.done.len() };
        let fields = |more: Value| {
            let mut fields = at.item(more);
            if let Value::Object(fields) = &mut fields {
                fields.insert("item_id".to_owned(), id.clone().into());
                fields.insert("call_id".to_owned(), call_id.clone().into());
            }
            fields
        };
        self.wire.send("response.function_call_arguments.delta", fields(json!({ "delta": arguments })));
        self.wire.send(
            "response.function_call_arguments.done",
            fields(json!({ "name": name, "arguments": arguments })),
        );
        reply.text_characters += arguments.len();
        let item = Item { id: id.clone(), status: "completed", body: body(&arguments) };
        self.close_item(reply, item, previous.as_deref());
    }

    /// Cuts the active response off, if there is one.
    pub(super) fn stop_reply(&mut self, now: Instant, reason: &str) {
        let Some(mut reply) = self.reply.take() else { return };
        self.close_line(&mut reply, "incomplete");
        self.finish(now, &reply, "cancelled", &json!({ "type": "cancelled", "reason": reason }));
    }

    fn finish(&mut self, now: Instant, reply: &Reply, status: &str, details: &Value) {
        let usage = self.usage(reply);
        self.wire.send("response.done", json!({ "response": reply.to_json(status, details, &usage) }));
        let idle_ms = self.settings.turn_detection.as_ref().and_then(|rule| rule.idle_ms);
        if let (Some(idle_ms), Some(began), "completed") = (idle_ms, reply.first_audio_at, status) {
            let played = began + Duration::from_millis(ulaw::milliseconds(reply.audio_bytes));
            self.idle_at = Some(played.max(now) + Duration::from_millis(idle_ms));
        }
    }

    /// A token is four characters, 100 ms of the caller or 50 ms of the model.
    fn usage(&self, reply: &Reply) -> Value {
        let text_in = (reply.settings.instructions.len() + self.conversation.characters()) / 4;
        let audio_in = usize::try_from(self.input.clock_ms() / 100).unwrap_or(0);
        let text_out = reply.text_characters / 4;
        let audio_out = reply.audio_bytes / BYTES_PER_MS / 50;
        json!({
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in, "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in, "audio_tokens": audio_in, "image_tokens": 0, "cached_tokens": 0,
                "cached_tokens_details": { "text_tokens": 0, "audio_tokens": 0, "image_tokens": 0 },
            },
            "output_token_details": { "text_tokens": text_out, "audio_tokens": audio_out },
        })
    }

    fn send_strange_frames(&mut self) {
        if self.faults.has(&Fault::MalformedJson) {
            self.wire.raw(Outgoing::Text(r#"{"type":"response.output_audio.delta","delta":"#.to_owned()));
        }
        if self.faults.has(&Fault::UnknownEvents) {
            self.wire.send("response.mood.delta", json!({ "mood": { "warm": 0.7 }, "output_index": 0 }));
            self.wire.send("session.weather.updated", json!({ "weather": ["rain"] }));
        }
        if let Some(bytes) = self.faults.huge_frame_bytes() {
            let event = format!(
                r#"{{"type":"response.padding.delta","event_id":"event_huge","delta":"{}"}}"#,
                "A".repeat(bytes)
            );
            self.wire.raw(Outgoing::Text(event));
        }
        if self.faults.has(&Fault::BinaryFrame) {
            self.wire.raw(Outgoing::Binary(vec![0; 160]));
        }
    }
}

/// The next so many bytes of the text, up to the end of a word; `told` moves on.
fn next_words(text: &str, told: &mut usize, wanted: usize) -> Option<String> {
    let rest = text.get(*told..).filter(|rest| !rest.is_empty())?;
    let mut ends = rest.match_indices(' ').map(|(index, _)| index);
    let end = ends.find(|index| wanted <= *index).unwrap_or(rest.len());
    let words = rest.get(..end)?.to_owned();
    *told += words.len();
    Some(words)
}

/// 8 kHz µ-law to 24 kHz linear: each sample three times.
fn to_pcm(chunk: &[u8]) -> Vec<u8> {
    chunk.iter().flat_map(|code| [ulaw::linear(*code); 3]).flat_map(i16::to_le_bytes).collect()
}
