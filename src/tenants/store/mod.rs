//! The SQL of the tenants slice. Here: the registry's row. Beside it, by matter: how a tenant is made ([`birth`]), changed
//! and removed ([`life`]), found ([`reach`]), numbered ([`numbers`]), hosted ([`domains`]), opened
//! ([`keys`]), counted ([`clusters`]), copied to its cluster ([`mirror`]), and how its agent speaks ([`agent`]).

pub(super) mod agent;
pub(super) mod birth;
pub(super) mod clusters;
pub(super) mod domains;
pub(super) mod keys;
pub(super) mod life;
pub(super) mod mirror;
pub(super) mod numbers;
pub(super) mod reach;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::db::page::Page;
use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Row, Type, like_literal};
use crate::error::Fault;

/// The columns that [`tenant`] reads, of `platform.tenants t`.
macro_rules! tenant_columns {
    () => {
        "t.id, t.slug, t.name, t.state, t.template_version_id, t.cluster, t.schema_version, t.plan, t.limits,
         t.canary, t.closes_at, t.created_at"
    };
}
pub(super) use tenant_columns;

const BY_ID: Sql = Sql::new(
    concat!("select ", tenant_columns!(), " from platform.tenants t where t.id = $1"),
    &[Type::UUID],
);
const BY_ID_LOCKED: Sql = Sql::new(
    concat!("select ", tenant_columns!(), " from platform.tenants t where t.id = $1 for update"),
    &[Type::UUID],
);
const BY_SLUG: Sql = Sql::new(
    concat!("select ", tenant_columns!(), " from platform.tenants t where t.slug = $1"),
    &[Type::TEXT],
);
const PAGE: Sql = Sql::new(
    concat!(
        "select ",
        tenant_columns!(),
        " from platform.tenants t where t.id < $1 and ($2::text is null or t.state = $2)
            and ($3::text is null or t.slug ilike '%' || $3 || '%' or t.name ilike '%' || $3 || '%')
          order by t.id desc limit $4"
    ),
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::INT8],
);

/// A tenant's row as it stands.
pub(super) struct TenantRow {
    pub(super) id: Uuid,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) template_version: Uuid,
    pub(super) cluster: String,
    pub(super) schema_version: i32,
    pub(super) plan: String,
    pub(super) limits: Value,
    pub(super) canary: bool,
    pub(super) closes_at: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
}

pub(super) fn tenant(row: &Row) -> TenantRow {
    TenantRow {
        id: row.get(0),
        slug: row.get(1),
        name: row.get(2),
        state: row.get(3),
        template_version: row.get(4),
        cluster: row.get(5),
        schema_version: row.get(6),
        plan: row.get(7),
        limits: row.get(8),
        canary: row.get(9),
        closes_at: row.get(10),
        created_at: row.get(11),
    }
}

pub(super) async fn by_id(tx: &mut PlatformTx, id: Uuid) -> Result<Option<TenantRow>, Fault> {
    Ok(tx.row(&BY_ID, &[&id]).await?.as_ref().map(tenant))
}

/// The row, which nobody else changes until the end of the transaction.
pub(super) async fn locked(tx: &mut PlatformTx, id: Uuid) -> Result<Option<TenantRow>, Fault> {
    Ok(tx.row(&BY_ID_LOCKED, &[&id]).await?.as_ref().map(tenant))
}

pub(super) async fn by_slug(tx: &mut PlatformTx, slug: &str) -> Result<Option<TenantRow>, Fault> {
    Ok(tx.row(&BY_SLUG, &[&slug]).await?.as_ref().map(tenant))
}

/// A page, newest first.
pub(super) async fn page(
    tx: &mut PlatformTx,
    page: Page,
    state: Option<&str>,
    search: Option<&str>,
) -> Result<Vec<TenantRow>, Fault> {
    let search = search.map(like_literal);
    let rows = tx.rows(&PAGE, &[&page.before(), &state, &search, &page.limit()]).await?;
    Ok(rows.iter().map(tenant).collect())
}

/// The tenant's own row; run on the control plane's cluster.
pub(super) async fn own(tx: &mut TenantTx<'_>) -> Result<Option<TenantRow>, Fault> {
    let id = tx.tenant().uuid();
    Ok(tx.row(&BY_ID, &[&id]).await?.as_ref().map(tenant))
}
