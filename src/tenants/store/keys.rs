//! API keys, as their tenant sees them: in its own transactions on the control plane's cluster, which are shown its own
//! rows and no digest. When each was used is written by the platform, for all tenants at once.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::access::KeyScope;
use crate::db::page::Page;
use crate::db::tx::{Sql, TenantTx};
use crate::db::{Db, Row, Type};
use crate::error::Fault;
use crate::ids::ApiKeyId;
use crate::tenants::keys::Key;

/// The columns that [`key`] reads, of `platform.api_keys k`.
macro_rules! key_columns {
    () => {
        "k.id, k.name, k.prefix, k.scopes, k.created_at, k.last_used_at, k.expires_at, k.revoked_at, k.successor"
    };
}

/// Changes of one tenant's keys come one after the other, so that each sees what the one before it did.
const LOCK: Sql =
    Sql::new("select pg_advisory_xact_lock(hashtextextended('keys ' || $1::uuid::text, 0))", &[Type::UUID]);
const PAGE: Sql = Sql::new(
    concat!(
        "select ",
        key_columns!(),
        " from platform.api_keys k where k.tenant_id = $1 and k.id < $2 order by k.id desc limit $3"
    ),
    &[Type::UUID, Type::UUID, Type::INT8],
);
const FIND: Sql = Sql::new(
    concat!("select ", key_columns!(), " from platform.api_keys k where k.tenant_id = $1 and k.id = $2"),
    &[Type::UUID, Type::UUID],
);
const MADE_BY: Sql = Sql::new(
    concat!(
        "select ",
        key_columns!(),
        ", k.asked_sha256 from platform.api_keys k where k.tenant_id = $1 and k.asked_as = $2"
    ),
    &[Type::UUID, Type::BYTEA],
);
const GOOD: Sql = Sql::new(
    "select count(*) from platform.api_keys
      where tenant_id = $1 and revoked_at is null and (expires_at is null or $2 < expires_at)",
    &[Type::UUID, Type::TIMESTAMPTZ],
);
const ADD: Sql = Sql::new(
    "insert into platform.api_keys (id, tenant_id, name, prefix, secret_sha256, scopes, created_at, expires_at, asked_as,
                                    asked_sha256)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    &[
        Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::BYTEA, Type::TEXT_ARRAY, Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ, Type::BYTEA, Type::BYTEA,
    ],
);
const SUCCEED: Sql = Sql::new(
    "with old as (update platform.api_keys set successor = $3, expires_at = least(expires_at, $4)
                   where tenant_id = $1 and id = $2 returning id)
     select pg_notify('keys', $5) from old",
    &[Type::UUID, Type::UUID, Type::UUID, Type::TIMESTAMPTZ, Type::TEXT],
);
const REVOKE: Sql = Sql::new(
    "with revoked as (update platform.api_keys set revoked_at = $3 where tenant_id = $1 and id = $2 returning id)
     select pg_notify('keys', $4) from revoked",
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ, Type::TEXT],
);
const FORGET_DEAD: Sql = Sql::new(
    "delete from platform.api_keys
      where id in (select id from platform.api_keys
                    where tenant_id = $1 and (revoked_at is not null or expires_at <= $2) order by id desc offset $3)",
    &[Type::UUID, Type::TIMESTAMPTZ, Type::INT8],
);
/// Passes over rows that somebody is changing: their last use is written the next time.
const USED: Sql = Sql::new(
    "with due as (select k.id, u.at from platform.api_keys k
                    join unnest($1::uuid[], $2::timestamptz[]) as u(id, at) on u.id = k.id
                   where k.last_used_at is null or k.last_used_at <= u.at - interval '1 minute'
                     for update of k skip locked)
     update platform.api_keys k set last_used_at = due.at from due where k.id = due.id",
    &[Type::UUID_ARRAY, Type::TIMESTAMPTZ_ARRAY],
);

fn key(row: &Row) -> Key {
    Key {
        id: row.get::<_, Uuid>(0).into(),
        name: row.get(1),
        prefix: row.get(2),
        scopes: scopes(row, 3),
        created_at: row.get(4),
        last_used_at: row.get(5),
        expires_at: row.get(6),
        revoked_at: row.get(7),
        successor: row.get::<_, Option<Uuid>>(8).map(Into::into),
    }
}

