//! How many requests of a tenant, or of an operator, are let through: so many per second on average, and as many at once
//! after a quiet second (GCRA). How many comes with each request, a tenant's read afresh with its credential: a change is in
//! force with the next one. Must never know what is asked.

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// After how many requests at least those senders are forgotten that have sent none for long enough.
const SWEEP_MIN: usize = 1_024;

/// What each sender that may send the same number has sent of late.
type Limiter<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A request beyond what its sender may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    /// How many may be sent.
    pub(super) requests_per_s: u16,
    /// When the next one will be let through.
    pub(super) wait: Duration,
}

/// What senders, each known by a `K`, have sent to this process of late.
pub(super) struct Rates<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    clock: C,
    book: Mutex<Book<K, C>>,
}

struct Book<K: Hash + Eq + Clone, C: Clock> {
    limiters: HashMap<NonZeroU32, Limiter<K, C>>,
    /// Requests until the next sweep: as many as senders were kept by the last one, so that it costs each of them little.
    until_sweep: usize,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Rates<K, C> {
    /// Nobody has sent anything yet.
    pub(super) fn new(clock: C) -> Self {
        Self { clock, book: Mutex::new(Book { limiters: HashMap::new(), until_sweep: SWEEP_MIN }) }
    }

    /// Lets a request of the sender through, or says when it would be.
    pub(super) fn take(&self, sender: &K, requests_per_s: u16) -> Result<(), TooMany> {
        let rate = NonZeroU32::new(requests_per_s.into()).unwrap_or(NonZeroU32::MIN);
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.count();
        let limiter = book
            .limiters
            .entry(rate)
            .or_insert_with(|| RateLimiter::hashmap_with_clock(Quota::per_second(rate), self.clock.clone()));
        limiter
            .check_key(sender)
            .map_err(|until| TooMany { requests_per_s, wait: until.wait_time_from(self.clock.now()) })
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Book<K, C> {
    fn count(&mut self) {
        self.until_sweep = self.until_sweep.saturating_sub(1);
        if self.until_sweep == 0 {
            self.limiters.values().for_each(RateLimiter::retain_recent);
            self.limiters.retain(|_, limiter| !limiter.is_empty());
            self.until_sweep = self.senders().max(SWEEP_MIN);
        }
    }

    fn senders(&self) -> usize {
        self.limiters.values().map(RateLimiter::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn passed(
        rates: &Rates<u32, FakeRelativeClock>,
        sender: u32,
        requests_per_s: u16,
        asked: usize,
    ) -> usize {
        (0..asked).filter(|_| rates.take(&sender, requests_per_s).is_ok()).count()
    }

    #[test]
    fn so_many_pass_at_once_and_then_so_many_a_second() {
        let clock = FakeRelativeClock::default();
        let rates = Rates::new(clock.clone());
        assert_eq!(passed(&rates, 1, 50, 1_000), 50);
        let refused = rates.take(&1, 50).unwrap_err();
        assert_eq!(refused, TooMany { requests_per_s: 50, wait: Duration::from_millis(20) });
        assert_eq!(passed(&rates, 2, 50, 1_000), 50, "nobody else's are touched");
        clock.advance(Duration::from_millis(100));
        assert_eq!(passed(&rates, 1, 50, 1_000), 5);
        clock.advance(Duration::from_mins(1));
        assert_eq!(passed(&rates, 1, 50, 1_000), 50, "no more is saved up than a second's");
    }

    #[test]
    fn a_change_is_in_force_at_once() {
        let rates = Rates::new(FakeRelativeClock::default());
        assert_eq!(passed(&rates, 1, 2, 10), 2);
        assert_eq!(passed(&rates, 1, 200, 1_000), 200);
        let refused = rates.take(&1, 1).and_then(|()| rates.take(&1, 1)).unwrap_err();
        assert_eq!(refused, TooMany { requests_per_s: 1, wait: Duration::from_secs(1) });
    }

    #[test]
    fn those_who_are_quiet_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let rates = Rates::new(clock.clone());
        for number in 0..100_000 {
            rates.take(&number, 50).unwrap();
            clock.advance(Duration::from_micros(100));
        }
        // One request is paid for in 20 ms, that is, while 200 others send one.
        let remembered = rates.book.lock().unwrap().senders();
        assert!(remembered <= 200 + SWEEP_MIN, "{remembered}");
        for number in 0..u32::try_from(SWEEP_MIN).unwrap() {
            clock.advance(Duration::from_secs(1));
            rates.take(&number, 7).unwrap();
        }
        let book = rates.book.lock().unwrap();
        assert_eq!(book.limiters.len(), 1, "a rate that nobody has any more is forgotten too");
    }
}
