//! A conversation: both legs are up, and the agent has the first word. This file owns what the line holds, its timers and
//! its end; what the carrier and the model say is taken in `hearing`, how the greeting is protected in `guard`.

mod guard;
pub(super) mod hearing;

use serde_json::{Value, json};
use std::time::Duration;

use super::answers::{Answers, Wish};
use super::desk::{Desk, earlier};
use super::intake::Intake;
use super::keypad::{Keypad, Keys};
use super::playback::Playback;
use super::settling::{Settling, Unwritten};
use super::tools::{Outcome, Tools};
use super::{EndReason, Output, State, settling};
use crate::providers::openai::realtime::client;
use crate::providers::twilio::StreamSid;
use crate::voice::plan::Plan;
use crate::voice::record::Leg;
use guard::Guard;

pub(super) struct Line {
    intake: Intake,
    playback: Playback,
    answers: Answers,
    tools: Tools,
    keypad: Keypad,
    ears: Ears,
    guard: Guard,
    /// What the caller is saying, or said and is not yet an item.
    speech: Option<Speech>,
    /// When the caller last stopped, until the agent speaks: what the agent's latency is measured from.
    stopped_at: Option<Duration>,
    /// Since when nobody does anything.
    quiet_since: Option<Duration>,
    nudges: u32,
}

/// Whether the agent yields to the caller's voice.
enum Ears {
    /// The greeting was asked for and has not begun.
    Waiting { asked: u32 },
    /// The greeting began; `heard` says whether the caller heard any of it, by the marks.
    Guarded { since: Duration, heard: bool },
    /// It yields.
    Open,
    /// Goodbye is being said.
    Shut { reason: EndReason, goodbye: Goodbye },
}

#[derive(PartialEq, Eq)]
enum Goodbye {
    Due,
    /// All of it was sent, or none will be.
    Said,
}

struct Speech {
    item_id: String,
    began: Duration,
    stopped: Option<Duration>,
    /// Whether the agent yielded to it.
    heeded: bool,
}

/// What follows from an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The state remains.
    Stay,
    /// Goodbye is to be said, then the call ends.
    Farewell(EndReason),
    /// The call ends.
    End(EndReason),
}

impl Line {
    pub(super) fn new(desk: &mut Desk, now: Duration, stream: StreamSid, intake: Intake) -> Self {
        let mut line = Self {
            intake,
            playback: Playback::new(stream),
            answers: Answers::new(),
            tools: Tools::default(),
            keypad: Keypad::default(),
            ears: Ears::Waiting { asked: 0 },
            guard: Guard::default(),
            speech: None,
            stopped_at: None,
            quiet_since: None,
            nudges: 0,
        };
        // What the caller has said already comes before the greeting, in the model's eyes too.
        line.intake.release(desk, now);
        line.answers.wish(Wish::Greeting);
        line.catch_up(desk, now);
        line
    }

    pub(super) fn tool_done(&mut self, desk: &mut Desk, now: Duration, call_id: &str, outcome: Outcome<'_>) {
        self.tools.done(desk, &mut self.answers, now, (call_id, outcome));
    }

    /// What follows from any input: the guard ends in time, an answer is asked for if one is due, complete turns are
    /// written, silence is noticed.
    pub(super) fn catch_up(&mut self, desk: &mut Desk, now: Duration) {
        self.loosen_guard(desk, now);
        if let Some((wish, request)) = self.answers.next(now, self.intake.caller_speaks()) {
            self.ask(desk, now, wish, &request);
        }
        desk.write_turns();
        let busy = self.intake.caller_speaks()
            || self.playback.audible()
            || !self.answers.idle()
            || self.tools.running()
            || !matches!(self.ears, Ears::Open);
        self.quiet_since = if busy { None } else { self.quiet_since.or(Some(now)) };
    }

    pub(super) fn tick(&mut self, desk: &mut Desk, now: Duration) -> Next {
        let limits = desk.limits();
        let waited = |since: Duration, ms: u64| since + Duration::from_millis(ms) <= now;
        // First of all, as a greeting that is cut off here may have held up a turn.
        self.loosen_guard(desk, now);
        self.intake.tick(desk, now);
        self.tools.tick(desk, &mut self.answers, now);
        if let Some(keys) = self.keypad.tick(now) {
            self.keys_pressed(desk, now, &keys);
        }
        while desk.transcript.held_up_since().is_some_and(|since| waited(since, limits.turn_wait_ms_max)) {
            desk.event(now, Leg::Call, "turn.without_words", Value::Null);
            desk.transcript.skip();
            desk.write_turns();
        }
        if self.answers.waiting_since().is_some_and(|since| waited(since, limits.response_stall_ms_max)) {
            return Next::End(EndReason::ModelStalled);
        }
        if matches!(self.ears, Ears::Shut { .. }) {
            return Next::Stay;
        }
        if waited(Duration::ZERO, limits.call_ms_max) {
            return Next::Farewell(EndReason::CallTooLong);
        }
        if self.guard.owes_answer()
            && self.quiet_since.is_some_and(|since| waited(since, limits.overheard_pause_ms))
        {
            self.guard.settle();
            self.answers.wish(Wish::Answer);
        }
        if self.quiet_since.is_some_and(|since| waited(since, limits.silence_ms_max)) {
            if limits.nudges_max <= self.nudges {
                return Next::Farewell(EndReason::CallerSilent);
            }
            self.nudges += 1;
            self.answers.wish(Wish::Nudge);
        }
        Next::Stay
    }

