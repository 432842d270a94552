//! The queue: once per key, again after a failure, dead in the end, always as the tenant of its row, and each tenant in its
//! turn.

use crate::world::{TestTenant, World};
use neurosphere::access::Role;
use neurosphere::error::Fault;
use neurosphere::ids::TenantId;
use neurosphere::jobs::runner::{Handlers, Runner};
use neurosphere::jobs::{Failed, Kind, enqueue};
use neurosphere::tenants::life::{self, Exceptions, Terms};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const KIND: Kind = Kind { name: "test.deed", attempts_max: 2 };

type Seen = Arc<Mutex<Vec<(TenantId, String, bool)>>>;

/// A runner that notes what it runs and fails on keys that begin with `bad` or, for good, `worst`.
fn runner(world: &World) -> (Runner, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let handlers = Handlers::default().with(KIND, move |attempt| {
        noted.lock().unwrap().push((attempt.scope.tenant(), attempt.key.clone(), attempt.last));
        async move {
            if attempt.key.starts_with("worst") {
                Err(Failed::for_good("nothing helps"))
            } else if attempt.key.starts_with("bad") {
                Err(Fault::new("not this time").into())
            } else {
                Ok(())
            }
        }
    });
    (Runner::new(world.app.db.clone(), handlers), seen)
}

async fn add(world: &World, tenant: &TestTenant, key: &str) {
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    enqueue(&mut tx, &KIND, key).await.unwrap();
    tx.commit().await.unwrap();
}

async fn state(world: &World, key: &str) -> (String, i32, Option<String>) {
    let owner = world.as_owner().await;
    owner.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let row = "select state, attempts, last_error from platform.jobs where key = $1";
    let row = owner.query_one(row, &[&key]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn a_job_runs_once_per_key_as_the_tenant_of_its_row() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let (runner, seen) = runner(&world);
    add(&world, &a, "one").await;
    add(&world, &a, "one").await;
    add(&world, &b, "one").await;
    assert_eq!(runner.run_due().await.unwrap(), 2);
    assert_eq!(runner.run_due().await.unwrap(), 0, "what is done stays done");
    let mut ran: Vec<_> = seen.lock().unwrap().iter().map(|(tenant, ..)| *tenant).collect();
    ran.sort();
    let mut wanted = vec![a.id, b.id];
    wanted.sort();
    assert_eq!(ran, wanted);
}

#[tokio::test]
async fn a_failure_is_tried_again_later_and_is_dead_in_the_end() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (runner, seen) = runner(&world);
    add(&world, &tenant, "bad").await;
    add(&world, &tenant, "worst").await;
    assert_eq!(runner.run_due().await.unwrap(), 2, "the second try waits");
    assert_eq!(state(&world, "bad").await, ("queued".to_owned(), 1, Some("not this time".to_owned())));
    assert_eq!(state(&world, "worst").await, ("dead".to_owned(), 1, Some("nothing helps".to_owned())));
    let owner = world.as_owner().await;
    owner
        .batch_execute(
            "begin; set local role neurosphere_platform; update platform.jobs set run_at = now(); commit",
        )
        .await
        .unwrap();
    assert_eq!(runner.run_due().await.unwrap(), 1);
    assert_eq!(state(&world, "bad").await.0, "dead");
    let last: Vec<_> =
        seen.lock().unwrap().iter().filter(|(_, key, _)| key == "bad").map(|(.., last)| *last).collect();
    assert_eq!(last, [false, true], "the job is told which try is its last");
}

#[tokio::test]
async fn a_job_whose_process_died_is_taken_over_when_its_lease_ends() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (runner, seen) = runner(&world);
    add(&world, &tenant, "orphan").await;
    let owner = world.as_owner().await;
    let lease = "begin; set local role neurosphere_platform;
                 update platform.jobs set state = 'running', attempts = 1, leased_until = now() + interval '1 hour'; commit";
    owner.batch_execute(lease).await.unwrap();
    assert_eq!(runner.run_due().await.unwrap(), 0, "it is leased");
    owner
        .batch_execute("begin; set local role neurosphere_platform; update platform.jobs set leased_until = now(); commit")
        .await
        .unwrap();
    assert_eq!(runner.run_due().await.unwrap(), 1);
    assert_eq!(state(&world, "orphan").await.0, "done");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_kind_that_this_process_does_not_know_is_left_alone() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    add(&world, &tenant, "mine").await;
    let other = Handlers::default().with(Kind { name: "test.other", attempts_max: 1 }, |_| async { Ok(()) });
    assert_eq!(Runner::new(world.app.db.clone(), other).run_due().await.unwrap(), 0);
    assert_eq!(state(&world, "mine").await.0, "queued");
}

#[tokio::test]
async fn what_is_swept_daily_asks_for_tomorrow_and_leaves_what_is_new() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (runner, _) = runner(&world);
    for key in ["old", "new"] {
        add(&world, &tenant, key).await;
    }
    assert_eq!(runner.run_due().await.unwrap(), 2);
    let login = world.as_login().await;
    let age = "begin; set local role neurosphere_platform;
               update platform.jobs set finished_at = now() - interval '31 days' where key = 'old'; commit";
    login.batch_execute(age).await.unwrap();
    neurosphere::jobs::sweep(&world.app.db).await.unwrap();
    let count = "select count(*) filter (where key = 'old'), count(*) filter (where key = 'new'),
                        count(*) filter (where kind = 'jobs.sweep' and now() < run_at) from platform.jobs";
    login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let row = login.query_one(count, &[]).await.unwrap();
    assert_eq!([0, 1, 2].map(|column| row.get::<_, i64>(column)), [0, 1, 1]);
}

