//! The calls that this process holds: how many may be held, who is told when the carrier reports one over, and how those
//! that just ended did, for the webhook that asks right after. Must never know what is said in them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

use super::ending::EndReason;
use crate::providers::twilio::CallSid;
use crate::sentences::Language;

/// How many calls one process holds.
const CALLS_MAX: usize = 2_000;
/// How many endings are remembered; the carrier asks within a second.
const ENDINGS_MAX: usize = 4_096;

/// The calls of a process. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    held: HashMap<CallSid, mpsc::Sender<()>>,
    endings: VecDeque<(CallSid, EndReason, Language)>,
}

/// The place of one call; given back when dropped, however the call ends.
pub(super) struct Slot {
    live: Live,
    call: CallSid,
    call_over: Option<mpsc::Receiver<()>>,
}

impl Live {
    /// Whether another call can be held.
    pub(super) fn has_room(&self) -> bool {
        self.calls().held.len() < CALLS_MAX
    }

    /// Takes a place for a call. `None` if there is none left, or the call is held already.
    pub(super) fn enter(&self, call: &CallSid) -> Option<Slot> {
        let mut calls = self.calls();
        if CALLS_MAX <= calls.held.len() || calls.held.contains_key(call) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(1);
        calls.held.insert(call.clone(), sender);
        report(&calls);
        Some(Slot { live: self.clone(), call: call.clone(), call_over: Some(receiver) })
    }

    /// The carrier reports that a call is over.
    pub(super) fn call_over(&self, call: &CallSid) {
        if let Some(told) = self.calls().held.get(call) {
            // Full means that it was told before.
            told.try_send(()).ok();
        }
    }

    /// Notes how a call ends, and in which language it was held, before the carrier can ask.
    pub(super) fn note_ending(&self, call: &CallSid, reason: EndReason, language: Language) {
        let mut calls = self.calls();
        if ENDINGS_MAX <= calls.endings.len() {
            calls.endings.pop_front();
        }
        calls.endings.push_back((call.clone(), reason, language));
    }

    /// How a call of this process ended, and in which language.
    pub(super) fn ending(&self, call: &CallSid) -> Option<(EndReason, Language)> {
        let calls = self.calls();
        let ending = calls.endings.iter().rev().find(|(ended, ..)| ended == call);
        ending.map(|(_, reason, language)| (*reason, *language))
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Where news of the call arrive; once.
    pub(super) fn take_call_over(&mut self) -> mpsc::Receiver<()> {
        self.call_over.take().unwrap_or_else(|| mpsc::channel(1).1)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut calls = self.live.calls();
        calls.held.remove(&self.call);
        report(&calls);
    }
}

fn report(calls: &Calls) {
    metrics::gauge!("neurosphere_calls_active").set(u32::try_from(calls.held.len()).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_and_a_call_is_held_once() {
        let live = Live::default();
        let call: CallSid = "CA1".parse().unwrap();
        let mut slot = live.enter(&call).unwrap();
        assert!(live.enter(&call).is_none());
        let mut news = slot.take_call_over();
        live.call_over(&call);
        live.call_over(&call);
        assert!(news.try_recv().is_ok());
        drop(slot);
        assert!(live.calls().held.is_empty());
        live.call_over(&call);
        assert!(live.enter(&call).is_some());
    }

    #[test]
    fn there_is_an_end_to_room_and_to_memory() {
        let live = Live::default();
        let call = |number: usize| format!("CA{number}").parse::<CallSid>().unwrap();
        let slots: Vec<_> = (0..CALLS_MAX).map(|number| live.enter(&call(number)).unwrap()).collect();
        assert!(!live.has_room());
        assert!(live.enter(&call(CALLS_MAX)).is_none());
        drop(slots);
        assert!(live.has_room());
        for number in 0..=ENDINGS_MAX {
            live.note_ending(&call(number), EndReason::CallerHungUp, Language::Spanish);
        }
        assert_eq!(live.ending(&call(0)), None);
        assert_eq!(live.ending(&call(ENDINGS_MAX)), Some((EndReason::CallerHungUp, Language::Spanish)));
        assert_eq!(live.calls().endings.len(), ENDINGS_MAX);
    }
}
