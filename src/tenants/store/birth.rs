//! How a tenant comes to be: its names, a schema from the warm pool, its row, its first key.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{TenantRow, tenant, tenant_columns};
use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Db, Row, Type};
use crate::error::Fault;
use crate::tenancy::{ClusterIndex, Tenancy, tenancy_columns};

/// A schema of the warm pool, of the version that new tenants get, that nobody else is just taking.
const CLAIM: Sql = Sql::new(
    "update platform.schema_ledger set claimed = true, started_at = now()
      where tenant_id = (select tenant_id from platform.schema_ledger
                          where not claimed and state = 'current' and version = $1
                          order by started_at for update skip locked limit 1)
     returning tenant_id, login, version",
    &[Type::INT4],
);
const PREPARED: Sql = Sql::new(
    "select count(*) from platform.schema_ledger where not claimed and state = 'current' and version = $1",
    &[Type::INT4],
);
/// Claims that led to no tenant: the process died between two clusters. Nothing was written into the schema yet.
const UNCLAIM: Sql = Sql::new(
    "update platform.schema_ledger set claimed = false where tenant_id = any($1) and claimed",
    &[Type::UUID_ARRAY],
);
const OLD_CLAIMS: Sql = Sql::new(
    "select tenant_id from platform.schema_ledger where claimed and started_at < $1 limit 10000",
    &[Type::TIMESTAMPTZ],
);
const WITHOUT_TENANT: Sql = Sql::new(
    "select asked.id from unnest($1::uuid[]) as asked(id)
      where not exists (select from platform.tenants t where t.id = asked.id)",
    &[Type::UUID_ARRAY],
);
const LEDGER: Sql = Sql::new(
    "select tenant_id, login, version from platform.schema_ledger where tenant_id = $1",
    &[Type::UUID],
);
/// Requests under one key come one after the other, so that each sees what the one before it made.
const LOCK_KEY: Sql =
    Sql::new("select pg_advisory_xact_lock(hashtextextended('birth ' || $1, 0))", &[Type::TEXT]);
const BY_KEY: Sql = Sql::new(
    concat!("select ", tenant_columns!(), ", t.birth_sha256 from platform.tenants t where t.birth_key = $1"),
    &[Type::TEXT],
);
const CLAIM_SKELETON: Sql = Sql::new(
    "with claimed as (insert into platform.slug_claims (skeleton, tenant_id) values ($1, $2)
                      on conflict (skeleton) do nothing returning tenant_id)
     select tenant_id from claimed union all select tenant_id from platform.slug_claims where skeleton = $1 limit 1",
    &[Type::TEXT, Type::UUID],
);
const CLAIM_SLUG: Sql = Sql::new(
    "insert into platform.slugs (slug, tenant_id) values ($1, $2)
     on conflict (slug) do update set retired_at = null where slugs.tenant_id = excluded.tenant_id returning slug",
    &[Type::TEXT, Type::UUID],
);
const TAKEN: Sql =
    Sql::new("select skeleton from platform.slug_claims where skeleton = any($1)", &[Type::TEXT_ARRAY]);
const INSERT: Sql = Sql::new(
    "insert into platform.tenants (id, slug, name, template_version_id, cluster, login, schema_version, plan, birth,
                                   birth_key, birth_sha256, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
    &[
        Type::UUID, Type::TEXT, Type::TEXT, Type::UUID, Type::TEXT, Type::INT4, Type::INT4, Type::TEXT, Type::JSONB,
        Type::TEXT, Type::BYTEA, Type::TIMESTAMPTZ,
    ],
);
/// Beside what the row says, whether it names the place that the ledger of the control plane's own cluster has.
const BIRTH: Sql = Sql::new(
    concat!(
        "select ",
        tenant_columns!(),
        ", t.birth, (t.login, t.schema_version) is not distinct from (l.login, l.version), ",
        tenancy_columns!(),
        " from platform.tenants t join platform.tenancies y on y.id = t.id
          left join platform.schema_ledger l on l.tenant_id = t.id
         where t.id = $1"
    ),
    &[Type::UUID],
);
const PLACED: Sql = Sql::new(
    "update platform.tenants set login = $2, schema_version = $3 where id = $1 and state = 'provisioning'",
    &[Type::UUID, Type::INT4, Type::INT4],
);
const ACTIVATE: Sql = Sql::new(
    concat!(
        "update platform.tenants t set state = 'active', birth = null, updated_at = $2
          where t.id = $1 and t.state = 'provisioning' returning ",
        tenant_columns!()
    ),
    &[Type::UUID, Type::TIMESTAMPTZ],
);
const UNFINISHED: Sql = Sql::new(
    "select id from platform.tenants where state = 'provisioning' order by created_at limit 1000",
    &[],
);
const ADD_KEY: Sql = Sql::new(
    "insert into platform.api_keys (id, tenant_id, name, prefix, secret_sha256) values ($1, $2, $3, $4, $5)",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::BYTEA],
);
const PUT_CREDENTIAL: Sql = Sql::new(
    "insert into platform.credentials (id, tenant_id, provider, account, sealed) values ($1, $2, 'twilio', $3, $4)
     on conflict (provider, account) do update set sealed = excluded.sealed
         where credentials.tenant_id = excluded.tenant_id
     returning id",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::BYTEA],
);

