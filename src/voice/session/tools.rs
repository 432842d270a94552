//! The agent's tool calls: each is run at most once and answered exactly once, in time, and of a size the model can bear.
//! Must never know what a tool does.

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
        if limits.tool_calls_max < self.seen.len() {
            self.answer(
                desk,
                answers,
                now,
                (&call.call_id, r#"{"error":"no more tool calls in this call"}"#),
            );
            return Allowance::Spent;
        }
        let known = desk.plan.session.tools.iter().any(|tool| tool.name == call.name);
        if !known {
            self.answer(desk, answers, now, (&call.call_id, r#"{"error":"there is no such tool"}"#));
        } else if limits.tool_arguments_bytes_max < call.arguments.len() {
            self.answer(desk, answers, now, (&call.call_id, r#"{"error":"the arguments are too long"}"#));
        } else {
            let until = now + Duration::from_millis(limits.tool_ms_max);
            self.running.push(Running { call_id: call.call_id.clone().into_owned(), until });
            desk.push(Output::RunTool {
                call_id: call.call_id.clone().into_owned(),
                name: call.name.clone().into_owned(),
                arguments: call.arguments.clone().into_owned(),
            });
        }
        Allowance::Left
    }

    /// A tool is done. What nobody asked for, or no longer waits for, is dropped.
    pub(super) fn done(
        &mut self,
        desk: &mut Desk,
        answers: &mut Answers,
        now: Duration,
        (call_id, output): (&str, &str),
    ) {
        if self.finish(call_id) {
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
            self.answer(
                desk,
                answers,
                now,
                (&late.call_id, r#"{"error":"the tool did not finish in time"}"#),
            );
        }
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
