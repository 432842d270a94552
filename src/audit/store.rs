//! The SQL of the audit log.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Chain, Entry};
use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Param, Row, Type};
use crate::error::Fault;
use crate::secret::MasterKey;

/// In whose transaction a row is written: the platform's, or that of the tenant whose chain it is.
pub(super) enum Pen<'p, 's> {
    Platform(&'p mut PlatformTx),
    Tenant(&'p mut TenantTx<'s>),
}

impl Pen<'_, '_> {
    async fn row(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Option<Row>, Fault> {
        match self {
            Self::Platform(tx) => tx.row(sql, params).await,
            Self::Tenant(tx) => tx.row(sql, params).await,
        }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        match self {
            Self::Platform(tx) => tx.now(),
            Self::Tenant(tx) => tx.now(),
        }
    }

    pub(super) fn new_id(&self) -> Uuid {
        match self {
            Self::Platform(tx) => tx.new_id(),
            Self::Tenant(tx) => tx.new_id(),
        }
    }

    pub(super) fn master_key(&self) -> &MasterKey {
        match self {
            Self::Platform(tx) => tx.db().master_key(),
            Self::Tenant(tx) => tx.master_key(),
        }
    }
}

/// Locks the head until the end of the transaction: rows of one chain are written one after the other.
const LOCK_HEAD: Sql = Sql::new(
    "insert into platform.audit_heads as h (chain, tenant_id, sequence, hash) values ($1, $2, 0, '')
     on conflict (chain) do update set sequence = h.sequence returning sequence, hash",
    &[Type::UUID, Type::UUID],
);
const APPEND: Sql = Sql::new(
    "with head as (update platform.audit_heads set sequence = $3, hash = $4 where chain = $1 returning tenant_id)
     insert into platform.audit (id, tenant_id, sequence, hash, at, actor, action, subject, reason, before, after)
     select $2, head.tenant_id, $3, $4, $5, $6, $7, $8, $9, $10, $11 from head",
    &[
        Type::UUID, Type::UUID, Type::INT8, Type::BYTEA, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT, Type::TEXT,
        Type::TEXT, Type::JSONB, Type::JSONB,
    ],
);
const HEAD: Sql = Sql::new("select sequence, hash from platform.audit_heads where chain = $1", &[Type::UUID]);
const OLDEST: Sql = Sql::new(
    "select sequence, at, actor, action, subject, reason, before, after, id, hash from platform.audit
      where tenant_id is not distinct from $1 and $2 <= sequence order by sequence limit $3",
    &[Type::UUID, Type::INT8, Type::INT8],
);
const NEWEST: Sql = Sql::new(
    "select sequence, at, actor, action, subject, reason, before, after, id, hash from platform.audit
      where tenant_id is not distinct from $1 and sequence < $2 order by sequence desc limit $3",
    &[Type::UUID, Type::INT8, Type::INT8],
);
const CHAINS: Sql = Sql::new(
    "select tenant_id from platform.audit_heads union select id from platform.tenants
      union select tenant_id from platform.audit where sequence is not null order by 1 nulls first",
    &[],
);

fn entry(row: &Row) -> Entry {
    Entry {
        sequence: row.get(0),
        at: row.get(1),
        actor: row.get(2),
        action: row.get(3),
        subject: row.get(4),
        reason: row.get(5),
        before: row.get::<_, Option<_>>(6).unwrap_or_default(),
        after: row.get::<_, Option<_>>(7).unwrap_or_default(),
        id: row.get(8),
        hash: row.get::<_, Option<_>>(9).unwrap_or_default(),
    }
}

/// Length of the chain and hash of its last row; 0 and nothing for one that begins.
pub(super) async fn lock_head(pen: &mut Pen<'_, '_>, chain: Chain) -> Result<(i64, Vec<u8>), Fault> {
    let row = pen.row(&LOCK_HEAD, &[&chain.key(), &chain.tenant()]).await?;
    row.map(|row| (row.get(0), row.get(1))).ok_or_else(|| Fault::new("lock the head of an audit log"))
}

pub(super) async fn append(pen: &mut Pen<'_, '_>, chain: Chain, entry: &Entry) -> Result<(), Fault> {
    pen.row(
        &APPEND,
        &[
            &chain.key(),
            &entry.id,
            &entry.sequence,
            &entry.hash,
            &entry.at,
            &entry.actor,
            &entry.action,
            &entry.subject,
            &entry.reason,
            &entry.before,
            &entry.after,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn head(tx: &mut PlatformTx, chain: Chain) -> Result<Option<(i64, Vec<u8>)>, Fault> {
    Ok(tx.row(&HEAD, &[&chain.key()]).await?.map(|row| (row.get(0), row.get(1))))
}

/// Rows from a place on, in their order.
pub(super) async fn oldest(
    tx: &mut PlatformTx,
    chain: Chain,
    from: i64,
    limit: i64,
) -> Result<Vec<Entry>, Fault> {
    Ok(tx.rows(&OLDEST, &[&chain.tenant(), &from, &limit]).await?.iter().map(entry).collect())
}

/// Rows before a place, newest first.
pub(super) async fn newest(
    tx: &mut PlatformTx,
    chain: Chain,
    before: i64,
    limit: i64,
) -> Result<Vec<Entry>, Fault> {
    Ok(tx.rows(&NEWEST, &[&chain.tenant(), &before, &limit]).await?.iter().map(entry).collect())
}

pub(super) async fn chains(tx: &mut PlatformTx) -> Result<Vec<Option<Uuid>>, Fault> {
    Ok(tx.rows(&CHAINS, &[]).await?.iter().map(|row| row.get(0)).collect())
}
