//! The Postgres clusters that keep tenants' data.

use async_graphql::{Context, Object, SimpleObject};

use super::loaders::{self, ClustersKey};
use crate::graphql::problem::Problem;
use crate::tenants::clusters;

/// A Postgres server that keeps tenants' data.
pub(super) struct Cluster {
    name: String,
    /// What it holds, where that was read already.
    seen: Option<clusters::Cluster>,
}

impl Cluster {
    /// The cluster of that name; what it holds is read when it is asked for.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), seen: None }
    }

    async fn holds(&self, ctx: &Context<'_>) -> Result<Option<clusters::Cluster>, Problem> {
        if let Some(seen) = &self.seen {
            return Ok(Some(seen.clone()));
        }
        let all = loaders::one(ctx, ClustersKey).await?.unwrap_or_default();
        Ok(all.iter().find(|cluster| cluster.name == self.name).cloned())
    }
}

impl From<clusters::Cluster> for Cluster {
    fn from(cluster: clusters::Cluster) -> Self {
        Self { name: cluster.name.clone(), seen: Some(cluster) }
    }
}

/// A Postgres server that keeps tenants' data.
#[Object]
impl Cluster {
    /// Its name in the registry; the control plane's is main.
    async fn name(&self) -> &str {
        &self.name
    }

    /// How many tenants' data it keeps, closed ones until they are removed.
    async fn tenants_count(&self, ctx: &Context<'_>) -> Result<i64, Problem> {
        Ok(self.holds(ctx).await?.map_or(0, |cluster| cluster.tenants))
    }

    /// Its schemas, counted; absent where it cannot be reached from here now.
    async fn schemas(&self, ctx: &Context<'_>) -> Result<Option<Schemas>, Problem> {
        Ok(self.holds(ctx).await?.and_then(|cluster| cluster.schemas).map(Schemas::from))
    }
}

/// The schemas of a cluster, counted.
#[derive(SimpleObject)]
pub(super) struct Schemas {
    /// Wait for new tenants.
    prepared: i64,
    /// Are not of this program's version yet, failed ones included.
    pending: i64,
    /// Could not be migrated the last time.
    failed: i64,
}

impl From<clusters::Schemas> for Schemas {
    fn from(schemas: clusters::Schemas) -> Self {
        Self { prepared: schemas.prepared, pending: schemas.pending, failed: schemas.failed }
    }
}
