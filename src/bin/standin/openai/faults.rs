//! What goes wrong on demand: a list that a test puts, matched by session or request number. Pure.

use serde::{Deserialize, Serialize};

/// One planned fault, as JSON: `{"fault": "refuse", "status": 429, "session": 2}`. Without `session` (for the HTTP
/// faults: `request`) it befalls each.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Planned {
    #[serde(alias = "request", default, skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(flatten)]
    fault: Fault,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub(super) enum Fault {
    /// The WebSocket handshake is refused with this status.
    Refuse { status: u16 },
    /// The upgrade happens, then an `error` with this code and the end.
    ErrorAtStart { code: String },
    /// The socket closes with this code so long after its start.
    Close {
        code: u16,
        #[serde(default)]
        after_ms: u64,
    },
    /// `session_expired` and close 1001, so long after the start.
    Expire { after_ms: u64 },
    /// The TCP connection goes without a close frame once this much audio of a response was sent.
    Drop { after_audio_ms: u64 },
    /// No response is ever begun.
    NeverAnswer,
    /// Each response fails with `rate_limit_exceeded`.
    RateLimit,
    /// Each transcription of the caller fails.
    TranscriptionFails,
    /// Each transcription comes so much later, after what was said next.
    LateTranscription { delay_ms: u64 },
    /// Each audio delta comes so much later.
    SlowDeltas { delay_ms: u64 },
    /// With each response comes a text frame that is not JSON.
    MalformedJson,
    /// With each response come events of types that do not exist yet.
    UnknownEvents,
    /// With each response comes a text frame of this size.
    HugeFrame { bytes: usize },
    /// With each response comes a binary frame.
    BinaryFrame,
    /// `/v1/responses` answers with this status.
    Responses { status: u16 },
    /// `/v1/responses` answers a text that is not what the schema asked for.
    ResponsesNonsense,
    /// `/v1/embeddings` answers with this status.
    Embeddings { status: u16 },
}

/// The faults that befall one session or request.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn of(planned: &[Planned], number: u64) -> Self {
        let mine = planned.iter().filter(|planned| planned.session.is_none_or(|wanted| wanted == number));
        Self(mine.map(|planned| planned.fault.clone()).collect())
    }

    pub(super) fn refuse(&self) -> Option<u16> {
        self.find(|fault| if let Fault::Refuse { status } = fault { Some(*status) } else { None })
    }

    pub(super) fn error_at_start(&self) -> Option<String> {
        self.find(|fault| if let Fault::ErrorAtStart { code } = fault { Some(code.clone()) } else { None })
    }

    /// The close code and how long after the start.
    pub(super) fn close(&self) -> Option<(u16, u64)> {
        self.find(
            |fault| if let Fault::Close { code, after_ms } = fault { Some((*code, *after_ms)) } else { None },
        )
    }

    pub(super) fn expire_after_ms(&self) -> Option<u64> {
        self.find(|fault| if let Fault::Expire { after_ms } = fault { Some(*after_ms) } else { None })
    }

    pub(super) fn drop_after_audio_ms(&self) -> Option<u64> {
        self.find(
            |fault| if let Fault::Drop { after_audio_ms } = fault { Some(*after_audio_ms) } else { None },
        )
    }

    pub(super) fn transcription_delay_ms(&self) -> Option<u64> {
        self.find(
            |fault| if let Fault::LateTranscription { delay_ms } = fault { Some(*delay_ms) } else { None },
        )
    }

    pub(super) fn delta_delay_ms(&self) -> Option<u64> {
        self.find(|fault| if let Fault::SlowDeltas { delay_ms } = fault { Some(*delay_ms) } else { None })
    }

    pub(super) fn huge_frame_bytes(&self) -> Option<usize> {
        self.find(|fault| if let Fault::HugeFrame { bytes } = fault { Some(*bytes) } else { None })
    }

    pub(super) fn responses_status(&self) -> Option<u16> {
        self.find(|fault| if let Fault::Responses { status } = fault { Some(*status) } else { None })
    }

    pub(super) fn embeddings_status(&self) -> Option<u16> {
        self.find(|fault| if let Fault::Embeddings { status } = fault { Some(*status) } else { None })
    }

    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.0.contains(fault)
    }

    fn find<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(pick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_befall_whom_they_name() {
        let planned: Vec<Planned> = serde_json::from_str(
            r#"[{"fault":"refuse","status":429,"session":2},{"fault":"never_answer"},{"fault":"responses","status":500,"request":1}]"#,
        )
        .unwrap();
        let status = |number| Faults::of(&planned, number).refuse();
        assert_eq!((status(1), status(2)), (None, Some(429)));
        assert!(Faults::of(&planned, 7).has(&Fault::NeverAnswer));
        assert!(!Faults::of(&planned, 2).has(&Fault::Responses { status: 500 }));
    }
}
