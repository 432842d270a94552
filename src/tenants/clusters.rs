//! The clusters as an operator sees them: how many tenants each keeps, and how far their schemas are. Must never know how
//! a schema is made or migrated.

use futures_util::future;
use std::time::Duration;

use super::store;
use crate::access::{Action, PlatformScope};
use crate::db::Db;
use crate::error::{Error, Fault};

/// How long a cluster may take to answer before it counts as not reached.
const REACH_MAX: Duration = Duration::from_secs(3);

/// A cluster that is configured in this process, or keeps tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the registry.
    pub name: String,
    /// Tenants whose data it keeps, closed ones until they are removed.
    pub tenants: i64,
    /// How far its schemas are; nothing where it could not be reached.
    pub schemas: Option<Schemas>,
}

/// The schemas of a cluster, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schemas {
    /// Wait for new tenants.
    pub prepared: i64,
    /// Are not of this program's version yet, failed ones included.
    pub pending: i64,
    /// Could not be migrated the last time.
    pub failed: i64,
}

/// Every cluster, the control plane's first. One that cannot be reached says so and keeps nobody waiting.
pub async fn overview(db: &Db, scope: &PlatformScope) -> Result<Vec<Cluster>, Error> {
    let mut tx = db.operate(scope).await?;
    tx.permit(Action::TenantsRead)?;
    let mut tenants = store::clusters::tenants(&mut tx).await?;
    tx.commit().await?;
    let version = i32::from(db.schema_version());
    let asked = db.clusters().map(|(cluster, name)| async move {
        let schemas = tokio::time::timeout(REACH_MAX, store::clusters::schemas(db, cluster, version)).await;
        let schemas = schemas.unwrap_or_else(|_| Err(Fault::new("wait for a cluster: it does not answer")));
        (name.to_string(), schemas)
    });
    let answered = future::join_all(asked).await;
    let mut clusters = Vec::with_capacity(answered.len());
    for (name, schemas) in answered {
        if let Err(fault) = &schemas {
            tracing::warn!(cluster = name, fault = fault.chain(), "a cluster was not reached");
        }
        let count = tenants.remove(&name).unwrap_or(0);
        clusters.push(Cluster { name, tenants: count, schemas: schemas.ok() });
    }
    let mut unknown: Vec<_> = tenants.into_iter().collect();
    unknown.sort();
    clusters.extend(unknown.into_iter().map(|(name, tenants)| Cluster { name, tenants, schemas: None }));
    Ok(clusters)
}
