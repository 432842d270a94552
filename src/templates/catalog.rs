//! The published templates: what is there, which is the latest, and the version that a profile is pinned to. Must never
//! know what a tenant does with it.

use super::store;
use super::version::{TemplateVersion, built_in};
use crate::access::Action;
use crate::db::Db;
use crate::db::tx::TenantTx;
use crate::error::{Error, Fault};
use crate::ids::TemplateVersionId;

/// A published version, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The name in commands, e.g. `insurance`.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// Counts from 1 for each key.
    pub number: i32,
    /// The digest of its content.
    pub sha256: String,
    /// How many tenants follow it.
    pub tenants: i64,
}

/// Publishes the templates that come with the platform; refuses when a published number has another content.
pub async fn publish_built_in(db: &Db) -> Result<(), Fault> {
    let mut tx = db.platform().await?;
    for version in built_in()? {
        store::put(&mut tx, &version).await?;
        let digest = store::digest(&mut tx, version.key(), version.number()).await?;
        if digest.as_deref() != Some(version.sha256()) {
            let (key, number) = (version.key(), version.number());
            return Err(Fault::new(format!(
                "publish template {key} version {number}: it is published with another content; raise its number"
            )));
        }
    }
    tx.commit().await
}

/// Everything that is published, by key and number.
pub async fn list(db: &Db) -> Result<Vec<Published>, Fault> {
    let mut tx = db.platform().await?;
    let rows = store::list(&mut tx).await?;
    tx.commit().await?;
    let published = |row: store::Listed| Published {
        key: row.key,
        name: row.name,
        number: row.number,
        sha256: row.sha256,
        tenants: row.tenants,
    };
    Ok(rows.into_iter().map(published).collect())
}

/// The newest version of a template.
pub async fn latest(db: &Db, key: &str) -> Result<TemplateVersionId, Error> {
    if key.contains('\0') {
        return Err(Error::NotFound("template"));
    }
    let mut tx = db.platform().await?;
    let id = store::latest(&mut tx, key).await?;
    tx.commit().await?;
    id.map(Into::into).ok_or(Error::NotFound("template"))
}

/// The version with that id.
pub async fn version(tx: &mut TenantTx<'_>, id: TemplateVersionId) -> Result<TemplateVersion, Error> {
    tx.permit(Action::CallersRead)?;
    let parts = store::version(tx, id.uuid()).await?.ok_or(Error::NotFound("template version"))?;
    let broken = || Fault::new("read a published template: it no longer passes the checks of this version");
    TemplateVersion::new(parts).map_err(|_| broken().into())
}