/// A schema that is there.
#[derive(Debug, Clone, Copy)]
pub(in crate::tenants) struct Schema {
    pub(in crate::tenants) tenant: Uuid,
    pub(in crate::tenants) login: i32,
    pub(in crate::tenants) version: i32,
}

fn schema(row: &Row) -> Schema {
    Schema { tenant: row.get(0), login: row.get(1), version: row.get(2) }
}

/// Takes a schema out of the warm pool of the control plane's cluster, as part of the transaction.
pub(in crate::tenants) async fn claim(tx: &mut PlatformTx, version: i32) -> Result<Option<Schema>, Fault> {
    Ok(tx.row(&CLAIM, &[&version]).await?.as_ref().map(schema))
}

/// The same of another cluster, at once.
pub(in crate::tenants) async fn claim_at(
    db: &Db,
    cluster: ClusterIndex,
    version: i32,
) -> Result<Option<Schema>, Fault> {
    Ok(db.lookup_at(cluster, &CLAIM, &[&version]).await?.first().map(schema))
}

/// How many schemas wait in a cluster's warm pool.
pub(in crate::tenants) async fn prepared(db: &Db, cluster: ClusterIndex, version: i32) -> Result<i64, Fault> {
    Ok(db.lookup_at(cluster, &PREPARED, &[&version]).await?.first().map_or(0, |row| row.get(0)))
}

pub(in crate::tenants) async fn unclaim(db: &Db, cluster: ClusterIndex, ids: &[Uuid]) -> Result<(), Fault> {
    db.lookup_at(cluster, &UNCLAIM, &[&ids]).await.map(drop)
}

/// Schemas of a cluster that were claimed before a moment.
pub(in crate::tenants) async fn claimed_before(
    db: &Db,
    cluster: ClusterIndex,
    moment: DateTime<Utc>,
) -> Result<Vec<Uuid>, Fault> {
    Ok(db.lookup_at(cluster, &OLD_CLAIMS, &[&moment]).await?.iter().map(|row| row.get(0)).collect())
}

/// Those of the ids that are no tenant.
pub(in crate::tenants) async fn without_tenant(db: &Db, ids: &[Uuid]) -> Result<Vec<Uuid>, Fault> {
    Ok(db.lookup(&WITHOUT_TENANT, &[&ids]).await?.iter().map(|row| row.get(0)).collect())
}

/// The tenant's schema, once it was made.
pub(in crate::tenants) async fn schema_of(
    db: &Db,
    cluster: ClusterIndex,
    tenant: Uuid,
) -> Result<Option<Schema>, Fault> {
    Ok(db.lookup_at(cluster, &LEDGER, &[&tenant]).await?.first().map(schema))
}

/// The tenant that was made under this key, and the digest of what was asked for. Nobody else makes one under it until
/// the end of the transaction.
pub(in crate::tenants) async fn by_key(
    tx: &mut PlatformTx,
    key: &str,
) -> Result<Option<(TenantRow, Vec<u8>)>, Fault> {
    tx.run(&LOCK_KEY, &[&key]).await?;
    Ok(tx.row(&BY_KEY, &[&key]).await?.map(|row| (tenant(&row), row.get(12))))
}

/// Who has names with this skeleton: the asking tenant, if nobody had.
pub(in crate::tenants) async fn claim_skeleton(
    tx: &mut PlatformTx,
    skeleton: &str,
    tenant: Uuid,
) -> Result<Option<Uuid>, Fault> {
    Ok(tx.row(&CLAIM_SKELETON, &[&skeleton, &tenant]).await?.map(|row| row.get(0)))
}

