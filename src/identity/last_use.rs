//! When API keys and sessions were last used. Noted in memory at each request, and written for all of them together once a
//! minute, so that no request waits for it. Must never know what they were used for.

use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::store;
use crate::access::{Actor, TenantScope};
use crate::db::Db;
use crate::error::Fault;
use crate::ids::{ApiKeyId, SessionId};
use crate::tenants::keys;

const WRITTEN_EVERY: Duration = Duration::from_mins(1);

/// The last use of each key and session that was used since the last writing. Cheap to clone; clones share.
#[derive(Debug, Clone, Default)]
pub struct LastUse(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    keys: HashMap<ApiKeyId, DateTime<Utc>>,
    sessions: HashMap<SessionId, DateTime<Utc>>,
}

impl LastUse {
    /// Notes a use, if it was a key's or a session's.
    pub fn note(&self, scope: &TenantScope, at: DateTime<Utc>) {
        match scope.actor() {
            Actor::ApiKey(key) => {
                self.noted().keys.insert(key, at);
            }
            Actor::Member { session, .. } => {
                self.noted().sessions.insert(session, at);
            }
            Actor::SignIn(_)
            | Actor::Carrier
            | Actor::Call(_)
            | Actor::Job(_)
            | Actor::Operator(_)
            | Actor::CommandLine => {}
        }
    }

    /// Writes what was noted since the last time; where that fails it stays noted.
    pub async fn write(&self, db: &Db) -> Result<(), Fault> {
        let Noted { keys, sessions } = std::mem::take(&mut *self.noted());
        let (keys, sessions): (Vec<_>, Vec<_>) = (keys.into_iter().collect(), sessions.into_iter().collect());
        let of_keys = if keys.is_empty() { Ok(()) } else { keys::used(db, &keys).await };
        if of_keys.is_err() {
            put_back(&mut self.noted().keys, keys);
        }
        let of_sessions =
            if sessions.is_empty() { Ok(()) } else { store::sessions::used(db, &sessions).await };
        if of_sessions.is_err() {
            put_back(&mut self.noted().sessions, sessions);
        }
        of_keys.and(of_sessions)
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
                tracing::warn!(fault = fault.chain(), "last uses are not written; trying again");
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was used again in the meantime keeps the later time.
fn put_back<K: Eq + Hash>(noted: &mut HashMap<K, DateTime<Utc>>, uses: Vec<(K, DateTime<Utc>)>) {
    for (used, at) in uses {
        noted.entry(used).or_insert(at);
    }
}