    pub(super) fn deadline(&self, desk: &Desk) -> Option<Duration> {
        let limits = desk.limits();
        let after = |since: Option<Duration>, ms: u64| since.map(|since| since + Duration::from_millis(ms));
        let (guarded_since, begun) = match self.ears {
            Ears::Guarded { since, .. } => (Some(since), Some(Duration::ZERO)),
            Ears::Waiting { .. } | Ears::Open => (None, Some(Duration::ZERO)),
            Ears::Shut { .. } => (None, None),
        };
        [
            self.intake.deadline(),
            self.tools.deadline(),
            self.keypad.deadline(),
            after(guarded_since, limits.greeting_guard_ms_max),
            after(desk.transcript.held_up_since(), limits.turn_wait_ms_max),
            after(self.answers.waiting_since(), limits.response_stall_ms_max),
            after(begun, limits.call_ms_max),
            after(self.quiet_since.filter(|_| self.guard.owes_answer()), limits.overheard_pause_ms),
            after(self.quiet_since, limits.silence_ms_max),
        ]
        .into_iter()
        .fold(None, earlier)
    }

    /// Begins the goodbye: the caller is no longer listened to, and what the agent was about to say is dropped; what is
    /// already with the carrier is played to its end.
    pub(super) fn say_goodbye(&mut self, desk: &mut Desk, now: Duration, reason: EndReason) {
        self.ears = Ears::Shut { reason, goodbye: Goodbye::Due };
        self.intake.speech_stopped();
        desk.tell_model(now, "input_audio_buffer.clear", Value::Null, client::clear_input());
        self.cancel_answer(desk, now);
        self.answers.wish_only(Wish::Goodbye);
    }

    /// Whether the goodbye was said and, by the marks, heard.
    pub(super) fn goodbye_heard(&self) -> bool {
        matches!(self.ears, Ears::Shut { goodbye: Goodbye::Said, .. }) && !self.playback.audible()
    }

    /// Cuts the line. If the model is of any use still, it is asked for the caller's last words.
    pub(super) fn end(mut self: Box<Self>, desk: &mut Desk, now: Duration, reason: EndReason) -> State {
        if let Some(keys) = self.keypad.take() {
            desk.transcript.keys_pressed(&keys.keys, keys.pressed);
        }
        self.playback.cut(desk, now);
        if reason.model_is_lost() {
            return settling::finish(desk, now, reason);
        }
        desk.push(Output::CloseCarrier(reason));
        self.cancel_answer(desk, now);
        if self.intake.caller_speaks() {
            desk.tell_model(now, "input_audio_buffer.commit", Value::Null, client::commit());
        }
        let unwritten =
            self.speech.take().map_or(Unwritten::Nothing, |speech| Unwritten::Speech { began: speech.began });
        let until = now + Duration::from_millis(desk.limits().settle_ms_max);
        Box::new(Settling { reason, until, tools: self.tools, unwritten }).go_on(desk, now)
    }

    fn ask(&mut self, desk: &mut Desk, now: Duration, wish: Wish, request: &str) {
        let plan = &desk.plan;
        let (name, event) = match (wish, &mut self.ears) {
            (Wish::Greeting, Ears::Waiting { asked }) => {
                *asked += 1;
                ("greeting", say_exactly(request, plan, &plan.greeting))
            }
            (Wish::Goodbye, Ears::Shut { reason, .. }) => {
                ("goodbye", say_exactly(request, plan, plan.goodbye(*reason)))
            }
            (Wish::Nudge, _) => ("nudge", say_exactly(request, plan, plan.nudge())),
            (Wish::Answer | Wish::Greeting | Wish::Goodbye, _) => ("answer", client::answer(request)),
        };
        desk.tell_model(now, "response.create", json!({ "event_id": request, "for": name }), event);
    }

    fn cancel_answer(&mut self, desk: &mut Desk, now: Duration) {
        if let Some((response_id, _)) = self.answers.active() {
            self.playback.discard(response_id);
            let data = json!({ "response_id": response_id });
            desk.tell_model(now, "response.cancel", data, client::cancel(response_id));
        }
    }

    fn keys_pressed(&mut self, desk: &mut Desk, now: Duration, keys: &Keys) {
        desk.transcript.keys_pressed(&keys.keys, keys.pressed);
        let text = format!("[The caller pressed {} on the telephone's keypad.]", keys.keys);
        desk.tell_model(
            now,
            "conversation.item.create",
            json!({ "for": "keypad" }),
            client::caller_text(&text),
        );
        self.answers.wish(Wish::Answer);
        self.nudges = 0;
    }
}

/// A request for one sentence. Its instructions replace the session's, so they repeat them first.
fn say_exactly(request: &str, plan: &Plan, sentence: &str) -> String {
    let instructions = format!("{}\n\nSay exactly: \"{sentence}\"", plan.session.instructions);
    client::answer_as_told(request, &instructions)
}
