//! By what a tenant is reached: number, host, key, carrier account. Each is one statement on the control plane, and brings
//! the tenant's place and limits with it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::keys::scopes;
use super::{TenantRow, tenant, tenant_columns};
use crate::access::KeyScope;
use crate::db::tx::Sql;
use crate::db::{Db, Type};
use crate::error::Fault;
use crate::tenancy::{Tenancy, tenancy_columns};

const LINE: Sql = Sql::new(
    concat!(
        "select y.state, n.account_sid, ",
        tenancy_columns!(),
        " from platform.phone_numbers n join platform.tenancies y on y.id = n.tenant_id where n.number = $1"
    ),
    &[Type::TEXT],
);
const KEY_OWNER: Sql = Sql::new(
    concat!(
        "select k.id, k.scopes, ",
        tenancy_columns!(),
        " from platform.api_keys k join platform.tenancies y on y.id = k.tenant_id
         where k.secret_sha256 = $1 and k.revoked_at is null and (k.expires_at is null or $4 < k.expires_at)
           and y.state = 'active'
           and (y.slug = $2 or exists (select from platform.domains d
                                        where d.tenant_id = y.id and d.host = $3 and d.verified_at is not null))"
    ),
    &[Type::BYTEA, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
const AT_HOST: Sql = Sql::new(
    concat!(
        "select ",
        tenant_columns!(),
        " from platform.tenants t where t.slug = $1
          union all select ",
        tenant_columns!(),
        " from platform.tenants t join platform.domains d on d.tenant_id = t.id
          where d.host = $2 and d.verified_at is not null limit 1"
    ),
    &[Type::TEXT, Type::TEXT],
);
const FORMERLY: Sql = Sql::new(
    "select t.slug from platform.slugs s join platform.tenants t on t.id = s.tenant_id
      where s.slug = $1 and $2 < s.retired_at and t.state = 'active'",
    &[Type::TEXT, Type::TIMESTAMPTZ],
);
const CREDENTIAL: Sql = Sql::new(
    "select tenant_id, sealed from platform.credentials where provider = 'twilio' and account = $1",
    &[Type::TEXT],
);
const TENANCY: Sql = Sql::new(
    concat!("select ", tenancy_columns!(), " from platform.tenancies y where y.id = $1"),
    &[Type::UUID],
);

/// The tenant of a number, its state, and the account that owns the number.
pub(in crate::tenants) async fn line(
    db: &Db,
    number: &str,
) -> Result<Option<(Tenancy, String, Option<String>)>, Fault> {
    let rows = db.lookup(&LINE, &[&number]).await?;
    rows.first().map(|row| Ok((db.tenancy(row, 2)?, row.get(0), row.get(1)))).transpose()
}

/// Key, scopes and tenant, if the key is good then and belongs to the active tenant of that host.
pub(in crate::tenants) async fn key_owner(
    db: &Db,
    digest: &[u8],
    (slug, host): (&str, &str),
    at: DateTime<Utc>,
) -> Result<Option<(Uuid, Vec<KeyScope>, Tenancy)>, Fault> {
    let rows = db.lookup(&KEY_OWNER, &[&digest, &slug, &host, &at]).await?;
    rows.first().map(|row| Ok((row.get(0), scopes(row, 1), db.tenancy(row, 2)?))).transpose()
}

/// The tenant with this slug, or with this verified host.
pub(in crate::tenants) async fn at_host(db: &Db, slug: &str, host: &str) -> Result<Option<TenantRow>, Fault> {
    Ok(db.lookup(&AT_HOST, &[&slug, &host]).await?.first().map(tenant))
}

/// The slug that a tenant has now which gave this one up after `since`.
pub(in crate::tenants) async fn formerly(
    db: &Db,
    slug: &str,
    since: DateTime<Utc>,
) -> Result<Option<String>, Fault> {
    Ok(db.lookup(&FORMERLY, &[&slug, &since]).await?.first().map(|row| row.get(0)))
}

/// Whose carrier account that is, and its sealed token.
pub(in crate::tenants) async fn credential(db: &Db, account: &str) -> Result<Option<(Uuid, Vec<u8>)>, Fault> {
    Ok(db.lookup(&CREDENTIAL, &[&account]).await?.first().map(|row| (row.get(0), row.get(1))))
}

pub(in crate::tenants) async fn tenancy(db: &Db, tenant: Uuid) -> Result<Option<Tenancy>, Fault> {
    db.lookup(&TENANCY, &[&tenant]).await?.first().map(|row| db.tenancy(row, 0)).transpose()
}
