//! The machine of one call: every decision, and nothing else. It is told what happened and when, and says what to do; it
//! has no async, no clock, no socket. Whoever drives it calls [`Session::handle`], then [`Session::poll`] until it is
//! empty, then waits for the next input or for [`Session::deadline`], whichever comes first.
//!
//! Start reading at [`Session::handle`], the table of states and inputs; `line` is where conversations happen.

mod answers;
mod connecting;
mod desk;
mod intake;
mod keypad;
mod line;
mod playback;
mod settling;
mod tools;
mod transcript;

use std::time::Duration;

pub use self::desk::Totals;

use self::connecting::Connecting;
use self::desk::{Desk, millis};
use self::line::{Line, Next, hearing};
use self::settling::Settling;
use self::tools::Outcome;
use super::ending::EndReason;
use super::plan::Plan;
use super::record::{Leg, Record};
use serde_json::json;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A text frame from the carrier.
    CarrierText(&'a str),
    /// A binary frame from the carrier, which never sends any.
    CarrierBinary,
    /// The carrier's socket is gone.
    CarrierClosed(Closed),
    /// A text frame from the model.
    ModelText(&'a str),
    /// A binary frame from the model, which never sends any.
    ModelBinary,
    /// The model's socket is gone, or never came about.
    ModelClosed(Closed),
    /// A tool that was to be run is done, for better or worse.
    ToolDone {
        /// Which call of it.
        call_id: &'a str,
        /// What the model is told: JSON.
        output: &'a str,
        /// What people read of it.
        account: &'a str,
    },
    /// A status callback says that the call is over.
    CallOver,
    /// This process wants to stop.
    Drain,
    /// The deadline passed.
    Tick,
}

/// How a socket went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It closed or broke.
    Gone,
    /// It did not take what was sent in time.
    Stalled,
    /// It brought a message above the limit.
    TooLarge,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this text frame to the carrier.
    ToCarrier(String),
    /// Send this text frame to the model.
    ToModel(String),
    /// Run this tool and report back with [`Input::ToolDone`].
    RunTool {
        /// What the report must name.
        call_id: String,
        /// Which tool.
        name: String,
        /// With what: JSON, if the model kept to it.
        arguments: String,
    },
    /// Keep this.
    Record(Record),
    /// End the call at the carrier.
    HangUp,
    /// Close the carrier's socket. What the carrier does next is for the webhook that follows, which asks for the reason.
    CloseCarrier(EndReason),
    /// Close the model's socket.
    CloseModel,
    /// The call is over; nothing follows.
    Finished(EndReason),
}

/// One call.
pub struct Session {
    state: State,
    desk: Desk,
}

enum State {
    /// Until both legs are up.
    Connecting(Box<Connecting>),
    /// The conversation.
    Talking(Box<Line>),
    /// Goodbye is being said.
    Leaving(Box<Line>, Farewell),
    /// The line is cut; the last words are awaited.
    Settling(Box<Settling>),
    /// Nothing follows.
    Finished,
}

/// A goodbye.
struct Farewell {
    reason: EndReason,
    until: Duration,
}

impl Session {
    /// A call that begins now.
    pub fn new(plan: Plan) -> Self {
        Self { state: State::Connecting(Box::default()), desk: Desk::new(plan) }
    }

