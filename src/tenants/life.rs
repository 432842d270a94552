//! What becomes of a tenant: suspended and resumed, renamed, given another plan, closed and in the end removed. Every step
//! asks for the right, obeys the machine of states, and is a row of the audit log. Must never know a transport.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::birth::{claim_skeleton, claim_slug};
use super::slug::Slug;
use super::{State, Tenant, conflict, jobs, mirror, store};
use crate::access::{Action, PlatformScope};
use crate::audit::{self, Chain, Deed};
use crate::db::Db;
use crate::db::owner::Owners;
use crate::db::page::Page;
use crate::db::tx::PlatformTx;
use crate::error::{Error, Fault};
use crate::ids::TenantId;
use crate::tenancy::Limits;

/// How long a closed tenant can be had back, where nothing else is said.
pub const GRACE: TimeDelta = TimeDelta::days(30);
const GRACE_DAYS_MAX: i64 = 365;
const SEARCH_CHARS_MAX: usize = 200;

/// The tenant with this id.
pub async fn get(tx: &mut PlatformTx, id: TenantId) -> Result<Tenant, Error> {
    tx.permit(Action::TenantsRead)?;
    Ok(store::by_id(tx, id.uuid()).await?.ok_or(Error::NotFound("tenant"))?.try_into()?)
}

/// The tenant that has this slug now.
pub async fn named(tx: &mut PlatformTx, slug: &Slug) -> Result<Tenant, Error> {
    tx.permit(Action::TenantsRead)?;
    Ok(store::by_slug(tx, slug.as_str()).await?.ok_or(Error::NotFound("tenant"))?.try_into()?)
}

/// A page of tenants, newest first; `search` looks into slugs and names.
pub async fn list(
    tx: &mut PlatformTx,
    page: Page,
    state: Option<State>,
    search: Option<&str>,
) -> Result<Vec<Tenant>, Error> {
    tx.permit(Action::TenantsRead)?;
    if search.is_some_and(|text| text.contains('\0') || SEARCH_CHARS_MAX < text.chars().count()) {
        return Err(Error::invalid("search", "must have at most 200 characters, and not U+0000"));
    }
    let search = search.map(str::trim).filter(|text| !text.is_empty());
    let rows = store::page(tx, page, state.map(State::name), search).await?;
    Ok(rows.into_iter().map(Tenant::try_from).collect::<Result<_, Fault>>()?)
}

/// Takes a tenant out of service; its data stays.
pub async fn suspend(tx: &mut PlatformTx, id: TenantId, reason: &str) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    step(tx, &scope, id, Step { to: State::Suspended, action: "tenant.suspend", reason, closes_after: None })
        .await
}

/// Puts a suspended tenant back into service.
pub async fn resume(tx: &mut PlatformTx, id: TenantId, reason: &str) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    let tenant = locked(tx, id).await?;
    if tenant.state != State::Suspended {
        return Err(no_such_step(tenant.state, State::Active));
    }
    step(tx, &scope, id, Step { to: State::Active, action: "tenant.resume", reason, closes_after: None })
        .await
}

/// Takes a tenant out of service for good. Until the grace period is over it can be had back; then everything of it is
/// removed.
pub async fn close(
    tx: &mut PlatformTx,
    id: TenantId,
    reason: &str,
    grace: TimeDelta,
) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsClose)?;
    if !(0..=GRACE_DAYS_MAX).contains(&grace.num_days()) || grace < TimeDelta::zero() {
        return Err(Error::invalid("graceDays", "must be from 0 to 365"));
    }
    let to = Step { to: State::Deleting, action: "tenant.close", reason, closes_after: Some(grace) };
    let tenant = step(tx, &scope, id, to).await?;
    jobs::drop_at(tx, id, tx.now() + grace).await?;
    Ok(tenant)
}

/// Takes the closing of a tenant back.
pub async fn reopen(tx: &mut PlatformTx, id: TenantId, reason: &str) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsClose)?;
    let tenant = locked(tx, id).await?;
    if tenant.state != State::Deleting {
        return Err(no_such_step(tenant.state, State::Active));
    }
    step(tx, &scope, id, Step { to: State::Active, action: "tenant.reopen", reason, closes_after: None })
        .await
}

