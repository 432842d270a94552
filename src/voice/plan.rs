//! What one call may and must not do, fixed before its first word. Must never know where the values come from.

use super::ending::EndReason;
use crate::providers::openai::realtime::client::SessionSettings;
use crate::providers::twilio::CallSid;
use crate::sentences::{Language, Sentence};

/// Everything a call is told about itself.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The call that the carrier's stream must belong to.
    pub call_sid: CallSid,
    /// How the model's session is set up.
    pub session: SessionSettings,
    /// The first sentence, ready to be spoken.
    pub greeting: String,
    /// In which language the machine's own sentences are spoken.
    pub language: Language,
    /// Every limit.
    pub limits: Limits,
}

impl Plan {
    /// What is said into a long silence.
    pub fn nudge(&self) -> &'static str {
        Sentence::StillThere.said_in(self.language)
    }

    /// The goodbye for an ending that is said goodbye to.
    pub fn goodbye(&self, reason: EndReason) -> &'static str {
        let sentence = if reason == EndReason::CallTooLong {
            Sentence::TimeIsUp
        } else if reason == EndReason::CallerSilent {
            Sentence::NobodyThere
        } else {
            Sentence::CannotGoOn
        };
        sentence.said_in(self.language)
    }
}

/// Every limit of a call; each has its own ending or its own answer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the carrier's stream must have begun: `CarrierNeverStarted`.
    pub stream_start_ms_max: u64,
    /// Until the model must be ready: `ModelUnavailable`.
    pub model_ready_ms_max: u64,
    /// How long, at most, the beginning of the greeting is guarded against noise.
    pub greeting_guard_ms_max: u64,
    /// How much of what the caller says before the model is ready is kept for it; of more, the oldest goes.
    pub early_audio_ms_max: u64,
    /// How long the caller must be silent after the greeting before what they said into it is answered.
    pub overheard_pause_ms: u64,
    /// How often the greeting is asked for before the call goes on without one.
    pub greeting_attempts_max: u32,
    /// The longest call: goodbye, `CallTooLong`.
    pub call_ms_max: u64,
    /// How long a goodbye may take before the line is cut anyway.
    pub goodbye_ms_max: u64,
    /// The longest silence before the caller is asked, or after the last asking let go.
    pub silence_ms_max: u64,
    /// How often in a row the caller is asked whether they are there: then goodbye, `CallerSilent`.
    pub nudges_max: u32,
    /// How many tool calls one call may make: goodbye, `ToolLimit`.
    pub tool_calls_max: usize,
    /// How long a tool may run before the model is told that it failed.
    pub tool_ms_max: u64,
    /// The longest arguments a tool is given; the model is told otherwise.
    pub tool_arguments_bytes_max: usize,
    /// The longest result the model is given; it is told otherwise.
    pub tool_output_bytes_max: usize,
    /// How many frames a second the carrier may send, real time being 50: `CarrierFlood`.
    pub carrier_frames_per_second_max: u32,
    /// How much audio a second the carrier may send, real time being 1000: `CarrierFlood`.
    pub carrier_audio_ms_per_second_max: u64,
    /// How many frames of the carrier may be beyond understanding: `CarrierMisbehaved`.
    pub carrier_bad_frames_max: u32,
    /// How many events of the model may be beyond understanding, or errors: `ModelMisbehaved`.
    pub model_bad_events_max: u32,
    /// How much speech may lie with the carrier unplayed: `ModelMisbehaved`.
    pub unplayed_ms_max: u64,
    /// How long an answer that is due may show no sign of life: `ModelStalled`.
    pub response_stall_ms_max: u64,
    /// How many answers in a row may fail: `ModelLost`.
    pub response_failures_max: u32,
    /// How long a turn waits for the caller's words before later turns pass it.
    pub turn_wait_ms_max: u64,
    /// How long the end of a call waits for the last words.
    pub settle_ms_max: u64,
    /// The longest text of a turn, in characters; the rest is cut.
    pub turn_chars_max: usize,
    /// How many events are kept of one call; the rest is counted.
    pub events_max: u64,
}

impl Limits {
    /// What a telephone call with a person needs, with room.
    pub const STANDARD: Self = Self {
        stream_start_ms_max: 10_000,
        model_ready_ms_max: 6_000,
        greeting_guard_ms_max: 1_500,
        early_audio_ms_max: 6_000,
        overheard_pause_ms: 2_000,
        greeting_attempts_max: 3,
        call_ms_max: 30 * 60_000,
        goodbye_ms_max: 15_000,
        silence_ms_max: 12_000,
        nudges_max: 2,
        tool_calls_max: 60,
        tool_ms_max: 8_000,
        tool_arguments_bytes_max: 16 * 1024,
        tool_output_bytes_max: 16 * 1024,
        carrier_frames_per_second_max: 500,
        carrier_audio_ms_per_second_max: 20_000,
        carrier_bad_frames_max: 50,
        model_bad_events_max: 50,
        unplayed_ms_max: 5 * 60_000,
        response_stall_ms_max: 15_000,
        response_failures_max: 3,
        turn_wait_ms_max: 10_000,
        settle_ms_max: 2_000,
        turn_chars_max: 8_000,
        events_max: 10_000,
    };
}
