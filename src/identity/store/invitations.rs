//! Invitations, as their tenant sees them: in its own transactions on the control plane's cluster, and no digest.

use uuid::Uuid;

use super::{address, standing};
use crate::db::page::Page;
use crate::db::tx::{Sql, TenantTx};
use crate::db::{Row, Type};
use crate::error::Fault;
use crate::identity::asked::Asked;
use crate::identity::invitations::{Invitation, LIFE, Made};
use crate::identity::{Address, Standing};
use crate::ids::{InvitationId, MemberId, RoleId};
use crate::secret::{self, Secret};

/// The columns that [`invitation`] reads.
macro_rules! invitation_columns {
    () => {
        "id, email, role, role_id, invited_by, created_at, expires_at, mails, sent_at, accepted_at, revoked_at"
    };
}

const PAGE: Sql = Sql::new(
    concat!(
        "select ",
        invitation_columns!(),
        " from platform.invitations where tenant_id = $1 and id < $2 order by id desc limit $3"
    ),
    &[Type::UUID, Type::UUID, Type::INT8],
);
const FIND: Sql = Sql::new(
    concat!("select ", invitation_columns!(), " from platform.invitations where tenant_id = $1 and id = $2"),
    &[Type::UUID, Type::UUID],
);
const MADE_BY: Sql = Sql::new(
    concat!(
        "select ",
        invitation_columns!(),
        ", asked_sha256 from platform.invitations where tenant_id = $1 and asked_as = $2"
    ),
    &[Type::UUID, Type::BYTEA],
);
const PENDING: Sql = Sql::new(
    concat!(
        "select ",
        invitation_columns!(),
        " from platform.invitations
          where tenant_id = $1 and email = $2 and accepted_at is null and revoked_at is null"
    ),
    &[Type::UUID, Type::TEXT],
);
const OPEN: Sql = Sql::new(
    "select count(*) from platform.invitations
      where tenant_id = $1 and accepted_at is null and revoked_at is null and $2 < expires_at",
    &[Type::UUID, Type::TIMESTAMPTZ],
);
const ADD: Sql = Sql::new(
    concat!(
        "insert into platform.invitations (id, tenant_id, email, role, role_id, invited_by, created_at, expires_at, asked_as,
                                           asked_sha256)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning ",
        invitation_columns!()
    ),
    &[
        Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::UUID, Type::UUID, Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ, Type::BYTEA, Type::BYTEA,
    ],
);
const EXTEND: Sql = Sql::new(
    concat!(
        "update platform.invitations set mails = mails + 1, expires_at = $3, token_sha256 = null
          where tenant_id = $1 and id = $2 returning ",
        invitation_columns!()
    ),
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ],
);
const REVOKE: Sql = Sql::new(
    concat!(
        "update platform.invitations set revoked_at = $3, token_sha256 = null
          where tenant_id = $1 and id = $2 returning ",
        invitation_columns!()
    ),
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ],
);
const SET_TOKEN: Sql = Sql::new(
    "update platform.invitations n set token_sha256 = $4, sent_at = $3
       from platform.tenants t
      where n.tenant_id = $1 and n.id = $2 and n.accepted_at is null and n.revoked_at is null and $3 < n.expires_at
        and t.id = n.tenant_id
     returning n.email, n.role, n.expires_at, t.name, t.slug,
               (select r.name from platform.roles r where r.tenant_id = n.tenant_id and r.id = n.role_id)",
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ, Type::BYTEA],
);

fn invitation(row: &Row) -> Result<Invitation, Fault> {
    Ok(Invitation {
        id: row.get::<_, Uuid>(0).into(),
        address: known(row, 1)?,
        standing: standing(row, 2)?,
        invited_by: row.get::<_, Option<Uuid>>(4).map(Into::into),
        created_at: row.get(5),
        expires_at: row.get(6),
        mails: row.get(7),
        sent_at: row.get(8),
        accepted_at: row.get(9),
        revoked_at: row.get(10),
    })
}

fn known(row: &Row, at: usize) -> Result<Address, Fault> {
    address(row, at)?.ok_or_else(|| Fault::new("read an invitation: it has no address"))
}

