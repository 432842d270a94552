//! The caller's side of a session: audio becomes turns, turns become items, answers and (later) transcripts.

use super::conversation::{Body, Item};
use super::faults::Fault;
use super::input::Turn;
use super::refusal::Refusal;
use super::reply::Cause;
use super::session::Session;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The least that a client may commit.
const COMMIT_MS_MIN: u64 = 100;

/// A transcript on its way.
pub(super) struct Transcription {
    pub(super) at: Instant,
    item_id: String,
    text: String,
    audio_ms: u64,
}

impl Session {
    pub(super) fn hear(&mut self, now: Instant, audio: &[u8]) {
        for turn in self.input.append(audio, self.settings.input, self.settings.turn_detection.as_ref()) {
            match turn {
                Turn::Started { audio_start_ms } => self.begin_turn(now, audio_start_ms),
                Turn::Stopped { audio_end_ms, audio } => self.end_turn(now, audio_end_ms, &audio),
            }
        }
    }

    fn begin_turn(&mut self, now: Instant, audio_start_ms: u64) {
        let item_id = self.wire.fresh_id("item");
        let started = json!({ "audio_start_ms": audio_start_ms, "item_id": item_id });
        self.wire.send("input_audio_buffer.speech_started", started);
        self.leg.speech_started();
        self.turn_item = Some(item_id);
        self.idle_at = None;
        if self.settings.turn_detection.as_ref().is_some_and(|rule| rule.interrupt_response) {
            self.stop_reply(now, "turn_detected");
        }
    }

    fn end_turn(&mut self, now: Instant, audio_end_ms: u64, audio: &[u8]) {
        let item_id = self.turn_item.take().unwrap_or_else(|| self.wire.fresh_id("item"));
        let stopped = json!({ "audio_end_ms": audio_end_ms, "item_id": item_id });
        self.wire.send("input_audio_buffer.speech_stopped", stopped);
        self.commit_item(now, item_id, audio);
        if self.settings.turn_detection.as_ref().is_some_and(|rule| rule.create_response)
            && let Err(refusal) = self.begin_reply(now, Cause::Turn)
        {
            self.wire.refuse(&refusal, None);
        }
    }

    /// Commits by the client's wish.
    pub(super) fn commit(&mut self, now: Instant) -> Result<(), Refusal> {
        let held_ms = self.input.held_ms();
        if held_ms < COMMIT_MS_MIN {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least {COMMIT_MS_MIN}ms of audio, \
                 but buffer only has {held_ms}.00ms of audio."
            );
            return Err(Refusal::invalid("input_audio_buffer_commit_empty", message));
        }
        let audio = self.input.take();
        let item_id = self.turn_item.take().unwrap_or_else(|| self.wire.fresh_id("item"));
        self.commit_item(now, item_id, &audio);
        Ok(())
    }

    fn commit_item(&mut self, now: Instant, item_id: String, audio: &[u8]) {
        let previous = self.conversation.last_id().map(str::to_owned);
        let committed = json!({ "previous_item_id": previous, "item_id": item_id });
        self.wire.send("input_audio_buffer.committed", committed);
        let text = self.speech.recognise(audio).unwrap_or_default();
        if self.settings.transcription.is_some() && !audio.is_empty() {
            let late_ms = self.faults.transcription_delay_ms().unwrap_or(0);
            let delay_ms = self.script.pace().transcription_ms + late_ms;
            self.transcriptions.push(Transcription {
                at: now + Duration::from_millis(delay_ms),
                item_id: item_id.clone(),
                text: text.clone(),
                audio_ms: crate::speech::ulaw::milliseconds(audio.len()),
            });
        }
        let item = Item { id: item_id, status: "completed", body: Body::Heard { text, transcript: None } };
        let told = item.to_json();
        if let Err(refusal) = self.conversation.insert(item, None) {
            self.wire.refuse(&refusal, None);
            return;
        }
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.wire.send(kind, json!({ "previous_item_id": previous, "item": told }));
        }
    }

    /// Tells the transcripts that are ready.
    pub(super) fn tell_transcripts(&mut self, now: Instant) {
        let (ready, waiting) =
            std::mem::take(&mut self.transcriptions).into_iter().partition(|due| due.at <= now);
        self.transcriptions = waiting;
        let ready: Vec<Transcription> = ready;
        for Transcription { item_id, text, audio_ms, .. } in ready {
            if self.faults.has(&Fault::TranscriptionFails) {
                let error = json!({ "type": "server_error", "code": "transcription_failed", "param": null,
                    "message": "Input transcription failed for this item." });
                let failed = json!({ "item_id": item_id, "content_index": 0, "error": error });
                self.wire.send("conversation.item.input_audio_transcription.failed", failed);
                continue;
            }
            if let Some(Item { body: Body::Heard { transcript, .. }, .. }) =
                self.conversation.get_mut(&item_id)
            {
                *transcript = Some(text.clone());
            }
            let delta = json!({ "item_id": item_id, "content_index": 0, "delta": text });
            self.wire.send("conversation.item.input_audio_transcription.delta", delta);
            let completed = json!({ "item_id": item_id, "content_index": 0, "transcript": text,
                "usage": transcription_usage(audio_ms, &text) });
            self.wire.send("conversation.item.input_audio_transcription.completed", completed);
        }
    }

    /// What happens when the caller has been silent for the idle timeout.
    pub(super) fn prompt_silent_caller(&mut self, now: Instant) {
        let item_id = self.wire.fresh_id("item");
        let clock_ms = self.input.clock_ms();
        let idle_ms = self.settings.turn_detection.as_ref().and_then(|rule| rule.idle_ms).unwrap_or(0);
        let triggered = json!({ "audio_start_ms": clock_ms.saturating_sub(idle_ms), "audio_end_ms": clock_ms,
            "item_id": item_id });
        self.wire.send("input_audio_buffer.timeout_triggered", triggered);
        self.commit_item(now, item_id, &[]);
        if let Err(refusal) = self.begin_reply(now, Cause::Silence) {
            self.wire.refuse(&refusal, None);
        }
    }
}

/// Input is billed at a token per 100 ms.
fn transcription_usage(audio_ms: u64, text: &str) -> Value {
    let (input, output) = (audio_ms / 100, text.len() / 4 + 1);
    json!({ "type": "tokens", "input_tokens": input, "output_tokens": output,
        "total_tokens": input + u64::try_from(output).unwrap_or(0),
        "input_token_details": { "audio_tokens": input, "text_tokens": 0 } })
}
