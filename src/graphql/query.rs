//! What can be asked for.

use async_graphql::{Context, ID, Object};

use super::agent::Agent;
use super::call::Call;
use super::caller::Caller;
use super::keys::ApiKey;
use super::loaders::{self, CallKey, CallerKey};
use super::members::{Invitation, Member, Role, Session, Viewer};
use super::page::{Listed, connection, cost};
use super::problem::{Problem, found, id};
use super::tenant::Tenant;
use super::{asked, cursors, read, registry};
use crate::db::page::Page;
use crate::identity::{invitations, members, roles, sessions};
use crate::ids::{CallId, CallerId, MemberId};
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

    /// Whoever asks, and what they may do.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Viewer, Problem> {
        let (_, scope) = asked(ctx)?;
        let mut session = registry(ctx).await?;
        let mut tx = session.begin().await?;
        let member = members::own(&mut tx).await?;
        tx.commit().await?;
        Ok(Viewer::new(scope, member))
    }

    /// The business's members, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<Member>, Problem> {
        let cursors = cursors(ctx, "members")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let mut session = registry(ctx).await?;
        let mut tx = session.begin().await?;
        let rows = members::list(&mut tx, page).await?;
        tx.commit().await?;
        Ok(connection(page, rows, &cursors, |member| member.id.uuid(), Member::from))
    }

    /// The invitations, those that nobody can accept any more included, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn invitations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<Invitation>, Problem> {
        let cursors = cursors(ctx, "invitations")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let mut session = registry(ctx).await?;
        let mut tx = session.begin().await?;
        let rows = invitations::list(&mut tx, page).await?;
        tx.commit().await?;
        Ok(connection(page, rows, &cursors, |invitation| invitation.id.uuid(), Invitation::from))
    }

    /// The roles of the business's own, by name; at most 50.
    #[graphql(complexity = "roles::ROLES_MAX * child_complexity + 1")]
    async fn roles(&self, ctx: &Context<'_>) -> Result<Vec<Role>, Problem> {
        let mut session = registry(ctx).await?;
        let mut tx = session.begin().await?;
        let rows = roles::list(&mut tx).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(Role::from).collect())
    }

    /// The browsers in which a member is signed in, newest first: your own, or anybody's if you may change members.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member's id.")] member_id: ID,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<Session>, Problem> {
        let cursors = cursors(ctx, "sessions")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let mut rows = Vec::new();
        if let Some(member) = found(id::<MemberId>(&member_id, "member"))? {
            let mut session = registry(ctx).await?;
            let mut tx = session.begin().await?;
            rows = sessions::of_member(&mut tx, member, page).await?;
            tx.commit().await?;
        }
        Ok(connection(page, rows, &cursors, |session| session.id.uuid(), Session::from))
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
