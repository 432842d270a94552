//! How calls end: stable codes for rows, metrics and the webhook that follows. Must never know what is then said.

/// Why a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The caller hung up.
    CallerHungUp,
    /// The longest call was reached; goodbye was said.
    CallTooLong,
    /// Nobody spoke, despite being asked; goodbye was said.
    CallerSilent,
    /// The agent used its tools too often; goodbye was said.
    ToolLimit,
    /// This process stops.
    ShuttingDown,
    /// The model could not be reached, or refused our settings, before a word was said.
    ModelUnavailable,
    /// The model's connection broke.
    ModelLost,
    /// The model's session reached its longest duration.
    ModelExpired,
    /// The account cannot or may not be served by the model.
    ModelRefused,
    /// The model did not answer, or did not take what we sent, for too long.
    ModelStalled,
    /// The model sent what cannot be understood, or more than anybody could listen to, or would not take part.
    ModelMisbehaved,
    /// The carrier's connection broke without a word.
    CarrierLost,
    /// The carrier's stream never began.
    CarrierNeverStarted,
    /// The carrier did not take what we sent for too long.
    CarrierStalled,
    /// The carrier sent more than real time allows.
    CarrierFlood,
    /// The carrier sent what cannot be understood.
    CarrierMisbehaved,
}

impl EndReason {
    /// All reasons.
    pub const ALL: [Self; 16] = [
        Self::CallerHungUp,
        Self::CallTooLong,
        Self::CallerSilent,
        Self::ToolLimit,
        Self::ShuttingDown,
        Self::ModelUnavailable,
        Self::ModelLost,
        Self::ModelExpired,
        Self::ModelRefused,
        Self::ModelStalled,
        Self::ModelMisbehaved,
        Self::CarrierLost,
        Self::CarrierNeverStarted,
        Self::CarrierStalled,
        Self::CarrierFlood,
        Self::CarrierMisbehaved,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::CallTooLong => "call_too_long",
            Self::CallerSilent => "caller_silent",
            Self::ToolLimit => "tool_limit",
            Self::ShuttingDown => "shutting_down",
            Self::ModelUnavailable => "model_unavailable",
            Self::ModelLost => "model_lost",
            Self::ModelExpired => "model_expired",
            Self::ModelRefused => "model_refused",
            Self::ModelStalled => "model_stalled",
            Self::ModelMisbehaved => "model_misbehaved",
            Self::CarrierLost => "carrier_lost",
            Self::CarrierNeverStarted => "carrier_never_started",
            Self::CarrierStalled => "carrier_stalled",
            Self::CarrierFlood => "carrier_flood",
            Self::CarrierMisbehaved => "carrier_misbehaved",
        }
    }

    /// The reason of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Whether nothing more can be had from the model.
    pub fn model_is_lost(self) -> bool {
        match self {
            Self::ModelUnavailable
            | Self::ModelLost
            | Self::ModelExpired
            | Self::ModelRefused
            | Self::ModelStalled
            | Self::ModelMisbehaved => true,
            Self::CallerHungUp
            | Self::CallTooLong
            | Self::CallerSilent
            | Self::ToolLimit
            | Self::ShuttingDown
            | Self::CarrierLost
            | Self::CarrierNeverStarted
            | Self::CarrierStalled
            | Self::CarrierFlood
            | Self::CarrierMisbehaved => false,
        }
    }

    /// Whether the caller, if still on the line, is owed an apology.
    pub fn apology_due(self) -> bool {
        match self {
            Self::CallerHungUp | Self::CallTooLong | Self::CallerSilent | Self::ToolLimit => false,
            Self::ShuttingDown
            | Self::ModelUnavailable
            | Self::ModelLost
            | Self::ModelExpired
            | Self::ModelRefused
            | Self::ModelStalled
            | Self::ModelMisbehaved
            | Self::CarrierLost
            | Self::CarrierNeverStarted
            | Self::CarrierStalled
            | Self::CarrierFlood
            | Self::CarrierMisbehaved => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_lead_back() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(EndReason::from_code("bored"), None);
    }
}
