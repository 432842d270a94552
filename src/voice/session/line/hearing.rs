//! What a conversation hears from its two legs, event by event.

use serde_json::{Value, json};
use std::time::Duration;

use super::{Ears, Goodbye, Line, Next, Speech, guard};
use crate::providers::openai::realtime::{
    ErrorDetail, ResponseDone, ResponseOutcome, ServerEvent, Severity, client,
};
use crate::providers::pcmu::Pcmu;
use crate::providers::twilio::media::{Frame, Received};
use crate::voice::ending::EndReason;
use crate::voice::record::Leg;
use crate::voice::session::answers::{Over, Wish};
use crate::voice::session::desk::{Desk, millis};
use crate::voice::session::playback::{Piece, Played};
use crate::voice::session::tools::Allowance;

impl Line {
    pub(in crate::voice::session) fn carrier(&mut self, desk: &mut Desk, now: Duration, text: &str) -> Next {
        let Ok(frame) = Frame::parse(text) else { return bad_carrier_frame(desk) };
        if frame.stream_sid.is_some_and(|sid| sid != self.playback.stream()) {
            return bad_carrier_frame(desk);
        }
        match frame.received {
            Received::Media { timestamp_ms, audio } => return self.media(desk, now, timestamp_ms, &audio),
            Received::Mark { name } => {
                if self.playback.mark(desk, now, &name)
                    && let Ears::Guarded { heard, .. } = &mut self.ears
                {
                    *heard = true;
                }
            }
            Received::Dtmf(key) => {
                desk.event(now, Leg::FromCarrier, "dtmf", Value::Null);
                if !matches!(self.ears, Ears::Shut { .. })
                    && let Some(keys) = self.keypad.press(now, key)
                {
                    self.keys_pressed(desk, now, &keys);
                }
            }
            Received::Stop => {
                desk.event(now, Leg::FromCarrier, "stop", Value::Null);
                return Next::End(EndReason::CallerHungUp);
            }
            // A stream begins once; a second beginning is nobody's.
            Received::Connected | Received::Start(_) => return bad_carrier_frame(desk),
            Received::Other { event } => desk.strange_event(now, Leg::FromCarrier, &event),
        }
        Next::Stay
    }

    pub(in crate::voice::session) fn model(&mut self, desk: &mut Desk, now: Duration, text: &str) -> Next {
        let Ok(event) = ServerEvent::parse(text) else { return bad_model_event(desk) };
        self.answers.progress(now);
        match event {
            ServerEvent::AudioDelta { response_id, item_id, content_index, audio } => {
                let piece =
                    Piece { response_id: &response_id, item_id: &item_id, content_index, audio: &audio };
                return self.speak(desk, now, &piece);
            }
            ServerEvent::TranscriptDelta { item_id, text } => desk.transcript.agent_said(&item_id, &text),
            ServerEvent::TranscriptDone { item_id, text } => desk.transcript.agent_said_all(&item_id, &text),
            ServerEvent::SpeechStarted { item_id } => self.speech_started(desk, now, &item_id),
            ServerEvent::SpeechStopped { item_id } => self.speech_stopped(desk, now, &item_id),
            ServerEvent::SpeechCommitted { item_id, previous_item_id } => {
                desk.event(
                    now,
                    Leg::FromModel,
                    "input_audio_buffer.committed",
                    json!({ "item_id": item_id }),
                );
                self.speech_committed(desk, now, &item_id, previous_item_id.as_deref());
            }
            ServerEvent::CallerTranscribed { item_id, text } => {
                desk.event(now, Leg::FromModel, "transcription.completed", json!({ "item_id": item_id }));
                self.guard.transcribed(&item_id, &text);
                desk.transcript.caller_transcribed(now, &item_id, &text);
            }
            ServerEvent::CallerNotTranscribed { item_id } => {
                desk.event(now, Leg::FromModel, "transcription.failed", json!({ "item_id": item_id }));
                self.guard.transcribed(&item_id, "");
                desk.transcript.caller_transcribed(now, &item_id, "");
            }
            ServerEvent::ResponseCreated { response_id } => self.response_created(desk, now, &response_id),
            ServerEvent::ResponseDone(done) => return self.response_done(desk, now, &done),
            ServerEvent::OutputItemDone { item, .. } => {
                self.playback.close_item(desk, now, &item.id);
                if let Some(call) = item.tool_call {
                    let data = json!({ "call_id": call.call_id, "name": call.name });
                    desk.event(now, Leg::FromModel, "tool_call", data);
                    if self.tools.call(desk, &mut self.answers, now, &call) == Allowance::Spent {
                        return Next::Farewell(EndReason::ToolLimit);
                    }
                }
            }
            ServerEvent::Error(detail) => return self.error(desk, now, &detail),
            ServerEvent::SessionCreated => desk.event(now, Leg::FromModel, "session.created", Value::Null),
            ServerEvent::SessionUpdated { .. } => {
                desk.event(now, Leg::FromModel, "session.updated", Value::Null);
                self.guard.confirmed();
            }
            ServerEvent::Other { kind } if kind.ends_with(".delta") => {}
            ServerEvent::Other { kind } => desk.strange_event(now, Leg::FromModel, &kind),
        }
        Next::Stay
    }

