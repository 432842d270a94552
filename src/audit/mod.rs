//! The audit log: who did what to a tenant or to the platform, why, and what was before and after. Each row's hash covers
//! the row and the hash before it, under a key that is not in the database, so that whoever changes, removes or reorders
//! rows is found out ([`verify`]). Must never know what the deeds mean, nor any transport.

mod store;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::access::{Action, Actor, PlatformScope};
use crate::db::Db;
use crate::db::tx::{PlatformTx, TenantTx};
use crate::error::{Error, Fault};
use crate::ids::TenantId;
use crate::secret::{MasterKey, hex};
use store::Pen;

const REASON_CHARS_MAX: usize = 500;
/// Rows that are read and checked at once.
const ROWS_AT_ONCE: i64 = 1_000;

/// Whose log a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chain {
    /// What concerns no single tenant.
    Platform,
    /// What was done to a tenant.
    Tenant(TenantId),
}

impl Chain {
    fn key(self) -> Uuid {
        match self {
            Self::Platform => Uuid::nil(),
            Self::Tenant(tenant) => tenant.uuid(),
        }
    }

    fn tenant(self) -> Option<Uuid> {
        match self {
            Self::Platform => None,
            Self::Tenant(tenant) => Some(tenant.uuid()),
        }
    }

    fn of(tenant: Option<Uuid>) -> Self {
        tenant.map_or(Self::Platform, |tenant| Self::Tenant(tenant.into()))
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Tenant(tenant) => write!(f, "{tenant}"),
        }
    }
}

/// A deed, to be written down in the transaction that does it.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// `slice.verb`.
    pub action: &'static str,
    /// Of whom or what, in words: a slug, a number, a host.
    pub subject: &'a str,
    /// Why; people are asked for it where a deed hurts.
    pub reason: Option<&'a str>,
    /// How it was.
    pub before: Value,
    /// How it is.
    pub after: Value,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in its chain, from 1.
    pub sequence: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who, as an id or in words.
    pub actor: String,
    /// See [`Deed::action`].
    pub action: String,
    /// See [`Deed::subject`].
    pub subject: String,
    /// See [`Deed::reason`].
    pub reason: Option<String>,
    /// See [`Deed::before`].
    pub before: Value,
    /// See [`Deed::after`].
    pub after: Value,
    id: Uuid,
    hash: Vec<u8>,
}

impl Entry {
    /// What the hash covers, the hash before it included.
    fn digest(&self, key: &MasterKey, chain: Chain, sequence: i64, before: &[u8]) -> [u8; 32] {
        let covered = json!([
            chain.to_string(),
            sequence,
            self.id,
            self.at.timestamp_micros(),
            self.actor,
            self.action,
            self.subject,
            self.reason,
            self.before,
            self.after,
            before,
        ]);
        key.tag("audit", covered.to_string().as_bytes())
    }
}

/// Checks a reason that a person gave.
pub fn reason(text: &str) -> Result<&str, Error> {
    let text = text.trim();
    let good = (1..=REASON_CHARS_MAX).contains(&text.chars().count()) && !text.contains('\0');
    if good { Ok(text) } else { Err(Error::invalid("reason", "must have 1 to 500 characters")) }
}

/// Writes a deed down, at the end of its chain.
pub async fn record(
    tx: &mut PlatformTx,
    scope: &PlatformScope,
    chain: Chain,
    deed: Deed<'_>,
) -> Result<(), Fault> {
    written(Pen::Platform(tx), scope.actor(), chain, deed).await
}

/// Writes down what a tenant did itself, in its own transaction on the control plane's cluster
/// ([`crate::db::Db::registry`]).
pub async fn record_own(tx: &mut TenantTx<'_>, deed: Deed<'_>) -> Result<(), Fault> {
    let (actor, chain) = (tx.scope().actor(), Chain::Tenant(tx.tenant()));
    written(Pen::Tenant(tx), actor, chain, deed).await
}

async fn written(mut pen: Pen<'_, '_>, actor: Actor, chain: Chain, deed: Deed<'_>) -> Result<(), Fault> {
    let (last, before) = store::lock_head(&mut pen, chain).await?;
    let at = pen.now();
    let mut entry = Entry {
        sequence: last + 1,
        // as Postgres keeps it
        at: DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at),
        actor: actor.to_string(),
        action: deed.action.to_owned(),
        subject: deed.subject.to_owned(),
        reason: deed.reason.map(str::to_owned),
        before: deed.before,
        after: deed.after,
        id: pen.new_id(),
        hash: Vec::new(),
    };
    entry.hash = entry.digest(pen.master_key(), chain, entry.sequence, &before).to_vec();
    store::append(&mut pen, chain, &entry).await
}

