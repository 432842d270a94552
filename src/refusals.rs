//! What is told when a limit refuses somebody something: a counter by limit, which names nobody, and a line of the log that
//! does, once a minute at most for each of them and each limit, so that whoever asks too much cannot fill the log too. Must
//! never know what was refused.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::ids::{OperatorId, TenantId};
use crate::words::words;

words! {
    /// What is limited; see [`crate::tenancy::Limits`] for what a tenant's plan says.
    #[derive(Hash)]
    Limit {
        /// Transactions at once.
        Transactions = "transactions",
        /// Requests per second.
        Requests = "requests",
        /// How long a statement may run.
        Statement = "statement",
        /// Calls at once.
        Calls = "calls",
        /// Jobs at once: a job that is due waits for another one of its tenant.
        Jobs = "jobs",
        /// Sockets at once.
        Sockets = "sockets",
        /// An operator's requests per second.
        OperatorRequests = "operator_requests",
    }
}

/// Who is refused something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whom {
    /// A tenant, whoever acts for it.
    Tenant(TenantId),
    /// Somebody of the platform's own team.
    Operator(OperatorId),
}

impl From<TenantId> for Whom {
    fn from(id: TenantId) -> Self {
        Self::Tenant(id)
    }
}

impl From<OperatorId> for Whom {
    fn from(id: OperatorId) -> Self {
        Self::Operator(id)
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(id) => id.fmt(f),
            Self::Operator(id) => id.fmt(f),
        }
    }
}

static LINES: LazyLock<Mutex<Lines>> = LazyLock::new(Mutex::default);

/// Counts and tells that a limit refused somebody something.
pub fn note(limit: Limit, whom: impl Into<Whom>) {
    let whom = whom.into();
    metrics::counter!("neurosphere_refused_total", "limit" => limit.name()).increment(1);
    let due = LINES.lock().unwrap_or_else(PoisonError::into_inner).due((whom, limit), Instant::now());
    if let Some(times) = due {
        tracing::info!(%whom, limit = limit.name(), times, "a limit refuses somebody something");
    }
}

/// When a line was last written about whom, and how often something was refused since.
#[derive(Default)]
struct Lines {
    by_whom: HashMap<(Whom, Limit), (Instant, u64)>,
    /// When what is old was last forgotten.
    swept_at: Option<Instant>,
}

impl Lines {
    const PAUSE: Duration = Duration::from_mins(1);
    const SWEEP_PAUSE: Duration = Duration::from_secs(1);
    /// Of how many it is remembered, each with each limit; of others nothing is written for a while.
    const REMEMBERED_MAX: usize = 10_000;

    /// How often something was refused since the last line, if it is time for another one.
    fn due(&mut self, about: (Whom, Limit), now: Instant) -> Option<u64> {
        if let Some((written_at, unwritten)) = self.by_whom.get_mut(&about) {
            *unwritten += 1;
            if now < *written_at + Self::PAUSE {
                return None;
            }
            *written_at = now;
            return Some(std::mem::take(unwritten));
        }
        if Self::REMEMBERED_MAX <= self.by_whom.len() {
            self.forget(now);
        }
        if Self::REMEMBERED_MAX <= self.by_whom.len() {
            return None;
        }
        self.by_whom.insert(about, (now, 0));
        Some(1)
    }

    /// Forgets what is old; not for everybody who comes while there is no room.
    fn forget(&mut self, now: Instant) {
        if self.swept_at.is_none_or(|at| at + Self::SWEEP_PAUSE <= now) {
            self.swept_at = Some(now);
            self.by_whom.retain(|_, (written_at, _)| now < *written_at + Self::PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn tenant(number: u128) -> Whom {
        TenantId::from(Uuid::from_u128(number)).into()
    }

    #[test]
    fn a_line_a_minute_tells_of_all_that_was_refused_since() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let mut due = |limit, seconds| lines.due((tenant(1), limit), start + Duration::from_secs(seconds));
        assert_eq!(due(Limit::Requests, 0), Some(1));
        assert_eq!(due(Limit::Requests, 1), None);
        assert_eq!(due(Limit::Calls, 1), Some(1), "another limit has lines of its own");
        assert_eq!(due(Limit::Requests, 59), None);
        assert_eq!(due(Limit::Requests, 60), Some(3));
        assert_eq!(due(Limit::Requests, 200), Some(1));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let told = (0..100_000).filter(|n| lines.due((tenant(*n), Limit::Requests), start).is_some()).count();
        assert_eq!((told, lines.by_whom.len()), (Lines::REMEMBERED_MAX, Lines::REMEMBERED_MAX));
        assert_eq!(lines.due((tenant(200_000), Limit::Requests), start + Lines::PAUSE), Some(1));
        assert_eq!(lines.by_whom.len(), 1, "what is old is forgotten when there is no room");
    }
}
