//! What can be asked for.

use async_graphql::{Context, ID, InputObject, Object};

use super::clusters::Cluster;
use super::loaders::{self, ClustersKey};
use super::log::{self, AuditEntry};
use super::operators::Operator;
use super::tenant::{Tenant, TenantState};
use super::terms::Plan;
use super::{begin, cursors, parsed, read};
use crate::audit::Chain;
use crate::db::page::Page;
use crate::db::tx::PlatformTx;
use crate::error::Error;
use crate::graphql::page::{Listed, connection, cost};
use crate::graphql::problem::{Problem, found, id};
use crate::tenants::slug::Slug;
use crate::tenants::{self, life};
use crate::{ids, operators};

/// Everything that can be read: tenants from outside, clusters, the platform's own team and what it did.
pub struct Query;

/// Which tenants to list; what is left out does not matter.
#[derive(Default, InputObject)]
pub(super) struct TenantFilter {
    /// Those in this state.
    state: Option<TenantState>,
    /// Those whose slug or name contains this: 200 characters at most.
    search: Option<String>,
}

/// Everything that can be read: tenants from outside, clusters, the platform's own team and what it did.
#[Object]
impl Query {
    /// The operator whose key you use.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Operator, Problem> {
        Ok(read(ctx, operators::own).await?.into())
    }

    /// All tenants, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn tenants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only those that are so; all when left out.")] filter: Option<TenantFilter>,
    ) -> Result<Listed<Tenant>, Problem> {
        let cursors = cursors(ctx, "platform.tenants")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let TenantFilter { state, search } = filter.unwrap_or_default();
        let list = async |tx: &mut _| life::list(tx, page, state.map(Into::into), search.as_deref()).await;
        let rows = read(ctx, list).await?;
        Ok(connection(page, rows, &cursors, |tenant| tenant.id.uuid(), Tenant))
    }

    /// The tenant with this id, or with this slug; absent when there is none. Give one of the two.
    async fn tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "id", desc = "The tenant's id.")] tenant: Option<ID>,
        #[graphql(desc = "The name that it has in hosts now.")] slug: Option<String>,
    ) -> Result<Option<Tenant>, Problem> {
        let mut tx = begin(ctx).await?;
        let tenant = found(looked_up(&mut tx, tenant, slug).await)?;
        tx.commit().await?;
        Ok(tenant.map(Tenant))
    }

    /// The plans that tenants may follow, by key.
    async fn plans(&self, ctx: &Context<'_>) -> Result<Vec<Plan>, Problem> {
        let plans = read(ctx, life::plans).await?;
        Ok(plans.into_iter().map(Plan::from).collect())
    }

    /// The Postgres clusters that keep tenants' data, the control plane's first.
    async fn clusters(&self, ctx: &Context<'_>) -> Result<Vec<Cluster>, Problem> {
        let clusters = loaders::one(ctx, ClustersKey).await?.unwrap_or_default();
        Ok(clusters.iter().cloned().map(Cluster::from).collect())
    }

    /// The platform's own team, by name.
    async fn operators(&self, ctx: &Context<'_>) -> Result<Vec<Operator>, Problem> {
        let operators = read(ctx, operators::list).await?;
        Ok(operators.into_iter().map(Operator::from).collect())
    }

    /// What was done that concerns no single tenant, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<AuditEntry>, Problem> {
        log::page(ctx, Chain::Platform, first, after).await
    }
}

async fn looked_up(
    tx: &mut PlatformTx,
    by_id: Option<ID>,
    by_slug: Option<String>,
) -> Result<tenants::Tenant, Error> {
    match (by_id, by_slug) {
        (Some(tenant), None) => life::get(tx, id::<ids::TenantId>(&tenant, "tenant")?).await,
        (None, Some(slug)) => life::named(tx, &parsed::<Slug>("slug", &slug)?).await,
        (Some(_), Some(_)) | (None, None) => Err(Error::invalid("id", "or slug must be given, and not both")),
    }
}
