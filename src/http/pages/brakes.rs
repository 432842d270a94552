//! How often somebody may try to get in: by network address, by the account that is named, and by tenant, in each process. All
//! three count alike for accounts that exist and for those that do not. Must never know whether a try succeeded.

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::identity::Address;
use crate::ids::TenantId;
use crate::secret;

/// After so many tries those are forgotten who have not tried for long enough.
const SWEEP_EVERY: usize = 1_024;

/// The three brakes. An office behind one address gets in, a list of passwords or addresses does not get far.
pub(super) struct Brakes<C: Clock = MonotonicClock> {
    addresses: Bucket<IpAddr, C>,
    accounts: Bucket<Vec<u8>, C>,
    tenants: Bucket<TenantId, C>,
}

impl<C: Clock + Clone> Brakes<C> {
    pub(super) fn new(clock: &C) -> Self {
        let minutes = Duration::from_mins;
        Self {
            addresses: Bucket::new(clock, 60, Duration::from_secs(1)),
            accounts: Bucket::new(clock, 5, minutes(5)),
            tenants: Bucket::new(clock, 120, Duration::from_millis(500)),
        }
    }

    /// A try from that address; how long to wait where it is one too many.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), Duration> {
        self.addresses.take(&address)
    }

    /// A try that names that account.
    pub(super) fn account(&self, account: &Address) -> Result<(), Duration> {
        self.accounts.take(&secret::digest(account.reveal()))
    }

    /// A try to get into that tenant.
    pub(super) fn tenant(&self, tenant: TenantId) -> Result<(), Duration> {
        self.tenants.take(&tenant)
    }
}

type Limiter<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// So many tries at once, and one more after each while.
struct Bucket<K: Hash + Eq + Clone, C: Clock> {
    clock: C,
    limiter: Limiter<K, C>,
    tries: AtomicUsize,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Bucket<K, C> {
    fn new(clock: &C, at_once: u32, one_each: Duration) -> Self {
        let at_once = NonZeroU32::new(at_once).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(one_each).unwrap_or(Quota::per_second(at_once)).allow_burst(at_once);
        let limiter = RateLimiter::hashmap_with_clock(quota, clock.clone());
        Self { clock: clock.clone(), limiter, tries: AtomicUsize::new(1) }
    }

    fn take(&self, key: &K) -> Result<(), Duration> {
        if self.tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY) {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn each_brake_slows_its_own_and_lets_go_again() {
        let clock = FakeRelativeClock::default();
        let brakes = Brakes::new(&clock);
        let (one, two): (Address, Address) = ("a@b.c".parse().unwrap(), "b@b.c".parse().unwrap());
        assert_eq!((0..100).filter(|_| brakes.account(&one).is_ok()).count(), 5);
        assert_eq!(brakes.account(&one), Err(Duration::from_mins(5)));
        assert!(brakes.account(&two).is_ok(), "nobody else is slowed");
        clock.advance(Duration::from_mins(5));
        assert!(brakes.account(&one).is_ok() && brakes.account(&one).is_err());
        let (here, there): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        assert_eq!((0..1_000).filter(|_| brakes.address(here).is_ok()).count(), 60);
        assert!(brakes.address(there).is_ok());
        let tenant = TenantId::from(uuid::Uuid::from_u128(1));
        assert_eq!((0..1_000).filter(|_| brakes.tenant(tenant).is_ok()).count(), 120);
    }

    #[test]
    fn those_who_stopped_trying_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let bucket: Bucket<usize, _> = Bucket::new(&clock, 5, Duration::from_secs(1));
        for key in 0..SWEEP_EVERY - 2 {
            bucket.take(&key).unwrap();
        }
        clock.advance(Duration::from_mins(1));
        bucket.take(&0).unwrap();
        bucket.take(&0).unwrap();
        assert!(bucket.limiter.len() <= 2, "{}", bucket.limiter.len());
    }
}
