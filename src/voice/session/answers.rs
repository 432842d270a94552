//! Who may ask the model to speak, and when: never more than one answer at a time, whether the model's own detector or we
//! asked for it. A request that loses that race is made again. Must never know what an answer is about.

use std::collections::BTreeSet;
use std::time::Duration;

/// Why we ask for an answer; the first of several is asked for first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// Goodbye.
    Goodbye,
    /// The first sentence.
    Greeting,
    /// The conversation has something to answer: a tool's result, keys, a failed attempt.
    Answer,
    /// A long silence.
    Nudge,
}

#[derive(Debug)]
pub(super) struct Answers {
    state: State,
    wishes: BTreeSet<Wish>,
    requests: u32,
    failures: u32,
}

#[derive(Debug)]
enum State {
    Idle,
    /// We asked; the model has not begun.
    Requested {
        wish: Wish,
        since: Duration,
    },
    /// The model answers; for what, if it was us who asked.
    Active {
        response_id: String,
        wish: Option<Wish>,
        since: Duration,
    },
    /// The model says that it answers something we have not heard of.
    Taken {
        since: Duration,
    },
}

/// Which answer is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The one that was due.
    Current(Option<Wish>),
    /// One that no longer mattered.
    Stale,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self { state: State::Idle, wishes: BTreeSet::new(), requests: 0, failures: 0 }
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        self.wishes.insert(wish);
    }

    /// Wishes for nothing but this.
    pub(super) fn wish_only(&mut self, wish: Wish) {
        self.wishes.clear();
        self.wishes.insert(wish);
    }

    /// What to ask for now, with the name of the request. While the caller speaks only the first and the last words are
    /// asked for: the rest would be spoken over.
    pub(super) fn next(&mut self, now: Duration, caller_speaks: bool) -> Option<(Wish, String)> {
        let State::Idle = self.state else { return None };
        let wish = *self.wishes.first()?;
        if caller_speaks && (wish == Wish::Answer || wish == Wish::Nudge) {
            return None;
        }
        self.wishes.remove(&wish);
        self.requests += 1;
        self.state = State::Requested { wish, since: now };
        Some((wish, self.request_name()))
    }

    /// The model begins an answer. Says for which wish, if it was ours.
    pub(super) fn created(&mut self, now: Duration, response_id: &str) -> Option<Wish> {
        let wish = match self.state {
            State::Requested { wish, .. } => Some(wish),
            State::Idle | State::Active { .. } | State::Taken { .. } => None,
        };
        if wish.is_none() {
            // The model saw all of the conversation when it began on its own.
            self.wishes.remove(&Wish::Answer);
            self.wishes.remove(&Wish::Nudge);
        }
        self.state = State::Active { response_id: response_id.to_owned(), wish, since: now };
        wish
    }

    /// The model refused a request, as it was answering already.
    pub(super) fn refused(&mut self, now: Duration, request: Option<&str>) {
        if request.is_some_and(|name| name != self.request_name()) {
            return;
        }
        match &mut self.state {
            State::Requested { wish, .. } => {
                self.wishes.insert(*wish);
                self.state = State::Taken { since: now };
            }
            // We took the model's own answer for ours.
            State::Active { wish, .. } => self.wishes.extend(wish.take()),
            State::Idle | State::Taken { .. } => {}
        }
    }

    /// The model refused a request for any other reason; it will not be made again.
    pub(super) fn failed(&mut self, request: Option<&str>) -> Option<Wish> {
        let State::Requested { wish, .. } = self.state else { return None };
        if request.is_none_or(|name| name != self.request_name()) {
            return None;
        }
        self.state = State::Idle;
        Some(wish)
    }

    pub(super) fn done(&mut self, response_id: &str) -> Over {
        match &self.state {
            State::Active { response_id: active, wish, .. } if active == response_id => {
                let wish = *wish;
                self.state = State::Idle;
                Over::Current(wish)
            }
            State::Taken { .. } => {
                self.state = State::Idle;
                Over::Current(None)
            }
            State::Idle | State::Requested { .. } | State::Active { .. } => Over::Stale,
        }
    }

    /// Counts answers that failed in a row.
    pub(super) fn count_failure(&mut self) -> u32 {
        self.failures += 1;
        self.failures
    }

    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// The answer that is being given, and for which of our wishes.
    pub(super) fn active(&self) -> Option<(&str, Option<Wish>)> {
        match &self.state {
            State::Active { response_id, wish, .. } => Some((response_id, *wish)),
            State::Idle | State::Requested { .. } | State::Taken { .. } => None,
        }
    }

    pub(super) fn idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.wishes.is_empty()
    }

    /// The model gave a sign of life.
    pub(super) fn progress(&mut self, now: Duration) {
        match &mut self.state {
            State::Idle => {}
            State::Requested { since, .. } | State::Active { since, .. } | State::Taken { since } => {
                *since = now;
            }
        }
    }

    /// Since when an answer is due without a sign of life.
    pub(super) fn waiting_since(&self) -> Option<Duration> {
        match &self.state {
            State::Idle => None,
            State::Requested { since, .. } | State::Active { since, .. } | State::Taken { since } => {
                Some(*since)
            }
        }
    }

    fn request_name(&self) -> String {
        format!("ask-{}", self.requests)
    }
}
