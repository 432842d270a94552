//! What becomes of a tenant.

use async_graphql::{Context, ID, InputObject, Object};
use chrono::TimeDelta;

use super::parsed;
use super::payload::{changed, tenant_payloads};
use super::terms::Exceptions;
use crate::graphql::problem::{Problem, id};
use crate::tenants::life::{self, Terms};

/// Which tenant to take out of service, and why.
#[derive(InputObject)]
pub(super) struct SuspendTenantInput {
    /// The tenant's id.
    tenant_id: ID,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// Which tenant to put back into service, and why.
#[derive(InputObject)]
pub(super) struct ResumeTenantInput {
    /// The tenant's id.
    tenant_id: ID,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// Which tenant gets another name in hosts, and why.
#[derive(InputObject)]
pub(super) struct RenameTenantInput {
    /// The tenant's id.
    tenant_id: ID,
    /// The name that it gets: 3 to 40 of a-z, 0-9 and single hyphens.
    slug: String,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// What a tenant may take from now on: all of it, so that what is left out of the exceptions is as the plan says.
#[derive(InputObject)]
pub(super) struct SetTenantTermsInput {
    /// The tenant's id.
    tenant_id: ID,
    /// The key of the plan.
    plan: String,
    /// What is otherwise than the plan says.
    exceptions: Exceptions,
    /// Whether its schema is migrated before the others'.
    canary: bool,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// Which tenant to close, and why.
#[derive(InputObject)]
pub(super) struct CloseTenantInput {
    /// The tenant's id.
    tenant_id: ID,
    /// For how many days it can be had back: 0 to 365. Then everything of it is removed.
    #[graphql(default_with = "life::GRACE.num_days()")]
    grace_days: i64,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// Of which tenant the closing is taken back, and why.
#[derive(InputObject)]
pub(super) struct ReopenTenantInput {
    /// The tenant's id.
    tenant_id: ID,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

tenant_payloads! {
    /// The tenant out of service, or why it is as it was.
    SuspendTenantPayload;
    /// The tenant in service, or why it is as it was.
    ResumeTenantPayload;
    /// The tenant under its new name, or why it has the old one.
    RenameTenantPayload;
    /// The tenant with its new terms, or why it has the old ones.
    SetTenantTermsPayload;
    /// The tenant within its grace period, or why it was not closed.
    CloseTenantPayload;
    /// The tenant in service again, or why it stays closed.
    ReopenTenantPayload;
}

/// Changing tenants.
#[derive(Default)]
pub(super) struct Lives;

#[Object]
impl Lives {
    /// Takes a tenant out of service; its data stays.
    async fn suspend_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and why.")] input: SuspendTenantInput,
    ) -> Result<SuspendTenantPayload, Problem> {
        let SuspendTenantInput { tenant_id, reason } = input;
        let deed = async |tx: &mut _| life::suspend(tx, id(&tenant_id, "tenant")?, &reason).await;
        Ok(changed(ctx, deed).await?.into())
    }

    /// Puts a suspended tenant back into service.
    async fn resume_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and why.")] input: ResumeTenantInput,
    ) -> Result<ResumeTenantPayload, Problem> {
        let ResumeTenantInput { tenant_id, reason } = input;
        let deed = async |tx: &mut _| life::resume(tx, id(&tenant_id, "tenant")?, &reason).await;
        Ok(changed(ctx, deed).await?.into())
    }

    /// Gives a tenant another name in hosts. The old one leads to it for 30 days, and nobody else ever gets it.
    async fn rename_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, its new name, and why.")] input: RenameTenantInput,
    ) -> Result<RenameTenantPayload, Problem> {
        let RenameTenantInput { tenant_id, slug, reason } = input;
        let deed = async |tx: &mut _| {
            life::rename(tx, id(&tenant_id, "tenant")?, &parsed("slug", &slug)?, &reason).await
        };
        Ok(changed(ctx, deed).await?.into())
    }

    /// Says what a tenant may take, from its next request on.
    async fn set_tenant_terms(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, what it may take, and why.")] input: SetTenantTermsInput,
    ) -> Result<SetTenantTermsPayload, Problem> {
        let SetTenantTermsInput { tenant_id, plan, exceptions, canary, reason } = input;
        let terms = Terms { plan, exceptions: exceptions.into(), canary };
        let deed = async |tx: &mut _| life::set_terms(tx, id(&tenant_id, "tenant")?, &terms, &reason).await;
        Ok(changed(ctx, deed).await?.into())
    }

    /// Takes a tenant out of service for good: when its grace period is over, everything of it is removed.
    async fn close_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, when, and why.")] input: CloseTenantInput,
    ) -> Result<CloseTenantPayload, Problem> {
        let CloseTenantInput { tenant_id, grace_days, reason } = input;
        let grace = TimeDelta::try_days(grace_days).unwrap_or(TimeDelta::MAX);
        let deed = async |tx: &mut _| life::close(tx, id(&tenant_id, "tenant")?, &reason, grace).await;
        Ok(changed(ctx, deed).await?.into())
    }

    /// Takes the closing of a tenant back, within its grace period.
    async fn reopen_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and why.")] input: ReopenTenantInput,
    ) -> Result<ReopenTenantPayload, Problem> {
        let ReopenTenantInput { tenant_id, reason } = input;
        let deed = async |tx: &mut _| life::reopen(tx, id(&tenant_id, "tenant")?, &reason).await;
        Ok(changed(ctx, deed).await?.into())
    }
}
