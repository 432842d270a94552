//! The beginning of a conversation. Noise on pick-up must not cut the greeting off, and nothing that the caller says into
//! it may be lost. So the model hears everything and, while the guard lasts, acts on nothing; then it is granted the
//! initiative. Who speaks for so long that it cannot be noise is yielded to when the guard ends. What was said before is
//! known to the model, and is answered on its own only if the caller, having heard the greeting, waits for that.

use serde_json::json;
use std::time::Duration;

use super::{Ears, Line};
use crate::providers::openai::realtime::client;
use crate::voice::session::desk::Desk;

/// What the request for the initiative is called; an error about it names it.
pub(super) const GRANT: &str = "initiative";
/// How many pieces of speech without words yet are remembered; a guard lasts for one or two.
const OVERHEARD_MAX: usize = 8;

#[derive(Default)]
pub(super) struct Guard {
    initiative: Initiative,
    /// What the caller said into the greeting, by item, until its words are known.
    overheard: Vec<String>,
    /// There were words in it, and nobody answered since.
    unanswered: bool,
}

/// Whether the model falls silent and answers of its own accord.
#[derive(Default, PartialEq, Eq)]
enum Initiative {
    #[default]
    Withheld,
    /// It was told to.
    Granted,
    /// It does.
    Confirmed,
}

impl Guard {
    /// Whether the model itself falls silent for the caller and answers them. The order of its events tells: what it says
    /// before it confirms the grant happened without the initiative.
    pub(super) fn model_acts(&self) -> bool {
        self.initiative == Initiative::Confirmed
    }

    /// The model confirmed some settings.
    pub(super) fn confirmed(&mut self) {
        if self.initiative == Initiative::Granted {
            self.initiative = Initiative::Confirmed;
        }
    }

    /// Something was said to which the agent did not yield.
    pub(super) fn overheard(&mut self, item_id: &str) {
        if self.overheard.len() < OVERHEARD_MAX {
            self.overheard.push(item_id.to_owned());
        }
    }

    /// The words of something that was said, or none, where it was noise.
    pub(super) fn transcribed(&mut self, item_id: &str, text: &str) {
        if let Some(place) = self.overheard.iter().position(|overheard| overheard == item_id) {
            self.overheard.swap_remove(place);
            self.unanswered |= !text.trim().is_empty();
        }
    }

    /// Whether the caller waits for an answer to what they said into the greeting.
    pub(super) fn owes_answer(&self) -> bool {
        self.unanswered
    }

    /// The model answers, knowing all of it.
    pub(super) fn settle(&mut self) {
        self.overheard.clear();
        self.unanswered = false;
    }
}

impl Line {
    /// Ends the guard once the caller heard a part of the greeting, and in any case when its time is over. Who speaks at
    /// the end of the first is let finish, within the second.
    pub(super) fn loosen_guard(&mut self, desk: &mut Desk, now: Duration) {
        if let Ears::Guarded { since, heard } = self.ears {
            let over = since + Duration::from_millis(desk.limits().greeting_guard_ms_max) <= now;
            if over || (heard && !self.intake.caller_speaks()) {
                self.open_ears(desk, now);
            }
        }
        // Not while somebody speaks: the model must not take the settings for the end of a sentence.
        let due = matches!(self.ears, Ears::Open) && self.guard.initiative == Initiative::Withheld;
        if due && !self.intake.caller_speaks() {
            self.guard.initiative = Initiative::Granted;
            let event = client::grant_initiative(GRANT, desk.plan.session.voice_activity);
            desk.tell_model(now, "session.update", json!({ "for": GRANT }), event);
        }
    }

    /// From now on the agent yields to the caller, and so it does to one who is speaking already.
    pub(super) fn open_ears(&mut self, desk: &mut Desk, now: Duration) {
        self.ears = Ears::Open;
        if self.intake.caller_speaks() {
            if let Some(speech) = &mut self.speech {
                speech.heeded = true;
            }
            self.yield_to_caller(desk, now);
        }
    }

    /// The agent falls silent at once. The model cancels its own answer, once it acts of its own accord; what of it is
    /// still on the way is dropped.
    pub(super) fn yield_to_caller(&mut self, desk: &mut Desk, now: Duration) {
        self.nudges = 0;
        if !self.guard.model_acts() {
            self.cancel_answer(desk, now);
        } else if let Some((response_id, _)) = self.answers.active() {
            self.playback.discard(response_id);
        }
        self.playback.interrupt(desk, now);
    }
}
