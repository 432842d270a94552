//! Members, as their tenant sees them: in its own transactions on the control plane's cluster, and never the person.

use uuid::Uuid;

use super::{address, standing};
use crate::db::page::Page;
use crate::db::tx::{Sql, TenantTx};
use crate::db::{Row, Type};
use crate::error::Fault;
use crate::identity::members::Member;
use crate::identity::{Address, Standing};
use crate::ids::{MemberId, RoleId};

/// Changes of who is in a tenant come one after the other, so that each sees what the one before it did.
const LOCK: Sql = Sql::new(
    "select pg_advisory_xact_lock(hashtextextended('members ' || $1::uuid::text, 0))",
    &[Type::UUID],
);
const PAGE: Sql = Sql::new(
    "select id, name, email, role, role_id, created_at from platform.members
      where tenant_id = $1 and id < $2 and removed_at is null order by id desc limit $3",
    &[Type::UUID, Type::UUID, Type::INT8],
);
const FIND: Sql = Sql::new(
    "select id, name, email, role, role_id, created_at from platform.members
      where tenant_id = $1 and id = $2 and removed_at is null",
    &[Type::UUID, Type::UUID],
);
const AT_ADDRESS: Sql = Sql::new(
    "select id from platform.members where tenant_id = $1 and email = $2 and removed_at is null limit 1",
    &[Type::UUID, Type::TEXT],
);
const COUNT: Sql = Sql::new(
    "select count(*), count(*) filter (where role = 'owner') from platform.members
      where tenant_id = $1 and removed_at is null",
    &[Type::UUID],
);
const SET_STANDING: Sql = Sql::new(
    "update platform.members set role = $3, role_id = $4 where tenant_id = $1 and id = $2",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::UUID],
);
const REMOVE: Sql = Sql::new(
    "update platform.members set removed_at = $3 where tenant_id = $1 and id = $2",
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ],
);

fn member(row: &Row) -> Result<Member, Fault> {
    Ok(Member {
        id: row.get::<_, Uuid>(0).into(),
        name: row.get(1),
        address: address(row, 2)?,
        standing: standing(row, 3)?,
        created_at: row.get(5),
    })
}

pub(in crate::identity) async fn lock(tx: &mut TenantTx<'_>) -> Result<(), Fault> {
    let tenant = tx.tenant().uuid();
    tx.row(&LOCK, &[&tenant]).await?;
    Ok(())
}

pub(in crate::identity) async fn page(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Member>, Fault> {
    let tenant = tx.tenant().uuid();
    tx.rows(&PAGE, &[&tenant, &page.before(), &page.limit()]).await?.iter().map(member).collect()
}

pub(in crate::identity) async fn find(tx: &mut TenantTx<'_>, id: MemberId) -> Result<Option<Member>, Fault> {
    let tenant = tx.tenant().uuid();
    tx.row(&FIND, &[&tenant, &id.uuid()]).await?.as_ref().map(member).transpose()
}

pub(in crate::identity) async fn at_address(tx: &mut TenantTx<'_>, address: &Address) -> Result<bool, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.row(&AT_ADDRESS, &[&tenant, &address.reveal()]).await?.is_some())
}

/// How many there are, and how many of them are owners.
pub(in crate::identity) async fn count(tx: &mut TenantTx<'_>) -> Result<(i64, i64), Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.row(&COUNT, &[&tenant]).await?.map_or((0, 0), |row| (row.get(0), row.get(1))))
}

pub(in crate::identity) async fn set_standing(
    tx: &mut TenantTx<'_>,
    id: MemberId,
    standing: Standing,
) -> Result<(), Fault> {
    let (tenant, role_id) = (tx.tenant().uuid(), standing.custom().map(RoleId::uuid));
    tx.run(&SET_STANDING, &[&tenant, &id.uuid(), &standing.name(), &role_id]).await?;
    Ok(())
}

pub(in crate::identity) async fn remove(tx: &mut TenantTx<'_>, id: MemberId) -> Result<(), Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    tx.run(&REMOVE, &[&tenant, &id.uuid(), &now]).await?;
    Ok(())
}
