//! The SQL of the memory slice; the long statement is in `search.sql`.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Kind, Memory, NewMemory, Query, Recalled, Source};
use crate::db::page::{self, PageOf};
use crate::db::tx::{Sql, TenantTx};
use crate::db::{Row, Type};
use crate::error::Fault;
use crate::ids::{CallerId, MemoryId};

const ADD: Sql = Sql::new(
    "insert into {t}.memories as m (id, caller_id, call_id, kind, text, text_sha256, importance, source)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (caller_id, text_sha256) do update set importance = greatest(m.importance, excluded.importance)
     returning m.id, m.kind, m.text, m.importance, m.source, m.call_id, m.created_at",
    &[
        Type::UUID, Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::BYTEA, Type::INT2, Type::TEXT,
    ],
);
const CALLER_EXISTS: Sql = Sql::new("select 1 from {t}.callers where id = $1 for key share", &[Type::UUID]);
const LIST: Sql = Sql::new(
    "select m.id, m.kind, m.text, m.importance, m.source, m.call_id, m.created_at, asked.place
       from unnest($1::uuid[], $2::uuid[], $3::bigint[]) with ordinality as asked(caller_id, before, count, place)
      cross join lateral (select id, kind, text, importance, source, call_id, created_at from {t}.memories x
                           where x.caller_id = asked.caller_id and x.id < asked.before and x.superseded_by is null
                           order by x.id desc limit asked.count) m
      order by asked.place, m.id desc",
    &[Type::UUID_ARRAY, Type::UUID_ARRAY, Type::INT8_ARRAY],
);
const FORGET: Sql = Sql::new("delete from {t}.memories where id = $1", &[Type::UUID]);
const TEXT: Sql =
    Sql::new("select text from {t}.memories where id = $1 and embedding is null", &[Type::UUID]);
const EMBED: Sql = Sql::new(
    "update {t}.memories set embedding = $2::real[]::extensions.halfvec(384), embed_model = $3 where id = $1",
    &[Type::UUID, Type::FLOAT4_ARRAY, Type::TEXT],
);
const SEARCH: Sql = Sql::new(
    include_str!("search.sql"),
    &[Type::UUID_ARRAY, Type::TEXT, Type::FLOAT4_ARRAY, Type::TEXT, Type::INT8, Type::TIMESTAMPTZ],
);

fn memory(row: &Row) -> Result<Memory, Fault> {
    Ok(Memory {
        id: row.get::<_, Uuid>(0).into(),
        kind: Kind::named(row.get(1)).ok_or_else(|| Fault::new("read a memory's kind"))?,
        text: row.get(2),
        importance: row.get(3),
        source: Source::named(row.get(4)).ok_or_else(|| Fault::new("read a memory's source"))?,
        call: row.get::<_, Option<Uuid>>(5).map(Into::into),
        created_at: row.get(6),
    })
}

pub(super) async fn caller_exists(tx: &mut TenantTx<'_>, caller: CallerId) -> Result<bool, Fault> {
    Ok(tx.row(&CALLER_EXISTS, &[&caller.uuid()]).await?.is_some())
}

/// Adds a memory; one with the same words is given back instead.
pub(super) async fn add(tx: &mut TenantTx<'_>, new: &NewMemory) -> Result<Memory, Fault> {
    let id = tx.new_id();
    let digest = Sha256::digest(new.text.to_lowercase().as_bytes()).to_vec();
    let call = new.call.map(crate::ids::CallId::uuid);
    let (kind, source) = (new.kind.name(), new.source.name());
    let row = tx
        .row(&ADD, &[&id, &new.caller.uuid(), &call, &kind, &new.text, &digest, &new.importance, &source])
        .await?;
    memory(&row.ok_or_else(|| Fault::new("add a memory"))?)
}

/// A page of each caller's memories.
pub(super) async fn of_each(
    tx: &mut TenantTx<'_>,
    asked: &[PageOf<CallerId>],
) -> Result<Vec<Vec<Memory>>, Fault> {
    let (callers, before, counts) = PageOf::columns(asked, CallerId::uuid);
    let rows = tx.rows(&LIST, &[&callers, &before, &counts]).await?;
    page::lists(asked.len(), &rows, memory)
}

/// True if there was such a memory.
pub(super) async fn forget(tx: &mut TenantTx<'_>, id: MemoryId) -> Result<bool, Fault> {
    Ok(tx.run(&FORGET, &[&id.uuid()]).await? == 1)
}

/// The text of a memory that has no vector yet.
pub(super) async fn unembedded(tx: &mut TenantTx<'_>, id: MemoryId) -> Result<Option<String>, Fault> {
    Ok(tx.row(&TEXT, &[&id.uuid()]).await?.map(|row| row.get(0)))
}

pub(super) async fn embed(
    tx: &mut TenantTx<'_>,
    id: MemoryId,
    vector: &[f32],
    model: &str,
) -> Result<(), Fault> {
    tx.run(&EMBED, &[&id.uuid(), &vector, &model]).await?;
    Ok(())
}

/// What fits the question best of each caller's memories.
pub(super) async fn search(
    tx: &mut TenantTx<'_>,
    callers: &[CallerId],
    query: &Query<'_>,
) -> Result<Vec<Vec<Recalled>>, Fault> {
    let now = tx.now();
    let callers: Vec<_> = callers.iter().map(|caller| caller.uuid()).collect();
    let (vector, model) = query.vector.as_ref().map(|vector| (&vector.values, vector.model.as_str())).unzip();
    let rows = tx
        .rows(&SEARCH, &[&callers, &query.question, &vector, &model, &i64::from(query.limit), &now])
        .await?;
    page::lists(callers.len(), &rows, |row| Ok(Recalled { memory: memory(row)?, score: row.get(7) }))
}
