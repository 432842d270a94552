//! What the product has sent to the caller's ear and when it gets there: Twilio's buffer, its playback clock and its
//! marks. Pure: time passes when [`Playback::play`] is called, 20 ms each. Knows no socket.

use crate::speech::ulaw::{FRAME, SILENCE};
use std::collections::VecDeque;

/// Ten minutes of speech; what comes beyond is refused.
const QUEUED_BYTES_MAX: usize = 4_800_000;
/// Marks that may wait.
const MARKS_MAX: usize = 20_000;

#[derive(Default)]
pub(crate) struct Playback {
    queue: VecDeque<Item>,
    queued_bytes: usize,
    marks: usize,
    /// Marks whose audio is in the frame that plays right now.
    due: Vec<String>,
}

enum Item {
    Audio { bytes: Vec<u8>, played: usize },
    Mark(String),
}

/// The next 20 ms.
pub(crate) struct Played {
    /// Marks before which everything had been played when this frame began.
    pub(crate) marks: Vec<String>,
    pub(crate) frame: [u8; FRAME],
    /// How much of the frame the product sent; the rest is silence.
    pub(crate) bytes: usize,
}

/// The buffer holds no more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Playback {
    pub(crate) fn push_audio(&mut self, bytes: Vec<u8>) -> Result<(), Full> {
        if QUEUED_BYTES_MAX < self.queued_bytes + bytes.len() {
            return Err(Full);
        }
        self.queued_bytes += bytes.len();
        self.queue.push_back(Item::Audio { bytes, played: 0 });
        Ok(())
    }

    pub(crate) fn push_mark(&mut self, name: String) -> Result<(), Full> {
        if MARKS_MAX <= self.marks {
            return Err(Full);
        }
        self.marks += 1;
        self.queue.push_back(Item::Mark(name));
        Ok(())
    }

    pub(crate) fn play(&mut self) -> Played {
        let mut marks = std::mem::take(&mut self.due);
        let mut frame = [SILENCE; FRAME];
        let mut filled = 0;
        while let Some(item) = self.queue.front_mut() {
            match item {
                Item::Mark(name) if filled == 0 => marks.push(std::mem::take(name)),
                Item::Mark(name) => self.due.push(std::mem::take(name)),
                Item::Audio { bytes, played } => {
                    let left = bytes.get(*played..).unwrap_or_default();
                    let room = frame.get_mut(filled..).unwrap_or_default();
                    let taken = left.len().min(room.len());
                    room.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
                    *played += taken;
                    filled += taken;
                    if *played < bytes.len() {
                        break;
                    }
                }
            }
            self.queue.pop_front();
        }
        self.queued_bytes -= filled;
        self.marks -= marks.len();
        Played { marks, frame, bytes: filled }
    }

    /// Empties the buffer; all marks that were still waiting, which Twilio returns at once.
    pub(crate) fn clear(&mut self) -> Vec<String> {
        let mut marks = std::mem::take(&mut self.due);
        for item in self.queue.drain(..) {
            match item {
                Item::Mark(name) => marks.push(name),
                Item::Audio { .. } => {}
            }
        }
        (self.queued_bytes, self.marks) = (0, 0);
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_when_everything_before_it_has_played() {
        let mut playback = Playback::default();
        playback.push_mark("empty".to_owned()).unwrap();
        playback.push_audio(vec![1; FRAME + 40]).unwrap();
        playback.push_mark("first".to_owned()).unwrap();
        playback.push_audio(vec![2; 300]).unwrap();
        playback.push_mark("second".to_owned()).unwrap();
        let mut seen = Vec::new();
        for _ in 0..6 {
            let Played { marks, frame, bytes } = playback.play();
            seen.push((marks.join("+"), frame[0], bytes));
        }
        let expected = [
            ("empty", 1, 160),
            ("", 1, 160),
            ("first", 2, 160),
            ("", 2, 20),
            ("second", 0xff, 0),
            ("", 0xff, 0),
        ];
        assert_eq!(seen, expected.map(|(marks, first, bytes)| (marks.to_owned(), first, bytes)));
    }

    #[test]
    fn clear_returns_every_waiting_mark_and_nothing_plays_on() {
        let mut playback = Playback::default();
        for name in ["a", "b", "c"] {
            playback.push_audio(vec![3; 100]).unwrap();
            playback.push_mark(name.to_owned()).unwrap();
        }
        assert_eq!(playback.play().marks, Vec::<String>::new());
        assert_eq!(playback.clear(), ["a", "b", "c"]);
        let after = playback.play();
        assert_eq!((after.marks.len(), after.bytes), (0, 0));
        playback.push_audio(vec![4; FRAME]).unwrap();
        assert_eq!(playback.play().frame, [4; FRAME]);
    }

    #[test]
    fn the_buffer_has_a_limit() {
        let mut playback = Playback::default();
        playback.push_audio(vec![0; QUEUED_BYTES_MAX]).unwrap();
        assert_eq!(playback.push_audio(vec![0; 1]), Err(Full));
        playback.play();
        assert_eq!(playback.push_audio(vec![0; FRAME]), Ok(()));
        for _ in 0..MARKS_MAX {
            playback.push_mark("m".to_owned()).unwrap();
        }
        assert_eq!(playback.push_mark("m".to_owned()), Err(Full));
    }
}
