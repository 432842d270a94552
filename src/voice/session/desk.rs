//! What every state of a call works on: the plan, the outputs that wait, the transcript, and the counts.

use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use super::Output;
use super::transcript::Transcript;
use crate::voice::plan::{Limits, Plan};
use crate::voice::record::{Event, Leg, Record};

/// Counts of what is too frequent to be logged one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames of the caller's audio that went to the model.
    pub frames_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Frames of the caller's audio that never went to the model: too many came before it was ready, or goodbye was
    /// being said.
    pub frames_unheard: u64,
    /// Milliseconds of silence put where the carrier sent nothing.
    pub padded_ms: u64,
    /// Pieces of the agent's speech that went to the carrier.
    pub frames_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Pieces of the agent's speech that came after it was interrupted.
    pub frames_discarded: u64,
    /// Marks of what the caller heard.
    pub marks_heard: u64,
    /// Marks that came back because playback was cleared, or that were never ours.
    pub marks_stale: u64,
    /// Frames of the carrier beyond understanding.
    pub carrier_bad_frames: u32,
    /// Events of the model beyond understanding, and errors that are none of the known.
    pub model_bad_events: u32,
    /// Events that were not kept, as there were too many.
    pub events_dropped: u64,
    /// Tokens the model read.
    pub input_tokens: u64,
    /// Tokens the model spoke or wrote.
    pub output_tokens: u64,
}

pub(super) struct Desk {
    pub(super) plan: Plan,
    pub(super) transcript: Transcript,
    pub(super) totals: Totals,
    outputs: VecDeque<Output>,
    events: u64,
}

impl Desk {
    pub(super) fn new(plan: Plan) -> Self {
        let transcript = Transcript::new(plan.limits.turn_chars_max);
        Self { plan, transcript, totals: Totals::default(), outputs: VecDeque::with_capacity(16), events: 0 }
    }

    pub(super) fn limits(&self) -> Limits {
        self.plan.limits
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends the model something else than audio, and logs it.
    pub(super) fn tell_model(&mut self, now: Duration, kind: &'static str, data: Value, event: String) {
        self.event(now, Leg::ToModel, kind, data);
        self.push(Output::ToModel(event));
    }

    /// Sends the carrier something else than audio and marks, and logs it.
    pub(super) fn tell_carrier(&mut self, now: Duration, kind: &'static str, frame: String) {
        self.event(now, Leg::ToCarrier, kind, Value::Null);
        self.push(Output::ToCarrier(frame));
    }

    pub(super) fn event(&mut self, now: Duration, leg: Leg, kind: impl Into<Cow<'static, str>>, data: Value) {
        if self.plan.limits.events_max <= self.events {
            self.totals.events_dropped += 1;
            return;
        }
        self.events += 1;
        let event = Event { at_ms: millis(now), leg, kind: kind.into(), data };
        self.push(Output::Record(Record::Event(event)));
    }

    /// Logs an event by a stranger's name, cut to a length that fits a column.
    pub(super) fn strange_event(&mut self, now: Duration, leg: Leg, kind: &str) {
        const KIND_CHARS_MAX: usize = 80;
        self.event(now, leg, kind.chars().take(KIND_CHARS_MAX).collect::<String>(), Value::Null);
    }

    /// Moves the turns that are complete, in order, into the log.
    pub(super) fn write_turns(&mut self) {
        while let Some(turn) = self.transcript.pop() {
            self.outputs.push_back(Output::Record(Record::Turn(turn)));
        }
    }

    pub(super) fn write_totals(&mut self, now: Duration) {
        let totals = self.totals;
        let data = json!({
            "frames_in": totals.frames_in, "bytes_in": totals.bytes_in, "frames_unheard": totals.frames_unheard,
            "padded_ms": totals.padded_ms, "frames_out": totals.frames_out, "bytes_out": totals.bytes_out,
            "frames_discarded": totals.frames_discarded, "marks_heard": totals.marks_heard,
            "marks_stale": totals.marks_stale, "carrier_bad_frames": totals.carrier_bad_frames,
            "model_bad_events": totals.model_bad_events, "events_dropped": totals.events_dropped,
            "input_tokens": totals.input_tokens, "output_tokens": totals.output_tokens,
        });
        let event = Event { at_ms: millis(now), leg: Leg::Call, kind: "call.totals".into(), data };
        self.push(Output::Record(Record::Event(event)));
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The earlier of two deadlines, either of which may not exist.
pub(super) fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (only, None) | (None, only) => only,
    }
}