    fn media(&mut self, desk: &mut Desk, now: Duration, timestamp_ms: u64, audio: &Pcmu<'_>) -> Next {
        if let Err(reason) = self.intake.count(desk, now, audio.bytes()) {
            return Next::End(reason);
        }
        if let Ears::Shut { .. } = self.ears {
            desk.totals.frames_unheard += 1;
        } else {
            self.intake.forward(desk, now, timestamp_ms, audio);
        }
        Next::Stay
    }

    fn speak(&mut self, desk: &mut Desk, now: Duration, piece: &Piece<'_>) -> Next {
        match self.playback.play(desk, now, piece) {
            Ok(Played::First) => {
                let after_ms = self.stopped_at.take().map(|stopped| millis(now.saturating_sub(stopped)));
                let data = json!({ "item_id": piece.item_id, "after_speech_ms": after_ms });
                desk.event(now, Leg::Call, "agent.began", data);
                if let Ears::Waiting { .. } = self.ears {
                    self.ears = Ears::Guarded { since: now, heard: false };
                }
                Next::Stay
            }
            Ok(Played::More | Played::Discarded) => Next::Stay,
            Err(reason) => Next::End(reason),
        }
    }

    /// The caller speaks: the agent yields at once, unless its greeting is guarded or goodbye is being said.
    fn speech_started(&mut self, desk: &mut Desk, now: Duration, item_id: &str) {
        desk.event(now, Leg::FromModel, "input_audio_buffer.speech_started", json!({ "item_id": item_id }));
        if let Ears::Shut { .. } = self.ears {
            return;
        }
        self.intake.speech_started(now);
        let heeded = matches!(self.ears, Ears::Open);
        self.speech = Some(Speech { item_id: item_id.to_owned(), began: now, stopped: None, heeded });
        if heeded {
            self.yield_to_caller(desk, now);
        }
    }

    fn speech_stopped(&mut self, desk: &mut Desk, now: Duration, item_id: &str) {
        desk.event(now, Leg::FromModel, "input_audio_buffer.speech_stopped", json!({ "item_id": item_id }));
        self.intake.speech_stopped();
        if let Some(speech) = self.speech.as_mut().filter(|speech| speech.item_id == item_id) {
            speech.stopped = Some(now);
            if speech.heeded {
                self.stopped_at = Some(now);
            }
        }
    }

    /// What the caller said is an item of the conversation now. Whether the model answers it is for the guard to know.
    fn speech_committed(&mut self, desk: &mut Desk, now: Duration, item_id: &str, previous: Option<&str>) {
        let speech = self.speech.take_if(|speech| speech.item_id == item_id);
        let spoken =
            speech.as_ref().map_or((now, now), |speech| (speech.began, speech.stopped.unwrap_or(now)));
        desk.transcript.caller_spoke(item_id, previous, spoken);
        let Some(speech) = speech else { return };
        if !speech.heeded {
            self.guard.overheard(item_id);
        } else if matches!(self.ears, Ears::Open) && !self.guard.model_acts() {
            self.answers.wish(Wish::Answer);
        }
    }

    fn response_created(&mut self, desk: &mut Desk, now: Duration, response_id: &str) {
        desk.event(now, Leg::FromModel, "response.created", json!({ "response_id": response_id }));
        let wish = self.answers.created(now, response_id);
        if wish != Some(Wish::Greeting) {
            self.guard.settle();
        }
        let unwelcome = match (&self.ears, wish) {
            // Not the goodbye.
            (Ears::Shut { .. }, wish) => wish != Some(Wish::Goodbye),
            // It crossed the caller's first word; the model will answer once they have finished.
            (Ears::Open, Some(Wish::Answer | Wish::Nudge)) => self.intake.caller_speaks(),
            (Ears::Open | Ears::Waiting { .. } | Ears::Guarded { .. }, _) => false,
        };
        if unwelcome {
            self.playback.discard(response_id);
            let data = json!({ "response_id": response_id });
            desk.tell_model(now, "response.cancel", data, client::cancel(response_id));
        }
    }

