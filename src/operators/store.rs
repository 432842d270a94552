//! The SQL of the operators slice: all of it in the control plane.

use uuid::Uuid;

use super::Operator;
use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Db, Row, Type};
use crate::error::Fault;
use crate::ids::OperatorId;

const ADD: Sql = Sql::new(
    "insert into platform.operators (id, name, created_at) values ($1, $2, $3)
     on conflict (name) do nothing returning id, name, created_at, disabled_at",
    &[Type::UUID, Type::TEXT, Type::TIMESTAMPTZ],
);
const ADD_KEY: Sql = Sql::new(
    "insert into platform.operator_keys (id, operator_id, prefix, secret_sha256) values ($1, $2, $3, $4)",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::BYTEA],
);
const DISABLE: Sql = Sql::new(
    "with gone as (update platform.operators set disabled_at = $2 where name = $1 and disabled_at is null
                   returning id, name, created_at, disabled_at),
          keys as (update platform.operator_keys k set revoked_at = $2 from gone
                    where k.operator_id = gone.id and k.revoked_at is null)
     select id, name, created_at, disabled_at from gone",
    &[Type::TEXT, Type::TIMESTAMPTZ],
);
const ALL: Sql =
    Sql::new("select id, name, created_at, disabled_at from platform.operators order by name", &[]);
const GET: Sql =
    Sql::new("select id, name, created_at, disabled_at from platform.operators where id = $1", &[Type::UUID]);
const KEY_OWNER: Sql = Sql::new(
    "select o.id from platform.operator_keys k join platform.operators o on o.id = k.operator_id
      where k.secret_sha256 = $1 and k.revoked_at is null and o.disabled_at is null",
    &[Type::BYTEA],
);

fn operator(row: &Row) -> Operator {
    Operator {
        id: row.get::<_, Uuid>(0).into(),
        name: row.get(1),
        created_at: row.get(2),
        disabled_at: row.get(3),
    }
}

/// Nothing if there is one of that name.
pub(super) async fn add(tx: &mut PlatformTx, name: &str) -> Result<Option<Operator>, Fault> {
    let (id, now) = (tx.new_id(), tx.now());
    Ok(tx.row(&ADD, &[&id, &name, &now]).await?.as_ref().map(operator))
}

pub(super) async fn add_key(
    tx: &mut PlatformTx,
    operator: OperatorId,
    prefix: &str,
    digest: &[u8],
) -> Result<(), Fault> {
    let id = tx.new_id();
    tx.run(&ADD_KEY, &[&id, &operator.uuid(), &prefix, &digest]).await?;
    Ok(())
}

/// Nothing if there is none of that name that may do anything.
pub(super) async fn disable(tx: &mut PlatformTx, name: &str) -> Result<Option<Operator>, Fault> {
    let now = tx.now();
    Ok(tx.row(&DISABLE, &[&name, &now]).await?.as_ref().map(operator))
}

pub(super) async fn all(tx: &mut PlatformTx) -> Result<Vec<Operator>, Fault> {
    Ok(tx.rows(&ALL, &[]).await?.iter().map(operator).collect())
}

pub(super) async fn get(tx: &mut PlatformTx, id: Uuid) -> Result<Option<Operator>, Fault> {
    Ok(tx.row(&GET, &[&id]).await?.as_ref().map(operator))
}

pub(super) async fn key_owner(db: &Db, digest: &[u8]) -> Result<Option<OperatorId>, Fault> {
    Ok(db.lookup(&KEY_OWNER, &[&digest]).await?.first().map(|row| row.get::<_, Uuid>(0).into()))
}
