//! The job that gives a new memory its vector. Recall works without; nothing waits for it.

use super::{DIMENSIONS, store};
use crate::access::Action;
use crate::db::Db;
use crate::ids::MemoryId;
use crate::jobs::{Attempt, Failed, Kind};
use crate::providers::openai::text::TextModels;

/// Gives one memory, named by the job's key, its vector.
pub const EMBED: Kind = Kind { name: "memory.embed", attempts_max: 5 };

/// Runs [`EMBED`].
pub async fn embed(db: &Db, models: &TextModels, attempt: &Attempt) -> Result<(), Failed> {
    let scope = &attempt.scope;
    let id: MemoryId = attempt.key.parse().map_err(|_| Failed::for_good("the key is no memory id"))?;
    let mut session = db.tenant(scope).await?;
    let mut tx = session.begin().await?;
    tx.permit(Action::MemoryWrite)?;
    let text = store::unembedded(&mut tx, id).await?;
    tx.commit().await?;
    let Some(text) = text else { return Ok(()) };
    drop(session);

    let vector = models.embed(&text, DIMENSIONS).await?;

    let mut session = db.tenant(scope).await?;
    let mut tx = session.begin().await?;
    tx.permit(Action::MemoryWrite)?;
    store::embed(&mut tx, id, &vector, models.embedding_model()).await?;
    tx.commit().await?;
    Ok(())
}
