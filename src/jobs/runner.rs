//! Runs queued jobs: claims one, runs it as its tenant, says done, again or dead. Tenants take turns: a claim looks from the
//! tenant on whose job was claimed last, so that nobody waits for more than one job of each other tenant. Woken by
//! notifications and, where those are lost, by the time the next job is due. Must never know what a job does: [`Handlers`] does.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::store::{self, Claimed, Found, Lane};
use super::{Attempt, Failed, KeeperAttempt, Kind};
use crate::access::{Actor, PlatformScope, Role, TenantScope};
use crate::db::Db;
use crate::db::listen::{Channel, Heard, Hub};
use crate::error::Fault;
use crate::tenancy::ClusterIndex;

type Handler<A> = Arc<dyn Fn(A) -> BoxFuture<'static, Result<(), Failed>> + Send + Sync>;

/// On whose behalf a kind of job runs.
#[derive(Clone)]
enum Work {
    Tenants(Handler<Attempt>),
    Keepers(Handler<KeeperAttempt>),
}

/// Which function runs which kind of job.
#[derive(Default, Clone)]
pub struct Handlers {
    by_kind: HashMap<&'static str, (Kind, Work)>,
}

impl Handlers {
    /// The names of all kinds, in order.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.by_kind.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Adds the function that runs a kind of tenants' jobs.
    #[must_use]
    pub fn with<F, Run>(mut self, kind: Kind, run: F) -> Self
    where
        F: Fn(Attempt) -> Run + Send + Sync + 'static,
        Run: Future<Output = Result<(), Failed>> + Send + 'static,
    {
        let work = Work::Tenants(Arc::new(move |attempt| Box::pin(run(attempt))));
        self.by_kind.insert(kind.name, (kind, work));
        self
    }

    /// Adds the function that runs a kind of the platform's own jobs.
    #[must_use]
    pub fn with_keeper<F, Run>(mut self, kind: Kind, run: F) -> Self
    where
        F: Fn(KeeperAttempt) -> Run + Send + Sync + 'static,
        Run: Future<Output = Result<(), Failed>> + Send + 'static,
    {
        let work = Work::Keepers(Arc::new(move |attempt| Box::pin(run(attempt))));
        self.by_kind.insert(kind.name, (kind, work));
        self
    }
}

/// Claims and runs the jobs of one cluster's queue, so that a cluster that is lost keeps nobody else's waiting. Cheap to
/// clone.
#[derive(Clone)]
pub struct Runner {
    db: Db,
    cluster: ClusterIndex,
    handlers: Handlers,
    slots: Arc<Semaphore>,
    /// Whose job was claimed last.
    last: Arc<Mutex<Lane>>,
    /// Told when a job is over: another one of its tenant may be claimed then.
    over: Arc<Notify>,
}

/// What a claim brought.
enum Claim {
    Job(Box<Claimed>, OwnedSemaphorePermit),
    /// Nothing, for so long, if nothing is heard.
    Nothing(Duration),
}

impl Runner {
    const JOBS_AT_ONCE: usize = 4;
    const LEASE: TimeDelta = TimeDelta::seconds(60);
    const RENEW_EVERY: Duration = Duration::from_secs(20);
    const RUN_MAX: Duration = Duration::from_mins(5);
    const SLEEP_MAX: Duration = Duration::from_secs(5);
    const SLEEP_MIN: Duration = Duration::from_millis(50);
    const BACK_OFF_MAX_S: i64 = 600;

    /// A runner of these jobs on the control plane's cluster.
    pub fn new(db: Db, handlers: Handlers) -> Self {
        Self::on(db, ClusterIndex::MAIN, handlers)
    }

    /// A runner of these jobs on a cluster.
    pub fn on(db: Db, cluster: ClusterIndex, handlers: Handlers) -> Self {
        Self {
            db,
            cluster,
            handlers,
            slots: Arc::new(Semaphore::new(Self::JOBS_AT_ONCE)),
            last: Arc::new(Mutex::new(Lane::START)),
            over: Arc::default(),
        }
    }

