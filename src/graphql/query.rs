//! What can be asked for.

use async_graphql::{Context, ID, Object};

use super::agent::Agent;
use super::call::Call;
use super::caller::Caller;
use super::keys::ApiKey;
use super::loaders::{self, CallKey, CallerKey};
use super::page::{Listed, connection, cost};
use super::problem::{Problem, found, id};
use super::tenant::Tenant;
use super::{cursors, read, registry};
use crate::db::page::Page;
use crate::ids::{CallId, CallerId};
use crate::tenants::keys;
use crate::{callers, calls, tenants};

/// Everything that can be read, always of the business whose host and key you use.
pub struct Query;

/// Everything that can be read, always of the business whose host and key you use.
#[Object]
impl Query {
    /// The business itself.
    async fn tenant(&self, ctx: &Context<'_>) -> Result<Tenant, Problem> {
        let mut session = registry(ctx).await?;
        Ok(Tenant(tenants::own(&mut session.read()).await?))
    }

    /// How the business's agent speaks.
    async fn agent(&self, ctx: &Context<'_>) -> Result<Agent, Problem> {
        Ok(Agent(read(ctx, tenants::agent).await?))
    }

    /// The people who have called, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn callers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only those whose name or number contains this.")] search: Option<String>,
    ) -> Result<Listed<Caller>, Problem> {
        let cursors = cursors(ctx, "callers")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let rows = read(ctx, async |tx| callers::list(tx, page, search.as_deref()).await).await?;
        Ok(connection(page, rows, &cursors, |caller| caller.id.uuid(), Caller))
    }

    /// The caller with this id; absent when there is none.
    async fn caller(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "id", desc = "The caller's id.")] caller: ID,
    ) -> Result<Option<Caller>, Problem> {
        let Some(caller) = found(id::<CallerId>(&caller, "caller"))? else { return Ok(None) };
        Ok(loaders::one(ctx, CallerKey(caller)).await?.map(Caller))
    }

    /// All calls, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn calls(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<Call>, Problem> {
        let cursors = cursors(ctx, "calls")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let rows = read(ctx, async |tx| calls::list(tx, page).await).await?;
        Ok(connection(page, rows, &cursors, |call| call.id.uuid(), Call))
    }

    /// The business's API keys, those that open nothing any more included, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<ApiKey>, Problem> {
        let cursors = cursors(ctx, "apiKeys")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let mut session = registry(ctx).await?;
        let rows = keys::list(&mut session.read(), page).await?;
        Ok(connection(page, rows, &cursors, |key| key.id.uuid(), ApiKey::from))
    }

    /// The call with this id; absent when there is none.
    async fn call(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "id", desc = "The call's id.")] call: ID,
    ) -> Result<Option<Call>, Problem> {
        let Some(call) = found(id::<CallId>(&call, "call"))? else { return Ok(None) };
        Ok(loaders::one(ctx, CallKey(call)).await?.map(Call))
    }
}