/// Has a tenant's work wait that was due an hour ago, as many jobs as are asked for.
async fn pile_up(world: &World, tenant: &TestTenant, jobs: i32) {
    let pile = format!(
        "begin; set local role neurosphere_platform;
         insert into platform.jobs (id, tenant_id, kind, key, run_at, due)
             select gen_random_uuid(), '{}', 'test.deed', 'pile ' || n, now() - interval '1 hour', true
               from generate_series(1, {jobs}) n; commit",
        tenant.id.uuid()
    );
    world.as_owner().await.batch_execute(&pile).await.unwrap();
}

async fn may_have_jobs(world: &World, tenant: &TestTenant, most: u16) {
    let exceptions = Exceptions { jobs_max: Some(most), ..Exceptions::default() };
    let terms = Terms { plan: "standard".to_owned(), exceptions, canary: false };
    world.operate(async |tx| life::set_terms(tx, tenant.id, &terms, "a test").await).await.unwrap();
}

#[tokio::test]
async fn a_tenant_with_ten_thousand_jobs_waits_for_its_turn_like_everybody_else() {
    let world = World::new().await;
    let busy = world.tenant().await;
    pile_up(&world, &busy, 10_000).await;
    let mut quiet = HashSet::new();
    for _ in 0..20 {
        let tenant = world.tenant().await;
        add(&world, &tenant, "one").await;
        quiet.insert(tenant.id);
    }
    // One job at a time: the order in which they are claimed is the order in which they run.
    let (seen, all_served) = (Seen::default(), CancellationToken::new());
    let (noted, served) = (Arc::clone(&seen), all_served.clone());
    let handlers = Handlers::default().with(KIND, move |attempt| {
        let mut seen = noted.lock().unwrap();
        seen.push((attempt.scope.tenant(), attempt.key, attempt.last));
        if seen.iter().filter(|(_, key, _)| key == "one").count() == 20 {
            served.cancel();
        }
        async { Ok(()) }
    });
    let runner = Runner::new(world.app.db.clone(), handlers);
    tokio::select! {
        ran = runner.run_due() => panic!("{ran:?} before all were served"),
        () = all_served.cancelled() => {}
    }
    let order: Vec<_> = seen.lock().unwrap().iter().map(|(tenant, ..)| *tenant).collect();
    assert!(order.len() <= 22, "everybody is served once before anybody is served twice: {order:?}");
    assert!(quiet.iter().all(|tenant| order.contains(tenant)));
}

/// What several runners have under way of one tenant's jobs, and which jobs of anybody they have done.
#[derive(Debug, Default)]
struct Counts {
    now: usize,
    most: usize,
    done: Vec<String>,
}

/// Starts a runner whose jobs of that tenant each wait for leave to end.
fn start_worker(
    world: &World,
    busy: TenantId,
    (counts, leave): (&Arc<Mutex<Counts>>, &Arc<Semaphore>),
    stop: &CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let (counts, leave) = (Arc::clone(counts), Arc::clone(leave));
    let handlers = Handlers::default().with(KIND, move |attempt| {
        let (counts, leave) = (Arc::clone(&counts), Arc::clone(&leave));
        async move {
            if attempt.scope.tenant() == busy {
                {
                    let mut counts = counts.lock().unwrap();
                    counts.now += 1;
                    counts.most = counts.most.max(counts.now);
                }
                leave.acquire().await.unwrap().forget();
                counts.lock().unwrap().now -= 1;
            }
            counts.lock().unwrap().done.push(attempt.key);
            Ok(())
        }
    });
    Runner::new(world.app.db.clone(), handlers).run(world.app.hub.clone(), stop.clone())
}

async fn reached(counts: &Mutex<Counts>, what: &str, is: impl Fn(&Counts) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is(&counts.lock().unwrap()) {
        assert!(Instant::now() < deadline, "{what}: {:?}", counts.lock().unwrap());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_workers_together_run_as_many_jobs_of_a_tenant_as_it_may_have() {
    let world = World::with(&[("DATABASE_POOL_MAX", "32".to_owned())]).await;
    let (busy, other) = (world.tenant().await, world.tenant().await);
    pile_up(&world, &busy, 20).await;
    may_have_jobs(&world, &busy, 3).await;
    add(&world, &other, "quiet").await;
    // A claim that lingers before it is written: without a lock, all workers would count before any has taken.
    let linger = "create function platform.linger() returns trigger language plpgsql as
                      $$ begin perform pg_sleep(0.1); return new; end $$;
                  create trigger linger before update on platform.jobs for each row when (new.state = 'running')
                      execute function platform.linger()";
    world.as_owner().await.batch_execute(linger).await.unwrap();
    let (counts, leave) = (Arc::<Mutex<Counts>>::default(), Arc::new(Semaphore::new(0)));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    for _ in 0..6 {
        tasks.spawn(start_worker(&world, busy.id, (&counts, &leave), &stop));
    }
    reached(&counts, "three are under way, and the other's is done", |counts| {
        counts.now == 3 && counts.done == ["quiet"]
    })
    .await;
    leave.add_permits(10);
    reached(&counts, "half are done", |counts| counts.done.len() == 11).await;
    assert_eq!(counts.lock().unwrap().most, 3, "never more");
    may_have_jobs(&world, &busy, 4).await;
    leave.add_permits(1);
    reached(&counts, "more at once are in force with the next claim", |counts| counts.now == 4).await;
    leave.add_permits(20);
    reached(&counts, "all are done", |counts| counts.done.len() == 21).await;
    let mut counts = std::mem::take(&mut *counts.lock().unwrap());
    assert_eq!(counts.most, 4, "never more");
    counts.done.sort();
    counts.done.dedup();
    assert_eq!(counts.done.len(), 21, "none twice");
    stop.cancel();
    tasks.close();
    timeout(Duration::from_secs(10), tasks.wait()).await.unwrap();
}
