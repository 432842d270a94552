//! The Realtime API (GA) over WebSocket: the events that we read and write, as our own tolerant types. An unknown event
//! is [`ServerEvent::Other`], never an error; null and absent are the same. Audio is borrowed from the frame when read
//! and costs one allocation when written. Must never know when an event is due.
//!
//! <https://platform.openai.com/docs/api-reference/realtime>

pub mod client;
pub mod socket;
mod wire;

use std::borrow::Cow;

use crate::providers::pcmu::Pcmu;

/// The largest event that is read; a burst of audio stays far below.
pub const EVENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What the model's side says, as far as a call needs it.
#[derive(Debug, PartialEq)]
pub enum ServerEvent<'a> {
    /// The session exists, with defaults.
    SessionCreated,
    /// Our settings are in force.
    SessionUpdated {
        /// What the server says it does with audio.
        audio: AudioFormats<'a>,
    },
    /// Something that we sent was refused, or the session is in trouble.
    Error(ErrorDetail<'a>),
    /// The caller began to speak.
    SpeechStarted {
        /// The item that the speech will become.
        item_id: Cow<'a, str>,
    },
    /// The caller stopped.
    SpeechStopped {
        /// The item that the speech will become.
        item_id: Cow<'a, str>,
    },
    /// The speech became an item.
    SpeechCommitted {
        /// The item.
        item_id: Cow<'a, str>,
        /// The one before it in the conversation.
        previous_item_id: Option<Cow<'a, str>>,
    },
    /// What the caller said, in words; any time relative to the answer.
    CallerTranscribed {
        /// The item.
        item_id: Cow<'a, str>,
        /// The words.
        text: Cow<'a, str>,
    },
    /// What the caller said could not be put in words.
    CallerNotTranscribed {
        /// The item.
        item_id: Cow<'a, str>,
    },
    /// An answer begins.
    ResponseCreated {
        /// The answer.
        response_id: Cow<'a, str>,
    },
    /// An answer is over.
    ResponseDone(ResponseDone<'a>),
    /// An item of an answer is over.
    OutputItemDone {
        /// The answer.
        response_id: Cow<'a, str>,
        /// The item.
        item: Item<'a>,
    },
    /// A piece of the agent's speech.
    AudioDelta {
        /// The answer.
        response_id: Cow<'a, str>,
        /// The item.
        item_id: Cow<'a, str>,
        /// Which part of the item is audio.
        content_index: u32,
        /// The speech.
        audio: Pcmu<'a>,
    },
    /// A piece of the words of the agent's speech.
    TranscriptDelta {
        /// The item.
        item_id: Cow<'a, str>,
        /// The words.
        text: Cow<'a, str>,
    },
    /// All words of an item of the agent's speech.
    TranscriptDone {
        /// The item.
        item_id: Cow<'a, str>,
        /// The words.
        text: Cow<'a, str>,
    },
    /// Anything else.
    Other {
        /// Its type.
        kind: Cow<'a, str>,
    },
}

/// The audio formats of a session.
#[derive(Debug, PartialEq, Eq)]
pub struct AudioFormats<'a> {
    /// What it takes from us.
    pub input: Option<Cow<'a, str>>,
    /// What it gives us.
    pub output: Option<Cow<'a, str>>,
}

impl AudioFormats<'_> {
    /// Whether µ-law passes through unchanged both ways.
    pub fn are_pcmu(&self) -> bool {
        [&self.input, &self.output].into_iter().all(|format| format.as_deref() == Some("audio/pcmu"))
    }
}

/// What is wrong, as the server says it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ErrorDetail<'a> {
    /// A stable word, where there is one.
    pub code: Option<Cow<'a, str>>,
    /// For people.
    pub message: Option<Cow<'a, str>>,
    /// Our event that it answers.
    pub event_id: Option<Cow<'a, str>>,
}

/// How bad an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A race that both sides may lose; nothing follows from it.
    Benign,
    /// Our request for an answer came while another was being given: ask again after it.
    AlreadyAnswering,
    /// Worth a line in the log; the session goes on.
    Odd,
    /// The session's time is up.
    Expired,
    /// The account cannot or may not be served; another attempt will not help.
    Fatal,
}

impl ErrorDetail<'_> {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self.code.as_deref().unwrap_or_default() {
            "response_cancel_not_active" | "input_audio_buffer_commit_empty" => Severity::Benign,
            "conversation_already_has_active_response" => Severity::AlreadyAnswering,
            "session_expired" => Severity::Expired,
            "insufficient_quota"
            | "invalid_api_key"
            | "account_deactivated"
            | "billing_hard_limit_reached"
            | "beta_api_shape_disabled"
            | "model_not_found" => Severity::Fatal,
            _ if self.message.as_deref().is_some_and(|m| m.starts_with("Cancellation failed")) => {
                Severity::Benign
            }
            _ => Severity::Odd,
        }
    }
}

/// An item of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// The tool that it wants run; `None` while the call is not whole, and for everything else.
    pub tool_call: Option<ToolCall<'a>>,
}

/// A tool that the model wants run.
#[derive(Debug, PartialEq, Eq)]
pub struct ToolCall<'a> {
    /// What its result must name.
    pub call_id: Cow<'a, str>,
    /// Which tool.
    pub name: Cow<'a, str>,
    /// With what: a JSON object, if the model kept to it.
    pub arguments: Cow<'a, str>,
}

/// How an answer ended.
#[derive(Debug, PartialEq)]
pub struct ResponseDone<'a> {
    /// The answer.
    pub response_id: Cow<'a, str>,
    /// How.
    pub outcome: ResponseOutcome<'a>,
    /// What it cost.
    pub usage: Usage,
}

/// How an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub enum ResponseOutcome<'a> {
    /// Whole, or as far as its limit on tokens allowed.
    Completed,
    /// Cut off, by the caller's speech or by us.
    Cancelled,
    /// Not given.
    Failed(ErrorDetail<'a>),
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Read, of which most may have been cached.
    pub input_tokens: u64,
    /// Spoken and written.
    pub output_tokens: u64,
}

/// Why an event is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEvent {
    /// Above [`EVENT_BYTES_MAX`].
    #[error("larger than {EVENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a JSON object with a `type`.
    #[error("not the JSON of an event")]
    NotAnEvent,
    /// An event that we know, without what it promises.
    #[error("an event without its {0}")]
    Malformed(&'static str),
}

impl<'a> ServerEvent<'a> {
    /// Reads one event.
    pub fn parse(text: &'a str) -> Result<Self, BadEvent> {
        if EVENT_BYTES_MAX < text.len() {
            return Err(BadEvent::TooLarge);
        }
        wire::read(text)
    }
}
