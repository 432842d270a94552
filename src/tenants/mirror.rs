//! The copy of a tenant's row, and of templates and plans, in the cluster where the tenant's schema is: what its
//! transactions read without leaving the cluster. The control plane's row is the truth; a copy may be late by a moment.

use super::{Tenant, store};
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::ids::{ClusterName, TenantId};
use crate::tenancy::ClusterIndex;

/// Copies a tenant's row right after a change of it was committed, where its cluster is another. Where this fails, the
/// change holds all the same, and the job that was enqueued with it tells the cluster later.
pub async fn at_once(db: &Db, changed: &Tenant) -> Result<(), Error> {
    if changed.cluster.is_main() { Ok(()) } else { tenant(db, changed.id).await }
}

/// Copies a tenant's row to its cluster, unless a newer copy is there.
pub async fn tenant(db: &Db, id: TenantId) -> Result<(), Error> {
    let row = store::mirror::tenant(db, id.uuid()).await?.ok_or(Error::NotFound("tenant"))?;
    let cluster = row.get("cluster").and_then(serde_json::Value::as_str).unwrap_or(ClusterName::MAIN);
    match db.cluster_named(cluster)? {
        ClusterIndex::MAIN => Ok(()),
        other => Ok(store::mirror::put_tenant(db, other, &row).await?),
    }
}

/// Copies templates and plans to another cluster.
pub async fn reference(db: &Db, cluster: ClusterIndex) -> Result<(), Fault> {
    let rows = store::mirror::reference(db).await?;
    let mut tx = db.platform_at(cluster).await?;
    store::mirror::put_reference(&mut tx, &rows).await?;
    tx.commit().await
}

/// Notes in the control plane which version the schemas of another cluster have.
pub async fn versions(db: &Db, cluster: ClusterIndex) -> Result<(), Fault> {
    if cluster == ClusterIndex::MAIN {
        return Ok(());
    }
    let (ids, versions) = store::mirror::versions_at(db, cluster).await?;
    store::mirror::set_versions(db, (&ids, &versions)).await
}
