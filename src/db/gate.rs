//! How much of a tenant's work is under way at once in this process: a gate per tenant and lane, with places in the order of
//! asking. Must never know what the work is.
//!
//! A tenant's own requests must not keep its callers waiting, nor its jobs for ever, so each kind of work has a lane of its
//! own. A call is worth more than a request, but putting calls first within one lane would not do: the statements of a
//! request may run for seconds, and a caller would wait behind those that have begun.
//!
//! How wide a lane is comes with everybody who asks, read afresh with their credential: a change is in force with the next
//! one. A gate exists while somebody is inside, so that memory follows the work, not the tenants.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::access::{Role, TenantScope};
use crate::error::Error;
use crate::ids::TenantId;
use crate::refusals::{self, Limit};
use crate::tenancy::Limits;

/// How many may wait at one gate.
const WAITING_MAX: usize = 4_096;
/// When whoever is refused may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The kinds of work of a tenant that do not stand in each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    /// Requests of its software and its staff.
    Requests,
    /// Calls, and what the carrier reports of them.
    Calls,
    /// Queued jobs.
    Jobs,
}

impl Lane {
    const fn of(role: Role) -> Self {
        match role {
            Role::Owner
            | Role::Admin
            | Role::Member
            | Role::Viewer
            | Role::Custom
            | Role::Door
            | Role::Operator => Self::Requests,
            Role::Carrier | Role::Call => Self::Calls,
            Role::Job | Role::Keeper => Self::Jobs,
        }
    }

    /// Calls at once have a limit of their own, but not how often somebody dials; jobs are not claimed beyond theirs.
    const fn width(self, limits: &Limits) -> u16 {
        match self {
            Self::Requests | Self::Calls => limits.transactions_max,
            Self::Jobs => limits.jobs_max,
        }
    }

    /// Who is on the telephone must be answered within three seconds in all; nobody waits for a job.
    const fn wait_max(self) -> Duration {
        match self {
            Self::Requests | Self::Calls => Duration::from_secs(2),
            Self::Jobs => Duration::from_secs(10),
        }
    }
}

type Key = (TenantId, Lane);

/// The gates of a process. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub(super) struct Gates(Arc<Mutex<HashMap<Key, Gate>>>);

#[derive(Default)]
struct Gate {
    inside: usize,
    /// As the last who asked had it.
    width: usize,
    /// Where each who waits is called; whoever gave up has closed the other end.
    waiting: VecDeque<oneshot::Sender<Place>>,
}

/// The right to be inside; given back when dropped.
pub(super) struct Place {
    key: Key,
    /// Absent once it was given back otherwise.
    gates: Option<Gates>,
}

impl Gates {
    /// Waits for a place, for a short while. Nobody gets more than `share_max`, whatever their limits say.
    pub(super) async fn enter(&self, scope: &TenantScope, share_max: usize) -> Result<Place, Error> {
        let lane = Lane::of(scope.role());
        let key = (scope.tenant(), lane);
        let width = usize::from(lane.width(&scope.tenancy().limits)).clamp(1, share_max.max(1));
        let came = match self.ask(key, width) {
            Asked::Entered(place) => Some(place),
            Asked::Queued(hears) => timeout(lane.wait_max(), hears).await.ok().and_then(Result::ok),
            Asked::Full => None,
        };
        came.ok_or_else(|| {
            refusals::note(Limit::Transactions, scope.tenant());
            Error::Busy { retry_after: RETRY_AFTER }
        })
    }

    /// How many are inside, and how many wait.
    pub(super) fn crowd(&self) -> (usize, usize) {
        let count = |(inside, waiting), gate: &Gate| (inside + gate.inside, waiting + gate.waiting.len());
        self.gates().values().fold((0, 0), count)
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<Key, Gate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, key: Key, width: usize) -> Asked {
        let mut gates = self.gates();
        let gate = gates.entry(key).or_default();
        gate.width = width;
        self.call(key, gate);
        if gate.waiting.is_empty() && gate.inside < width {
            gate.inside += 1;
            return Asked::Entered(Place { key, gates: Some(self.clone()) });
        }
        if WAITING_MAX <= gate.waiting.len() {
            gate.waiting.retain(|one| !one.is_closed());
        }
        if WAITING_MAX <= gate.waiting.len() {
            return Asked::Full;
        }
        let (called, hears) = oneshot::channel();
        gate.waiting.push_back(called);
        Asked::Queued(hears)
    }

    fn leave(&self, key: Key) {
        let mut gates = self.gates();
        let Entry::Occupied(mut entry) = gates.entry(key) else { return };
        let gate = entry.get_mut();
        gate.inside = gate.inside.saturating_sub(1);
        self.call(key, gate);
        if gate.inside == 0 && gate.waiting.is_empty() {
            entry.remove();
        }
    }

    /// Calls in whoever fits, in their order, and passes over those who gave up.
    fn call(&self, key: Key, gate: &mut Gate) {
        while gate.waiting.front().is_some_and(|first| gate.inside < gate.width || first.is_closed()) {
            let Some(first) = gate.waiting.pop_front() else { return };
            match first.send(Place { key, gates: Some(self.clone()) }) {
                Ok(()) => gate.inside += 1,
                // Nobody hears: the place was not taken, and must not be given back.
                Err(mut place) => place.gates = None,
            }
        }
    }
}

