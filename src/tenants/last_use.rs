//! When API keys were last used. Noted in memory at each request, and written for all of them together once a minute, so
//! that no request waits for it. Must never know what a key was used for.

use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::store;
use crate::access::{Actor, TenantScope};
use crate::db::Db;
use crate::error::Fault;
use crate::ids::ApiKeyId;

const WRITTEN_EVERY: Duration = Duration::from_mins(1);

/// The last use of each key that was used since the last writing. Cheap to clone; clones share.
#[derive(Debug, Clone, Default)]
pub struct LastUse(Arc<Mutex<HashMap<ApiKeyId, DateTime<Utc>>>>);

impl LastUse {
    /// Notes a use, if it was a key's.
    pub fn note(&self, scope: &TenantScope, at: DateTime<Utc>) {
        if let Actor::ApiKey(key) = scope.actor() {
            self.noted().insert(key, at);
        }
    }

    /// Writes what was noted since the last time; where that fails it stays noted.
    pub async fn write(&self, db: &Db) -> Result<(), Fault> {
        let uses: Vec<_> = self.noted().drain().collect();
        if uses.is_empty() {
            return Ok(());
        }
        let written = store::keys::used(db, &uses).await;
        if written.is_err() {
            let mut noted = self.noted();
            for (key, at) in uses {
                if let Entry::Vacant(place) = noted.entry(key) {
                    place.insert(at);
                }
            }
        }
        written
    }

    /// Writes once a minute until stopped, and then once more.
    pub async fn run(self, db: Db, stop: CancellationToken) {
        let mut stopped = false;
        while !stopped {
            tokio::select! {
                () = stop.cancelled() => stopped = true,
                () = tokio::time::sleep(WRITTEN_EVERY) => {}
            }
            if let Err(fault) = self.write(&db).await {
                tracing::warn!(fault = fault.chain(), "the last use of keys is not written; trying again");
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<ApiKeyId, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
