//! Sessions: opened and looked up by the platform, which alone reads digests.

use uuid::Uuid;

use super::standing;
use crate::access::KeyScope;
use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Db, Row, Type};
use crate::error::Fault;
use crate::identity::Standing;
use crate::identity::sessions::{IDLE_MAX, LIFE_MAX, Opening};
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
const END_BEFORE: Sql = Sql::new(
    "with ended as (update platform.sessions set revoked_at = $3
                     where tenant_id = $1 and secret_sha256 = $2 and revoked_at is null returning id)
     select pg_notify('keys', $4) from ended",
    &[Type::UUID, Type::BYTEA, Type::TIMESTAMPTZ, Type::TEXT],
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
