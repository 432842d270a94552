//! Calls: from the signed webhook to the summary. Owns calls, turns, events, summaries and the right to open a media
//! stream; must never know a wire protocol, neither the carrier's nor the model's.
//!
//! A call arrives ([`arrive`]), its stream is let in ([`redeem`], [`open`]), what is said is written ([`record`]), it ends
//! ([`end`], or [`report_ended`] where only the carrier knows), and [`jobs`] concludes it.

pub mod jobs;
pub mod outcome;
mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

use crate::access::{Action, Actor, Role, TenantScope};
use crate::callers;
use crate::db::Db;
use crate::db::page::{Page, PageOf};
use crate::db::tx::TenantTx;
use crate::error::{Error, Fault};
use crate::ids::{CallId, CallerId, PhoneNumber};
use crate::secret::{self, Secret};
use crate::tenancy::ClusterIndex;
use crate::tenants::agent::Agent;
use crate::words::words;

words! {
    /// Where a call is in its life.
    CallState {
        /// The webhook was answered; no stream yet.
        Ringing = "ringing",
        /// The agent and the caller can talk.
        InProgress = "in_progress",
        /// Over.
        Ended = "ended",
    }
}

words! {
    /// Who speaks.
    Speaker {
        /// The person on the telephone.
        Caller = "caller",
        /// The AI persona.
        Agent = "agent",
        /// A tool that the agent used; the text says what it did.
        Tool = "tool",
        /// The caller's keypad.
        Keypad = "keypad",
    }
}

words! {
    /// Between whom a message went.
    Leg {
        /// Carrier and gateway.
        Carrier = "carrier",
        /// Gateway and model.
        Model = "model",
        /// Within the gateway.
        Gateway = "gateway",
    }
}

words! {
    /// How the caller felt.
    Sentiment {
        /// Glad.
        Positive = "positive",
        /// Neither.
        Neutral = "neutral",
        /// Unhappy.
        Negative = "negative",
        /// Out of patience.
        Frustrated = "frustrated",
        /// Got what they wanted.
        Satisfied = "satisfied",
    }
}

words! {
    /// What became of the caller's concern.
    Resolution {
        /// Settled in the call.
        Resolved = "resolved",
        /// Somebody has something to do.
        Pending = "pending",
        /// Handed to a person.
        Escalated = "escalated",
        /// Cannot be told.
        Unknown = "unknown",
    }
}

words! {
    /// What wrote a summary.
    SummarySource {
        /// A language model.
        Model = "model",
        /// Rules, because no model could be reached.
        Fallback = "fallback",
    }
}

impl CallState {
    fn read(word: &str) -> Result<Self, Fault> {
        Self::named(word).ok_or_else(|| Fault::new("read a call's state: it is none that this version knows"))
    }
}

/// A phone call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// Who calls; unknown where the number is withheld.
    pub caller: Option<CallerId>,
    /// The caller's number, unless withheld.
    pub from: Option<PhoneNumber>,
    /// The number that was dialled.
    pub to: PhoneNumber,
    /// Where it is in its life.
    pub state: CallState,
    /// Stable code of how it ended.
    pub end_reason: Option<String>,
    /// When the webhook came.
    pub started_at: DateTime<Utc>,
    /// When the media stream came.
    pub connected_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Seconds from stream to end.
    pub duration_s: Option<i32>,
}

/// One utterance, or the use of a tool, or keys pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Order within the call, from 1.
    pub sequence: i32,
    /// Who.
    pub speaker: Speaker,
    /// What; of an interrupted agent only what was heard.
    pub text: String,
    /// From when, in ms of the call's own clock.
    pub started_ms: i32,
    /// Until when.
    pub ended_ms: i32,
    /// Of the agent: how much the caller heard.
    pub heard_ms: Option<i32>,
    /// Of the agent: the caller cut in.
    pub interrupted: bool,
}

/// One entry of a call's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Order within the call, from 1.
    pub sequence: i32,
    /// When, in ms of the call's own clock.
    pub at_ms: i32,
    /// Between whom.
    pub leg: Leg,
    /// The message's type.
    pub kind: String,
    /// Its essentials, without audio.
    pub data: Value,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Which call.
    pub call: CallId,
    /// Two or three sentences.
    pub text: String,
    /// What it was about.
    pub topics: Vec<String>,
    /// How the caller felt.
    pub sentiment: Sentiment,
    /// What became of the concern.
    pub resolution: Resolution,
    /// What wrote it.
    pub source: SummarySource,
    /// Which model, where one did.
    pub model: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A summary to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSummary {
    /// See [`Summary::text`].
    pub text: String,
    /// See [`Summary::topics`].
    pub topics: Vec<String>,
    /// See [`Summary::sentiment`].
    pub sentiment: Sentiment,
    /// See [`Summary::resolution`].
    pub resolution: Resolution,
    /// See [`Summary::source`].
    pub source: SummarySource,
    /// See [`Summary::model`].
    pub model: Option<String>,
}

