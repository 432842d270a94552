//! Attempts to sign in: one row each, written by the platform alone.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{address, standing};
use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Db, Row, Type};
use crate::error::{Fault, OrFault as _};
use crate::identity::sign_in::{Beginning, Found, LIFE, LINK_LIFE, Proof, SignIn, Stage};
use crate::identity::{Address, Standing};
use crate::ids::{InvitationId, MemberId, SignInId, TenantId};
use crate::secret::{self, Secret};

/// The columns that [`sign_in`] reads, of `platform.sign_ins i`.
macro_rules! sign_in_columns {
    () => {
        "i.id, i.tenant_id, i.host, i.return_path, i.stage, i.invitation_id, i.person_id, i.proved_email, i.factors,
         i.expires_at"
    };
}

/// An invitation that is open, by `n.`: nobody accepted or revoked it, and it has not expired by `$2`.
macro_rules! is_open {
    () => {
        "n.accepted_at is null and n.revoked_at is null and $2 < n.expires_at"
    };
}

const ADD: Sql = Sql::new(
    concat!(
        "insert into platform.sign_ins (id, tenant_id, host, return_path, browser_sha256, invitation_id, created_at, expires_at)
         values ($1, $3, $4, $5, $6, (select n.id from platform.invitations n
                                       where n.tenant_id = $3 and n.token_sha256 = $7 and ",
        is_open!(),
        "), $2, $8)"
    ),
    &[
        Type::UUID, Type::TIMESTAMPTZ, Type::UUID, Type::TEXT, Type::TEXT, Type::BYTEA, Type::BYTEA,
        Type::TIMESTAMPTZ,
    ],
);
const ARRIVE: Sql = Sql::new(
    concat!(
        "update platform.sign_ins i set auth_browser_sha256 = $3
          where i.id = $1 and $2 < i.expires_at and (i.auth_browser_sha256 is null or i.auth_browser_sha256 = $3)
         returning ",
        sign_in_columns!()
    ),
    &[Type::UUID, Type::TIMESTAMPTZ, Type::BYTEA],
);
const HELD: Sql = Sql::new(
    concat!(
        "select ",
        sign_in_columns!(),
        " from platform.sign_ins i where i.id = $1 and $2 < i.expires_at and i.auth_browser_sha256 = $3 for update"
    ),
    &[Type::UUID, Type::TIMESTAMPTZ, Type::BYTEA],
);
const PROVE: Sql = Sql::new(
    "update platform.sign_ins set person_id = $2, method = $3, proved_email = $4, factors = array[$3], proved_at = $5
      where id = $1 and stage = 'begun'",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
const ADD_FACTOR: Sql = Sql::new(
    "update platform.sign_ins set factors = factors || $2::text where id = $1",
    &[Type::UUID, Type::TEXT],
);
/// A person who may not come in any more is not found.
const FOUND: Sql = Sql::new(
    concat!(
        "select p.second_factor_since is not null, m.id, n.id
           from platform.sign_ins i
           join platform.people p on p.id = i.person_id and p.disabled_at is null
           left join platform.members m
             on m.tenant_id = i.tenant_id and m.person_id = i.person_id and m.removed_at is null
           left join platform.invitations n on n.tenant_id = i.tenant_id and n.email = i.proved_email and ",
        is_open!(),
        " where i.id = $1"
    ),
    &[Type::UUID, Type::TIMESTAMPTZ],
);
const SET_STAGE: Sql =
    Sql::new("update platform.sign_ins set stage = $2 where id = $1", &[Type::UUID, Type::TEXT]);
/// The invitation is locked first: of two who accept it at once, the second finds it accepted.
const JOIN: Sql = Sql::new(
    concat!(
        "with invited as (
            select n.id, n.tenant_id, n.role, n.role_id, n.email, i.person_id
              from platform.sign_ins i
              join platform.invitations n on n.tenant_id = i.tenant_id and n.email = i.proved_email and ",
        is_open!(),
        "    where i.id = $1 for update of n
         ), joined as (
            insert into platform.members (id, tenant_id, person_id, name, email, role, role_id, created_at)
            select $3, v.tenant_id, p.id, p.name, v.email, v.role, v.role_id, $2
              from invited v join platform.people p on p.id = v.person_id
            on conflict (tenant_id, person_id) where removed_at is null do nothing
            returning id, role
         ), accepted as (
            update platform.invitations n set accepted_at = $2
              from invited v, joined where n.id = v.id returning n.id
         )
         select j.id, j.role, a.id from joined j, accepted a"
    ),
    &[Type::UUID, Type::TIMESTAMPTZ, Type::UUID],
);
const SET_ADDRESS: Sql =
    Sql::new("update platform.sign_ins set email = $2 where id = $1", &[Type::UUID, Type::TEXT]);
/// What a mail says, and whether anybody is to get it: a member or somebody invited.
const ADDRESSEE: Sql = Sql::new(
    concat!(
        "select i.host, i.email, t.name
           from platform.sign_ins i join platform.tenants t on t.id = i.tenant_id and t.state = 'active'
          where i.id = $1 and i.stage = 'begun' and $2 < i.expires_at
            and (exists (select from platform.people p
                           join platform.members m on m.person_id = p.id and m.tenant_id = i.tenant_id
                          where p.email = i.email and p.disabled_at is null and m.removed_at is null)
                 or exists (select from platform.invitations n
                             where n.tenant_id = i.tenant_id and n.email = i.email and ",
        is_open!(),
        "))"
    ),
    &[Type::UUID, Type::TIMESTAMPTZ],
);
const SET_LINK: Sql = Sql::new(
    "update platform.sign_ins set mail_sha256 = $2, mailed_at = $3, expires_at = greatest(expires_at, $4) where id = $1",
    &[Type::UUID, Type::BYTEA, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ],
);
const OF_LINK: Sql = Sql::new("select id from platform.sign_ins where mail_sha256 = $1", &[Type::BYTEA]);
const SPEND_LINK: Sql = Sql::new(
    "update platform.sign_ins set mail_sha256 = null
      where id = $1 and mail_sha256 = $2 and $3 < mailed_at and stage = 'begun' returning email",
    &[Type::UUID, Type::BYTEA, Type::TIMESTAMPTZ],
);
const INVITED: Sql = Sql::new(
    concat!(
        "select n.email, n.role, n.role_id
           from platform.sign_ins i
           join platform.invitations n on n.tenant_id = i.tenant_id and n.id = i.invitation_id and ",
        is_open!(),
        " where i.id = $1"
    ),
    &[Type::UUID, Type::TIMESTAMPTZ],
);
const IS_INVITED: Sql = Sql::new(
    concat!(
        "select n.id from platform.invitations n where n.tenant_id = $1 and n.email = $3 and ",
        is_open!()
    ),
    &[Type::UUID, Type::TIMESTAMPTZ, Type::TEXT],
);
const HAND_OVER: Sql = Sql::new(
    "update platform.sign_ins set stage = 'handed', code_sha256 = $2, handed_at = $3 where id = $1",
    &[Type::UUID, Type::BYTEA, Type::TIMESTAMPTZ],
);
/// Whoever comes second with a code finds it spent.
const SPEND: Sql = Sql::new(
    "update platform.sign_ins i set stage = 'done', used_at = $4
      where i.id = $1 and i.code_sha256 = $2 and i.stage = 'handed' and $3 < i.handed_at
     returning i.tenant_id, i.host, i.browser_sha256, i.return_path, i.factors,
               (select m.id from platform.members m
                 where m.tenant_id = i.tenant_id and m.person_id = i.person_id and m.removed_at is null)",
    &[Type::UUID, Type::BYTEA, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ],
);

const SWEEP: Sql = Sql::new("delete from platform.sign_ins where expires_at < $1", &[Type::TIMESTAMPTZ]);

fn sign_in(row: &Row) -> Result<SignIn, Fault> {
    let stage: &str = row.get(4);
    Ok(SignIn {
        id: row.get::<_, Uuid>(0).into(),
        tenant: row.get::<_, Uuid>(1).into(),
        host: row.get(2),
        return_path: row.get(3),
        stage: Stage::named(stage).ok_or("the stage is none of ours").or_fault("read a sign-in")?,
        invitation: row.get::<_, Option<Uuid>>(5).map(Into::into),
        person: row.get::<_, Option<Uuid>>(6).map(Into::into),
        proved_address: address(row, 7)?,
        factors: row.get(8),
        expires_at: row.get(9),
    })
}

pub(in crate::identity) async fn add(
    tx: &mut PlatformTx,
    id: SignInId,
    beginning: &Beginning,
    browser: &[u8],
) -> Result<(), Fault> {
    let (tenant, now) = (beginning.tenant.uuid(), tx.now());
    let invitation = beginning.invitation.as_ref().map(Secret::reveal).map(secret::digest);
    let (host, path) = (&beginning.host, &beginning.return_path);
    tx.run(&ADD, &[&id.uuid(), &now, &tenant, host, path, &browser, &invitation, &(now + LIFE)]).await?;
    Ok(())
}

pub(in crate::identity) async fn arrive(
    tx: &mut PlatformTx,
    id: SignInId,
    browser: &[u8],
) -> Result<Option<SignIn>, Fault> {
    let now = tx.now();
    tx.row(&ARRIVE, &[&id.uuid(), &now, &browser]).await?.as_ref().map(sign_in).transpose()
}

pub(in crate::identity) async fn held(
    tx: &mut PlatformTx,
    id: SignInId,
    browser: &[u8],
) -> Result<Option<SignIn>, Fault> {
    let now = tx.now();
    tx.row(&HELD, &[&id.uuid(), &now, &browser]).await?.as_ref().map(sign_in).transpose()
}

pub(in crate::identity) async fn prove(
    tx: &mut PlatformTx,
    id: SignInId,
    proof: &Proof,
) -> Result<(), Fault> {
    let (method, address, now) = (proof.method.name(), proof.address.as_ref().map(Address::reveal), tx.now());
    tx.run(&PROVE, &[&id.uuid(), &proof.person.uuid(), &method, &address, &now]).await?;
    Ok(())
}

pub(in crate::identity) async fn add_factor(
    tx: &mut PlatformTx,
    id: SignInId,
    factor: &str,
) -> Result<(), Fault> {
    tx.run(&ADD_FACTOR, &[&id.uuid(), &factor]).await?;
    Ok(())
}

pub(in crate::identity) async fn found(tx: &mut PlatformTx, id: SignInId) -> Result<Option<Found>, Fault> {
    let now = tx.now();
    Ok(tx.row(&FOUND, &[&id.uuid(), &now]).await?.map(|row| Found {
        has_passkey: row.get(0),
        member: row.get::<_, Option<Uuid>>(1).map(Into::into),
        invitation: row.get::<_, Option<Uuid>>(2).map(Into::into),
    }))
}

pub(in crate::identity) async fn set_stage(
    tx: &mut PlatformTx,
    id: SignInId,
    stage: Stage,
) -> Result<(), Fault> {
    tx.run(&SET_STAGE, &[&id.uuid(), &stage.name()]).await?;
    Ok(())
}

/// Somebody who accepted an invitation.
pub(in crate::identity) struct Joined {
    pub(in crate::identity) member: MemberId,
    pub(in crate::identity) role: String,
    pub(in crate::identity) invitation: InvitationId,
}

/// Nothing when the invitation is not open any more.
pub(in crate::identity) async fn join(tx: &mut PlatformTx, id: SignInId) -> Result<Option<Joined>, Fault> {
    let (now, member) = (tx.now(), tx.new_id());
    Ok(tx.row(&JOIN, &[&id.uuid(), &now, &member]).await?.map(|row| Joined {
        member: row.get::<_, Uuid>(0).into(),
        role: row.get(1),
        invitation: row.get::<_, Uuid>(2).into(),
    }))
}

pub(in crate::identity) async fn set_address(
    tx: &mut PlatformTx,
    id: SignInId,
    address: &Address,
) -> Result<(), Fault> {
    tx.run(&SET_ADDRESS, &[&id.uuid(), &address.reveal()]).await?;
    Ok(())
}

/// To whom a link is mailed.
pub(in crate::identity) struct Addressee {
    pub(in crate::identity) host: String,
    pub(in crate::identity) address: Address,
    pub(in crate::identity) business: String,
}

/// Nobody where the address is no member's and nobody's who is invited, or the attempt is over.
pub(in crate::identity) async fn addressee(
    tx: &mut PlatformTx,
    id: SignInId,
) -> Result<Option<Addressee>, Fault> {
    let now = tx.now();
    let Some(row) = tx.row(&ADDRESSEE, &[&id.uuid(), &now]).await? else { return Ok(None) };
    let found = address(&row, 1)?;
    Ok(found.map(|address| Addressee { host: row.get(0), address, business: row.get(2) }))
}

/// The link that was mailed before opens nothing any more.
pub(in crate::identity) async fn set_link(
    tx: &mut PlatformTx,
    id: SignInId,
    token: &[u8],
) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(&SET_LINK, &[&id.uuid(), &token, &now, &(now + LINK_LIFE)]).await?;
    Ok(())
}

pub(in crate::identity) async fn of_link(db: &Db, token: &[u8]) -> Result<Option<SignInId>, Fault> {
    Ok(db.lookup(&OF_LINK, &[&token]).await?.first().map(|row| row.get::<_, Uuid>(0).into()))
}

/// The address that a link went to. Whoever comes second finds it spent.
pub(in crate::identity) async fn spend_link(
    tx: &mut PlatformTx,
    id: SignInId,
    token: &[u8],
) -> Result<Option<Address>, Fault> {
    let since = tx.now() - LINK_LIFE;
    let spent = tx.row(&SPEND_LINK, &[&id.uuid(), &token, &since]).await?;
    Ok(spent.as_ref().map(|row| address(row, 0)).transpose()?.flatten())
}

pub(in crate::identity) async fn invited(
    tx: &mut PlatformTx,
    id: SignInId,
) -> Result<Option<(Address, Standing)>, Fault> {
    let now = tx.now();
    let Some(row) = tx.row(&INVITED, &[&id.uuid(), &now]).await? else { return Ok(None) };
    let standing = standing(&row, 1)?;
    Ok(address(&row, 0)?.map(|address| (address, standing)))
}

pub(in crate::identity) async fn is_invited(
    tx: &mut PlatformTx,
    tenant: TenantId,
    address: &Address,
) -> Result<bool, Fault> {
    let now = tx.now();
    Ok(tx.row(&IS_INVITED, &[&tenant.uuid(), &now, &address.reveal()]).await?.is_some())
}

pub(in crate::identity) async fn hand_over(
    tx: &mut PlatformTx,
    id: SignInId,
    code: &[u8],
) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(&HAND_OVER, &[&id.uuid(), &code, &now]).await?;
    Ok(())
}

/// An attempt whose code was spent.
pub(in crate::identity) struct Handed {
    pub(in crate::identity) tenant: TenantId,
    pub(in crate::identity) host: String,
    pub(in crate::identity) browser_digest: Vec<u8>,
    pub(in crate::identity) return_path: String,
    pub(in crate::identity) factors: Vec<String>,
    pub(in crate::identity) member: Option<MemberId>,
}

/// Nothing when the code is not this attempt's, was spent before, or was handed over before `since`.
pub(in crate::identity) async fn spend(
    tx: &mut PlatformTx,
    id: SignInId,
    code: &[u8],
    since: DateTime<Utc>,
) -> Result<Option<Handed>, Fault> {
    let now = tx.now();
    Ok(tx.row(&SPEND, &[&id.uuid(), &code, &since, &now]).await?.map(|row| Handed {
        tenant: row.get::<_, Uuid>(0).into(),
        host: row.get(1),
        browser_digest: row.get(2),
        return_path: row.get(3),
        factors: row.get(4),
        member: row.get::<_, Option<Uuid>>(5).map(Into::into),
    }))
}

/// Deletes attempts that were over before then.
pub(in crate::identity) async fn sweep(db: &Db, before: DateTime<Utc>) -> Result<(), Fault> {
    db.lookup(&SWEEP, &[&before]).await.map(drop)
}