pub(in crate::identity) async fn page(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Invitation>, Fault> {
    let tenant = tx.tenant().uuid();
    tx.rows(&PAGE, &[&tenant, &page.before(), &page.limit()]).await?.iter().map(invitation).collect()
}

pub(in crate::identity) async fn find(
    tx: &mut TenantTx<'_>,
    id: InvitationId,
) -> Result<Option<Invitation>, Fault> {
    let tenant = tx.tenant().uuid();
    tx.row(&FIND, &[&tenant, &id.uuid()]).await?.as_ref().map(invitation).transpose()
}

/// The invitation that a request made, and the digest of what it had asked for.
pub(in crate::identity) async fn made_by(
    tx: &mut TenantTx<'_>,
    request: &[u8],
) -> Result<Option<(Invitation, Vec<u8>)>, Fault> {
    let tenant = tx.tenant().uuid();
    let Some(row) = tx.row(&MADE_BY, &[&tenant, &request]).await? else { return Ok(None) };
    Ok(Some((invitation(&row)?, row.get(11))))
}

/// The one that nobody accepted or revoked, though it may have expired.
pub(in crate::identity) async fn pending(
    tx: &mut TenantTx<'_>,
    address: &Address,
) -> Result<Option<Invitation>, Fault> {
    let tenant = tx.tenant().uuid();
    tx.row(&PENDING, &[&tenant, &address.reveal()]).await?.as_ref().map(invitation).transpose()
}

pub(in crate::identity) async fn open(tx: &mut TenantTx<'_>) -> Result<i64, Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    Ok(tx.row(&OPEN, &[&tenant, &now]).await?.map_or(0, |row| row.get(0)))
}

pub(in crate::identity) async fn add(
    tx: &mut TenantTx<'_>,
    address: &Address,
    standing: Standing,
    asked: Option<&Asked>,
) -> Result<Invitation, Fault> {
    let (id, tenant, now) = (tx.new_id(), tx.tenant().uuid(), tx.now());
    let by = super::acting_member(tx.scope()).map(MemberId::uuid);
    let (role, role_id) = (standing.name(), standing.custom().map(RoleId::uuid));
    let (request, what) = (asked.map(|asked| &asked.key), asked.map(|asked| &asked.what));
    let until = now + LIFE;
    let params: &[crate::db::Param<'_>] =
        &[&id, &tenant, &address.reveal(), &role, &role_id, &by, &now, &until, &request, &what];
    let added = tx.row(&ADD, params).await?.as_ref().map(invitation).transpose()?;
    added.ok_or_else(|| Fault::new("add an invitation: the insert gave no row"))
}

/// Begins its time anew, for another mail; the link before it is void.
pub(in crate::identity) async fn extend(
    tx: &mut TenantTx<'_>,
    id: InvitationId,
) -> Result<Option<Invitation>, Fault> {
    let (tenant, until) = (tx.tenant().uuid(), tx.now() + LIFE);
    tx.row(&EXTEND, &[&tenant, &id.uuid(), &until]).await?.as_ref().map(invitation).transpose()
}

pub(in crate::identity) async fn revoke(
    tx: &mut TenantTx<'_>,
    id: InvitationId,
) -> Result<Option<Invitation>, Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    tx.row(&REVOKE, &[&tenant, &id.uuid(), &now]).await?.as_ref().map(invitation).transpose()
}

/// Nothing where the invitation is not open.
pub(in crate::identity) async fn set_token(
    tx: &mut TenantTx<'_>,
    id: InvitationId,
    token: Secret,
) -> Result<Option<Made>, Fault> {
    let (tenant, now, digest) = (tx.tenant().uuid(), tx.now(), secret::digest(token.reveal()));
    let Some(row) = tx.row(&SET_TOKEN, &[&tenant, &id.uuid(), &now, &digest]).await? else { return Ok(None) };
    let (role, own): (String, Option<String>) = (row.get(1), row.get(5));
    Ok(Some(Made {
        address: known(&row, 0)?,
        role: own.unwrap_or(role),
        expires_at: row.get(2),
        business: row.get(3),
        slug: row.get(4),
        token,
    }))
}