/// What the webhook of an incoming call says.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The carrier's name for the call.
    pub call_sid: String,
    /// The carrier account.
    pub account_sid: String,
    /// The caller's number, unless withheld.
    pub from: Option<PhoneNumber>,
    /// The number that was dialled.
    pub to: PhoneNumber,
}

/// What becomes of a call that rings.
#[derive(Debug)]
pub enum Arrived {
    /// It was taken in.
    In {
        /// The call.
        call: CallId,
        /// Opens one media stream, once, within [`TOKEN_LIFE`].
        stream_token: Secret,
    },
    /// Every line that the tenant may have at once is taken; nothing was written.
    Busy {
        /// What the tenant wants said, if it said so.
        message: Option<String>,
        /// The language of its agent.
        language: String,
    },
}

/// How long a stream token is good.
pub const TOKEN_LIFE: TimeDelta = TimeDelta::seconds(90);
/// How long after the carrier's last report the gateway may still write before the call is closed for it.
const CLOSE_AFTER: Duration = Duration::from_secs(30);

/// Takes in a call. The same `call_sid` again, as a carrier's retry brings it, is the same call with a fresh token; a
/// call that has a stream already, or is over, is refused.
pub async fn arrive(tx: &mut TenantTx<'_>, arrival: &Arrival) -> Result<Arrived, Error> {
    tx.permit(Action::CallsArrive)?;
    let caller = match &arrival.from {
        Some(number) => Some(callers::meet(tx, number).await?),
        None => None,
    };
    let (language, message) = store::lines(tx).await?.ok_or(Error::NotFound("agent"))?;
    let Some((call, state)) = store::arrive(tx, arrival, caller).await? else {
        return Ok(Arrived::Busy { message, language });
    };
    if state != CallState::Ringing {
        return Err(Error::Conflict {
            code: "call_not_ringing",
            message: format!("the call is {} already", state.name()),
        });
    }
    // The stream must be looked for where the call's row is.
    let stream_token = Secret::new(format!("{}.{}", tx.cluster_name()?, secret::random_token()));
    let expires_at = tx.now() + TOKEN_LIFE;
    let digest = secret::digest(stream_token.reveal());
    store::add_token(tx, call, (&digest, &arrival.account_sid), expires_at).await?;
    Ok(Arrived::In { call, stream_token })
}

/// The right to hold a call, which a stream token gives.
#[derive(Debug, Clone)]
pub struct Redeemed {
    /// The call's scope.
    pub scope: TenantScope,
    /// The call.
    pub call: CallId,
}

/// The carrier account that a token was made for, so that the upgrade's signature can be checked before it is used up.
pub async fn token_account(db: &Db, token: &Secret) -> Result<Option<String>, Fault> {
    match token_cluster(db, token) {
        Some(cluster) => store::peek(db, cluster, &secret::digest(token.reveal())).await,
        None => Ok(None),
    }
}

/// Uses a stream token up. Unknown, used and expired ones are answered alike: with nothing.
pub async fn redeem(db: &Db, token: &Secret) -> Result<Option<Redeemed>, Fault> {
    let Some(cluster) = token_cluster(db, token) else { return Ok(None) };
    let found = store::redeem(db, cluster, &secret::digest(token.reveal())).await?;
    Ok(found.map(|(tenancy, call)| {
        let call = CallId::from(call);
        Redeemed { scope: TenantScope::mint(tenancy, Actor::Call(call), Role::Call), call }
    }))
}

/// The cluster that a token names; what was made up names none, or one that does not know it.
fn token_cluster(db: &Db, token: &Secret) -> Option<ClusterIndex> {
    let (cluster, _) = token.reveal().split_once('.')?;
    db.cluster_named(cluster).ok()
}

/// Everything that the gateway needs to answer a call.
#[derive(Debug, Clone)]
pub struct CallerContext {
    /// How the agent speaks.
    pub agent: Agent,
    /// For whom it speaks.
    pub business_name: String,
    /// The carrier's name for the call.
    pub call_sid: String,
    /// The carrier account.
    pub account_sid: String,
    /// What is known of the caller; nothing where the number is withheld.
    pub known: Option<Known>,
}

/// What is known of a caller.
#[derive(Debug, Clone)]
pub struct Known {
    /// Who.
    pub caller: CallerId,
    /// What they are called.
    pub name: Option<String>,
    /// Calls that ended before this one; 0 makes a new caller.
    pub calls_count: i32,
    /// One line of the essentials.
    pub quick_bio: String,
    /// The profile, under the business's template.
    pub profile: Value,
    /// The most important memories, at most 20.
    pub facts: Vec<String>,
    /// The last three summaries, newest first.
    pub summaries: Vec<String>,
    /// When they last called.
    pub last_call_at: Option<DateTime<Utc>>,
}

/// Opens a call: it becomes in progress and its context comes with it, in one statement and one round trip.
pub async fn open(db: &Db, scope: &TenantScope, call: CallId) -> Result<CallerContext, Error> {
    let mut session = db.tenant(scope).await?;
    store::open(&mut session, call).await?.ok_or(Error::NotFound("ringing call"))
}