/// A scope that this version does not know gives nothing.
pub(super) fn scopes(row: &Row, at: usize) -> Vec<KeyScope> {
    row.get::<_, Vec<&str>>(at).into_iter().filter_map(KeyScope::named).collect()
}

pub(in crate::tenants) async fn lock(tx: &mut TenantTx<'_>) -> Result<(), Fault> {
    let tenant = tx.tenant().uuid();
    tx.row(&LOCK, &[&tenant]).await?;
    Ok(())
}

/// A page, newest first.
pub(in crate::tenants) async fn page(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Key>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.rows(&PAGE, &[&tenant, &page.before(), &page.limit()]).await?.iter().map(key).collect())
}

pub(in crate::tenants) async fn find(tx: &mut TenantTx<'_>, id: ApiKeyId) -> Result<Option<Key>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.row(&FIND, &[&tenant, &id.uuid()]).await?.as_ref().map(key))
}

/// Digests of the idempotency key of a request, and of what was asked for under it.
pub(in crate::tenants) struct Digests {
    pub(in crate::tenants) request: Vec<u8>,
    pub(in crate::tenants) what: Vec<u8>,
}

/// The key that a request made, and the digest of what it had asked for.
pub(in crate::tenants) async fn made_by(
    tx: &mut TenantTx<'_>,
    request: &[u8],
) -> Result<Option<(Key, Vec<u8>)>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.row(&MADE_BY, &[&tenant, &request]).await?.map(|row| (key(&row), row.get(9))))
}

/// How many keys open the API now.
pub(in crate::tenants) async fn good(tx: &mut TenantTx<'_>) -> Result<i64, Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    Ok(tx.row(&GOOD, &[&tenant, &now]).await?.map_or(0, |row| row.get(0)))
}

pub(in crate::tenants) async fn add(
    tx: &mut TenantTx<'_>,
    key: &Key,
    digest: &[u8],
    digests: Option<&Digests>,
) -> Result<(), Fault> {
    let tenant = tx.tenant().uuid();
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    let (request, what) = (digests.map(|all| &all.request), digests.map(|all| &all.what));
    tx.run(
        &ADD,
        &[
            &key.id.uuid(),
            &tenant,
            &key.name,
            &key.prefix,
            &digest,
            &scopes,
            &key.created_at,
            &key.expires_at,
            &request,
            &what,
        ],
    )
    .await?;
    Ok(())
}

/// Notes which key takes the place of one, and until when the one works beside it at most.
pub(in crate::tenants) async fn succeed(
    tx: &mut TenantTx<'_>,
    (id, successor): (ApiKeyId, ApiKeyId),
    until: DateTime<Utc>,
) -> Result<(), Fault> {
    let (tenant, notice) = (tx.tenant().uuid(), tx.tenant().to_string());
    tx.row(&SUCCEED, &[&tenant, &id.uuid(), &successor.uuid(), &until, &notice]).await?;
    Ok(())
}

pub(in crate::tenants) async fn revoke(
    tx: &mut TenantTx<'_>,
    id: ApiKeyId,
    at: DateTime<Utc>,
) -> Result<(), Fault> {
    let (tenant, notice) = (tx.tenant().uuid(), tx.tenant().to_string());
    tx.row(&REVOKE, &[&tenant, &id.uuid(), &at, &notice]).await?;
    Ok(())
}

/// Removes the oldest of those that open nothing any more, so that `kept` of them stay.
pub(in crate::tenants) async fn forget_dead(tx: &mut TenantTx<'_>, kept: i64) -> Result<(), Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    tx.run(&FORGET_DEAD, &[&tenant, &now, &kept]).await?;
    Ok(())
}

/// Notes when keys were used, of any tenant, unless that was noted within the minute before.
pub(in crate::tenants) async fn used(db: &Db, uses: &[(ApiKeyId, DateTime<Utc>)]) -> Result<(), Fault> {
    let (ids, times): (Vec<_>, Vec<_>) = uses.iter().map(|(key, at)| (key.uuid(), *at)).unzip();
    db.lookup(&USED, &[&ids, &times]).await.map(drop)
}
