//! One call as all parts of the stand-in see it: its order, state and timeline, the fields that Twilio tells about it,
//! and its life from ringing to the last callback. What happens after it is answered is [`super::talk`]'s.

use super::Twilio;
use super::callbacks::{self, Callback};
use super::caller::Caller;
use super::order::{Fault, Order};
use super::performer::Performer;
use super::talk::{Document, End, Talk};
use super::timeline::Timeline;
use super::twiml::{self, Method, Target, Verb};
use super::web::{Answer, Fields, Problem, Signed, Web};
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Queued,
    Ringing,
    InProgress,
    Completed,
    Busy,
    Failed,
    Canceled,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Ringing => "ringing",
            Status::InProgress => "in-progress",
            Status::Completed => "completed",
            Status::Busy => "busy",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
        }
    }

    pub(crate) fn is_final(self) -> bool {
        match self {
            Status::Queued | Status::Ringing | Status::InProgress => false,
            Status::Completed | Status::Busy | Status::Failed | Status::Canceled => true,
        }
    }
}

/// What may come from outside while the call goes on.
#[derive(Debug)]
pub(crate) enum Command {
    /// The caller puts down.
    HangUp,
    /// REST `Status=completed`.
    Complete,
    /// REST `Twiml=`.
    Read(String),
    /// REST `Url=`.
    Ask(Target),
}

pub(crate) struct Call {
    pub(crate) sid: String,
    /// Calls are numbered from 0.
    pub(crate) number: u32,
    pub(crate) order: Order,
    pub(crate) timeline: Arc<Timeline>,
    commands: mpsc::Sender<Command>,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) created: DateTime<Utc>,
    pub(crate) answered: Option<Instant>,
    pub(crate) duration_s: Option<u64>,
    pub(crate) end: Option<&'static str>,
}

impl Call {
    pub(crate) fn new(
        order: Order,
        number: u32,
        created: DateTime<Utc>,
    ) -> (Arc<Call>, mpsc::Receiver<Command>) {
        let (commands, received) = mpsc::channel(16);
        let state = State { status: Status::Queued, created, answered: None, duration_s: None, end: None };
        let sid = format!("CA{}", uuid::Uuid::new_v4().simple());
        let timeline = Arc::new(Timeline::new());
        (Arc::new(Call { sid, number, order, timeline, commands, state: Mutex::new(state) }), received)
    }

    pub(crate) fn state(&self) -> State {
        self.locked().clone()
    }

    /// Passes a command on to the call; false when it is over (or will not listen).
    pub(crate) fn command(&self, command: Command) -> bool {
        !self.state().status.is_final() && self.commands.try_send(command).is_ok()
    }

    pub(super) fn answered(&self) {
        let mut state = self.locked();
        state.status = Status::InProgress;
        state.answered = Some(Instant::now());
    }

    /// What Twilio tells about the call with every request.
    pub(crate) fn fields(&self) -> Fields {
        let mut fields: Fields = Vec::new();
        let mut add = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
        let Order { account_sid, from, to, .. } = &self.order;
        for (name, value) in [
            ("CallSid", self.sid.as_str()),
            ("AccountSid", account_sid),
            ("From", from),
            ("To", to),
            ("Caller", from),
            ("Called", to),
            ("CallStatus", self.state().status.word()),
            ("ApiVersion", "2010-04-01"),
            ("Direction", "inbound"),
            ("StirVerstat", "TN-Validation-Passed-A"),
            ("CallToken", "{\"parentCallInfoToken\":\"stand-in\"}"),
            // a field that no documentation names: Twilio adds some without notice
            ("FutureField", "né à l'avenir +&="),
        ] {
            add(name, value);
        }
        for side in ["From", "To", "Caller", "Called"] {
            for (name, value) in [("City", "IRVINE"), ("State", "CA"), ("Zip", "92602"), ("Country", "US")] {
                add(&format!("{side}{name}"), value);
            }
        }
        for (name, value) in &self.order.options.fields {
            fields.retain(|(known, _)| known != name);
            fields.push((name.clone(), value.clone()));
        }
        fields
    }

