//! Memory: what is remembered about callers, and finding it again. Every memory belongs to one caller of one tenant.
//! Must never know how a memory came about (a tool, an extraction, a member of staff) beyond its [`Source`].
//!
//! Start at [`remember`] and [`recall`].

pub mod jobs;
mod store;

use chrono::{DateTime, Utc};

use crate::access::Action;
use crate::db::page::PageOf;
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::ids::{CallId, CallerId, MemoryId};
use crate::words::words;

/// Characters of a memory at most.
pub const TEXT_CHARS_MAX: usize = 1_000;
/// Characters of a question at most.
pub const QUESTION_CHARS_MAX: usize = 1_000;
/// Dimensions of every vector.
pub const DIMENSIONS: usize = 384;

words! {
    /// What a memory is about.
    Kind {
        /// Anything that is true of the caller.
        Fact = "fact",
        /// What the caller likes or wants.
        Preference = "preference",
        /// Somebody in the caller's life.
        Person = "person",
        /// A vehicle.
        Vehicle = "vehicle",
        /// An insurance policy.
        Policy = "policy",
        /// A house, flat or plot.
        Property = "property",
        /// Something to be done.
        Task = "task",
    }
}

words! {
    /// Who wrote a memory.
    Source {
        /// The agent, during a call.
        Agent = "agent",
        /// The extraction after a call.
        Extraction = "extraction",
        /// A member of staff, through the API.
        Staff = "staff",
    }
}

/// Something remembered about a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its id.
    pub id: MemoryId,
    /// What it is about.
    pub kind: Kind,
    /// One sentence.
    pub text: String,
    /// 1 to 5.
    pub importance: i16,
    /// Who wrote it.
    pub source: Source,
    /// The call that it came from.
    pub call: Option<CallId>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// A memory to be written.
#[derive(Debug, Clone)]
pub struct NewMemory {
    /// Whose it is.
    pub caller: CallerId,
    /// The call that it came from.
    pub call: Option<CallId>,
    /// What it is about.
    pub kind: Kind,
    /// One sentence.
    pub text: String,
    /// 1 to 5.
    pub importance: i16,
    /// Who writes it.
    pub source: Source,
}

/// Remembers something about a caller. The same words twice are one memory.
pub async fn remember(tx: &mut TenantTx<'_>, new: NewMemory) -> Result<Memory, Error> {
    tx.permit(Action::MemoryWrite)?;
    let plain = new.text.replace('\0', "");
    let text = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if !(1..=TEXT_CHARS_MAX).contains(&text.chars().count()) {
        return Err(Error::invalid("text", "must have 1 to 1000 characters"));
    }
    if !(1..=5).contains(&new.importance) {
        return Err(Error::invalid("importance", "must be from 1 to 5"));
    }
    if !store::caller_exists(tx, new.caller).await? {
        return Err(Error::NotFound("caller"));
    }
    let memory = store::add(tx, &NewMemory { text, ..new }).await?;
    crate::jobs::enqueue(tx, &jobs::EMBED, &memory.id.to_string()).await?;
    Ok(memory)
}

/// A page of a caller's memories, newest first.
pub async fn list(tx: &mut TenantTx<'_>, asked: PageOf<CallerId>) -> Result<Vec<Memory>, Error> {
    Ok(of_each(tx, &[asked]).await?.pop().unwrap_or_default())
}

/// A page of each caller's memories, newest first, in the order of those who were asked for.
pub async fn of_each(tx: &mut TenantTx<'_>, asked: &[PageOf<CallerId>]) -> Result<Vec<Vec<Memory>>, Error> {
    tx.permit(Action::MemoryRead)?;
    Ok(store::of_each(tx, asked).await?)
}

/// Forgets a memory for good.
pub async fn forget(tx: &mut TenantTx<'_>, id: MemoryId) -> Result<(), Error> {
    tx.permit(Action::MemoryWrite)?;
    if store::forget(tx, id).await? { Ok(()) } else { Err(Error::NotFound("memory")) }
}

/// A vector and the model that made it; only vectors of the same model are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// [`DIMENSIONS`] numbers.
    pub values: Vec<f32>,
    /// The model's name.
    pub model: String,
}

/// A question about callers.
#[derive(Debug, Clone)]
pub struct Query<'q> {
    /// In words.
    pub question: &'q str,
    /// As a vector, where there is a model at hand; words alone must do otherwise.
    pub vector: Option<Vector>,
    /// Answers at most, for each caller.
    pub limit: u16,
}

/// A memory that fits a question, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// The memory.
    pub memory: Memory,
    /// How well it fits; comparable within one answer only.
    pub score: f64,
}

/// Finds what fits a question among each caller's own memories, in the order of those who were asked for.
pub async fn recall(
    tx: &mut TenantTx<'_>,
    callers: &[CallerId],
    query: &Query<'_>,
) -> Result<Vec<Vec<Recalled>>, Error> {
    tx.permit(Action::MemoryRead)?;
    if QUESTION_CHARS_MAX < query.question.chars().count() {
        return Err(Error::invalid("question", "must have at most 1000 characters"));
    }
    if query.question.contains('\0') {
        return Err(Error::invalid("question", "must not contain the character U+0000"));
    }
    Ok(store::search(tx, callers, query).await?)
}