/// False if the slug is another tenant's.
pub(in crate::tenants) async fn claim_slug(
    tx: &mut PlatformTx,
    slug: &str,
    tenant: Uuid,
) -> Result<bool, Fault> {
    Ok(tx.row(&CLAIM_SLUG, &[&slug, &tenant]).await?.is_some())
}

/// Those of the skeletons that somebody has.
pub(in crate::tenants) async fn taken(
    tx: &mut PlatformTx,
    skeletons: &[String],
) -> Result<Vec<String>, Fault> {
    Ok(tx.rows(&TAKEN, &[&skeletons]).await?.iter().map(|row| row.get(0)).collect())
}

/// What a new row holds beside the schema's place.
pub(in crate::tenants) struct NewRow<'a> {
    pub(in crate::tenants) slug: &'a str,
    pub(in crate::tenants) name: &'a str,
    pub(in crate::tenants) template_version: Uuid,
    pub(in crate::tenants) cluster: &'a str,
    pub(in crate::tenants) plan: &'a str,
    pub(in crate::tenants) birth: &'a Value,
    pub(in crate::tenants) key: Option<&'a str>,
    pub(in crate::tenants) sha256: &'a [u8],
}

pub(in crate::tenants) async fn insert(
    tx: &mut PlatformTx,
    schema: Schema,
    new: NewRow<'_>,
) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(
        &INSERT,
        &[
            &schema.tenant,
            &new.slug,
            &new.name,
            &new.template_version,
            &new.cluster,
            &schema.login,
            &schema.version,
            &new.plan,
            &new.birth,
            &new.key,
            &new.sha256,
            &now,
        ],
    )
    .await?;
    Ok(())
}

/// A tenant that may be unfinished.
pub(in crate::tenants) struct Unfinished {
    pub(in crate::tenants) row: TenantRow,
    /// What it was asked to be, as long as it is unfinished.
    pub(in crate::tenants) birth: Option<Value>,
    /// Its schema is there, and the row says where.
    pub(in crate::tenants) is_placed: bool,
    pub(in crate::tenants) tenancy: Tenancy,
}

pub(in crate::tenants) async fn birth(db: &Db, tenant_id: Uuid) -> Result<Option<Unfinished>, Fault> {
    let rows = db.lookup(&BIRTH, &[&tenant_id]).await?;
    let unfinished = |row: &Row| {
        let tenancy = db.tenancy(row, 14)?;
        Ok(Unfinished { row: tenant(row), birth: row.get(12), is_placed: row.get(13), tenancy })
    };
    rows.first().map(unfinished).transpose()
}

/// Notes where the schema of an unfinished tenant is.
pub(in crate::tenants) async fn placed(db: &Db, schema: Schema) -> Result<(), Fault> {
    db.lookup(&PLACED, &[&schema.tenant, &schema.login, &schema.version]).await.map(drop)
}

/// The row as it is then; nothing if it was not unfinished any more.
pub(in crate::tenants) async fn activate(
    tx: &mut PlatformTx,
    tenant_id: Uuid,
) -> Result<Option<TenantRow>, Fault> {
    let now = tx.now();
    Ok(tx.row(&ACTIVATE, &[&tenant_id, &now]).await?.as_ref().map(tenant))
}

pub(in crate::tenants) async fn unfinished(db: &Db) -> Result<Vec<Uuid>, Fault> {
    Ok(db.lookup(&UNFINISHED, &[]).await?.iter().map(|row| row.get(0)).collect())
}

pub(in crate::tenants) async fn add_key(
    tx: &mut PlatformTx,
    tenant: Uuid,
    (name, prefix): (&str, String),
    digest: &[u8],
) -> Result<(), Fault> {
    let id = tx.new_id();
    tx.run(&ADD_KEY, &[&id, &tenant, &name, &prefix, &digest]).await?;
    Ok(())
}

/// False if the account belongs to another tenant.
pub(in crate::tenants) async fn put_credential(
    tx: &mut PlatformTx,
    tenant: Uuid,
    account: &str,
    sealed: &[u8],
) -> Result<bool, Fault> {
    let id = tx.new_id();
    Ok(tx.row(&PUT_CREDENTIAL, &[&id, &tenant, &account, &sealed]).await?.is_some())
}
