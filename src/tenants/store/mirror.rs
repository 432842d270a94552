//! Copies of the control plane's rows in another cluster, where its own tenants' transactions read them.

use serde_json::Value;
use uuid::Uuid;

use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Db, Type};
use crate::error::Fault;
use crate::tenancy::ClusterIndex;

const TENANT: Sql = Sql::new(
    "select to_jsonb(t) - 'birth' - 'birth_key' - 'birth_sha256' from platform.tenants t where t.id = $1",
    &[Type::UUID],
);
const PUT_TENANT: Sql = Sql::new(
    "insert into platform.tenants as old
     select given.* from jsonb_populate_record(null::platform.tenants, $1) as given
     on conflict (id) do update set slug = excluded.slug, name = excluded.name, state = excluded.state,
         template_version_id = excluded.template_version_id, login = excluded.login,
         schema_version = greatest(old.schema_version, excluded.schema_version), plan = excluded.plan,
         limits = excluded.limits, canary = excluded.canary, closes_at = excluded.closes_at,
         updated_at = excluded.updated_at
      where old.updated_at <= excluded.updated_at",
    &[Type::JSONB],
);
const REFERENCE: Sql = Sql::new(
    "select (select jsonb_agg(to_jsonb(x)) from platform.templates x),
            (select jsonb_agg(to_jsonb(x)) from platform.template_versions x),
            (select jsonb_agg(to_jsonb(x)) from platform.plans x)",
    &[],
);
const PUT_TEMPLATES: Sql = Sql::new(
    "insert into platform.templates
     select given.* from jsonb_populate_recordset(null::platform.templates, $1) as given
     on conflict (id) do update set name = excluded.name",
    &[Type::JSONB],
);
const PUT_VERSIONS: Sql = Sql::new(
    "insert into platform.template_versions
     select given.* from jsonb_populate_recordset(null::platform.template_versions, $1) as given
     on conflict (id) do nothing",
    &[Type::JSONB],
);
const PUT_PLANS: Sql = Sql::new(
    "insert into platform.plans
     select given.* from jsonb_populate_recordset(null::platform.plans, $1) as given
     on conflict (key) do update set name = excluded.name, transactions_max = excluded.transactions_max,
         requests_per_s = excluded.requests_per_s, statement_ms_max = excluded.statement_ms_max,
         calls_max = excluded.calls_max, jobs_max = excluded.jobs_max",
    &[Type::JSONB],
);
const SET_VERSIONS: Sql = Sql::new(
    "update platform.tenants t set schema_version = given.version
       from unnest($1::uuid[], $2::int[]) as given(id, version) where t.id = given.id and t.schema_version < given.version",
    &[Type::UUID_ARRAY, Type::INT4_ARRAY],
);
const VERSIONS: Sql =
    Sql::new("select tenant_id, version from platform.schema_ledger where claimed and 0 < version", &[]);

/// The tenant's row without what only its making needs.
pub(in crate::tenants) async fn tenant(db: &Db, id: Uuid) -> Result<Option<Value>, Fault> {
    Ok(db.lookup(&TENANT, &[&id]).await?.first().map(|row| row.get(0)))
}

/// Writes the copy, unless a newer one is there.
pub(in crate::tenants) async fn put_tenant(db: &Db, cluster: ClusterIndex, row: &Value) -> Result<(), Fault> {
    db.lookup_at(cluster, &PUT_TENANT, &[row]).await.map(drop)
}

/// Templates, their versions and plans.
pub(in crate::tenants) async fn reference(db: &Db) -> Result<[Value; 3], Fault> {
    let rows = db.lookup(&REFERENCE, &[]).await?;
    let row = rows.first().ok_or_else(|| Fault::new("read templates and plans"))?;
    Ok([0, 1, 2]
        .map(|column| row.get::<_, Option<Value>>(column).unwrap_or_else(|| Value::Array(Vec::new()))))
}

pub(in crate::tenants) async fn put_reference(
    tx: &mut PlatformTx,
    [templates, versions, plans]: &[Value; 3],
) -> Result<(), Fault> {
    tx.run(&PUT_TEMPLATES, &[templates]).await?;
    tx.run(&PUT_VERSIONS, &[versions]).await?;
    tx.run(&PUT_PLANS, &[plans]).await?;
    Ok(())
}

/// The version of every schema in a cluster that is a tenant's.
pub(in crate::tenants) async fn versions_at(
    db: &Db,
    cluster: ClusterIndex,
) -> Result<(Vec<Uuid>, Vec<i32>), Fault> {
    let rows = db.lookup_at(cluster, &VERSIONS, &[]).await?;
    Ok(rows.iter().map(|row| (row.get::<_, Uuid>(0), row.get::<_, i32>(1))).unzip())
}

/// Notes them in the control plane, where they are greater.
pub(in crate::tenants) async fn set_versions(
    db: &Db,
    (ids, versions): (&[Uuid], &[i32]),
) -> Result<(), Fault> {
    db.lookup(&SET_VERSIONS, &[&ids, &versions]).await.map(drop)
}