    /// The kinds of jobs that it runs.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.handlers.names()
    }

    /// Runs jobs until stopped; those under way are finished.
    pub async fn run(self, hub: Hub, stop: CancellationToken) {
        let mut heard = hub.subscribe(Channel::Jobs);
        let running = TaskTracker::new();
        while !stop.is_cancelled() {
            match self.claim().await {
                Ok(Claim::Job(job, slot)) => {
                    let runner = self.clone();
                    running.spawn(async move {
                        runner.finish(&job).await;
                        drop(slot);
                        runner.over.notify_one();
                    });
                }
                Ok(Claim::Nothing(wait)) => {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(wait) => {}
                        () = self.over.notified() => {}
                        () = woken(&mut heard) => {}
                    }
                }
                Err(fault) => {
                    tracing::warn!(fault = fault.chain(), "cannot claim jobs; trying again");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(Self::SLEEP_MAX) => {}
                    }
                }
            }
        }
        running.close();
        running.wait().await;
    }

    /// Runs everything that is due, one after the other, and says how many there were; for tests and the demo.
    pub async fn run_due(&self) -> Result<usize, Fault> {
        let mut count = 0;
        while let Claim::Job(job, _slot) = self.claim().await? {
            self.finish(&job).await;
            count += 1;
        }
        Ok(count)
    }

    async fn claim(&self) -> Result<Claim, Fault> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|error| Fault::caused("wait for a place to run a job", error))?;
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tx = self.db.platform_at(self.cluster).await?;
        let found = store::claim(&mut tx, &self.kinds(), Self::LEASE, last).await?;
        let claim = match found {
            Found::Job(job, lane) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = lane;
                Claim::Job(job, slot)
            }
            Found::Contended => Claim::Nothing(Self::SLEEP_MIN),
            Found::Nothing => Claim::Nothing(self.until(store::next_due(&mut tx).await?)),
        };
        tx.commit().await?;
        Ok(claim)
    }

    /// How long to sleep when nothing is due before that moment.
    fn until(&self, due: Option<DateTime<Utc>>) -> Duration {
        let wait = due.map(|at| (at - self.db.clock().now()).to_std().unwrap_or(Duration::ZERO));
        wait.unwrap_or(Self::SLEEP_MAX).clamp(Self::SLEEP_MIN, Self::SLEEP_MAX)
    }

    async fn finish(&self, job: &Claimed) {
        let outcome = self.attempt(job).await;
        if let Err(fault) = self.settle(job, outcome).await {
            tracing::warn!(
                job.kind,
                fault = fault.chain(),
                "a job's outcome was not saved; it will run again"
            );
        }
    }

    async fn attempt(&self, job: &Claimed) -> Result<(), Failed> {
        let Some((kind, work)) = self.handlers.by_kind.get(job.kind.as_str()) else {
            return Err(Failed::for_good("no handler for this kind of job"));
        };
        let actor = Actor::Job(job.id.into());
        let work = match (work, job.tenancy) {
            (Work::Tenants(handler), Some(tenancy)) => {
                let scope = TenantScope::mint(tenancy, actor, Role::Job);
                let last = kind.attempts_max <= job.attempts;
                handler(Attempt { scope, key: job.key.clone(), last })
            }
            (Work::Keepers(handler), None) => {
                let scope = PlatformScope::mint(actor, Role::Keeper);
                handler(KeeperAttempt { scope, key: job.key.clone() })
            }
            (Work::Tenants(_), None) => return Err(Failed::for_good("a tenant's work that names no tenant")),
            (Work::Keepers(_), Some(_)) => {
                return Err(Failed::for_good("the platform's work in the name of a tenant"));
            }
        };
        let renewals = async {
            loop {
                tokio::time::sleep(Self::RENEW_EVERY).await;
                if let Err(fault) = self.renew(job).await {
                    tracing::warn!(job.kind, fault = fault.chain(), "a job's lease was not renewed");
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = tokio::time::sleep(Self::RUN_MAX) => Err(Fault::new("the job took too long").into()),
            () = renewals => Ok(()),
        }
    }

    async fn renew(&self, job: &Claimed) -> Result<(), Fault> {
        let mut tx = self.db.platform_at(self.cluster).await?;
        store::renew(&mut tx, job, Self::LEASE).await?;
        tx.commit().await
    }

    async fn settle(&self, job: &Claimed, outcome: Result<(), Failed>) -> Result<(), Fault> {
        let attempts_max =
            self.handlers.by_kind.get(job.kind.as_str()).map_or(1, |(kind, _)| kind.attempts_max);
        let mut tx = self.db.platform_at(self.cluster).await?;
        match outcome {
            Ok(()) => store::done(&mut tx, job).await?,
            Err(failed) if failed.for_good || attempts_max <= job.attempts => {
                tracing::error!(job.kind, job.attempts, fault = failed.fault.chain(), "a job is dead");
                store::bury(&mut tx, job, &failed.fault.chain()).await?;
            }
            Err(failed) => {
                tracing::warn!(
                    job.kind,
                    job.attempts,
                    fault = failed.fault.chain(),
                    "a job failed; trying again"
                );
                store::again(&mut tx, job, back_off(job.attempts), &failed.fault.chain()).await?;
            }
        }
        tx.commit().await
    }
}

/// 2, 4, 8 … seconds, at most ten minutes.
fn back_off(attempts: i32) -> TimeDelta {
    let seconds = 1i64 << u32::try_from(attempts.clamp(1, 20)).unwrap_or(1);
    TimeDelta::seconds(seconds.min(Runner::BACK_OFF_MAX_S))
}

/// Returns when a job may have been enqueued.
async fn woken(heard: &mut tokio::sync::broadcast::Receiver<Heard>) {
    match heard.recv().await {
        Ok(Heard::Notice(_) | Heard::Gap) | Err(RecvError::Lagged(_)) => {}
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_ten_minutes() {
        let seconds: Vec<_> = [1, 2, 3, 9, 10, 99].map(|n| back_off(n).num_seconds()).to_vec();
        assert_eq!(seconds, [2, 4, 8, 512, 600, 600]);
    }
}
