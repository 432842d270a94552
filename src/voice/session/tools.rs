//! The agent's tool calls: each is run at most once and answered exactly once, in time, and of a size the model can bear;
//! and each is a turn that people read. Must never know what a tool does.

use std::collections::HashSet;
use std::time::Duration;

use super::Output;
use super::answers::{Answers, Wish};
use super::desk::Desk;
use crate::providers::openai::realtime::{ToolCall, client};
use serde_json::json;

#[derive(Default)]
pub(super) struct Tools {
    running: Vec<Running>,
    seen: HashSet<String>,
}

struct Running {
    call_id: String,
    until: Duration,
}

/// What came of a call.
#[derive(Clone, Copy)]
pub(super) struct Outcome<'a> {
    /// For the model: JSON.
    pub(super) output: &'a str,
    /// For people.
    pub(super) account: &'a str,
}

/// Why nothing came of one; people read it after the tool's name.
type Failure = Outcome<'static>;

const SPENT: Failure = Outcome {
    output: r#"{"error":"no more tool calls in this call"}"#,
    account: "refused, as tools were used too often in this call",
};
const UNKNOWN: Failure =
    Outcome { output: r#"{"error":"there is no such tool"}"#, account: "refused, as there is no such tool" };
const TOO_LONG: Failure = Outcome {
    output: r#"{"error":"the arguments are too long"}"#,
    account: "refused, as its arguments were too long",
};
const LATE: Failure =
    Outcome { output: r#"{"error":"the tool did not finish in time"}"#, account: "not done in time" };

/// Whether the agent may go on using tools.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    Left,
    Spent,
}

impl Tools {
    /// Runs a tool, or answers at once why not.
    pub(super) fn call(
        &mut self,
        desk: &mut Desk,
        answers: &mut Answers,
        now: Duration,
        call: &ToolCall<'_>,
    ) -> Allowance {
        let limits = desk.limits();
        if self.seen.contains(call.call_id.as_ref()) || limits.tool_calls_max < self.seen.len() {
            return Allowance::Left;
        }
        self.seen.insert(call.call_id.clone().into_owned());
        desk.transcript.tool_called(now, &call.call_id, &call.name);
        if limits.tool_calls_max < self.seen.len() {
            self.fail(desk, answers, now, (&call.call_id, SPENT));
            return Allowance::Spent;
        }
        let known = desk.plan.session.tools.iter().any(|tool| tool.name == call.name);
        if !known {
            self.fail(desk, answers, now, (&call.call_id, UNKNOWN));
        } else if limits.tool_arguments_bytes_max < call.arguments.len() {
            self.fail(desk, answers, now, (&call.call_id, TOO_LONG));
        } else {
            self.run(desk, now, call);
        }
        Allowance::Left
    }

    fn run(&mut self, desk: &mut Desk, now: Duration, call: &ToolCall<'_>) {
        let until = now + Duration::from_millis(desk.limits().tool_ms_max);
        self.running.push(Running { call_id: call.call_id.clone().into_owned(), until });
        desk.push(Output::RunTool {
            call_id: call.call_id.clone().into_owned(),
            name: call.name.clone().into_owned(),
            arguments: call.arguments.clone().into_owned(),
        });
    }

    /// A tool is done. What nobody asked for, or no longer waits for, is dropped.
    pub(super) fn done(
        &mut self,
        desk: &mut Desk,
        answers: &mut Answers,
        now: Duration,
        (call_id, Outcome { output, account }): (&str, Outcome<'_>),
    ) {
        if self.finish(call_id) {
            desk.transcript.tool_done(now, call_id, account);
            let too_long = desk.limits().tool_output_bytes_max < output.len();
            let output = if too_long { r#"{"error":"the result is too long"}"# } else { output };
            self.answer(desk, answers, now, (call_id, output));
        }
    }

    /// A tool is done after the conversation. Says whether it was awaited.
    pub(super) fn finish(&mut self, call_id: &str) -> bool {
        let place = self.running.iter().position(|running| running.call_id == call_id);
        place.map(|place| self.running.swap_remove(place)).is_some()
    }

    pub(super) fn running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.running.iter().map(|running| running.until).min()
    }

    pub(super) fn tick(&mut self, desk: &mut Desk, answers: &mut Answers, now: Duration) {
        while let Some(place) = self.running.iter().position(|running| running.until <= now) {
            let late = self.running.swap_remove(place);
            self.fail(desk, answers, now, (&late.call_id, LATE));
        }
    }

    fn fail(
        &self,
        desk: &mut Desk,
        answers: &mut Answers,
        now: Duration,
        (call_id, failure): (&str, Failure),
    ) {
        desk.transcript.tool_failed(now, call_id, failure.account);
        self.answer(desk, answers, now, (call_id, failure.output));
    }

    /// Tells the model a result; once none is awaited, it is asked to go on.
    fn answer(&self, desk: &mut Desk, answers: &mut Answers, now: Duration, (call_id, output): (&str, &str)) {
        let data = json!({ "call_id": call_id, "bytes": output.len() });
        desk.tell_model(now, "conversation.item.create", data, client::tool_output(call_id, output));
        if self.running.is_empty() {
            answers.wish(Wish::Answer);
        }
    }
}