    fn response_done(&mut self, desk: &mut Desk, now: Duration, done: &ResponseDone<'_>) -> Next {
        let outcome = match &done.outcome {
            ResponseOutcome::Completed => "completed",
            ResponseOutcome::Cancelled => "cancelled",
            ResponseOutcome::Failed(_) => "failed",
        };
        let usage = done.usage;
        desk.totals.input_tokens += usage.input_tokens;
        desk.totals.output_tokens += usage.output_tokens;
        let data = json!({
            "response_id": done.response_id, "outcome": outcome,
            "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens,
        });
        desk.event(now, Leg::FromModel, "response.done", data);
        self.playback.close_response(desk, now, &done.response_id);
        let Over::Current(wish) = self.answers.done(&done.response_id) else { return Next::Stay };
        match &done.outcome {
            ResponseOutcome::Failed(detail) => {
                if let ended @ Next::End(_) = self.answer_failed(desk, wish, detail) {
                    return ended;
                }
            }
            ResponseOutcome::Completed => self.answers.forget_failures(),
            ResponseOutcome::Cancelled => {}
        }
        match (wish, &mut self.ears) {
            // Over before its first sound.
            (Some(Wish::Greeting), Ears::Waiting { asked }) => {
                if *asked < desk.limits().greeting_attempts_max {
                    self.answers.wish(Wish::Greeting);
                } else {
                    self.open_ears(desk, now);
                }
            }
            (Some(Wish::Goodbye), Ears::Shut { goodbye, .. }) => *goodbye = Goodbye::Said,
            (Some(_) | None, _) => {}
        }
        Next::Stay
    }

    /// Asks again, unless that cannot help.
    fn answer_failed(&mut self, desk: &Desk, wish: Option<Wish>, detail: &ErrorDetail<'_>) -> Next {
        match detail.severity() {
            Severity::Fatal => return Next::End(EndReason::ModelRefused),
            Severity::Expired => return Next::End(EndReason::ModelExpired),
            Severity::Benign | Severity::AlreadyAnswering | Severity::Odd => {}
        }
        if desk.limits().response_failures_max < self.answers.count_failure() {
            return Next::End(EndReason::ModelLost);
        }
        match wish {
            Some(Wish::Goodbye | Wish::Greeting | Wish::Nudge) => {}
            Some(Wish::Answer) | None => self.answers.wish(Wish::Answer),
        }
        Next::Stay
    }

    fn error(&mut self, desk: &mut Desk, now: Duration, detail: &ErrorDetail<'_>) -> Next {
        let message: Option<String> = detail.message.as_ref().map(|text| text.chars().take(200).collect());
        desk.event(now, Leg::FromModel, "error", json!({ "code": detail.code, "message": message }));
        if detail.event_id.as_deref() == Some(guard::GRANT) {
            // It would answer nobody for the rest of the call.
            return Next::End(EndReason::ModelMisbehaved);
        }
        match detail.severity() {
            Severity::Benign => Next::Stay,
            Severity::AlreadyAnswering => {
                self.answers.refused(now, detail.event_id.as_deref());
                Next::Stay
            }
            Severity::Odd => {
                if let Some(wish) = self.answers.failed(detail.event_id.as_deref()) {
                    if desk.limits().response_failures_max < self.answers.count_failure() {
                        return Next::End(EndReason::ModelLost);
                    }
                    self.answers.wish(wish);
                }
                bad_model_event(desk)
            }
            Severity::Expired => Next::End(EndReason::ModelExpired),
            Severity::Fatal => Next::End(EndReason::ModelRefused),
        }
    }
}

/// A frame of the carrier is beyond understanding.
pub(in crate::voice::session) fn bad_carrier_frame(desk: &mut Desk) -> Next {
    desk.totals.carrier_bad_frames += 1;
    if desk.limits().carrier_bad_frames_max < desk.totals.carrier_bad_frames {
        return Next::End(EndReason::CarrierMisbehaved);
    }
    Next::Stay
}

/// An event of the model is beyond understanding.
pub(in crate::voice::session) fn bad_model_event(desk: &mut Desk) -> Next {
    desk.totals.model_bad_events += 1;
    if desk.limits().model_bad_events_max < desk.totals.model_bad_events {
        return Next::End(EndReason::ModelMisbehaved);
    }
    Next::Stay
}
