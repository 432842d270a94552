//! Hosts of tenants' own: several may ask for one, the first to prove it has it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Row, Type};
use crate::error::Fault;
use crate::ids::TenantId;
use crate::tenants::domains::Domain;

const ASK: Sql = Sql::new(
    "insert into platform.domains as d (host, tenant_id, proof) values ($1, $2, $3)
     on conflict (host, tenant_id) do update set failure = null
     returning d.host, d.proof, d.verified_at, d.checked_at, d.failure",
    &[Type::TEXT, Type::UUID, Type::TEXT],
);
const FIND: Sql = Sql::new(
    "select d.host, d.proof, d.verified_at, d.checked_at, d.failure from platform.domains d
      where d.host = $1 and d.tenant_id = $2",
    &[Type::TEXT, Type::UUID],
);
const OF_EACH: Sql = Sql::new(
    "select d.host, d.proof, d.verified_at, d.checked_at, d.failure, d.tenant_id from platform.domains d
      where d.tenant_id = any($1) order by d.host",
    &[Type::UUID_ARRAY],
);
const HOLDER: Sql = Sql::new(
    "select tenant_id from platform.domains where host = $1 and verified_at is not null",
    &[Type::TEXT],
);
const CHECKED: Sql = Sql::new(
    "update platform.domains set checked_at = $3, failure = $4,
            verified_at = case when $4::text is null then coalesce(verified_at, $3) end
      where host = $1 and tenant_id = $2",
    &[Type::TEXT, Type::UUID, Type::TIMESTAMPTZ, Type::TEXT],
);
const RELEASE: Sql =
    Sql::new("delete from platform.domains where host = $1 and tenant_id = $2", &[Type::TEXT, Type::UUID]);

fn domain(row: &Row) -> Domain {
    Domain {
        host: row.get(0),
        proof: row.get(1),
        verified_at: row.get(2),
        checked_at: row.get(3),
        failure: row.get(4),
    }
}

/// The row, new or there already.
pub(in crate::tenants) async fn ask(
    tx: &mut PlatformTx,
    tenant: Uuid,
    host: &str,
    proof: &str,
) -> Result<Domain, Fault> {
    let row = tx.row(&ASK, &[&host, &tenant, &proof]).await?;
    row.as_ref().map(domain).ok_or_else(|| Fault::new("ask for a domain"))
}

pub(in crate::tenants) async fn find(
    tx: &mut PlatformTx,
    tenant: Uuid,
    host: &str,
) -> Result<Option<Domain>, Fault> {
    Ok(tx.row(&FIND, &[&host, &tenant]).await?.as_ref().map(domain))
}

pub(in crate::tenants) async fn of_each(
    tx: &mut PlatformTx,
    tenants: &[Uuid],
) -> Result<Vec<(TenantId, Domain)>, Fault> {
    let owned = |row: &Row| (row.get::<_, Uuid>(5).into(), domain(row));
    Ok(tx.rows(&OF_EACH, &[&tenants]).await?.iter().map(owned).collect())
}

/// Who has proved the host.
pub(in crate::tenants) async fn holder(tx: &mut PlatformTx, host: &str) -> Result<Option<Uuid>, Fault> {
    Ok(tx.row(&HOLDER, &[&host]).await?.map(|row| row.get(0)))
}

/// Notes what a check found; without a failure the host is the tenant's from now on.
pub(in crate::tenants) async fn checked(
    tx: &mut PlatformTx,
    (tenant, host): (Uuid, &str),
    at: DateTime<Utc>,
    failure: Option<&str>,
) -> Result<(), Fault> {
    tx.run(&CHECKED, &[&host, &tenant, &at, &failure]).await?;
    Ok(())
}

/// False if the host was not the tenant's.
pub(in crate::tenants) async fn release(
    tx: &mut PlatformTx,
    tenant: Uuid,
    host: &str,
) -> Result<bool, Fault> {
    Ok(tx.run(&RELEASE, &[&host, &tenant]).await? == 1)
}
