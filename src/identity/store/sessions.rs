//! Sessions: opened and looked up by the platform, which alone reads digests.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::standing;
use crate::access::KeyScope;
use crate::db::page::Page;
use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Db, Row, Type};
use crate::error::Fault;
use crate::identity::Standing;
use crate::identity::sessions::{IDLE_MAX, LIFE_MAX, Opening, Session};
use crate::ids::{MemberId, SessionId, TenantId};
use crate::tenancy::{Tenancy, tenancy_columns};
use crate::tenants::reach::Host;

const ADD: Sql = Sql::new(
    "insert into platform.sessions (id, tenant_id, member_id, secret_sha256, factors, agent, address, created_at, seen_at,
                                    expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
    &[
        Type::UUID, Type::UUID, Type::UUID, Type::BYTEA, Type::TEXT_ARRAY, Type::TEXT, Type::TEXT,
        Type::TIMESTAMPTZ, Type::TIMESTAMPTZ,
    ],
);
/// The columns that [`session`] reads.
macro_rules! session_columns {
    () => {
        "id, member_id, factors, agent, address, created_at, seen_at, expires_at"
    };
}

/// A session that opens the API at `$2`, unused since `$3` at most.
macro_rules! is_good {
    () => {
        "tenant_id = $1 and revoked_at is null and $2 < expires_at and $3 < seen_at"
    };
}

const OF_MEMBER: Sql = Sql::new(
    concat!(
        "select ",
        session_columns!(),
        " from platform.sessions where ",
        is_good!(),
        " and member_id = $4 and id < $5 order by id desc limit $6"
    ),
    &[Type::UUID, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::UUID, Type::UUID, Type::INT8],
);
const FIND: Sql = Sql::new(
    concat!("select ", session_columns!(), " from platform.sessions where ", is_good!(), " and id = $4"),
    &[Type::UUID, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::UUID],
);
const REVOKE: Sql = Sql::new(
    "with ended as (update platform.sessions set revoked_at = $3
                     where tenant_id = $1 and id = $2 and revoked_at is null returning id)
     select pg_notify('keys', $4) from ended",
    &[Type::UUID, Type::UUID, Type::TIMESTAMPTZ, Type::TEXT],
);
const REVOKE_ALL: Sql = Sql::new(
    "with ended as (update platform.sessions set revoked_at = $3
                     where tenant_id = $1 and member_id = any($2) and revoked_at is null returning id)
     select pg_notify('keys', $4) from ended limit 1",
    &[Type::UUID, Type::UUID_ARRAY, Type::TIMESTAMPTZ, Type::TEXT],
);
const END_BEFORE: Sql = Sql::new(
    "with ended as (update platform.sessions set revoked_at = $3
                     where tenant_id = $1 and secret_sha256 = $2 and revoked_at is null returning id)
     select pg_notify('keys', $4) from ended",
    &[Type::UUID, Type::BYTEA, Type::TIMESTAMPTZ, Type::TEXT],
);
/// Passes over rows that somebody is changing: their last use is written the next time.
const USED: Sql = Sql::new(
    "with due as (select s.id, u.at from platform.sessions s
                    join unnest($1::uuid[], $2::timestamptz[]) as u(id, at) on u.id = s.id
                   where s.seen_at <= u.at - interval '1 minute' for update of s skip locked)
     update platform.sessions s set seen_at = due.at from due where s.id = due.id",
    &[Type::UUID_ARRAY, Type::TIMESTAMPTZ_ARRAY],
);
/// One round trip for who it is, what they may do and where the tenant is.
const HOLDER: Sql = Sql::new(
    concat!(
        "select s.id, m.id, m.role, m.role_id, coalesce(r.scopes, '{}'), ",
        tenancy_columns!(),
        " from platform.sessions s
          join platform.members m on m.tenant_id = s.tenant_id and m.id = s.member_id
          join platform.people p on p.id = m.person_id
          join platform.tenancies y on y.id = s.tenant_id
          left join platform.roles r on r.tenant_id = m.tenant_id and r.id = m.role_id
         where s.secret_sha256 = $1 and s.revoked_at is null and $4 < s.expires_at and $5 < s.seen_at
           and m.removed_at is null and p.disabled_at is null and y.state = 'active'
           and (y.slug = $2 or exists (select from platform.domains d
                                        where d.tenant_id = y.id and d.host = $3 and d.verified_at is not null))"
    ),
    &[Type::BYTEA, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ],
);

const SWEEP: Sql = Sql::new("delete from platform.sessions where expires_at < $1", &[Type::TIMESTAMPTZ]);

