//! The SQL of the callers slice.

use serde_json::Value;
use uuid::Uuid;

use super::{Caller, Profile};
use crate::db::page::Page;
use crate::db::tx::{Sql, TenantTx};
use crate::db::{Row, Type, like_literal};
use crate::error::{Fault, OrFault as _};
use crate::ids::CallerId;

const FIND: Sql = Sql::new(
    "select c.id, c.phone, c.name, c.calls_count, c.first_call_at, c.last_call_at, coalesce(p.quick_bio, '')
       from {t}.callers c left join {t}.caller_profiles p on p.caller_id = c.id where c.id = any($1)",
    &[Type::UUID_ARRAY],
);
const LIST: Sql = Sql::new(
    "select c.id, c.phone, c.name, c.calls_count, c.first_call_at, c.last_call_at, coalesce(p.quick_bio, '')
       from {t}.callers c left join {t}.caller_profiles p on p.caller_id = c.id
      where c.id < $1 and ($2::text is null or c.phone like '%' || $2 || '%' or c.name ilike '%' || $2 || '%')
      order by c.id desc limit $3",
    &[Type::UUID, Type::TEXT, Type::INT8],
);
const MEET: Sql = Sql::new(
    "insert into {t}.callers as c (id, phone) values ($1, $2)
     on conflict (phone) do update set phone = excluded.phone returning c.id",
    &[Type::UUID, Type::TEXT],
);
const PROFILE: Sql = Sql::new(
    "select data, template_version_id, quick_bio, revision from {t}.caller_profiles where caller_id = $1 for update",
    &[Type::UUID],
);
const PROFILES: Sql = Sql::new(
    "select caller_id, data, template_version_id, quick_bio, revision from {t}.caller_profiles
      where caller_id = any($1)",
    &[Type::UUID_ARRAY],
);
const PUT_PROFILE: Sql = Sql::new(
    "insert into {t}.caller_profiles as p (caller_id, template_version_id, data, quick_bio) values ($1, $2, $3, $4)
     on conflict (caller_id) do update set data = excluded.data, quick_bio = excluded.quick_bio,
         template_version_id = excluded.template_version_id, revision = p.revision + 1, updated_at = now()
     returning revision",
    &[Type::UUID, Type::UUID, Type::JSONB, Type::TEXT],
);
const NAME: Sql = Sql::new("update {t}.callers set name = $2 where id = $1", &[Type::UUID, Type::TEXT]);
const EXISTS: Sql = Sql::new("select id from {t}.callers where id = $1 for update", &[Type::UUID]);
const TENANT_TEMPLATE: Sql =
    Sql::new("select template_version_id from platform.tenants where id = $1", &[Type::UUID]);

fn caller(row: &Row) -> Result<Caller, Fault> {
    Ok(Caller {
        id: row.get::<_, Uuid>(0).into(),
        phone: row.get::<_, &str>(1).parse().or_fault("read a caller's number")?,
        name: row.get(2),
        calls_count: row.get(3),
        first_call_at: row.get(4),
        last_call_at: row.get(5),
        quick_bio: row.get(6),
    })
}

pub(super) async fn find(tx: &mut TenantTx<'_>, ids: &[Uuid]) -> Result<Vec<Caller>, Fault> {
    tx.rows(&FIND, &[&ids]).await?.iter().map(caller).collect()
}

pub(super) async fn list(
    tx: &mut TenantTx<'_>,
    page: Page,
    search: Option<&str>,
) -> Result<Vec<Caller>, Fault> {
    let search = search.map(like_literal);
    tx.rows(&LIST, &[&page.before(), &search, &page.limit()]).await?.iter().map(caller).collect()
}

pub(super) async fn meet(tx: &mut TenantTx<'_>, phone: &str) -> Result<Uuid, Fault> {
    let id = tx.new_id();
    tx.row(&MEET, &[&id, &phone]).await?.map(|row| row.get(0)).ok_or_else(|| Fault::new("meet a caller"))
}

/// Locks the caller's row; false if there is no such caller.
pub(super) async fn lock(tx: &mut TenantTx<'_>, caller: CallerId) -> Result<bool, Fault> {
    Ok(tx.row(&EXISTS, &[&caller.uuid()]).await?.is_some())
}

pub(super) async fn profile(tx: &mut TenantTx<'_>, caller: CallerId) -> Result<Option<Profile>, Fault> {
    Ok(tx.row(&PROFILE, &[&caller.uuid()]).await?.map(|row| Profile {
        caller,
        data: row.get(0),
        template_version: row.get::<_, Uuid>(1).into(),
        quick_bio: row.get(2),
        revision: row.get(3),
    }))
}

pub(super) async fn profiles(tx: &mut TenantTx<'_>, callers: &[Uuid]) -> Result<Vec<Profile>, Fault> {
    let profile = |row: &Row| Profile {
        caller: row.get::<_, Uuid>(0).into(),
        data: row.get(1),
        template_version: row.get::<_, Uuid>(2).into(),
        quick_bio: row.get(3),
        revision: row.get(4),
    };
    Ok(tx.rows(&PROFILES, &[&callers]).await?.iter().map(profile).collect())
}

pub(super) async fn put_profile(tx: &mut TenantTx<'_>, profile: &Profile) -> Result<i32, Fault> {
    let (caller, version) = (profile.caller.uuid(), profile.template_version.uuid());
    let data: &Value = &profile.data;
    let row = tx.row(&PUT_PROFILE, &[&caller, &version, data, &profile.quick_bio]).await?;
    row.map(|row| row.get(0)).ok_or_else(|| Fault::new("save a profile"))
}

pub(super) async fn name(tx: &mut TenantTx<'_>, caller: CallerId, name: &str) -> Result<(), Fault> {
    tx.run(&NAME, &[&caller.uuid(), &name]).await?;
    Ok(())
}

/// The version that a new profile is pinned to.
pub(super) async fn tenant_template(tx: &mut TenantTx<'_>) -> Result<Uuid, Fault> {
    let id = tx.tenant().uuid();
    let row = tx.row(&TENANT_TEMPLATE, &[&id]).await?;
    row.map(|row| row.get(0)).ok_or_else(|| Fault::new("find the tenant's template"))
}
