//! The one source of wall-clock time, monotonic time and ids: the system's, or a manual one in tests. Must never
//! know what is timed.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use uuid::{ContextV7, Timestamp, Uuid};

/// Hands out the time and time-ordered ids. Cheap to clone; clones share a manual clock.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// Counts the ids of one millisecond, so that their order is the order in which they were asked for.
    ids: Arc<Mutex<ContextV7>>,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::reading(Source::System)
    }

    /// A clock that moves only by [`Clock::advance`].
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self::reading(Source::Manual(Arc::new(Mutex::new(start))))
    }

    fn reading(source: Source) -> Self {
        Self { source, ids: Arc::new(Mutex::new(ContextV7::new().with_additional_precision())) }
    }

    /// The current time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.source {
            Source::System => Utc::now(),
            Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a manual clock forward; the system's clock stays as it is.
    pub fn advance(&self, by: TimeDelta) {
        match &self.source {
            Source::System => {}
            Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner) += by,
        }
    }

    /// Monotonic time, for measuring and for deadlines; always the machine's.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// A new `UUIDv7`: greater than all that this clock gave before.
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(&*self.ids, seconds, now.timestamp_subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_in_which_they_were_asked_for() {
        for clock in [Clock::system(), Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap())] {
            let ids: Vec<_> = (0..10_000).map(|_| clock.new_id()).collect();
            assert!(ids.is_sorted_by(|one, next| one < next));
        }
    }
}
