//! What the clusters hold, in numbers.

use std::collections::HashMap;

use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Db, Type};
use crate::error::Fault;
use crate::tenancy::ClusterIndex;
use crate::tenants::clusters::Schemas;

const TENANTS: Sql = Sql::new(
    "select cluster, count(*) from platform.tenants where state <> 'deleted' group by cluster order by cluster",
    &[],
);
const SCHEMAS: Sql = Sql::new(
    "select count(*) filter (where not claimed and state = 'current' and version = $1),
            count(*) filter (where version < $1),
            count(*) filter (where state = 'failed')
       from platform.schema_ledger",
    &[Type::INT4],
);

/// How many tenants each cluster has that are not removed.
pub(in crate::tenants) async fn tenants(tx: &mut PlatformTx) -> Result<HashMap<String, i64>, Fault> {
    Ok(tx.rows(&TENANTS, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What a cluster's ledger says; asks that cluster.
pub(in crate::tenants) async fn schemas(
    db: &Db,
    cluster: ClusterIndex,
    version: i32,
) -> Result<Schemas, Fault> {
    let rows = db.lookup_at(cluster, &SCHEMAS, &[&version]).await?;
    let row = rows.first().ok_or_else(|| Fault::new("count the schemas of a cluster"))?;
    Ok(Schemas { prepared: row.get(0), pending: row.get(1), failed: row.get(2) })
}
