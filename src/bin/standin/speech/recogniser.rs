//! Says which known line was heard, by the very bytes: each loud 20 ms frame of each known line is remembered by its
//! hash, and the frames of what was heard vote. One changed byte costs its frame's vote, so recognition proves that
//! the audio came through unchanged. A measurement writes its stamp over the first bytes of a frame; such a frame votes
//! with the rest. Knows no language and does no signal processing.

use super::ulaw::{FRAME, SILENCE};
use crate::tap::{STAMP_BYTES, is_stamped};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// The share of a line's frames, in percent, that must have come through for the line to count as heard.
const SHARE_MIN_PERCENT: usize = 60;

#[derive(Default)]
pub(super) struct Recogniser {
    lines: Vec<Line>,
    frames: HashMap<u64, Vec<u32>, BuildHasherDefault<AsItIs>>,
}

/// A fingerprint is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = fingerprint(bytes);
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

struct Line {
    text: Arc<str>,
    frames: usize,
}

impl Recogniser {
    pub(super) fn learn(&mut self, text: &str, audio: &[u8]) {
        let Ok(number) = u32::try_from(self.lines.len()) else { return };
        let mut frames = 0;
        for frame in telling_frames(audio) {
            let whole = self.frames.entry(fingerprint(frame)).or_default();
            if whole.last() == Some(&number) {
                continue;
            }
            whole.push(number);
            frames += 1;
            let rest = self.frames.entry(fingerprint_below_stamp(frame)).or_default();
            if rest.last() != Some(&number) {
                rest.push(number);
            }
        }
        self.lines.push(Line { text: text.into(), frames });
    }

    /// The lines heard, in the order in which they began; none when nothing known was heard.
    pub(super) fn recognise(&self, heard: &[u8]) -> Option<String> {
        let offset = self.alignment(heard)?;
        let mut votes: HashMap<u32, Votes> = HashMap::new();
        for (position, frame) in telling_frames(heard.get(offset..).unwrap_or_default()).enumerate() {
            for line in self.lines_with(frame) {
                let votes = votes.entry(*line).or_insert(Votes { first: position, count: 0 });
                votes.count += 1;
            }
        }
        let mut heard: Vec<(usize, &str)> = votes
            .into_iter()
            .filter_map(|(number, votes)| {
                let line = self.lines.get(usize::try_from(number).ok()?)?;
                (line.frames * SHARE_MIN_PERCENT <= votes.count * 100).then_some((votes.first, &*line.text))
            })
            .collect();
        heard.sort_unstable();
        heard.dedup();
        let texts: Vec<&str> = heard.into_iter().map(|(_, text)| text).collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }

    /// Where frames begin in what was heard: a gap may have been padded by less than a frame.
    fn alignment(&self, heard: &[u8]) -> Option<usize> {
        let known = |offset: usize| {
            let frames = telling_frames(heard.get(offset..).unwrap_or_default());
            frames.filter(|frame| !self.lines_with(frame).is_empty())
        };
        if known(0).next().is_some() {
            return Some(0);
        }
        (1..FRAME.min(heard.len()))
            .map(|offset| (known(offset).count(), offset))
            .max()
            .filter(|(count, _)| 0 < *count)
            .map(|(_, offset)| offset)
    }

    /// The known lines that hold this frame.
    fn lines_with(&self, frame: &[u8]) -> &[u32] {
        let key = if is_stamped(frame) { fingerprint_below_stamp(frame) } else { fingerprint(frame) };
        self.frames.get(&key).map_or(&[], Vec::as_slice)
    }
}

struct Votes {
    first: usize,
    count: usize,
}

/// Whole frames that are more than silence: a frame of silence is in every line.
fn telling_frames(audio: &[u8]) -> impl Iterator<Item = &[u8]> {
    audio
        .chunks_exact(FRAME)
        .filter(|frame| frame.iter().filter(|code| **code | 0x80 != SILENCE).count() > FRAME / 4)
}

/// Eight bytes at a step: three hundred callers are heard at once.
fn fingerprint(frame: &[u8]) -> u64 {
    let (words, _) = frame.as_chunks::<8>();
    words.iter().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, word| {
        (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29)
    })
}

fn fingerprint_below_stamp(frame: &[u8]) -> u64 {
    fingerprint(frame.get(STAMP_BYTES..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::Tap;

    fn line(seed: u32, frames: u32) -> Vec<u8> {
        let samples = frames * u32::try_from(FRAME).unwrap();
        (0..samples)
            .map(|n| {
                u8::try_from((n.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) >> 13 & 0x7f)
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn hears_only_what_came_through_unchanged() {
        let (one, two) = (line(1, 30), line(2, 40));
        let mut recogniser = Recogniser::default();
        recogniser.learn("one", &one);
        recogniser.learn("two", &two);
        let silence = |bytes| vec![SILENCE; bytes];
        let (mut stamped, mut beheaded) = (one.clone(), one.clone());
        stamped.chunks_mut(FRAME).for_each(|frame| Tap::measuring().send_frame(7, frame));
        beheaded.chunks_mut(FRAME).for_each(|frame| frame[0] ^= 1);
        let louder: Vec<u8> = one.iter().map(|code| code ^ 1).collect();
        for (what, heard, expected) in [
            ("the line itself", one.clone(), Some("one")),
            ("after whole frames of silence", [silence(FRAME * 7), one.clone()].concat(), Some("one")),
            ("shifted by half a frame", [silence(80), one.clone(), silence(80)].concat(), Some("one")),
            ("both", [two.clone(), silence(FRAME), one.clone()].concat(), Some("two one")),
            ("stamped by a measurement", stamped, Some("one")),
            ("its first byte changed in each frame", beheaded, None),
            ("the first quarter only", two.get(..FRAME * 10).unwrap().to_vec(), None),
            ("every byte changed a little", louder, None),
            ("silence", silence(FRAME * 10), None),
            ("nothing", Vec::new(), None),
        ] {
            assert_eq!(recogniser.recognise(&heard).as_deref(), expected, "{what}");
        }
    }
}
