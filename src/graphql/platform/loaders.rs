//! What the platform's loaders read: of many tenants of one answer, one statement per kind of thing. Must never know which
//! node asks.

use async_graphql::Context;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::access::PlatformScope;
use crate::db::Db;
use crate::db::tx::PlatformTx;
use crate::error::Error;
use crate::graphql::batch::{Batches, Loader};
use crate::graphql::problem::Problem;
use crate::ids::{PhoneNumber, TenantId};
use crate::tenancy::Limits;
use crate::tenants::clusters::{self, Cluster};
use crate::tenants::domains::{self, Domain};
use crate::tenants::life::{self, Plan};
use crate::tenants::numbers;

/// What an operator's request reads with.
pub(super) struct Reader {
    pub(super) db: Db,
    pub(super) scope: PlatformScope,
}

impl Reader {
    /// Reads in a transaction of the operator's.
    pub(super) async fn read<T>(
        &self,
        look: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, Error>,
    ) -> Result<T, Problem> {
        let mut tx = self.db.operate(&self.scope).await?;
        let seen = look(&mut tx).await?;
        tx.commit().await?;
        Ok(seen)
    }
}

/// The thing of that key, if there is one.
pub(super) async fn one<K>(ctx: &Context<'_>, key: K) -> Result<Option<<Reader as Loader<K>>::Value>, Problem>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    Reader: Loader<K>,
{
    Batches::<Reader>::one(ctx, key).await
}

/// The numbers of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct NumbersKey(pub(super) TenantId);

impl Loader<NumbersKey> for Reader {
    type Value = Vec<PhoneNumber>;

    async fn load(&self, keys: &[NumbersKey]) -> Result<HashMap<NumbersKey, Vec<PhoneNumber>>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| numbers::of_each(tx, &ids).await).await?;
        Ok(grouped(found, NumbersKey))
    }
}

/// The hosts of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DomainsKey(pub(super) TenantId);

impl Loader<DomainsKey> for Reader {
    type Value = Vec<Domain>;

    async fn load(&self, keys: &[DomainsKey]) -> Result<HashMap<DomainsKey, Vec<Domain>>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| domains::of_each(tx, &ids).await).await?;
        Ok(grouped(found, DomainsKey))
    }
}

/// The limits in force of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LimitsKey(pub(super) TenantId);

impl Loader<LimitsKey> for Reader {
    type Value = Limits;

    async fn load(&self, keys: &[LimitsKey]) -> Result<HashMap<LimitsKey, Limits>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| life::limits(tx, &ids).await).await?;
        Ok(found.into_iter().map(|(tenant, limits)| (LimitsKey(tenant), limits)).collect())
    }
}

/// A plan by its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PlanKey(pub(super) String);

impl Loader<PlanKey> for Reader {
    type Value = Plan;

    async fn load(&self, _: &[PlanKey]) -> Result<HashMap<PlanKey, Plan>, Problem> {
        let plans = self.read(life::plans).await?;
        Ok(plans.into_iter().map(|plan| (PlanKey(plan.key.clone()), plan)).collect())
    }
}

/// All clusters, each of which is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ClustersKey;

impl Loader<ClustersKey> for Reader {
    type Value = Arc<[Cluster]>;

    async fn load(&self, _: &[ClustersKey]) -> Result<HashMap<ClustersKey, Arc<[Cluster]>>, Problem> {
        let clusters = clusters::overview(&self.db, &self.scope).await?;
        Ok(HashMap::from([(ClustersKey, clusters.into())]))
    }
}

/// The rows of each tenant, in their order.
fn grouped<K: Hash + Eq, T>(rows: Vec<(TenantId, T)>, key: impl Fn(TenantId) -> K) -> HashMap<K, Vec<T>> {
    let mut groups: HashMap<K, Vec<T>> = HashMap::new();
    for (tenant, row) in rows {
        groups.entry(key(tenant)).or_default().push(row);
    }
    groups
}