fn session(row: &Row) -> Session {
    Session {
        id: row.get::<_, Uuid>(0).into(),
        member: row.get::<_, Uuid>(1).into(),
        factors: row.get(2),
        agent: row.get(3),
        address: row.get(4),
        created_at: row.get(5),
        seen_at: row.get(6),
        expires_at: row.get(7),
    }
}

/// A page of those that open the API now, newest first.
pub(in crate::identity) async fn of_member(
    tx: &mut TenantTx<'_>,
    member: MemberId,
    page: Page,
) -> Result<Vec<Session>, Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    let rows = tx
        .rows(&OF_MEMBER, &[&tenant, &now, &(now - IDLE_MAX), &member.uuid(), &page.before(), &page.limit()])
        .await?;
    Ok(rows.iter().map(session).collect())
}

pub(in crate::identity) async fn find(
    tx: &mut TenantTx<'_>,
    id: SessionId,
) -> Result<Option<Session>, Fault> {
    let (tenant, now) = (tx.tenant().uuid(), tx.now());
    Ok(tx.row(&FIND, &[&tenant, &now, &(now - IDLE_MAX), &id.uuid()]).await?.as_ref().map(session))
}

pub(in crate::identity) async fn revoke(tx: &mut TenantTx<'_>, id: SessionId) -> Result<(), Fault> {
    let (tenant, now, notice) = (tx.tenant().uuid(), tx.now(), tx.tenant().to_string());
    tx.row(&REVOKE, &[&tenant, &id.uuid(), &now, &notice]).await?;
    Ok(())
}

/// Ends all sessions of these members.
pub(in crate::identity) async fn revoke_all(
    tx: &mut TenantTx<'_>,
    members: &[MemberId],
) -> Result<(), Fault> {
    let (tenant, now, notice) = (tx.tenant().uuid(), tx.now(), tx.tenant().to_string());
    let members: Vec<_> = members.iter().map(|member| member.uuid()).collect();
    tx.row(&REVOKE_ALL, &[&tenant, &members, &now, &notice]).await?;
    Ok(())
}

pub(in crate::identity) async fn add(
    tx: &mut PlatformTx,
    opening: &Opening<'_>,
    digest: &[u8],
) -> Result<SessionId, Fault> {
    let (id, now) = (tx.new_id(), tx.now());
    let (agent, address) = (opening.browser.agent(), opening.browser.address());
    tx.run(
        &ADD,
        &[
            &id,
            &opening.tenant.uuid(),
            &opening.member.uuid(),
            &digest,
            &opening.factors,
            &agent,
            &address,
            &now,
            &(now + LIFE_MAX),
        ],
    )
    .await?;
    Ok(id.into())
}

/// Deletes sessions whose time was over before then.
pub(in crate::identity) async fn sweep(db: &Db, before: DateTime<Utc>) -> Result<(), Fault> {
    db.lookup(&SWEEP, &[&before]).await.map(drop)
}

/// Notes when sessions were used, of any tenant, unless that was noted within the minute before.
pub(in crate::identity) async fn used(db: &Db, uses: &[(SessionId, DateTime<Utc>)]) -> Result<(), Fault> {
    let (ids, times): (Vec<_>, Vec<_>) = uses.iter().map(|(session, at)| (session.uuid(), *at)).unzip();
    db.lookup(&USED, &[&ids, &times]).await.map(drop)
}

pub(in crate::identity) async fn end_before(
    tx: &mut PlatformTx,
    tenant: TenantId,
    digest: &[u8],
) -> Result<(), Fault> {
    let (now, notice) = (tx.now(), tenant.to_string());
    tx.row(&END_BEFORE, &[&tenant.uuid(), &digest, &now, &notice]).await?;
    Ok(())
}

/// Who acts through a session, and as what.
pub(in crate::identity) struct Held {
    pub(in crate::identity) session: SessionId,
    pub(in crate::identity) member: MemberId,
    pub(in crate::identity) standing: Standing,
    pub(in crate::identity) scopes: Vec<KeyScope>,
    pub(in crate::identity) tenancy: Tenancy,
}

pub(in crate::identity) async fn holder(db: &Db, digest: &[u8], host: &Host) -> Result<Option<Held>, Fault> {
    let now = db.clock().now();
    let rows = db.lookup(&HOLDER, &[&digest, &host.slug(), &host.name(), &now, &(now - IDLE_MAX)]).await?;
    let held = |row: &Row| -> Result<Held, Fault> {
        let scopes: Vec<&str> = row.get(4);
        Ok(Held {
            session: row.get::<_, Uuid>(0).into(),
            member: row.get::<_, Uuid>(1).into(),
            standing: standing(row, 2)?,
            // A scope that this version does not know gives nothing.
            scopes: scopes.into_iter().filter_map(KeyScope::named).collect(),
            tenancy: db.tenancy(row, 5)?,
        })
    };
    rows.first().map(held).transpose()
}
