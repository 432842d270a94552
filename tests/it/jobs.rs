//! The queue: once per key, again after a failure, dead in the end, and always as the tenant of its row.

use crate::world::{TestTenant, World};
use neurosphere::access::Role;
use neurosphere::error::Fault;
use neurosphere::ids::TenantId;
use neurosphere::jobs::runner::{Handlers, Runner};
use neurosphere::jobs::{Failed, Kind, enqueue};
use std::sync::{Arc, Mutex};

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
