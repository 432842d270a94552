//! One call, from its stream's admission to its conclusion: the token is used up, the context fetched, the machine
//! driven, the end written. Everything that belongs to the call is owned here and goes with it.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Sink, Stream};
use std::ops::Deref;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::driver::{self, Frame, Orders, World};
use super::ending::EndReason;
use super::live::{Live, Slot};
use super::record::Record;
use super::recorder::{self, Book, Recorder};
use super::session::Session;
use super::tools::{Toolbox, Used};
use super::{Gateway, briefing};
use crate::calls::{self, CallerContext, Redeemed};
use crate::error::{Error, Fault};
use crate::providers::twilio::CallSid;
use crate::providers::twilio::rest::{Account, Rest};
use crate::providers::twilio::webhook::signature;
use crate::secret::Secret;
use crate::sentences::Language;

/// How long Postgres may take before a stream is refused.
const ADMIT_MAX: Duration = Duration::from_secs(5);
/// A token is a cluster's name, a full stop and 43 characters; anything longer is nobody's.
const TOKEN_CHARS_MAX: usize = 80;

/// Why a stream is refused.
#[derive(Debug)]
pub enum Refused {
    /// The token is unknown, used or expired, or its call is over.
    NoSuchStream,
    /// The upgrade was not signed by the account that the token was made for.
    Forged,
    /// Every place is taken, or this process stops.
    NoRoom,
    /// We have trouble.
    Fault(Fault),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::NoSuchStream,
            Error::Busy { .. } => Self::NoRoom,
            Error::Fault(fault) | Error::TimedOut(fault) => Self::Fault(fault),
            refused @ (Error::Forbidden | Error::Invalid(_) | Error::Conflict { .. }) => {
                Self::Fault(Fault::caused("admit a stream", refused))
            }
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A stream that may be held.
pub struct Admitted {
    gateway: Gateway,
    right: Redeemed,
    context: CallerContext,
    call_sid: CallSid,
    account: Account,
    slot: Slot,
}

impl Gateway {
    /// Lets a stream in, once per token.
    pub async fn admit(&self, token: &Secret, signature: &str) -> Result<Admitted, Refused> {
        if self.0.drain.is_cancelled() || !self.0.live.has_room() {
            return Err(Refused::NoRoom);
        }
        match timeout(ADMIT_MAX, self.let_in(token, signature)).await {
            Ok(admitted) => admitted,
            Err(_) => Err(Refused::Fault(Fault::new("admit a stream in time"))),
        }
    }

    async fn let_in(&self, token: &Secret, signature: &str) -> Result<Admitted, Refused> {
        if TOKEN_CHARS_MAX < token.reveal().len() {
            return Err(Refused::NoSuchStream);
        }
        let sid = calls::token_account(&self.0.db, token).await?.ok_or(Refused::NoSuchStream)?;
        let sid = sid.parse().map_err(|error| Fault::caused("read the account of a token", error))?;
        let account = self.account(&sid).await?.ok_or(Refused::Forged)?;
        let url = self.stream_url(token);
        if signature::verify_upgrade(&account.auth_token, &url, signature).is_err() {
            return Err(Refused::Forged);
        }
        let right = calls::redeem(&self.0.db, token).await?.ok_or(Refused::NoSuchStream)?;
        let context = calls::open(&self.0.db, &right.scope, right.call).await?;
        let call_sid: CallSid =
            context.call_sid.parse().map_err(|error| Fault::caused("read a call's SID", error))?;
        let slot = self.0.live.enter(&call_sid).ok_or(Refused::NoRoom)?;
        Ok(Admitted { gateway: self.clone(), right, context, call_sid, account, slot })
    }
}

impl Admitted {
    /// Holds the call until it is over. The caller's task is all that runs of it, besides the writer of its records.
    pub async fn hold<C, T>(self, carrier: C)
    where
        C: Stream<Item = Frame<T>> + Sink<String> + Unpin,
        T: Deref<Target = str>,
    {
        let tasks = self.gateway.0.tasks.clone();
        let span =
            tracing::info_span!("voice.call", call = %self.right.call, tenant = %self.right.scope.tenant());
        tasks.track_future(self.talk(carrier).instrument(span)).await;
    }

    async fn talk<C, T>(self, carrier: C)
    where
        C: Stream<Item = Frame<T>> + Sink<String> + Unpin,
        T: Deref<Target = str>,
    {
        let Self { gateway, right, context, call_sid, account, mut slot } = self;
        let inner = &gateway.0;
        let began = inner.clock.monotonic();
        let (now, transcriber) = (inner.clock.now(), &inner.transcription_model);
        let plan = briefing::plan(call_sid.clone(), &context, now, transcriber, inner.limits.call);
        let (recorder, writer) = recorder::open(Book {
            db: inner.db.clone(),
            scope: right.scope,
            call: right.call,
            limits: inner.limits.records,
            stop: inner.stop.clone(),
        });
        let language = plan.language;
        let (ended, when_ended) = oneshot::channel();
        inner.tasks.spawn(writer.run(when_ended).in_current_span());
        let toolbox = Toolbox {
            db: inner.db.clone(),
            scope: right.scope,
            call: right.call,
            zone: context.agent.time_zone,
            known: context.known,
        };
        let world = Around {
            toolbox,
            rest: inner.rest.clone(),
            account,
            call_sid,
            language,
            recorder,
            live: inner.live.clone(),
        };
        let orders = Orders { call_over: slot.take_call_over(), drain: inner.drain.clone() };
        tracing::info!("a call begins");
        let reason = driver::drive(Session::new(plan), carrier, &inner.endpoint, orders, &world).await;
        let length = began.elapsed();
        tracing::info!(reason = reason.code(), length_s = length.as_secs(), "a call is over");
        metrics::counter!("neurosphere_calls_total", "reason" => reason.code()).increment(1);
        metrics::histogram!("neurosphere_call_seconds").record(length.as_secs_f64());
        // The writer may be gone only if it panicked; then nobody is left to tell.
        ended.send(reason).ok();
    }
}

/// What the driver of a call needs of the world.
struct Around {
    toolbox: Toolbox,
    rest: Rest,
    account: Account,
    call_sid: CallSid,
    language: Language,
    recorder: Recorder,
    live: Live,
}

impl World for Around {
    fn tool(&self, name: String, arguments: String) -> BoxFuture<'static, Used> {
        let toolbox = self.toolbox.clone();
        async move { toolbox.run(&name, &arguments).await }.in_current_span().boxed()
    }

    fn hang_up(&self) -> BoxFuture<'static, ()> {
        let (rest, account, call) = (self.rest.clone(), self.account.clone(), self.call_sid.clone());
        let hanging_up = async move {
            if let Err(trouble) = rest.hang_up(&account, &call).await {
                metrics::counter!("neurosphere_call_hang_ups_failed_total").increment(1);
                tracing::error!(fault = trouble.fault.chain(), "a call could not be hung up");
            }
        };
        hanging_up.in_current_span().boxed()
    }

    fn keep(&self, record: Record) {
        self.recorder.keep(record);
    }

    fn leaving(&self, reason: EndReason) {
        self.live.note_ending(&self.call_sid, reason, self.language);
    }
}
