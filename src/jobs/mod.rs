//! The queue: work that is enqueued with the write that causes it, and done once, later, as the tenant of its row, or as
//! the platform's keeper where it belongs to no tenant. Every cluster has a queue of its own. Owns the rows and the runner;
//! must never know what a job does.
//!
//! A job is named by kind and key, so that enqueuing twice is enqueuing once. It may run twice all the same (a crash
//! after its deed, before its row says so): every job is idempotent by its key.

pub mod runner;
mod store;

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

use crate::access::{Action, PlatformScope, TenantScope};
use crate::db::Db;
use crate::db::tx::{PlatformTx, TenantTx};
use crate::error::{Error, Fault};

/// A kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `slice.verb`.
    pub name: &'static str,
    /// After so many tries it is dead, and kept for people to look at.
    pub attempts_max: i32,
}

/// Enqueues a job, once per kind and key, to be run as soon as the transaction is committed.
pub async fn enqueue(tx: &mut TenantTx<'_>, kind: &Kind, key: &str) -> Result<(), Error> {
    tx.permit(Action::JobsEnqueue)?;
    enqueue_in(tx, kind, key, Duration::ZERO).await
}

/// Enqueues a job, once per kind and key, to be run after `delay`.
pub async fn enqueue_in(tx: &mut TenantTx<'_>, kind: &Kind, key: &str, delay: Duration) -> Result<(), Error> {
    tx.permit(Action::JobsEnqueue)?;
    Ok(store::add(tx, kind.name, key, delay).await?)
}

/// Enqueues work of the platform itself, once per kind and key, to be run from `at` on.
pub async fn enqueue_keeper(
    tx: &mut PlatformTx,
    kind: &Kind,
    key: &str,
    at: DateTime<Utc>,
) -> Result<(), Fault> {
    store::add_keeper(tx, kind.name, key, at).await
}

/// The same, and tries again what had failed for good.
pub async fn revive_keeper(
    tx: &mut PlatformTx,
    kind: &Kind,
    key: &str,
    at: DateTime<Utc>,
) -> Result<(), Fault> {
    store::revive_keeper(tx, kind.name, key, at).await
}

/// Enqueues work of the platform itself for the day of that moment, once per day, to be run from then on.
pub async fn enqueue_daily(tx: &mut PlatformTx, kind: &Kind, at: DateTime<Utc>) -> Result<(), Fault> {
    enqueue_keeper(tx, kind, &at.date_naive().to_string(), at).await
}

/// Deletes jobs that were done long ago, in every cluster, and is run again tomorrow; the key is the day.
pub const SWEEP: Kind = Kind { name: "jobs.sweep", attempts_max: 5 };
/// How long a job that is done can still be looked at. Dead ones stay until somebody has.
const DONE_KEPT: TimeDelta = TimeDelta::days(30);

/// Runs [`SWEEP`].
pub async fn sweep(db: &Db) -> Result<(), Failed> {
    let now = db.clock().now();
    for (cluster, _) in db.clusters() {
        store::sweep(db, cluster, now - DONE_KEPT).await?;
    }
    let mut tx = db.platform().await?;
    enqueue_daily(&mut tx, &SWEEP, now + TimeDelta::days(1)).await?;
    Ok(tx.commit().await?)
}

/// One try at a job of the platform itself.
#[derive(Debug, Clone)]
pub struct KeeperAttempt {
    /// The right to look after tenants, not after their data.
    pub scope: PlatformScope,
    /// The job's key.
    pub key: String,
}

/// One try at a tenant's job.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The tenant of the job's row.
    pub scope: TenantScope,
    /// The job's key.
    pub key: String,
    /// There will be no other try.
    pub last: bool,
}

/// Why a job did not succeed, and whether to try it again.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong.
    pub fault: Fault,
    /// No later try can succeed.
    pub for_good: bool,
}

impl Failed {
    /// No later try can succeed.
    pub fn for_good(doing: &str) -> Self {
        Self { fault: Fault::new(doing), for_good: true }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, for_good: false }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Fault(fault) | Error::TimedOut(fault) => fault.into(),
            busy @ Error::Busy { .. } => Fault::caused("begin a job's transaction", busy).into(),
            refused
            @ (Error::Forbidden | Error::NotFound(_) | Error::Invalid(_) | Error::Conflict { .. }) => {
                Self { fault: Fault::caused("the job was refused", refused), for_good: true }
            }
        }
    }
}

impl From<crate::providers::http::Trouble> for Failed {
    fn from(trouble: crate::providers::http::Trouble) -> Self {
        Self { fault: trouble.fault, for_good: !trouble.passing }
    }
}
