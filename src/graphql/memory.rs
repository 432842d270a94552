//! What is remembered about callers.

use async_graphql::{Context, Enum, ID, Object};
use chrono::{DateTime, Utc};

use super::call::Call;
use super::loaders::{self, CallKey};
use super::problem::Problem;
use crate::memory;

/// Something remembered about a caller.
pub(super) struct Memory(pub(super) memory::Memory);

/// Something remembered about a caller.
#[Object]
impl Memory {
    /// Its id.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// What it is about.
    async fn kind(&self) -> MemoryKind {
        self.0.kind.into()
    }

    /// One sentence.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// From 1 to 5.
    async fn importance(&self) -> i32 {
        self.0.importance.into()
    }

    /// Who wrote it.
    async fn source(&self) -> MemorySource {
        self.0.source.into()
    }

    /// The call that it came from.
    async fn call(&self, ctx: &Context<'_>) -> Result<Option<Call>, Problem> {
        let Some(call) = self.0.call else { return Ok(None) };
        Ok(loaders::one(ctx, CallKey(call)).await?.map(Call))
    }

    /// When it was written.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// What a memory is about.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "memory::Kind")]
pub(super) enum MemoryKind {
    /// Anything that is true of the caller.
    Fact,
    /// What the caller likes or wants.
    Preference,
    /// Somebody in the caller's life.
    Person,
    /// A vehicle.
    Vehicle,
    /// An insurance policy.
    Policy,
    /// A house, flat or plot.
    Property,
    /// Something to be done.
    Task,
}

/// Who wrote a memory.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "memory::Source")]
pub(super) enum MemorySource {
    /// The agent, during a call.
    Agent,
    /// The extraction after a call.
    Extraction,
    /// A member of staff.
    Staff,
}