/// One step along the machine of states.
struct Step<'a> {
    to: State,
    action: &'static str,
    reason: &'a str,
    closes_after: Option<TimeDelta>,
}

async fn step(
    tx: &mut PlatformTx,
    scope: &PlatformScope,
    id: TenantId,
    step: Step<'_>,
) -> Result<Tenant, Error> {
    let reason = audit::reason(step.reason)?;
    let tenant = locked(tx, id).await?;
    if !tenant.state.may_become(step.to) {
        return Err(no_such_step(tenant.state, step.to));
    }
    let closes_at = step.closes_after.map(|grace| tx.now() + grace);
    store::life::set_state(tx, id.uuid(), step.to.name(), closes_at).await?;
    let (before, after) =
        (json!({ "state": tenant.state.name() }), json!({ "state": step.to.name(), "closes_at": closes_at }));
    let deed = Deed { action: step.action, subject: &tenant.slug, reason: Some(reason), before, after };
    audit::record(tx, scope, Chain::Tenant(id), deed).await?;
    jobs::after_change(tx, &tenant).await?;
    Ok(Tenant { state: step.to, closes_at, ..tenant })
}

fn no_such_step(from: State, to: State) -> Error {
    conflict("state", &format!("a tenant that is {} cannot become {}", from.name(), to.name()))
}

/// The tenant, which nobody else changes until the end of the transaction.
pub(super) async fn locked(tx: &mut PlatformTx, id: TenantId) -> Result<Tenant, Error> {
    Ok(store::locked(tx, id.uuid()).await?.ok_or(Error::NotFound("tenant"))?.try_into()?)
}

/// Gives a tenant another name in hosts. The old one leads to it for a while, and nobody else can ever take it.
pub async fn rename(tx: &mut PlatformTx, id: TenantId, slug: &Slug, reason: &str) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    let reason = audit::reason(reason)?;
    let tenant = locked(tx, id).await?;
    if matches!(tenant.state, State::Deleting | State::Deleted) {
        return Err(conflict("state", "a tenant that is closed keeps its name"));
    }
    if tenant.slug == slug.as_str() {
        return Ok(tenant);
    }
    let distinct = claim_skeleton(tx, slug, id).await?;
    claim_slug(tx, slug, id, distinct).await?;
    store::life::rename(tx, id.uuid(), slug.as_str()).await?;
    let (before, after) = (json!({ "slug": tenant.slug }), json!({ "slug": slug.as_str() }));
    let deed = Deed { action: "tenant.rename", subject: slug.as_str(), reason: Some(reason), before, after };
    audit::record(tx, &scope, Chain::Tenant(id), deed).await?;
    jobs::after_change(tx, &tenant).await?;
    Ok(Tenant { slug: slug.to_string(), ..tenant })
}

/// Exceptions from the plan; what is `None` is as the plan says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exceptions {
    /// See [`crate::tenancy::Limits::transactions_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions_max: Option<u16>,
    /// See [`crate::tenancy::Limits::requests_per_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_s: Option<u16>,
    /// See [`crate::tenancy::Limits::statement_ms_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_ms_max: Option<u32>,
    /// See [`crate::tenancy::Limits::calls_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u16>,
    /// See [`crate::tenancy::Limits::jobs_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_max: Option<u16>,
}

impl Exceptions {
    fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("transactionsMax", self.transactions_max.map(u32::from), 1..=1_000),
            ("requestsPerS", self.requests_per_s.map(u32::from), 1..=10_000),
            ("statementMsMax", self.statement_ms_max, 100..=60_000),
            ("callsMax", self.calls_max.map(u32::from), 0..=10_000),
            ("jobsMax", self.jobs_max.map(u32::from), 1..=1_000),
        ];
        for (field, value, allowed) in bounds {
            if value.is_some_and(|value| !allowed.contains(&value)) {
                let message = format!("must be from {} to {}", allowed.start(), allowed.end());
                return Err(Error::invalid(field, message));
            }
        }
        Ok(())
    }
}

