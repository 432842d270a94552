//! What can be changed. Every payload carries what was changed, or the errors because of which nothing was.

use async_graphql::{Context, ID, InputObject, Json, MergedObject, Object, SimpleObject};
use serde_json::Value;

use super::agent::{Agent, UpdateAgentInput};
use super::caller::Caller;
use super::keys::KeyChanges;
use super::member_changes::MemberChanges;
use super::memory::{Memory, MemoryKind};
use super::problem::{Problem, UserError, id, refusal};
use super::session;
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::memory::{NewMemory, Source};
use crate::{callers, memory, tenants};

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(Changes, KeyChanges, MemberChanges);

/// Changing what the business keeps.
#[derive(Default)]
struct Changes;

/// Whose profile to change, and how.
#[derive(InputObject)]
pub(super) struct UpdateCallerProfileInput {
    /// The caller's id.
    caller_id: ID,
    /// A JSON merge patch (RFC 7396): objects merge, null removes, everything else replaces.
    patch: Json<Value>,
    /// The revision that was looked at; when the profile was changed since, nothing is overwritten.
    expected_revision: Option<i32>,
}

/// What to remember, and about whom.
#[derive(InputObject)]
pub(super) struct RememberInput {
    /// The caller's id.
    caller_id: ID,
    /// One sentence of at most 1000 characters.
    text: String,
    /// What it is about.
    #[graphql(default_with = "MemoryKind::Fact")]
    kind: MemoryKind,
    /// From 1 to 5.
    #[graphql(default = 3)]
    importance: i32,
}

/// What to forget.
#[derive(InputObject)]
pub(super) struct ForgetInput {
    /// The memory's id.
    memory_id: ID,
}

/// The agent as changed, or why nothing was.
#[derive(SimpleObject)]
pub(super) struct UpdateAgentPayload {
    /// The agent after the change.
    agent: Option<Agent>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The caller with the changed profile, or why nothing was changed.
#[derive(SimpleObject)]
pub(super) struct UpdateCallerProfilePayload {
    /// The caller after the change.
    caller: Option<Caller>,
    /// Why nothing was changed; of a profile that breaks its template every broken rule by JSON Pointer.
    errors: Vec<UserError>,
}

/// The new memory, or why there is none.
#[derive(SimpleObject)]
pub(super) struct RememberPayload {
    /// The memory; the one that is there already when the same words were remembered before.
    memory: Option<Memory>,
    /// Why nothing was remembered; empty when all went well.
    errors: Vec<UserError>,
}

/// The forgotten memory's id, or why it was not forgotten.
#[derive(SimpleObject)]
pub(super) struct ForgetPayload {
    /// The id of what is forgotten.
    memory_id: Option<ID>,
    /// Why nothing was forgotten; empty when all went well.
    errors: Vec<UserError>,
}

#[Object]
impl Changes {
    /// Changes how the agent speaks, from the next call on.
    async fn update_agent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateAgentInput,
    ) -> Result<UpdateAgentPayload, Problem> {
        let mut session = session(ctx).await?;
        let mut tx = session.begin().await?;
        let changed = tenants::change_agent(&mut tx, input.into()).await;
        let (agent, errors) = settled(tx, changed).await?;
        Ok(UpdateAgentPayload { agent: agent.map(Agent), errors })
    }

    /// Changes a caller's profile within its template.
    async fn update_caller_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose profile, and the patch.")] input: UpdateCallerProfileInput,
    ) -> Result<UpdateCallerProfilePayload, Problem> {
        let mut session = session(ctx).await?;
        let mut tx = session.begin().await?;
        let changed = patch_profile(&mut tx, input).await;
        let (caller, errors) = settled(tx, changed).await?;
        Ok(UpdateCallerProfilePayload { caller: caller.map(Caller), errors })
    }

    /// Remembers something about a caller.
    async fn remember(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What, and about whom.")] input: RememberInput,
    ) -> Result<RememberPayload, Problem> {
        let mut session = session(ctx).await?;
        let mut tx = session.begin().await?;
        let added = remember(&mut tx, input).await;
        let (memory, errors) = settled(tx, added).await?;
        Ok(RememberPayload { memory: memory.map(Memory), errors })
    }

    /// Forgets something for good.
    async fn forget(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to forget.")] input: ForgetInput,
    ) -> Result<ForgetPayload, Problem> {
        let mut session = session(ctx).await?;
        let mut tx = session.begin().await?;
        let forgotten = forget(&mut tx, &input.memory_id).await;
        let (done, errors) = settled(tx, forgotten).await?;
        Ok(ForgetPayload { memory_id: done.map(|()| input.memory_id), errors })
    }
}

async fn patch_profile(
    tx: &mut TenantTx<'_>,
    input: UpdateCallerProfileInput,
) -> Result<callers::Caller, Error> {
    let caller = id(&input.caller_id, "caller")?;
    callers::patch_profile(tx, caller, &input.patch.0, input.expected_revision).await?;
    callers::get(tx, caller).await
}

async fn remember(tx: &mut TenantTx<'_>, input: RememberInput) -> Result<memory::Memory, Error> {
    let new = NewMemory {
        caller: id(&input.caller_id, "caller")?,
        call: None,
        kind: input.kind.into(),
        text: input.text,
        importance: i16::try_from(input.importance).unwrap_or(i16::MAX),
        source: Source::Staff,
    };
    memory::remember(tx, new).await
}

async fn forget(tx: &mut TenantTx<'_>, memory: &ID) -> Result<(), Error> {
    memory::forget(tx, id(memory, "memory")?).await
}

/// Commits what went well; a refusal is rolled back and becomes the errors of the payload.
pub(super) async fn settled<T>(
    tx: TenantTx<'_>,
    result: Result<T, Error>,
) -> Result<(Option<T>, Vec<UserError>), Problem> {
    match result {
        Ok(done) => {
            tx.commit().await?;
            Ok((Some(done), Vec::new()))
        }
        Err(error) => Ok((None, refusal(error)?)),
    }
}
