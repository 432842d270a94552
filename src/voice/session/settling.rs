//! After the line is cut: the caller's last words may still be on their way from the transcriber, and a tool may be about to
//! finish. Both are awaited, briefly.

use std::time::Duration;

use super::desk::Desk;
use super::tools::Tools;
use super::{EndReason, Output, State};
use crate::providers::openai::realtime::{ServerEvent, Severity};
use crate::voice::record::Leg;
use serde_json::json;

pub(super) struct Settling {
    pub(super) reason: EndReason,
    pub(super) until: Duration,
    pub(super) tools: Tools,
    pub(super) unwritten: Unwritten,
}

/// Whether the caller's last speech has become an item that will be put in writing.
pub(super) enum Unwritten {
    Nothing,
    /// It began at this time and will.
    Speech {
        began: Duration,
    },
}

impl Settling {
    pub(super) fn model(mut self: Box<Self>, desk: &mut Desk, now: Duration, text: &str) -> State {
        match ServerEvent::parse(text) {
            Ok(ServerEvent::SpeechCommitted { item_id, previous_item_id }) => {
                let began = match self.unwritten {
                    Unwritten::Speech { began } => began,
                    Unwritten::Nothing => now,
                };
                desk.transcript.caller_spoke(&item_id, previous_item_id.as_deref(), (began, now));
                self.unwritten = Unwritten::Nothing;
            }
            Ok(ServerEvent::CallerTranscribed { item_id, text }) => {
                desk.transcript.caller_transcribed(now, &item_id, &text);
            }
            Ok(ServerEvent::CallerNotTranscribed { item_id }) => {
                desk.transcript.caller_transcribed(now, &item_id, "");
            }
            Ok(ServerEvent::Error(detail)) if detail.severity() == Severity::Benign => {
                self.unwritten = Unwritten::Nothing;
            }
            Ok(ServerEvent::ResponseDone(done)) => {
                desk.totals.input_tokens += done.usage.input_tokens;
                desk.totals.output_tokens += done.usage.output_tokens;
            }
            Ok(_) | Err(_) => {}
        }
        self.go_on(desk, now)
    }

    pub(super) fn tool_done(
        mut self: Box<Self>,
        desk: &mut Desk,
        now: Duration,
        call_id: &str,
        account: &str,
    ) -> State {
        if self.tools.finish(call_id) {
            desk.transcript.tool_done(now, call_id, account);
        }
        self.go_on(desk, now)
    }

    pub(super) fn tick(self: Box<Self>, desk: &mut Desk, now: Duration) -> State {
        self.go_on(desk, now)
    }

    pub(super) fn deadline(&self) -> Duration {
        self.until
    }

    pub(super) fn go_on(self: Box<Self>, desk: &mut Desk, now: Duration) -> State {
        let awaited = desk.transcript.awaits_words()
            || self.tools.running()
            || matches!(self.unwritten, Unwritten::Speech { .. });
        if awaited && now < self.until {
            desk.write_turns();
            return State::Settling(self);
        }
        self.finish(desk, now)
    }

    pub(super) fn finish(&self, desk: &mut Desk, now: Duration) -> State {
        close(desk, now, self.reason)
    }
}

/// Ends a call of which nothing more can come, closing both legs.
pub(super) fn finish(desk: &mut Desk, now: Duration, reason: EndReason) -> State {
    desk.push(Output::CloseCarrier(reason));
    close(desk, now, reason)
}

fn close(desk: &mut Desk, now: Duration, reason: EndReason) -> State {
    desk.transcript.close(now);
    desk.write_turns();
    desk.event(now, Leg::Call, "call.ended", json!({ "reason": reason.code() }));
    desk.write_totals(now);
    desk.push(Output::CloseModel);
    desk.push(Output::Finished(reason));
    State::Finished
}
