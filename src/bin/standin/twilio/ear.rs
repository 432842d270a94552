//! The caller's ear: when the agent is heard, from when to when, and the very bytes. Pure, and knows no words: what
//! was said is recognised elsewhere.

use super::playback::Played;
use crate::speech::ulaw;

/// Frames less loud than this are silence.
const LOUD_MIN: u32 = 100;
/// So much quiet ends a segment.
const SEGMENT_GAP_MS: u64 = 600;
const FRAME_MS: u64 = 20;

#[derive(Default)]
pub(crate) struct Ear {
    open: Option<Segment>,
    last_heard_ms: Option<u64>,
    cleared_ms: Option<u64>,
}

/// A stretch of speech that the caller has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) audio: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Begins,
    Ends(Segment),
}

impl Ear {
    /// The frame that plays from `now_ms` on.
    pub(crate) fn hear(&mut self, now_ms: u64, played: &Played) -> Option<Heard> {
        let loud = 0 < played.bytes && LOUD_MIN <= ulaw::loudness(&played.frame);
        let bytes = played.frame.get(..played.bytes).unwrap_or_default();
        if loud {
            self.last_heard_ms = Some(now_ms + FRAME_MS);
        }
        match (&mut self.open, loud) {
            (None, false) => None,
            (None, true) => {
                self.open =
                    Some(Segment { from_ms: now_ms, to_ms: now_ms + FRAME_MS, audio: bytes.to_vec() });
                Some(Heard::Begins)
            }
            (Some(segment), true) => {
                segment.audio.extend_from_slice(bytes);
                segment.to_ms = now_ms + FRAME_MS;
                None
            }
            (Some(segment), false) if now_ms < segment.to_ms + SEGMENT_GAP_MS => {
                segment.audio.extend_from_slice(bytes);
                None
            }
            (Some(_), false) => self.finish().map(Heard::Ends),
        }
    }

    /// Ends the segment that is being heard, if one is.
    pub(crate) fn finish(&mut self) -> Option<Segment> {
        self.open.take()
    }

    pub(crate) fn cleared(&mut self, now_ms: u64) {
        self.cleared_ms = Some(now_ms);
    }

    pub(crate) fn last_heard_ms(&self) -> Option<u64> {
        self.last_heard_ms
    }

    pub(crate) fn speaking_since_ms(&self) -> Option<u64> {
        self.open.as_ref().map(|segment| segment.from_ms)
    }

    pub(crate) fn cleared_ms(&self) -> Option<u64> {
        self.cleared_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::ulaw::{FRAME, SILENCE};

    #[test]
    fn short_pauses_belong_to_a_segment_and_long_ones_end_it() {
        let mut ear = Ear::default();
        let mut log = Vec::new();
        for n in 0..200_u64 {
            let loud = (5..10).contains(&n) || (20..25).contains(&n) || (100..103).contains(&n);
            let played =
                Played { marks: Vec::new(), frame: [if loud { 0x20 } else { SILENCE }; FRAME], bytes: FRAME };
            match ear.hear(n * 20, &played) {
                None => {}
                Some(Heard::Begins) => log.push((n, 0, 0)),
                Some(Heard::Ends(segment)) => log.push((n, segment.from_ms, segment.to_ms)),
            }
        }
        assert_eq!(log, [(5, 0, 0), (55, 100, 500), (100, 0, 0), (133, 2000, 2060)]);
        assert_eq!(ear.last_heard_ms(), Some(2060));
        assert_eq!(ear.finish(), None);
    }

    #[test]
    fn starved_frames_add_no_bytes() {
        let mut ear = Ear::default();
        ear.hear(0, &Played { marks: Vec::new(), frame: [0x20; FRAME], bytes: FRAME });
        ear.hear(20, &Played { marks: Vec::new(), frame: [SILENCE; FRAME], bytes: 0 });
        ear.hear(40, &Played { marks: Vec::new(), frame: [0x20; FRAME], bytes: 80 });
        let segment = ear.finish().unwrap();
        assert_eq!((segment.to_ms, segment.audio.len()), (60, 240));
    }
}
