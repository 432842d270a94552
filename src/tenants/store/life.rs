//! What becomes of a tenant: state, name in hosts, plan and limits; and the removal of everything that was its own.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::db::tx::{PlatformTx, Sql};
use crate::db::{self, Db, Row, Type};
use crate::error::Fault;
use crate::ids::TenantId;
use crate::tenancy::{ClusterIndex, Limits};
use crate::tenants::life::Plan;

const SET_STATE: Sql = Sql::new(
    "update platform.tenants set state = $2, closes_at = $3, updated_at = $4 where id = $1",
    &[Type::UUID, Type::TEXT, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ],
);
const RENAME: Sql = Sql::new(
    "with retired as (update platform.slugs set retired_at = $3 where tenant_id = $1 and slug <> $2 and retired_at is null)
     update platform.tenants set slug = $2, updated_at = $3 where id = $1",
    &[Type::UUID, Type::TEXT, Type::TIMESTAMPTZ],
);
const SET_PLAN: Sql = Sql::new(
    "update platform.tenants set plan = $2, limits = $3, canary = $4, updated_at = $5 where id = $1",
    &[Type::UUID, Type::TEXT, Type::JSONB, Type::BOOL, Type::TIMESTAMPTZ],
);
const PLAN_EXISTS: Sql = Sql::new("select key from platform.plans where key = $1", &[Type::TEXT]);
const PLANS: Sql = Sql::new(
    "select key, name, transactions_max, requests_per_s, statement_ms_max, calls_max, jobs_max from platform.plans
      order by key",
    &[],
);
const LIMITS: Sql = Sql::new(
    "select y.id, y.transactions_max, y.requests_per_s, y.statement_ms_max, y.calls_max, y.jobs_max
       from platform.tenancies y where y.id = any($1)",
    &[Type::UUID_ARRAY],
);
/// Everything that leads to a tenant or was done for it. Its row and its names stay, so that nobody takes them, and its
/// log.
const FORGET: [Sql; 12] = [
    Sql::new("delete from platform.phone_numbers where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.domains where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.credentials where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.api_keys where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.stream_tokens where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.jobs where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.sign_ins where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.sessions where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.invitations where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.members where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.roles where tenant_id = $1", &[Type::UUID]),
    Sql::new("delete from platform.identities where tenant_id = $1", &[Type::UUID]),
];
const GONE: Sql = Sql::new(
    "update platform.tenants set state = 'deleted', closes_at = null, name = slug, limits = '{}', birth = null,
            updated_at = $2 where id = $1",
    &[Type::UUID, Type::TIMESTAMPTZ],
);

pub(in crate::tenants) async fn set_state(
    tx: &mut PlatformTx,
    tenant: Uuid,
    state: &str,
    closes_at: Option<DateTime<Utc>>,
) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(&SET_STATE, &[&tenant, &state, &closes_at, &now]).await?;
    Ok(())
}

/// Gives the tenant the slug, which must be claimed, and retires the one that it had.
pub(in crate::tenants) async fn rename(tx: &mut PlatformTx, tenant: Uuid, slug: &str) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(&RENAME, &[&tenant, &slug, &now]).await?;
    Ok(())
}

pub(in crate::tenants) async fn set_plan(
    tx: &mut PlatformTx,
    tenant: Uuid,
    (plan, limits, canary): (&str, &Value, bool),
) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(&SET_PLAN, &[&tenant, &plan, &limits, &canary, &now]).await?;
    Ok(())
}

pub(in crate::tenants) async fn plan_exists(tx: &mut PlatformTx, plan: &str) -> Result<bool, Fault> {
    Ok(tx.row(&PLAN_EXISTS, &[&plan]).await?.is_some())
}

pub(in crate::tenants) async fn plans(tx: &mut PlatformTx) -> Result<Vec<Plan>, Fault> {
    let plan = |row: &Row| Ok(Plan { key: row.get(0), name: row.get(1), limits: db::limits(row, 2)? });
    tx.rows(&PLANS, &[]).await?.iter().map(plan).collect()
}

/// The limits in force of those of the ids that are tenants.
pub(in crate::tenants) async fn limits(
    tx: &mut PlatformTx,
    tenants: &[Uuid],
) -> Result<Vec<(TenantId, Limits)>, Fault> {
    let limits = |row: &Row| Ok((row.get::<_, Uuid>(0).into(), db::limits(row, 1)?));
    tx.rows(&LIMITS, &[&tenants]).await?.iter().map(limits).collect()
}

/// Removes what leads to a tenant and marks its row; run on the control plane's cluster.
pub(in crate::tenants) async fn remove(tx: &mut PlatformTx, tenant: Uuid) -> Result<(), Fault> {
    for sql in &FORGET {
        tx.run(sql, &[&tenant]).await?;
    }
    let now = tx.now();
    tx.run(&GONE, &[&tenant, &now]).await?;
    Ok(())
}

/// The same in the cluster where its schema was.
pub(in crate::tenants) async fn remove_at(db: &Db, cluster: ClusterIndex, tenant: Uuid) -> Result<(), Fault> {
    let mut tx = db.platform_at(cluster).await?;
    remove(&mut tx, tenant).await?;
    tx.commit().await
}
