//! Tenants: how they are made ([`birth`]), what becomes of them ([`life`]), by which numbers, hosts and keys they are
//! reached ([`reach`], [`numbers`], [`domains`], [`keys`]), where they are kept ([`clusters`]), and how their agent speaks
//! ([`mod@agent`]). Owns the registry and the agent's settings; must never know what happens in a call, nor any transport.
//!
//! Operations on tenants from outside take a [`PlatformTx`](crate::db::tx::PlatformTx) that was begun on an operator's
//! behalf; what a tenant does itself takes its own [`TenantTx`].

pub mod agent;
pub mod birth;
pub mod clusters;
pub mod domains;
pub mod jobs;
pub mod keys;
pub mod life;
pub mod mirror;
pub mod numbers;
pub mod persona;
pub mod reach;
pub mod slug;
mod store;

use chrono::{DateTime, Utc};

use crate::access::Action;
use crate::db::tx::TenantTx;
use crate::error::{Error, Fault, OrFault as _};
use crate::ids::{ClusterName, TemplateVersionId, TenantId};
use crate::words::words;
use agent::{Agent, AgentChange};
use life::Exceptions;

words! {
    /// Where a tenant is in its life.
    State {
        /// Being made; nobody reaches it yet.
        Provisioning = "provisioning",
        /// In service.
        Active = "active",
        /// Kept, but out of service.
        Suspended = "suspended",
        /// Under way to another cluster.
        Moving = "moving",
        /// Being replaced by a backup.
        Restoring = "restoring",
        /// Within its grace period, or being removed.
        Deleting = "deleting",
        /// Gone; its names stay taken.
        Deleted = "deleted",
    }
}

impl State {
    /// Whether the machine of states has this step.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Provisioning => matches!(next, Self::Active | Self::Deleting),
            Self::Active => matches!(next, Self::Suspended | Self::Moving | Self::Restoring | Self::Deleting),
            Self::Suspended => matches!(next, Self::Active | Self::Moving | Self::Restoring | Self::Deleting),
            Self::Moving | Self::Restoring => matches!(next, Self::Active | Self::Suspended),
            Self::Deleting => matches!(next, Self::Active | Self::Deleted),
            Self::Deleted => false,
        }
    }

    fn read(name: &str) -> Result<Self, Fault> {
        Self::named(name)
            .ok_or_else(|| Fault::new("read a tenant's state: it is none that this version knows"))
    }
}

/// A business on the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id, which names its schema too.
    pub id: TenantId,
    /// Its name in hosts.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// The template version that new profiles follow.
    pub template_version: TemplateVersionId,
    /// Where its schema is.
    pub cluster: ClusterName,
    /// The version of its schema; 0 until it is made.
    pub schema_version: i32,
    /// What it may take.
    pub plan: String,
    /// What is otherwise than the plan says.
    pub exceptions: Exceptions,
    /// Whether its schema is migrated before the others'.
    pub canary: bool,
    /// When everything of it is removed, once it is closed.
    pub closes_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl TryFrom<store::TenantRow> for Tenant {
    type Error = Fault;

    fn try_from(row: store::TenantRow) -> Result<Self, Fault> {
        Ok(Self {
            id: row.id.into(),
            state: State::read(&row.state)?,
            slug: row.slug,
            name: row.name,
            template_version: row.template_version.into(),
            cluster: row.cluster.parse().or_fault("read a tenant's cluster")?,
            schema_version: row.schema_version,
            plan: row.plan,
            exceptions: serde_json::from_value(row.limits).or_fault("read a tenant's exceptions")?,
            canary: row.canary,
            closes_at: row.closes_at,
            created_at: row.created_at,
        })
    }
}

fn conflict(code: &'static str, message: &str) -> Error {
    Error::Conflict { code, message: message.to_owned() }
}

/// The tenant itself; run on the control plane's cluster ([`crate::db::Db::registry`]).
pub async fn own(tx: &mut TenantTx<'_>) -> Result<Tenant, Error> {
    tx.permit(Action::TenantRead)?;
    Ok(store::own(tx).await?.ok_or(Error::NotFound("tenant"))?.try_into()?)
}

/// How the tenant's agent speaks.
pub async fn agent(tx: &mut TenantTx<'_>) -> Result<Agent, Error> {
    tx.permit(Action::AgentRead)?;
    store::agent::agent(tx).await?.ok_or(Error::NotFound("agent"))
}

/// Changes how the tenant's agent speaks; a refused change changes nothing and names every broken rule.
pub async fn change_agent(tx: &mut TenantTx<'_>, change: AgentChange) -> Result<Agent, Error> {
    tx.permit(Action::AgentWrite)?;
    let before = store::agent::agent(tx).await?.ok_or(Error::NotFound("agent"))?;
    let mut next = before.changed(change)?;
    next.revision = store::agent::put_agent(tx, &next).await?.ok_or_else(|| {
        conflict(
            "being_upgraded",
            "this business is being upgraded; change the busy message again in some minutes",
        )
    })?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_never_leave_deleted_and_never_stand_still() {
        for state in State::ALL {
            assert!(!State::Deleted.may_become(*state));
            assert!(!state.may_become(*state), "{}", state.name());
            assert!(!state.may_become(State::Provisioning), "{}", state.name());
        }
        assert!(State::Provisioning.may_become(State::Active));
        assert!(!State::Provisioning.may_become(State::Suspended));
    }
}
