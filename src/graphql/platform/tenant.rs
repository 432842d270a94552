//! A tenant as operators see it: from outside.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::base_domain;
use super::clusters::Cluster;
use super::loaders::{self, DomainsKey, NumbersKey};
use super::log::{self, AuditEntry};
use super::terms::Terms;
use crate::audit::Chain;
use crate::graphql::page::{Listed, cost};
use crate::graphql::problem::Problem;
use crate::tenants::{self, domains};

/// A business on the platform, seen from outside: nothing of what it keeps.
pub(super) struct Tenant(pub(super) tenants::Tenant);

/// A business on the platform, seen from outside: nothing of what it keeps.
#[Object]
impl Tenant {
    /// Its id.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// Its name in hosts.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// Its name for people.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The host where its own API is, beside its own domains.
    #[expect(clippy::unused_async, reason = "resolvers are asynchronous")]
    async fn host(&self, ctx: &Context<'_>) -> Result<String, Problem> {
        Ok(format!("{}.{}", self.0.slug, base_domain(ctx)?))
    }

    /// Where it is in its life.
    async fn state(&self) -> TenantState {
        self.0.state.into()
    }

    /// Its telephone numbers in E.164 form, in order.
    async fn numbers(&self, ctx: &Context<'_>) -> Result<Vec<String>, Problem> {
        let numbers = loaders::one(ctx, NumbersKey(self.0.id)).await?.unwrap_or_default();
        Ok(numbers.iter().map(|number| number.reveal().to_owned()).collect())
    }

    /// Hosts of its own, proved or not, in order.
    async fn domains(&self, ctx: &Context<'_>) -> Result<Vec<Domain>, Problem> {
        let domains = loaders::one(ctx, DomainsKey(self.0.id)).await?.unwrap_or_default();
        Ok(domains.into_iter().map(Domain::from).collect())
    }

    /// What it may take.
    async fn terms(&self) -> Terms<'_> {
        Terms(&self.0)
    }

    /// The Postgres cluster that keeps its data.
    async fn cluster(&self) -> Cluster {
        Cluster::named(self.0.cluster.as_str())
    }

    /// The version of its schema; 0 until it is made.
    async fn schema_version(&self) -> i32 {
        self.0.schema_version
    }

    /// When everything of it is removed; absent unless it is closed.
    async fn closes_at(&self) -> Option<DateTime<Utc>> {
        self.0.closes_at
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// What was done to it, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<AuditEntry>, Problem> {
        log::page(ctx, Chain::Tenant(self.0.id), first, after).await
    }
}

/// Where a tenant is in its life.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "tenants::State")]
pub(super) enum TenantState {
    /// Being made; nobody reaches it yet.
    Provisioning,
    /// In service.
    Active,
    /// Kept, but out of service.
    Suspended,
    /// Under way to another cluster.
    Moving,
    /// Being replaced by a backup.
    Restoring,
    /// Within its grace period, or being removed.
    Deleting,
    /// Gone; its names stay taken.
    Deleted,
}

/// A host of a tenant's own. It leads to the tenant once a worker has found the record that proves it.
#[derive(SimpleObject)]
pub(super) struct Domain {
    /// Its name.
    host: String,
    /// What the holder of the host must publish.
    record: TxtRecord,
    /// Since when it is proved; absent until then.
    verified_at: Option<DateTime<Utc>>,
    /// When it was last looked for.
    checked_at: Option<DateTime<Utc>>,
    /// What was wrong then; absent when nothing was.
    failure: Option<String>,
}

/// A TXT record of the domain name system.
#[derive(SimpleObject)]
pub(super) struct TxtRecord {
    /// Its name.
    name: String,
    /// What it must say.
    value: String,
}

impl From<domains::Domain> for Domain {
    fn from(domain: domains::Domain) -> Self {
        Self {
            record: TxtRecord { name: domain.record_name(), value: domain.record_value() },
            host: domain.host,
            verified_at: domain.verified_at,
            checked_at: domain.checked_at,
            failure: domain.failure,
        }
    }
}
