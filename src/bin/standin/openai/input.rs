//! The input audio buffer of a session: what the caller sends, cut into turns by the VAD or by the client. Pure; its
//! clock is the audio received. Inside it is always µ-law at 8 kHz.

use super::settings::{Format, TurnDetection};
use super::vad::{Change, Vad};
use crate::speech::ulaw::{self, BYTES_PER_MS, FRAME};

/// A turn of ten minutes; what lies before is forgotten.
const AUDIO_BYTES_MAX: usize = 4_800_000;
/// A second: audio outside a turn is dropped in such pieces, not frame by frame.
const SLACK_BYTES: usize = 8_000;

#[derive(Debug, Default)]
pub(super) struct InputBuffer {
    audio: Vec<u8>,
    /// How many bytes were received before the first of `audio`.
    dropped: usize,
    /// How much of `audio` the VAD has heard.
    scanned: usize,
    vad: Vad,
}

/// What the VAD found.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    Started { audio_start_ms: u64 },
    Stopped { audio_end_ms: u64, audio: Vec<u8> },
}

impl InputBuffer {
    /// Takes audio in the session's input format and tells the turns that it began or ended.
    pub(super) fn append(&mut self, sent: &[u8], format: Format, rule: Option<&TurnDetection>) -> Vec<Turn> {
        match format {
            Format::Pcmu => self.audio.extend_from_slice(sent),
            Format::Pcm => self.audio.extend(from_pcm(sent)),
        }
        let mut turns = Vec::new();
        if let Some(rule) = rule {
            self.scan(rule, &mut turns);
        }
        if AUDIO_BYTES_MAX < self.audio.len() {
            self.forget(self.audio.len() - AUDIO_BYTES_MAX);
        }
        turns
    }

    /// Ends the turn by hand and hands out its audio.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.vad.reset();
        self.dropped += self.audio.len();
        self.scanned = 0;
        std::mem::take(&mut self.audio)
    }

    /// How much audio a commit would take.
    pub(super) fn held_ms(&self) -> u64 {
        ulaw::milliseconds(self.audio.len())
    }

    /// How much audio was received in all.
    pub(super) fn clock_ms(&self) -> u64 {
        ulaw::milliseconds(self.dropped + self.audio.len())
    }

    fn scan(&mut self, rule: &TurnDetection, turns: &mut Vec<Turn>) {
        while let Some(frame) = self.audio.get(self.scanned..self.scanned + FRAME) {
            let clock_ms = ulaw::milliseconds(self.dropped + self.scanned + FRAME);
            let change = self.vad.frame(frame, clock_ms, rule);
            self.scanned += FRAME;
            match change {
                None => {}
                Some(Change::Started { at_ms }) => turns.push(self.start(at_ms, rule)),
                Some(Change::Stopped { at_ms }) => turns.push(self.stop(at_ms)),
            }
        }
        let keep = bytes(rule.prefix_ms);
        if !self.vad.speaking() && keep + SLACK_BYTES < self.scanned {
            self.forget((self.scanned - keep) / FRAME * FRAME);
        }
    }

    fn start(&mut self, speech_ms: u64, rule: &TurnDetection) -> Turn {
        let from = bytes(speech_ms.saturating_sub(rule.prefix_ms)) / FRAME * FRAME;
        self.forget(from.saturating_sub(self.dropped));
        Turn::Started { audio_start_ms: ulaw::milliseconds(self.dropped) }
    }

    fn stop(&mut self, audio_end_ms: u64) -> Turn {
        let rest = self.audio.split_off(self.scanned);
        let audio = std::mem::replace(&mut self.audio, rest);
        self.dropped += audio.len();
        self.scanned = 0;
        Turn::Stopped { audio_end_ms, audio }
    }

    fn forget(&mut self, bytes: usize) {
        let bytes = bytes.min(self.audio.len());
        self.audio.drain(..bytes);
        self.dropped += bytes;
        self.scanned = self.scanned.saturating_sub(bytes);
    }
}

/// 24 kHz linear to 8 kHz µ-law: every third sample.
fn from_pcm(sent: &[u8]) -> impl Iterator<Item = u8> {
    sent.chunks_exact(6).filter_map(|six| match six {
        [low, high, ..] => Some(ulaw::encode(i16::from_le_bytes([*low, *high]))),
        _ => None,
    })
}

fn bytes(ms: u64) -> usize {
    usize::try_from(ms).unwrap_or(usize::MAX).saturating_mul(BYTES_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::ulaw::SILENCE;

    #[test]
    fn a_turn_holds_its_prefix_and_its_silence() {
        let rule = TurnDetection { prefix_ms: 100, silence_ms: 200, ..TurnDetection::default() };
        let mut buffer = InputBuffer::default();
        let speech = vec![ulaw::encode(3_000); 4_000]; // 500 ms
        let sound = [vec![SILENCE; 24_000], speech.clone(), vec![SILENCE; 4_000]].concat();
        let mut turns = Vec::new();
        for piece in sound.chunks(161) {
            turns.extend(buffer.append(piece, Format::Pcmu, Some(&rule)));
        }
        let audio = [vec![SILENCE; 800], speech, vec![SILENCE; 1_600]].concat();
        assert_eq!(
            turns,
            [Turn::Started { audio_start_ms: 2_900 }, Turn::Stopped { audio_end_ms: 3_700, audio }]
        );
        assert_eq!((buffer.clock_ms(), buffer.held_ms()), (4_000, 300));
    }

    #[test]
    fn silence_is_not_kept() {
        let mut buffer = InputBuffer::default();
        for _ in 0..1_000 {
            assert_eq!(buffer.append(&[SILENCE; FRAME], Format::Pcmu, Some(&TurnDetection::default())), []);
        }
        assert!(buffer.held_ms() < 2_000);
        assert_eq!(buffer.clock_ms(), 20_000);
    }

    #[test]
    fn linear_audio_is_heard_too() {
        let mut buffer = InputBuffer::default();
        let loud: Vec<u8> = std::iter::repeat_n(5_000_i16.to_le_bytes(), 24_000).flatten().collect();
        let turns = buffer.append(&loud, Format::Pcm, Some(&TurnDetection::default()));
        assert_eq!(turns, [Turn::Started { audio_start_ms: 0 }]);
        assert_eq!(buffer.take().len(), 8_000);
    }
}
