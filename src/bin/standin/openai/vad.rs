//! Server voice activity detection on the audio itself: loudness with hysteresis, on the clock of the audio (bytes),
//! never of the wall. Pure.

use super::settings::TurnDetection;
use crate::speech::ulaw::{self, FRAME};

/// Loud frames in a row that make speech: a click is shorter.
const ONSET_FRAMES: u64 = 3;
const FRAME_MS: u64 = 20;
/// Mean magnitude that a threshold of 1.0 asks for; speech on a telephone line lies around 2,000.
const LOUDNESS_AT_ONE: f64 = 1_000.0;

/// What a frame changed, in milliseconds of the audio heard so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Started { at_ms: u64 },
    Stopped { at_ms: u64 },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Vad {
    loud_frames: u64,
    quiet_ms: u64,
    speaking: bool,
}

impl Vad {
    pub(super) fn speaking(&self) -> bool {
        self.speaking
    }

    /// Forgets a turn in progress, as a commit or clear by the client does.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Hears the next [`FRAME`] bytes, which end at `clock_ms`.
    pub(super) fn frame(&mut self, frame: &[u8], clock_ms: u64, rule: &TurnDetection) -> Option<Change> {
        debug_assert_eq!(frame.len(), FRAME);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a threshold lies between 0 and 1"
        )]
        let onset = (rule.threshold * LOUDNESS_AT_ONE) as u32;
        let loudness = ulaw::loudness(frame);
        if self.speaking {
            let loud = onset / 2 < loudness;
            self.quiet_ms = if loud { 0 } else { self.quiet_ms + FRAME_MS };
            if rule.silence_ms <= self.quiet_ms {
                self.reset();
                return Some(Change::Stopped { at_ms: clock_ms });
            }
            return None;
        }
        self.loud_frames = if onset < loudness { self.loud_frames + 1 } else { 0 };
        if self.loud_frames < ONSET_FRAMES {
            return None;
        }
        self.speaking = true;
        self.quiet_ms = 0;
        Some(Change::Started { at_ms: clock_ms.saturating_sub(self.loud_frames * FRAME_MS) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::ulaw::SILENCE;

    fn check(what: &str, pattern: &str, expected: &[Change]) {
        let rule = TurnDetection { silence_ms: 100, ..TurnDetection::default() };
        let mut vad = Vad::default();
        let loud = [ulaw::encode(2_000); FRAME];
        let faint = [ulaw::encode(300); FRAME];
        let quiet = [SILENCE; FRAME];
        let frames = pattern.chars().map(|kind| match kind {
            'L' => loud,
            'f' => faint,
            _ => quiet,
        });
        let changes: Vec<Change> = (20..)
            .step_by(20)
            .zip(frames)
            .filter_map(|(clock_ms, frame)| vad.frame(&frame, clock_ms, &rule))
            .collect();
        assert_eq!(changes, expected, "{what}");
    }

    #[test]
    fn turns() {
        use Change::{Started, Stopped};
        check("silence", "..........", &[]);
        check("a click", "..LL......", &[]);
        check("faint noise", "ffffffffff", &[]);
        check("one turn", "..LLL.....", &[Started { at_ms: 40 }, Stopped { at_ms: 200 }]);
        check("a short pause", "LLL....LL.....", &[Started { at_ms: 0 }, Stopped { at_ms: 280 }]);
        check("fading speech stays speech", "LLLfffff.....", &[Started { at_ms: 0 }, Stopped { at_ms: 260 }]);
        check(
            "two turns",
            "LLL.....LLL",
            &[Started { at_ms: 0 }, Stopped { at_ms: 160 }, Started { at_ms: 160 }],
        );
    }
}
