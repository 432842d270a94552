//! The telephone line of one call, 20 ms at a time: what the caller says and does, what they hear, what both sounded
//! like. Pure; the stream and the spoken verbs drive it by their ticks.

use super::ear::{Ear, Heard, Segment};
use super::performer::{Action, Note, Performed, Performer};
use super::playback::Playback;
use super::recording::Recording;
use crate::speech::ulaw::{FRAME, SILENCE};

/// Of one frame on the line.
pub(crate) const FRAME_MS: u64 = 20;

pub(crate) struct Line {
    pub(crate) playback: Playback,
    performer: Performer,
    /// The caller's steps have begun.
    begun: bool,
    ear: Ear,
    recording: Option<Recording>,
    /// From the call's beginning to the next tick, in the timeline's milliseconds.
    now_ms: u64,
}

/// What happened within 20 ms.
pub(crate) struct Tick {
    /// When it began.
    pub(crate) at_ms: u64,
    pub(crate) marks: Vec<String>,
    pub(crate) frame: Option<[u8; FRAME]>,
    pub(crate) actions: Vec<Action>,
    pub(crate) notes: Vec<Note>,
    pub(crate) heard: Option<Heard>,
}

impl Line {
    /// The line is picked up at that millisecond of the call.
    pub(crate) fn new(performer: Performer, recording: Option<Recording>, picked_up_ms: u64) -> Line {
        Line {
            playback: Playback::default(),
            performer,
            begun: false,
            ear: Ear::default(),
            recording,
            now_ms: picked_up_ms,
        }
    }

    pub(crate) fn tick(&mut self) -> Tick {
        let at_ms = self.now_ms;
        let played = self.playback.play();
        let heard = self.ear.hear(at_ms, &played);
        let performed = if self.begun {
            self.performer.perform(at_ms, &self.ear)
        } else {
            Performed { frame: Some([SILENCE; FRAME]), actions: Vec::new(), notes: Vec::new() }
        };
        if let Some(recording) = &mut self.recording {
            recording.add(&performed.frame.unwrap_or([SILENCE; FRAME]), &played.frame);
        }
        self.now_ms += FRAME_MS;
        let Performed { frame, actions, notes } = performed;
        Tick { at_ms, marks: played.marks, frame, actions, notes, heard }
    }

    /// There is somebody to hear the caller, or never will be: their steps begin.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// The product's `clear`: the marks to return.
    pub(crate) fn clear(&mut self) -> Vec<String> {
        self.ear.cleared(self.now_ms);
        self.playback.clear()
    }

    /// The stream is over: what had not been played never is; the last that was heard of it.
    pub(crate) fn cut(&mut self) -> Option<Segment> {
        drop(self.playback.clear());
        self.ear.finish()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The caller has put down: the last they heard, and the recording.
    pub(crate) fn end(mut self) -> (Option<Segment>, Option<Recording>) {
        (self.ear.finish(), self.recording)
    }
}