    /// A status callback, when the order wants it.
    fn tell(&self, told: &mpsc::UnboundedSender<Callback>, of: &'static str, number: u32) {
        let wanted = self.order.options.status_events.iter().any(|wanted| wanted == of);
        let Some(url) = self.order.status_callback_url.clone().filter(|_| wanted) else { return };
        let mut fields = self.fields();
        fields.push(("SequenceNumber".to_owned(), number.to_string()));
        fields.push(("CallbackSource".to_owned(), "call-progress-events".to_owned()));
        fields.push(("Timestamp".to_owned(), super::now().to_rfc2822()));
        if let Some(duration_s) = self.state().duration_s {
            fields.push(("CallDuration".to_owned(), duration_s.to_string()));
            fields.push(("Duration".to_owned(), duration_s.div_ceil(60).to_string()));
            fields.push(("SipResponseCode".to_owned(), "200".to_owned()));
        }
        let told = told.send(Callback { of, url, fields });
        debug_assert!(told.is_ok(), "callbacks are delivered until the call drops its end");
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole life of a call.
pub(crate) async fn run(call: Arc<Call>, caller: Caller, twilio: Twilio, commands: mpsc::Receiver<Command>) {
    let performer = Performer::prepare(&caller, twilio.speech()).await;
    call.timeline.begin();
    call.locked().status = Status::Ringing;
    let (told, callbacks) = mpsc::unbounded_channel();
    let delivery = callbacks::deliver(Arc::clone(&call), twilio.web().clone(), callbacks);
    let talking = async {
        call.timeline.record(
            "ringing",
            &json!({ "call_sid": call.sid, "from": call.order.from, "to": call.order.to }),
        );
        call.tell(&told, "initiated", 0);
        call.tell(&told, "ringing", 1);
        let end = Box::pin(live(&call, &twilio, performer, commands, &told)).await;
        finish(&call, &end);
        call.tell(&told, "completed", 3);
        drop(told);
        end
    };
    let (end, ()) = tokio::join!(talking, delivery);
    let duration_s = call.state().duration_s;
    call.timeline.record(
        "ended",
        &json!({ "status": end.status.word(), "reason": end.reason, "duration_s": duration_s }),
    );
    call.timeline.end();
}

async fn live(
    call: &Arc<Call>,
    twilio: &Twilio,
    performer: Performer,
    mut commands: mpsc::Receiver<Command>,
    told: &mpsc::UnboundedSender<Callback>,
) -> End {
    let document = match ring(call, twilio, &mut commands).await {
        Ok(document) => document,
        Err(end) => return end,
    };
    if let Some(Verb::Reject { reason }) = document.verbs.front() {
        let status = if reason == "busy" { Status::Busy } else { Status::Failed };
        return End { status, reason: "rejected" };
    }
    call.answered();
    call.timeline.record("answered", &json!({}));
    call.tell(told, "answered", 2);
    let mut talk = Talk::begin(Arc::clone(call), twilio, performer, commands, told.clone());
    let end = Box::pin(talk.follow(document)).await;
    talk.put_down(&end).await;
    end
}

/// Asks the webhook for the first document; the caller may give up meanwhile.
async fn ring(
    call: &Arc<Call>,
    twilio: &Twilio,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<Document, End> {
    let (web, tap) = (twilio.web(), twilio.tap());
    let target = Target { url: call.order.webhook_url.clone(), method: Method::Post };
    let asking = async {
        let began = Instant::now();
        let first =
            fetch(call, web, "webhook", &target, Vec::new()).inspect(|_| tap.document(began.elapsed()));
        let again = async {
            if call.order.has(Fault::DuplicateWebhook) {
                // the second answer is in the timeline and has no further effect
                drop(fetch(call, web, "duplicate_webhook", &target, Vec::new()).await);
            }
        };
        let (document, ()) = tokio::join!(first, again);
        let (problem, fallback) = match (document, &call.order.fallback_url) {
            (Ok(document), _) => return document,
            (Err(_), None) => return Document::apology(),
            (Err(problem), Some(url)) => (problem, Target { url: url.clone(), method: Method::Post }),
        };
        let told = vec![
            ("ErrorCode".to_owned(), problem.code.to_string()),
            ("ErrorUrl".to_owned(), target.url.clone()),
        ];
        fetch(call, web, "fallback", &fallback, told).await.unwrap_or_else(|_| Document::apology())
    };
    tokio::select! {
        document = asking => Ok(document),
        command = commands.recv() => Err(match command {
            Some(Command::Complete) => End { status: Status::Completed, reason: "completed_by_rest" },
            Some(Command::HangUp | Command::Read(_) | Command::Ask(_)) | None =>
                End { status: Status::Canceled, reason: "caller_hung_up" },
        }),
    }
}

/// Asks the product for a document; what went wrong is in the timeline already.
pub(super) async fn fetch(
    call: &Call,
    web: &Web,
    of: &'static str,
    target: &Target,
    more: Fields,
) -> Result<Document, Problem> {
    let mut fields = call.fields();
    fields.extend(more);
    let result = match web.request(&call.order, target, &fields, Signed::webhook(&call.order)).await {
        Ok(answer) => {
            call.timeline.record("document", &answer.told(of, &target.url));
            read(&answer, target)
        }
        Err(problem) => Err(problem),
    };
    if let Err(Problem { code, message }) = &result {
        call.timeline.record("error", &json!({ "of": of, "code": code, "problem": message }));
    }
    result
}

fn read(answer: &Answer, target: &Target) -> Result<Document, Problem> {
    if !(200..300).contains(&answer.status) {
        return Err(Problem { code: 11_200, message: format!("HTTP status {}", answer.status) });
    }
    let kind = answer.content_type.split(';').next().unwrap_or_default().trim();
    if !["text/xml", "application/xml"].contains(&kind) {
        return Err(Problem { code: 12_300, message: format!("content type {kind:?} is no XML") });
    }
    let verbs =
        twiml::read(&answer.body).map_err(|error| Problem { code: 12_100, message: error.to_string() })?;
    Ok(Document { verbs: verbs.into(), url: target.url.clone() })
}

fn finish(call: &Call, end: &End) {
    let mut state = call.locked();
    state.status = end.status;
    state.end = Some(end.reason);
    state.duration_s = state
        .answered
        .map(|answered| u64::try_from(answered.elapsed().as_millis().div_ceil(1_000)).unwrap_or(u64::MAX));
    drop(state);
    call.timeline.record("hung_up", &json!({ "reason": end.reason }));
}
