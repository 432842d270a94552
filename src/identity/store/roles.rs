//! Roles of a tenant's own, in its own transactions on the control plane's cluster.

use uuid::Uuid;

use crate::access::KeyScope;
use crate::db::tx::{Sql, TenantTx};
use crate::db::{Row, Type};
use crate::error::Fault;
use crate::identity::asked::Asked;
use crate::identity::roles::Role;
use crate::ids::RoleId;

const ALL: Sql = Sql::new(
    "select id, name, scopes, created_at from platform.roles
      where tenant_id = $1 and removed_at is null order by lower(name)",
    &[Type::UUID],
);
const FIND: Sql = Sql::new(
    "select id, name, scopes, created_at from platform.roles where tenant_id = $1 and id = $2 and removed_at is null",
    &[Type::UUID, Type::UUID],
);
const MADE_BY: Sql = Sql::new(
    "select id, name, scopes, created_at, asked_sha256 from platform.roles where tenant_id = $1 and asked_as = $2",
    &[Type::UUID, Type::BYTEA],
);
const ADD: Sql = Sql::new(
    "insert into platform.roles (id, tenant_id, name, scopes, created_at, asked_as, asked_sha256)
     values ($1, $2, $3, $4, $5, $6, $7) returning id, name, scopes, created_at",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT_ARRAY, Type::TIMESTAMPTZ, Type::BYTEA, Type::BYTEA],
);
/// Who is in the role acts by what it holds now: open sockets look again.
const CHANGE: Sql = Sql::new(
    "with changed as (update platform.roles set name = $3, scopes = $4 where tenant_id = $1 and id = $2 returning id)
     select pg_notify('keys', $5) from changed",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT_ARRAY, Type::TEXT],
);
const IS_USED: Sql = Sql::new(
    "select exists (select from platform.members where tenant_id = $1 and role_id = $2 and removed_at is null)
         or exists (select from platform.invitations where tenant_id = $1 and role_id = $2 and accepted_at is null
                       and revoked_at is null and $3 < expires_at)",
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ],
);
const REMOVE: Sql = Sql::new(
    "update platform.roles set removed_at = $3 where tenant_id = $1 and id = $2",
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ],
);

/// A scope that this version does not know gives nothing.
fn role(row: &Row) -> Role {
    let scopes: Vec<&str> = row.get(2);
    Role {
        id: row.get::<_, Uuid>(0).into(),
        name: row.get(1),
        scopes: scopes.into_iter().filter_map(KeyScope::named).collect(),
        created_at: row.get(3),
    }
}

fn words(scopes: &[KeyScope]) -> Vec<&'static str> {
    scopes.iter().map(|scope| scope.name()).collect()
}

pub(in crate::identity) async fn all(tx: &mut TenantTx<'_>) -> Result<Vec<Role>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.rows(&ALL, &[&tenant]).await?.iter().map(role).collect())
}

pub(in crate::identity) async fn find(tx: &mut TenantTx<'_>, id: RoleId) -> Result<Option<Role>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.row(&FIND, &[&tenant, &id.uuid()]).await?.as_ref().map(role))
}

/// The role that a request made, and the digest of what it had asked for.
pub(in crate::identity) async fn made_by(
    tx: &mut TenantTx<'_>,
    request: &[u8],
) -> Result<Option<(Role, Vec<u8>)>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.row(&MADE_BY, &[&tenant, &request]).await?.map(|row| (role(&row), row.get(4))))
}

pub(in crate::identity) async fn add(
    tx: &mut TenantTx<'_>,
    name: &str,
    scopes: &[KeyScope],
    asked: Option<&Asked>,
) -> Result<Role, Fault> {
    let (id, tenant, now, scopes) = (tx.new_id(), tx.tenant().uuid(), tx.now(), words(scopes));
    let (request, what) = (asked.map(|asked| &asked.key), asked.map(|asked| &asked.what));
    let added = tx.row(&ADD, &[&id, &tenant, &name, &scopes, &now, &request, &what]).await?;
    added.as_ref().map(role).ok_or_else(|| Fault::new("add a role: the insert gave no row"))
}

pub(in crate::identity) async fn change(tx: &mut TenantTx<'_>, role: &Role) -> Result<(), Fault> {
    let (tenant, notice, scopes) = (tx.tenant().uuid(), tx.tenant().to_string(), words(&role.scopes));
    tx.row(&CHANGE, &[&tenant, &role.id.uuid(), &role.name, &scopes, &notice]).await?;
    Ok(())
}

pub(in crate::identity) async fn is_used(tx: &mut TenantTx<'_>, id: RoleId) -> Result<bool, Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    Ok(tx.row(&IS_USED, &[&tenant, &id.uuid(), &now]).await?.is_some_and(|row| row.get(0)))
}

pub(in crate::identity) async fn remove(tx: &mut TenantTx<'_>, id: RoleId) -> Result<(), Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    tx.run(&REMOVE, &[&tenant, &id.uuid(), &now]).await?;
    Ok(())
}
