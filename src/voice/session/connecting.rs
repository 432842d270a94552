//! Until both legs are up: the carrier's stream has begun, and the model has confirmed that µ-law passes through unchanged
//! both ways. What the caller says meanwhile is kept for the model.

use serde_json::{Value, json};
use std::time::Duration;

use super::desk::Desk;
use super::intake::Intake;
use super::line::Line;
use super::{EndReason, State, settling};
use crate::providers::openai::realtime::{ServerEvent, Severity, client};
use crate::providers::twilio::StreamSid;
use crate::providers::twilio::media::{Frame, Received};
use crate::voice::record::Leg;

#[derive(Default)]
pub(super) struct Connecting {
    stream: Option<StreamSid>,
    model: Model,
    intake: Intake,
}

#[derive(Default, PartialEq, Eq)]
enum Model {
    #[default]
    Opening,
    /// It was told its settings.
    Told,
    /// It confirmed them.
    Ready,
}

impl Connecting {
    pub(super) fn carrier(mut self: Box<Self>, desk: &mut Desk, now: Duration, text: &str) -> State {
        let Ok(frame) = Frame::parse(text) else { return self.bad_frame(desk, now) };
        match frame.received {
            Received::Connected => desk.event(now, Leg::FromCarrier, "connected", Value::Null),
            Received::Start(start) if start.call_sid == desk.plan.call_sid => {
                let data = json!({ "stream_sid": start.stream_sid.as_str() });
                desk.event(now, Leg::FromCarrier, "start", data);
                self.stream = Some(start.stream_sid);
            }
            Received::Start(_) => return settling::finish(desk, now, EndReason::CarrierMisbehaved),
            Received::Media { timestamp_ms, audio } => {
                if let Err(reason) = self.intake.count(desk, now, audio.bytes()) {
                    return settling::finish(desk, now, reason);
                }
                self.intake.hold(desk, timestamp_ms, audio);
            }
            Received::Stop => return settling::finish(desk, now, EndReason::CallerHungUp),
            Received::Dtmf(_) | Received::Mark { .. } => {}
            Received::Other { event } => desk.strange_event(now, Leg::FromCarrier, &event),
        }
        self.begin(desk, now)
    }

    pub(super) fn carrier_binary(self: Box<Self>, desk: &mut Desk, now: Duration) -> State {
        self.bad_frame(desk, now)
    }

    pub(super) fn model(mut self: Box<Self>, desk: &mut Desk, now: Duration, text: &str) -> State {
        match ServerEvent::parse(text) {
            Ok(ServerEvent::SessionCreated) if self.model == Model::Opening => {
                desk.event(now, Leg::FromModel, "session.created", Value::Null);
                let update = client::session_update("settings", &desk.plan.session);
                desk.tell_model(now, "session.update", json!({ "bytes": update.len() }), update);
                self.model = Model::Told;
            }
            Ok(ServerEvent::SessionUpdated { audio }) => {
                let formats = json!({ "input": audio.input, "output": audio.output });
                desk.event(now, Leg::FromModel, "session.updated", formats);
                if !audio.are_pcmu() {
                    return settling::finish(desk, now, EndReason::ModelUnavailable);
                }
                self.model = Model::Ready;
            }
            Ok(ServerEvent::Error(detail)) => {
                desk.event(
                    now,
                    Leg::FromModel,
                    "error",
                    json!({ "code": detail.code, "message": detail.message }),
                );
                return match detail.severity() {
                    Severity::Benign => State::Connecting(self),
                    Severity::Fatal => settling::finish(desk, now, EndReason::ModelRefused),
                    Severity::AlreadyAnswering | Severity::Odd | Severity::Expired => {
                        settling::finish(desk, now, EndReason::ModelUnavailable)
                    }
                };
            }
            Ok(_) => {}
            Err(_) => return settling::finish(desk, now, EndReason::ModelUnavailable),
        }
        self.begin(desk, now)
    }

    pub(super) fn tick(self: Box<Self>, desk: &mut Desk, now: Duration) -> State {
        let limits = desk.limits();
        if self.model != Model::Ready && Duration::from_millis(limits.model_ready_ms_max) <= now {
            return settling::finish(desk, now, EndReason::ModelUnavailable);
        }
        if self.stream.is_none() && Duration::from_millis(limits.stream_start_ms_max) <= now {
            return settling::finish(desk, now, EndReason::CarrierNeverStarted);
        }
        State::Connecting(self)
    }

    pub(super) fn deadline(&self, desk: &Desk) -> Duration {
        let limits = desk.limits();
        let stream = Duration::from_millis(limits.stream_start_ms_max);
        let model = Duration::from_millis(limits.model_ready_ms_max);
        match (&self.stream, &self.model) {
            (None, Model::Ready) => stream,
            (Some(_), Model::Opening | Model::Told | Model::Ready) => model,
            (None, Model::Opening | Model::Told) => stream.min(model),
        }
    }

    fn bad_frame(self: Box<Self>, desk: &mut Desk, now: Duration) -> State {
        desk.totals.carrier_bad_frames += 1;
        if desk.limits().carrier_bad_frames_max < desk.totals.carrier_bad_frames {
            return settling::finish(desk, now, EndReason::CarrierMisbehaved);
        }
        State::Connecting(self)
    }

    /// Begins the conversation, if both legs are up.
    fn begin(mut self: Box<Self>, desk: &mut Desk, now: Duration) -> State {
        if self.model != Model::Ready {
            return State::Connecting(self);
        }
        match self.stream.take() {
            Some(stream) => State::Talking(Box::new(Line::new(desk, now, stream, self.intake))),
            None => State::Connecting(self),
        }
    }
}
