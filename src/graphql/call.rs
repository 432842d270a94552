//! Calls: what was said, what happened, what came of it.

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::caller::Caller;
use super::cursors;
use super::loaders::{self, CallerKey, EventsOf, SummaryKey, TurnsOf};
use super::page::{self, Listed, connection, cost};
use super::problem::Problem;
use crate::calls;
use crate::db::page::Page;

/// A telephone call.
pub(super) struct Call(pub(super) calls::Call);

impl Call {
    /// A page of its numbered rows.
    fn stretch(&self, page: Page) -> calls::Stretch {
        calls::Stretch { call: self.0.id, after: page::after(page), limit: page::rows(page) }
    }
}

/// A telephone call.
#[Object]
impl Call {
    /// Its id.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// Who called; absent where the number was withheld.
    async fn caller(&self, ctx: &Context<'_>) -> Result<Option<Caller>, Problem> {
        let Some(caller) = self.0.caller else { return Ok(None) };
        Ok(loaders::one(ctx, CallerKey(caller)).await?.map(Caller))
    }

    /// The caller's number in E.164 form; absent where it was withheld.
    async fn from(&self) -> Option<&str> {
        self.0.from.as_ref().map(crate::ids::PhoneNumber::reveal)
    }

    /// The number that was dialled, in E.164 form.
    async fn to(&self) -> &str {
        self.0.to.reveal()
    }

    /// Where it is in its life.
    async fn state(&self) -> CallState {
        self.0.state.into()
    }

    /// The stable code of how it ended; absent while it has not.
    async fn end_reason(&self) -> Option<&str> {
        self.0.end_reason.as_deref()
    }

    /// When it came in.
    async fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// When agent and caller could talk.
    async fn connected_at(&self) -> Option<DateTime<Utc>> {
        self.0.connected_at
    }

    /// When it ended.
    async fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.0.ended_at
    }

    /// How many seconds it lasted.
    async fn duration_seconds(&self) -> Option<i32> {
        self.0.duration_s
    }

    /// What was said, in order.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn turns(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<Turn>, Problem> {
        let cursors = cursors(ctx, "turns")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let rows = loaders::one(ctx, TurnsOf(self.stretch(page))).await?.unwrap_or_default();
        Ok(connection(page, rows, &cursors, |turn| page::place_of(turn.sequence), Turn::from))
    }

    /// The log of everything that happened between carrier, gateway and model, in order.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<CallEvent>, Problem> {
        let cursors = cursors(ctx, "events")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let rows = loaders::one(ctx, EventsOf(self.stretch(page))).await?.unwrap_or_default();
        Ok(connection(page, rows, &cursors, |event| page::place_of(event.sequence), CallEvent::from))
    }

    /// What came of it; absent until it was concluded, shortly after its end.
    async fn summary(&self, ctx: &Context<'_>) -> Result<Option<CallSummary>, Problem> {
        Ok(loaders::one(ctx, SummaryKey(self.0.id)).await?.map(CallSummary::from))
    }
}

/// One utterance, the use of a tool, or keys pressed.
#[derive(Debug, SimpleObject)]
pub(super) struct Turn {
    /// Its place within the call, from 1.
    pub(super) sequence: i32,
    /// Who.
    speaker: Speaker,
    /// What; of an agent who was interrupted only what the caller heard.
    text: String,
    /// Its beginning, in milliseconds of the call's own clock.
    started_ms: i32,
    /// Its end, in milliseconds of the call's own clock.
    ended_ms: i32,
    /// Of the agent: how many milliseconds the caller heard.
    heard_ms: Option<i32>,
    /// Of the agent: whether the caller cut in.
    interrupted: bool,
}

impl From<calls::Turn> for Turn {
    fn from(turn: calls::Turn) -> Self {
        Self {
            sequence: turn.sequence,
            speaker: turn.speaker.into(),
            text: turn.text,
            started_ms: turn.started_ms,
            ended_ms: turn.ended_ms,
            heard_ms: turn.heard_ms,
            interrupted: turn.interrupted,
        }
    }
}

/// One entry of a call's log.
#[derive(SimpleObject)]
pub(super) struct CallEvent {
    /// Its place within the call, from 1.
    sequence: i32,
    /// When, in milliseconds of the call's own clock.
    at_ms: i32,
    /// Between whom.
    leg: Leg,
    /// The message's type.
    kind: String,
    /// Its essentials, without audio.
    data: Json<Value>,
}

impl From<calls::Event> for CallEvent {
    fn from(event: calls::Event) -> Self {
        Self {
            sequence: event.sequence,
            at_ms: event.at_ms,
            leg: event.leg.into(),
            kind: event.kind,
            data: Json(event.data),
        }
    }
}

/// What came of a call.
#[derive(SimpleObject)]
pub(super) struct CallSummary {
    /// Two or three sentences.
    text: String,
    /// What it was about.
    topics: Vec<String>,
    /// How the caller felt.
    sentiment: Sentiment,
    /// What became of the caller's concern.
    resolution: Resolution,
    /// What wrote it.
    source: SummarySource,
    /// Which model, where one did.
    model: Option<String>,
    /// When it was written.
    created_at: DateTime<Utc>,
}

impl From<calls::Summary> for CallSummary {
    fn from(summary: calls::Summary) -> Self {
        Self {
            text: summary.text,
            topics: summary.topics,
            sentiment: summary.sentiment.into(),
            resolution: summary.resolution.into(),
            source: summary.source.into(),
            model: summary.model,
            created_at: summary.created_at,
        }
    }
}

/// Where a call is in its life.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "calls::CallState")]
pub(super) enum CallState {
    /// It came in; nobody can talk yet.
    Ringing,
    /// The agent and the caller can talk.
    InProgress,
    /// It is over.
    Ended,
}

/// Who speaks.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "calls::Speaker")]
pub(super) enum Speaker {
    /// The person on the telephone.
    Caller,
    /// The agent.
    Agent,
    /// A tool that the agent used; the text says what it did.
    Tool,
    /// The caller's keypad.
    Keypad,
}

/// Between whom a message went.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "calls::Leg")]
pub(super) enum Leg {
    /// Carrier and gateway.
    Carrier,
    /// Gateway and model.
    Model,
    /// Within the gateway.
    Gateway,
}

/// How the caller felt.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "calls::Sentiment")]
pub(super) enum Sentiment {
    /// Glad.
    Positive,
    /// Neither glad nor unhappy.
    Neutral,
    /// Unhappy.
    Negative,
    /// Out of patience.
    Frustrated,
    /// Got what they wanted.
    Satisfied,
}

/// What became of the caller's concern.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "calls::Resolution")]
pub(super) enum Resolution {
    /// Settled in the call.
    Resolved,
    /// Somebody has something to do.
    Pending,
    /// Handed to a person.
    Escalated,
    /// Cannot be told.
    Unknown,
}

/// What wrote a summary.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "calls::SummarySource")]
pub(super) enum SummarySource {
    /// A language model.
    Model,
    /// Rules, because no model could be reached.
    Fallback,
}
