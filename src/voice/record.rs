//! What is kept of a call: turns, which people read, and events, from which both legs can be followed. Times are
//! milliseconds since the call began. Must never know where they are written.

use std::borrow::Cow;

/// One entry of a call's log, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Something was said.
    Turn(Turn),
    /// Something happened.
    Event(Event),
}

/// Something that was said, as far as it was heard; or done in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// By whom.
    pub speaker: Speaker,
    /// The words; of an interrupted agent only what the caller heard.
    pub text: String,
    /// When it began.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// How the caller heard it; `None` for the caller's own turns.
    pub heard: Option<Heard>,
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The person who called.
    Caller,
    /// The caller's keypad.
    Keypad,
    /// The agent.
    Agent,
    /// A tool that the agent used; the text says what it did.
    Tool,
}

/// How much of an agent's turn the caller heard, by the marks that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// How much was heard.
    pub heard_ms: u64,
    /// How much had been sent.
    pub sent_ms: u64,
    /// Whether the rest was cut off.
    pub interrupted: bool,
}

/// Something that happened on either leg.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at_ms: u64,
    /// Where.
    pub leg: Leg,
    /// What: the wire's own name, or ours.
    pub kind: Cow<'static, str>,
    /// Particulars without anybody's words.
    pub data: serde_json::Value,
}

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// Came from the carrier.
    FromCarrier,
    /// Went to the carrier.
    ToCarrier,
    /// Came from the model.
    FromModel,
    /// Went to the model.
    ToModel,
    /// Decided here.
    Call,
}

impl Leg {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::FromCarrier => "from_carrier",
            Self::ToCarrier => "to_carrier",
            Self::FromModel => "from_model",
            Self::ToModel => "to_model",
            Self::Call => "call",
        }
    }
}

impl Speaker {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Keypad => "keypad",
            Self::Agent => "agent",
            Self::Tool => "tool",
        }
    }
}