/// Writes turns and events. Writing the same ones again changes nothing.
pub async fn record(
    tx: &mut TenantTx<'_>,
    call: CallId,
    turns: &[Turn],
    events: &[Event],
) -> Result<(), Error> {
    tx.permit(Action::CallsHold)?;
    if !turns.is_empty() {
        store::add_turns(tx, call, turns).await?;
    }
    if !events.is_empty() {
        store::add_events(tx, call, events).await?;
    }
    Ok(())
}

/// Ends a call, for a reason with a stable code, and has it concluded. Ending it again changes nothing.
pub async fn end(tx: &mut TenantTx<'_>, call: CallId, reason: &str) -> Result<(), Error> {
    tx.permit(Action::CallsHold)?;
    store::end(tx, call, reason).await?;
    crate::jobs::enqueue(tx, &jobs::CONCLUDE, &call.to_string()).await?;
    Ok(())
}

/// The carrier reports that a call is over. The gateway ends the calls that it holds itself; one that it does not hold,
/// or that it lost, is closed half a minute later.
pub async fn report_ended(tx: &mut TenantTx<'_>, call_sid: &str) -> Result<(), Error> {
    tx.permit(Action::CallsStatus)?;
    let Some((call, state, _)) = store::by_sid(tx, call_sid).await? else {
        return Err(Error::NotFound("call"));
    };
    if state != CallState::Ended {
        crate::jobs::enqueue_in(tx, &jobs::CLOSE, &call.to_string(), CLOSE_AFTER).await?;
    }
    Ok(())
}

/// How the call of this SID ended; `None` while it has not.
pub async fn end_reason(tx: &mut TenantTx<'_>, call_sid: &str) -> Result<Option<String>, Error> {
    tx.permit(Action::CallsRead)?;
    let (_, _, reason) = store::by_sid(tx, call_sid).await?.ok_or(Error::NotFound("call"))?;
    Ok(reason)
}

/// Those of the ids that are calls of this tenant.
pub async fn find(tx: &mut TenantTx<'_>, ids: &[CallId]) -> Result<Vec<Call>, Error> {
    tx.permit(Action::CallsRead)?;
    Ok(store::find(tx, &uuids(ids.iter().map(|id| id.uuid()))).await?)
}

/// The call with this id.
pub async fn get(tx: &mut TenantTx<'_>, id: CallId) -> Result<Call, Error> {
    find(tx, &[id]).await?.pop().ok_or(Error::NotFound("call"))
}

/// A page of calls, newest first.
pub async fn list(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Call>, Error> {
    tx.permit(Action::CallsRead)?;
    Ok(store::list(tx, page).await?)
}

/// A page of each caller's calls, newest first, in the order of those who were asked for.
pub async fn of_callers(tx: &mut TenantTx<'_>, asked: &[PageOf<CallerId>]) -> Result<Vec<Vec<Call>>, Error> {
    tx.permit(Action::CallsRead)?;
    Ok(store::of_callers(tx, asked).await?)
}

/// The last call of each of these callers.
pub async fn last_of(tx: &mut TenantTx<'_>, callers: &[CallerId]) -> Result<Vec<Call>, Error> {
    tx.permit(Action::CallsRead)?;
    Ok(store::last_of(tx, &uuids(callers.iter().map(|id| id.uuid()))).await?)
}

/// A stretch of what a call has in numbered rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The call.
    pub call: CallId,
    /// Only what has a greater sequence.
    pub after: i32,
    /// Rows at most.
    pub limit: u16,
}

/// A stretch of a call's turns, in order.
pub async fn turns(tx: &mut TenantTx<'_>, asked: Stretch) -> Result<Vec<Turn>, Error> {
    Ok(turns_of_each(tx, &[asked]).await?.pop().unwrap_or_default())
}

/// A stretch of each call's turns, in the order of the calls that were asked for.
pub async fn turns_of_each(tx: &mut TenantTx<'_>, asked: &[Stretch]) -> Result<Vec<Vec<Turn>>, Error> {
    tx.permit(Action::CallsRead)?;
    Ok(store::turns(tx, asked).await?)
}

/// A stretch of a call's log, in order.
pub async fn events(tx: &mut TenantTx<'_>, asked: Stretch) -> Result<Vec<Event>, Error> {
    Ok(events_of_each(tx, &[asked]).await?.pop().unwrap_or_default())
}

/// A stretch of each call's log, in the order of the calls that were asked for.
pub async fn events_of_each(tx: &mut TenantTx<'_>, asked: &[Stretch]) -> Result<Vec<Vec<Event>>, Error> {
    tx.permit(Action::CallsRead)?;
    Ok(store::events(tx, asked).await?)
}

/// The summaries of those of these calls that were concluded.
pub async fn summaries(tx: &mut TenantTx<'_>, calls: &[CallId]) -> Result<Vec<Summary>, Error> {
    tx.permit(Action::CallsRead)?;
    Ok(store::summaries(tx, &uuids(calls.iter().map(|id| id.uuid()))).await?)
}

fn uuids(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    ids.collect()
}
