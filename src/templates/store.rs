//! The SQL of the templates slice: all of it in the control plane, which every tenant may read.

use serde_json::Value;
use uuid::Uuid;

use super::version::{Parts, TemplateVersion};
use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Row, Type};
use crate::error::Fault;

const PUT_TEMPLATE: Sql = Sql::new(
    "insert into platform.templates (id, key, name) values ($1, $2, $3)
     on conflict (key) do update set name = excluded.name returning id",
    &[Type::UUID, Type::TEXT, Type::TEXT],
);
const PUT_VERSION: Sql = Sql::new(
    "insert into platform.template_versions (id, template_id, version, schema, ui, bio, sha256)
     values ($1, $2, $3, $4, $5, $6, $7) on conflict (template_id, version) do nothing",
    &[Type::UUID, Type::UUID, Type::INT4, Type::JSONB, Type::JSONB, Type::JSONB, Type::TEXT],
);
const LATEST: Sql = Sql::new(
    "select v.id, v.sha256 from platform.template_versions v join platform.templates t on t.id = v.template_id
      where t.key = $1 order by v.version desc limit 1",
    &[Type::TEXT],
);
const DIGEST: Sql = Sql::new(
    "select v.sha256 from platform.template_versions v join platform.templates t on t.id = v.template_id
      where t.key = $1 and v.version = $2",
    &[Type::TEXT, Type::INT4],
);
const LIST: Sql = Sql::new(
    "select t.key, t.name, v.version, v.sha256, (select count(*) from platform.tenants n where n.template_version_id = v.id)
       from platform.template_versions v join platform.templates t on t.id = v.template_id
      order by t.key, v.version",
    &[],
);
const VERSION: Sql = Sql::new(
    "select t.key, t.name, v.version, v.schema, v.ui, v.bio
       from platform.template_versions v join platform.templates t on t.id = v.template_id where v.id = $1",
    &[Type::UUID],
);

/// A published version and how many tenants follow it.
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) number: i32,
    pub(super) sha256: String,
    pub(super) tenants: i64,
}

pub(super) async fn put(tx: &mut PlatformTx, version: &TemplateVersion) -> Result<(), Fault> {
    let (template, id) = (tx.new_id(), tx.new_id());
    let row = tx.row(&PUT_TEMPLATE, &[&template, &version.key(), &version.name()]).await?;
    let template: Uuid = row.map(|row| row.get(0)).ok_or_else(|| Fault::new("publish a template"))?;
    let (schema, ui, bio): (&Value, &Value, &Value) = (version.schema(), version.ui(), version.bio_json());
    tx.run(&PUT_VERSION, &[&id, &template, &version.number(), schema, ui, bio, &version.sha256()]).await?;
    Ok(())
}

pub(super) async fn digest(tx: &mut PlatformTx, key: &str, number: i32) -> Result<Option<String>, Fault> {
    Ok(tx.row(&DIGEST, &[&key, &number]).await?.map(|row| row.get(0)))
}

pub(super) async fn latest(tx: &mut PlatformTx, key: &str) -> Result<Option<Uuid>, Fault> {
    Ok(tx.row(&LATEST, &[&key]).await?.map(|row| row.get(0)))
}

pub(super) async fn list(tx: &mut PlatformTx) -> Result<Vec<Listed>, Fault> {
    let listed = |row: &Row| Listed {
        key: row.get(0),
        name: row.get(1),
        number: row.get(2),
        sha256: row.get(3),
        tenants: row.get(4),
    };
    Ok(tx.rows(&LIST, &[]).await?.iter().map(listed).collect())
}

pub(super) async fn version(tx: &mut TenantTx<'_>, id: Uuid) -> Result<Option<Parts>, Fault> {
    Ok(tx.row(&VERSION, &[&id]).await?.map(|row| Parts {
        key: row.get(0),
        name: row.get(1),
        number: row.get(2),
        schema: row.get(3),
        ui: row.get(4),
        bio: row.get(5),
    }))
}