    #[expect(clippy::too_many_lines, reason = "one table, a line or three for each state and input")]
    /// Takes note of what happened, `now` being the time since the call began.
    pub fn handle(&mut self, now: Duration, input: Input<'_>) {
        let desk = &mut self.desk;
        // While the table is consulted the call is formally over; whatever it says comes next.
        self.state = match (std::mem::replace(&mut self.state, State::Finished), input) {
            (State::Connecting(state), Input::CarrierText(text)) => state.carrier(desk, now, text),
            (State::Connecting(state), Input::CarrierBinary) => state.carrier_binary(desk, now),
            (State::Connecting(_), Input::CarrierClosed(_) | Input::CallOver) => {
                settling::finish(desk, now, EndReason::CallerHungUp)
            }
            (State::Connecting(state), Input::ModelText(text)) => state.model(desk, now, text),
            (State::Connecting(_), Input::ModelBinary | Input::ModelClosed(_)) => {
                settling::finish(desk, now, EndReason::ModelUnavailable)
            }
            (State::Connecting(state), Input::ToolDone { .. }) => State::Connecting(state),
            (State::Connecting(_), Input::Drain) => settling::finish(desk, now, EndReason::ShuttingDown),
            (State::Connecting(state), Input::Tick) => state.tick(desk, now),

            (State::Talking(mut line), Input::CarrierText(text)) => {
                let next = line.carrier(desk, now, text);
                talk_on(line, desk, now, next)
            }
            (State::Talking(line), Input::CarrierBinary) => {
                let next = hearing::bad_carrier_frame(desk);
                talk_on(line, desk, now, next)
            }
            (State::Talking(line), Input::CarrierClosed(closed)) => line.end(desk, now, carrier_loss(closed)),
            (State::Talking(line), Input::CallOver) => line.end(desk, now, EndReason::CallerHungUp),
            (State::Talking(mut line), Input::ModelText(text)) => {
                let next = line.model(desk, now, text);
                talk_on(line, desk, now, next)
            }
            (State::Talking(line), Input::ModelBinary) => {
                let next = hearing::bad_model_event(desk);
                talk_on(line, desk, now, next)
            }
            (State::Talking(line), Input::ModelClosed(closed)) => line.end(desk, now, model_loss(closed)),
            (State::Talking(mut line), Input::ToolDone { call_id, output, account }) => {
                line.tool_done(desk, now, call_id, Outcome { output, account });
                talk_on(line, desk, now, Next::Stay)
            }
            (State::Talking(line), Input::Drain) => {
                talk_on(line, desk, now, Next::Farewell(EndReason::ShuttingDown))
            }
            (State::Talking(mut line), Input::Tick) => {
                let next = line.tick(desk, now);
                talk_on(line, desk, now, next)
            }

            (State::Leaving(mut line, farewell), Input::CarrierText(text)) => {
                let next = line.carrier(desk, now, text);
                leave_on(line, farewell, desk, now, next)
            }
            (State::Leaving(line, farewell), Input::CarrierClosed(_) | Input::CallOver) => {
                line.end(desk, now, farewell.reason)
            }
            (State::Leaving(mut line, farewell), Input::ModelText(text)) => {
                let next = line.model(desk, now, text);
                leave_on(line, farewell, desk, now, next)
            }
            (State::Leaving(line, farewell), Input::ModelClosed(closed)) => {
                leave_on(line, farewell, desk, now, Next::End(model_loss(closed)))
            }
            (State::Leaving(mut line, farewell), Input::ToolDone { call_id, output, account }) => {
                line.tool_done(desk, now, call_id, Outcome { output, account });
                leave_on(line, farewell, desk, now, Next::Stay)
            }
            (State::Leaving(line, farewell), Input::CarrierBinary | Input::ModelBinary | Input::Drain) => {
                State::Leaving(line, farewell)
            }
            (State::Leaving(mut line, farewell), Input::Tick) => {
                let next = line.tick(desk, now);
                leave_on(line, farewell, desk, now, next)
            }

            (State::Settling(state), Input::ModelText(text)) => state.model(desk, now, text),
            (State::Settling(state), Input::ModelClosed(_)) => state.finish(desk, now),
            (State::Settling(state), Input::ToolDone { call_id, account, .. }) => {
                state.tool_done(desk, now, call_id, account)
            }
            (State::Settling(state), Input::Tick) => state.tick(desk, now),
            (
                State::Settling(state),
                Input::CarrierText(_)
                | Input::CarrierBinary
                | Input::CarrierClosed(_)
                | Input::ModelBinary
                | Input::CallOver
                | Input::Drain,
            ) => State::Settling(state),

            (
                State::Finished,
                Input::CarrierText(_)
                | Input::CarrierBinary
                | Input::CarrierClosed(_)
                | Input::ModelText(_)
                | Input::ModelBinary
                | Input::ModelClosed(_)
                | Input::ToolDone { .. }
                | Input::CallOver
                | Input::Drain
                | Input::Tick,
            ) => State::Finished,
        };
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Output> {
        self.desk.pop()
    }

    /// When [`Input::Tick`] is due, if nothing else happens before.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Connecting(state) => Some(state.deadline(&self.desk)),
            State::Talking(line) => line.deadline(&self.desk),
            State::Leaving(line, farewell) => desk::earlier(line.deadline(&self.desk), Some(farewell.until)),
            State::Settling(state) => Some(state.deadline()),
            State::Finished => None,
        }
    }

    /// What has been counted so far.
    pub fn totals(&self) -> Totals {
        self.desk.totals
    }
}

fn carrier_loss(closed: Closed) -> EndReason {
    match closed {
        Closed::Gone => EndReason::CarrierLost,
        Closed::Stalled => EndReason::CarrierStalled,
        Closed::TooLarge => EndReason::CarrierMisbehaved,
    }
}

fn model_loss(closed: Closed) -> EndReason {
    match closed {
        Closed::Gone => EndReason::ModelLost,
        Closed::Stalled => EndReason::ModelStalled,
        Closed::TooLarge => EndReason::ModelMisbehaved,
    }
}

/// What follows within a conversation.
fn talk_on(mut line: Box<Line>, desk: &mut Desk, now: Duration, next: Next) -> State {
    match next {
        Next::Stay => {
            line.catch_up(desk, now);
            State::Talking(line)
        }
        Next::Farewell(reason) => {
            let until = now + Duration::from_millis(desk.limits().goodbye_ms_max);
            desk.event(
                now,
                Leg::Call,
                "call.goodbye",
                json!({ "reason": reason.code(), "until_ms": millis(until) }),
            );
            line.say_goodbye(desk, now, reason);
            line.catch_up(desk, now);
            State::Leaving(line, Farewell { reason, until })
        }
        Next::End(reason) => line.end(desk, now, reason),
    }
}

/// What follows within a goodbye: whatever goes wrong, the line is cut for the reason the goodbye had.
fn leave_on(mut line: Box<Line>, farewell: Farewell, desk: &mut Desk, now: Duration, next: Next) -> State {
    let over = match next {
        Next::Stay | Next::Farewell(_) => farewell.until <= now || line.goodbye_heard(),
        Next::End(EndReason::CallerHungUp) => return line.end(desk, now, farewell.reason),
        Next::End(_) => true,
    };
    if over {
        desk.event(now, Leg::Call, "call.hang_up", json!({ "reason": farewell.reason.code() }));
        desk.push(Output::HangUp);
        return line.end(desk, now, farewell.reason);
    }
    line.catch_up(desk, now);
    State::Leaving(line, farewell)
}