/// What becomes of somebody who asks.
enum Asked {
    Entered(Place),
    Queued(oneshot::Receiver<Place>),
    Full,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gates) = self.gates.take() {
            gates.leave(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Actor;
    use crate::tenancy::{ClusterIndex, Placement, Tenancy};
    use futures_util::FutureExt as _;
    use tokio::task::{JoinSet, yield_now};
    use uuid::Uuid;

    /// Somebody of a tenant that may have so many transactions, and twice as many jobs.
    fn scope(number: u128, role: Role, transactions_max: u16) -> TenantScope {
        let limits = Limits {
            transactions_max,
            requests_per_s: 1,
            statement_ms_max: 1_000,
            calls_max: 1,
            jobs_max: 2 * transactions_max,
        };
        let placement = Placement { cluster: ClusterIndex::MAIN, login: 0, schema_version: 1 };
        let tenancy = Tenancy { tenant: Uuid::from_u128(number).into(), placement, limits };
        TenantScope::mint(tenancy, Actor::CommandLine, role)
    }

    /// The place, if there is one without waiting.
    fn at_once(gates: &Gates, scope: &TenantScope) -> Option<Place> {
        gates.enter(scope, 100).now_or_never().and_then(Result::ok)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_called_in_the_order_of_asking() {
        let gates = Gates::default();
        let one = scope(1, Role::Owner, 2);
        let (first, second) = (at_once(&gates, &one).unwrap(), at_once(&gates, &one).unwrap());
        let mut third = Box::pin(gates.enter(&one, 100));
        let mut fourth = Box::pin(gates.enter(&one, 100));
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        drop(second);
        assert!(at_once(&gates, &one).is_none(), "nobody overtakes those who wait");
        assert!(fourth.as_mut().now_or_never().is_none());
        let third = third.now_or_never().unwrap().unwrap();
        drop(first);
        let fourth = fourth.now_or_never().unwrap().unwrap();
        assert_eq!(gates.crowd(), (2, 0));
        drop((third, fourth));
        assert!(gates.gates().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_and_tenants_do_not_touch_each_other() {
        let gates = Gates::default();
        let _requests = at_once(&gates, &scope(1, Role::Owner, 1)).unwrap();
        let refused = gates.enter(&scope(1, Role::Owner, 1), 100).await.err();
        assert!(matches!(refused, Some(Error::Busy { .. })), "{refused:?}");
        let _call = at_once(&gates, &scope(1, Role::Call, 1)).unwrap();
        assert!(at_once(&gates, &scope(1, Role::Carrier, 1)).is_none(), "a lane is shared");
        let _jobs = [at_once(&gates, &scope(1, Role::Job, 1)), at_once(&gates, &scope(1, Role::Job, 1))];
        assert!(at_once(&gates, &scope(1, Role::Job, 1)).is_none(), "so many jobs and no more");
        assert!(at_once(&gates, &scope(2, Role::Owner, 1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_in_force_with_the_next_who_asks() {
        let gates = Gates::default();
        let narrow = scope(1, Role::Owner, 1);
        let _inside = at_once(&gates, &narrow).unwrap();
        let mut waits = Box::pin(gates.enter(&narrow, 100));
        assert!(waits.as_mut().now_or_never().is_none());
        let _wider = at_once(&gates, &scope(1, Role::Owner, 3)).unwrap();
        let _called = waits.now_or_never().unwrap().unwrap();
        assert!(
            at_once(&gates, &scope(1, Role::Owner, 1)).is_none(),
            "narrower again, and nobody is thrown out"
        );
        assert!(
            gates.enter(&scope(1, Role::Owner, 100), 3).now_or_never().is_none(),
            "no more than its share"
        );
        assert_eq!(gates.crowd().0, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_give_up_leave_nothing_behind() {
        let gates = Gates::default();
        let one = scope(1, Role::Owner, 1);
        let inside = at_once(&gates, &one).unwrap();
        for _ in 0..3 * WAITING_MAX {
            assert!(at_once(&gates, &one).is_none());
        }
        assert!(gates.crowd().1 <= WAITING_MAX);
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| gates.ask(gates_key(&one), 1)).collect();
        assert!(matches!(gates.ask(gates_key(&one), 1), Asked::Full), "there is an end to waiting");
        drop((waiting, inside));
        assert!(gates.gates().is_empty());
    }

    fn gates_key(scope: &TenantScope) -> Key {
        (scope.tenant(), Lane::of(scope.role()))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whatever_is_broken_off_the_gate_is_empty_in_the_end() {
        let gates = Gates::default();
        let most = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let mut handles = Vec::new();
        for number in 0..20_000_usize {
            let (gates, most) = (gates.clone(), Arc::clone(&most));
            handles.push(tasks.spawn(async move {
                let one = scope(u128::from(number % 3 == 0), Role::Owner, 4);
                let place = gates.enter(&one, 100).await;
                most.fetch_max(gates.crowd().0, std::sync::atomic::Ordering::Relaxed);
                for _ in 0..number % 7 {
                    yield_now().await;
                }
                drop(place);
            }));
            // Some before they have begun, some while they wait, some inside.
            if let Some(broken_off) = handles.get((number * 7_919) % 20_011).filter(|_| number % 2 == 0) {
                broken_off.abort();
            }
            if number % 64 == 0 {
                yield_now().await;
            }
        }
        while tasks.join_next().await.is_some() {}
        assert!(gates.gates().is_empty());
        let most = most.load(std::sync::atomic::Ordering::Relaxed);
        assert!((2..=8).contains(&most), "two tenants, four places each: {most}");
    }

    #[test]
    fn memory_follows_the_work_and_not_the_tenants() {
        let gates = Gates::default();
        for number in 0..100_000 {
            drop(at_once(&gates, &scope(number, Role::Owner, 8)).unwrap());
        }
        assert!(gates.gates().capacity() < 10, "{}", gates.gates().capacity());
        let inside: Vec<_> =
            (0..100_000).map(|number| at_once(&gates, &scope(number, Role::Owner, 8)).unwrap()).collect();
        assert_eq!(gates.crowd(), (100_000, 0));
        drop(inside);
        assert!(gates.gates().is_empty());
    }
}