/// The newest rows of a chain, before the given place.
pub async fn list(
    tx: &mut PlatformTx,
    chain: Chain,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    tx.permit(Action::AuditRead)?;
    Ok(store::newest(tx, chain, before.unwrap_or(i64::MAX), limit).await?)
}

/// How far a chain goes, to be kept outside the database: a log that was cut short or begun anew no longer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose log.
    pub chain: Chain,
    /// The place of its last row.
    pub sequence: i64,
    /// The hash of its last row, in hexadecimal.
    pub hash: String,
}

/// What is wrong with a chain: the first thing, beyond which nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A row is not as it was written.
    #[error("row {sequence} ({id}) was altered")]
    Altered {
        /// Its place.
        sequence: i64,
        /// Its id.
        id: Uuid,
    },
    /// A row is gone.
    #[error("row {sequence} is missing")]
    Missing {
        /// Its place.
        sequence: i64,
    },
    /// A row stands where another one stood.
    #[error("row {sequence} ({id}) was written later and moved here; what stood here is now row {now_at}")]
    Reordered {
        /// Its place.
        sequence: i64,
        /// Its id.
        id: Uuid,
        /// Where the row is that belongs here.
        now_at: i64,
    },
    /// The log is not the one of which a head was kept.
    #[error("row {sequence} is not the one that was noted as the head; the log was cut short and continued")]
    Replaced {
        /// The place of the head that was kept.
        sequence: i64,
    },
    /// The head was written by somebody else.
    #[error("the head of the log, row {sequence}, does not agree with its rows")]
    Head {
        /// The place that the head names.
        sequence: i64,
    },
    /// A tenant has no log at all.
    #[error("there is no log, though the tenant exists")]
    Absent,
}

/// Checks one chain, and gives its head.
pub async fn verify(db: &Db, chain: Chain, kept: Option<&Head>) -> Result<Result<Head, Broken>, Fault> {
    let mut tx = db.platform().await?;
    let (length, hash) = store::head(&mut tx, chain).await?.unwrap_or_default();
    let mut before = Vec::new();
    let mut expected = 1;
    loop {
        let rows = store::oldest(&mut tx, chain, expected, ROWS_AT_ONCE).await?;
        if rows.is_empty() {
            break;
        }
        for (place, row) in rows.iter().enumerate() {
            if row.sequence != expected {
                return Ok(Err(Broken::Missing { sequence: expected }));
            }
            if row.hash != row.digest(db.master_key(), chain, expected, &before) {
                let later = rows.iter().skip(place + 1);
                return Ok(Err(misplaced(db.master_key(), chain, row, &before, later)));
            }
            if kept.is_some_and(|kept| kept.sequence == expected && kept.hash != hex(&row.hash)) {
                return Ok(Err(Broken::Replaced { sequence: expected }));
            }
            before.clone_from(&row.hash);
            expected += 1;
        }
    }
    tx.commit().await?;
    let longest = length.max(kept.map_or(0, |kept| kept.sequence));
    if expected <= longest {
        return Ok(Err(Broken::Missing { sequence: expected }));
    }
    if expected == 1 && chain != Chain::Platform {
        return Ok(Err(Broken::Absent));
    }
    if length + 1 < expected || hash != before {
        return Ok(Err(Broken::Head { sequence: length }));
    }
    Ok(Ok(Head { chain, sequence: length, hash: hex(&hash) }))
}

/// Whether a row that does not fit was altered, or stands in the place of a later one that does.
fn misplaced<'r>(
    key: &MasterKey,
    chain: Chain,
    row: &Entry,
    before: &[u8],
    mut later: impl Iterator<Item = &'r Entry>,
) -> Broken {
    let fits = |other: &&Entry| other.hash == other.digest(key, chain, row.sequence, before);
    match later.find(fits) {
        Some(other) => Broken::Reordered { sequence: row.sequence, id: row.id, now_at: other.sequence },
        None => Broken::Altered { sequence: row.sequence, id: row.id },
    }
}

/// Every chain that there is, and one for every tenant of the registry, whether it is there or not.
pub async fn chains(db: &Db) -> Result<Vec<Chain>, Fault> {
    let mut tx = db.platform().await?;
    let chains = store::chains(&mut tx).await?;
    tx.commit().await?;
    Ok(chains.into_iter().map(Chain::of).collect())
}