/// What a tenant may take from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The plan's key.
    pub plan: String,
    /// What is otherwise than the plan says.
    pub exceptions: Exceptions,
    /// Whether its schema is migrated before the others'.
    pub canary: bool,
}

/// Gives a tenant another plan, or exceptions from it; in force with the next request.
pub async fn set_terms(
    tx: &mut PlatformTx,
    id: TenantId,
    terms: &Terms,
    reason: &str,
) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    let reason = audit::reason(reason)?;
    terms.exceptions.check()?;
    let tenant = locked(tx, id).await?;
    must_be_a_plan(tx, &terms.plan).await?;
    let limits = json!(terms.exceptions);
    store::life::set_plan(tx, id.uuid(), (&terms.plan, &limits, terms.canary)).await?;
    let before = json!({ "plan": tenant.plan, "limits": tenant.exceptions, "canary": tenant.canary });
    let after = json!({ "plan": terms.plan, "limits": limits, "canary": terms.canary });
    let deed = Deed { action: "tenant.terms", subject: &tenant.slug, reason: Some(reason), before, after };
    audit::record(tx, &scope, Chain::Tenant(id), deed).await?;
    jobs::after_change(tx, &tenant).await?;
    Ok(Tenant { plan: terms.plan.clone(), exceptions: terms.exceptions, canary: terms.canary, ..tenant })
}

/// Refuses what is not the key of a plan.
pub(super) async fn must_be_a_plan(tx: &mut PlatformTx, key: &str) -> Result<(), Error> {
    if !key.contains('\0') && store::life::plan_exists(tx, key).await? {
        return Ok(());
    }
    Err(Error::invalid("plan", "is not one of the plans"))
}

/// Removes a tenant whose grace period is over, with everything that was its own. May be repeated; true once it is gone.
pub async fn remove(db: &Db, owners: &Owners, scope: &PlatformScope, id: TenantId) -> Result<bool, Error> {
    let mut tx = db.operate(scope).await?;
    tx.permit(Action::TenantsKeep)?;
    let tenant = locked(&mut tx, id).await?;
    let due = tenant.state == State::Deleting && tenant.closes_at.is_some_and(|at| at <= tx.now());
    if !due {
        return Ok(tenant.state == State::Deleted);
    }
    drop(tx);
    let cluster = db.cluster_named(tenant.cluster.as_str())?;
    owners.drop_tenant(&tenant.cluster, id).await?;
    if !tenant.cluster.is_main() {
        store::life::remove_at(db, cluster, id.uuid()).await?;
    }
    let mut tx = db.operate(scope).await?;
    if locked(&mut tx, id).await?.state == State::Deleted {
        return Ok(true);
    }
    store::life::remove(&mut tx, id.uuid()).await?;
    let (before, after) =
        (json!({ "state": tenant.state.name() }), json!({ "state": State::Deleted.name() }));
    let deed = Deed { action: "tenant.remove", subject: &tenant.slug, reason: None, before, after };
    audit::record(&mut tx, scope, Chain::Tenant(id), deed).await?;
    tx.commit().await?;
    mirror::tenant(db, id).await?;
    Ok(true)
}

/// A plan, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The name in commands.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// What a tenant may take that has no exceptions from it.
    pub limits: Limits,
}

/// The plans.
pub async fn plans(tx: &mut PlatformTx) -> Result<Vec<Plan>, Error> {
    tx.permit(Action::TenantsRead)?;
    Ok(store::life::plans(tx).await?)
}

/// What each of these tenants may take now: as its plan says, but for its exceptions.
pub async fn limits(tx: &mut PlatformTx, tenants: &[TenantId]) -> Result<Vec<(TenantId, Limits)>, Error> {
    tx.permit(Action::TenantsRead)?;
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.uuid()).collect();
    Ok(store::life::limits(tx, &ids).await?)
}
