//! Migrating many tenants: canaries first, a broken one named and left alone, resumed by running again, shared by two
//! runners, patient with schemas in use; and while it goes on, the program serves both versions.

use crate::api::Api;
use crate::world::{TestTenant, World};
use neurosphere::config::Cluster;
use neurosphere::db::blueprint::Blueprint;
use neurosphere::db::fleet::{Event, Fleet, Options, Report};
use neurosphere::db::owner::Owner;
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One version more than the program knows.
fn next() -> Blueprint {
    let current = Blueprint::of_this_program().unwrap();
    current.with(current.version() + 1, "alter table {t}.callers add column nickname text;\n")
}

fn main_cluster(world: &World) -> &Cluster {
    &world.app.config.database.main
}

async fn owner(world: &World) -> Owner {
    world.owners().connect(&main_cluster(world).name).await.unwrap()
}

async fn run(world: &World, blueprint: &Blueprint, options: Options) -> (Report, Vec<Event>) {
    let events = Mutex::new(Vec::new());
    let fleet = Fleet::new(&world.app.config.database, main_cluster(world), blueprint);
    let report = fleet.run(&owner(world).await, options, &|event| events.lock().unwrap().push(event)).await;
    (report.unwrap(), events.into_inner().unwrap())
}

async fn pending(world: &World, blueprint: &Blueprint) -> Vec<String> {
    let fleet = Fleet::new(&world.app.config.database, main_cluster(world), blueprint);
    let pending = fleet.pending(&owner(world).await).await.unwrap();
    let mut names: Vec<_> = pending.into_iter().map(|one| one.name).collect();
    names.sort();
    names
}

/// Version and state in the ledger.
async fn ledger(world: &World, tenant: &TestTenant) -> (i32, String, Option<String>) {
    let owner = world.as_owner().await;
    owner.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let row = "select version, state, error from platform.schema_ledger where tenant_id = $1";
    let row = owner.query_one(row, &[&tenant.id.uuid()]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

/// Something in a schema that the next migration trips over.
async fn plant_a_stone(world: &World, tenant: &TestTenant) {
    let stone = format!("alter table {}.callers add column nickname integer", tenant.schema());
    world.as_owner().await.batch_execute(&stone).await.unwrap();
}

async fn take_the_stone_away(world: &World, tenant: &TestTenant) {
    let stone = format!("alter table {}.callers drop column nickname", tenant.schema());
    world.as_owner().await.batch_execute(&stone).await.unwrap();
}

async fn mark_as_canary(world: &World, tenant: &TestTenant) {
    let mark = format!(
        "begin; set local role neurosphere_platform;
         update platform.tenants set canary = true where id = '{}'; commit",
        tenant.id.uuid()
    );
    world.as_owner().await.batch_execute(&mark).await.unwrap();
}

#[tokio::test]
async fn a_broken_tenant_is_named_stays_as_it_was_and_does_not_stop_the_rest() {
    let world = World::new().await;
    let (good, broken, last) = (world.tenant().await, world.tenant().await, world.tenant().await);
    mark_as_canary(&world, &good).await;
    plant_a_stone(&world, &broken).await;
    let blueprint = next();
    let (report, events) = run(&world, &blueprint, Options::default()).await;
    assert_eq!(report.migrated, 2);
    let [(named, why)] = report.failed.as_slice() else { panic!("{report:?}") };
    assert_eq!(named.name, broken.slug);
    assert!(why.contains("42701") && why.contains("nickname"), "{why}");
    assert_eq!(events[0], Event::Planned(3));
    assert!(
        matches!(&events[2], Event::Done(first) if first.name == good.slug),
        "the canary first: {events:?}"
    );

    let (version, state, error) = ledger(&world, &broken).await;
    assert_eq!((version, state.as_str()), (i32::from(blueprint.version()) - 1, "failed"));
    assert!(error.unwrap().contains("nickname"));
    assert_eq!(ledger(&world, &last).await, (i32::from(blueprint.version()), "current".to_owned(), None));
    assert_eq!(pending(&world, &blueprint).await, [broken.slug.as_str()]);

    take_the_stone_away(&world, &broken).await;
    let (report, _) = run(&world, &blueprint, Options::default()).await;
    assert_eq!((report.migrated, report.failed.len()), (1, 0), "running again resumes");
    assert_eq!(ledger(&world, &broken).await.1, "current");
    assert!(pending(&world, &blueprint).await.is_empty());
}

#[tokio::test]
async fn a_canary_that_fails_keeps_everybody_else_as_they_were() {
    let world = World::new().await;
    let (canary, other) = (world.tenant().await, world.tenant().await);
    mark_as_canary(&world, &canary).await;
    plant_a_stone(&world, &canary).await;
    let (report, _) = run(&world, &next(), Options::default()).await;
    assert_eq!((report.migrated, report.failed.len(), report.left), (0, 1, 1), "{report:?}");
    assert_eq!(ledger(&world, &other).await.0, i32::from(next().version()) - 1);
}

#[tokio::test]
async fn the_rest_is_left_alone_once_the_error_budget_is_used_up() {
    let world = World::new().await;
    let mut tenants = Vec::new();
    for _ in 0..6 {
        tenants.push(world.tenant().await);
    }
    mark_as_canary(&world, &tenants[0]).await;
    for broken in &tenants[1..] {
        plant_a_stone(&world, broken).await;
    }
    let options = Options { workers: 1, failures_max: Some(1) };
    let (report, _) = run(&world, &next(), options).await;
    assert_eq!(report.migrated, 1);
    assert_eq!(report.failed.len() + report.left, 5);
    assert!(0 < report.left, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_at_once_do_each_schema_once() {
    let world = World::new().await;
    for _ in 0..8 {
        world.tenant().await;
    }
    let blueprint = next();
    let ((one, _), (other, _)) = tokio::join!(
        run(&world, &blueprint, Options::default()),
        run(&world, &blueprint, Options::default())
    );
    assert_eq!((one.failed.len(), other.failed.len()), (0, 0), "{one:?} {other:?}");
    assert!(8 <= one.migrated + other.migrated, "what the other did counts as done");
    assert!(pending(&world, &blueprint).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_in_use_is_waited_for_and_tried_again() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let busy = world.as_owner().await;
    busy.batch_execute(&format!("begin; lock table {}.callers in access share mode", tenant.schema()))
        .await
        .unwrap();
    let released = async {
        let watching = world.as_owner().await;
        let waits = "select count(*) from pg_locks where not granted and relation = $1::regclass";
        let table = format!("{}.callers", tenant.schema());
        // once the migration waits for the table, let it time out once before the table is free
        let mut seen = 0;
        while seen < 2 {
            let table: u32 =
                watching.query_one(&format!("select '{table}'::regclass::oid"), &[]).await.unwrap().get(0);
            let waiting: i64 =
                watching.query_one(&waits.replace("$1::regclass", "$1"), &[&table]).await.unwrap().get(0);
            if waiting == 1 && seen == 0 {
                seen = 1;
            } else if waiting == 0 && seen == 1 {
                seen = 2;
            }
            tokio::task::yield_now().await;
        }
        busy.batch_execute("commit").await.unwrap();
    };
    let blueprint = next();
    let ((report, _), ()) = tokio::join!(run(&world, &blueprint, Options::default()), released);
    assert_eq!((report.migrated, report.failed.len()), (1, 0), "{report:?}");
}

#[tokio::test]
async fn a_migration_that_was_changed_after_it_was_applied_is_refused() {
    let world = World::new().await;
    world.tenant().await;
    let current = Blueprint::of_this_program().unwrap();
    let altered = current.up_to(current.version() - 1).with(current.version(), "-- something else\n");
    let altered = altered.with(current.version() + 1, "-- the next\n");
    let fleet = Fleet::new(&world.app.config.database, main_cluster(&world), &altered);
    let refused = fleet.pending(&owner(&world).await).await.unwrap_err();
    assert!(refused.chain().contains("differ from what was applied to 1 schema"), "{}", refused.chain());
}

/// Tenants that are one version behind are served while they are brought up to date, without a single failed request.
#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_served_while_the_fleet_is_migrated() {
    let world = World::with(&[("DATABASE_POOL_MAX", "16".to_owned())]).await;
    let current = Blueprint::of_this_program().unwrap();
    let mut tenants = Vec::new();
    for _ in 0..12 {
        tenants.push(world.tenant_behind().await);
    }
    let api = Api::of(&world).await;
    let (migrated, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    let traffic = async |tenant: &TestTenant| {
        let read = "{ tenant { name numbers } agent { name busyMessage } calls(first: 2) { nodes { id } } }";
        let write = "mutation { updateAgent(input: {voice: \"cedar\"}) { agent { voice } errors { code } } }";
        let mut rounds_after = 0;
        while rounds_after < 2 {
            rounds_after += usize::from(migrated.load(Ordering::Relaxed));
            for query in [read, write] {
                let answer = api.data(tenant, query, json!({})).await;
                assert_eq!(answer.pointer("/updateAgent/errors/0"), None, "{answer}");
                requests.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(api.data(tenant, read, json!({})).await["agent"]["name"], "Alex");
        }
    };
    let rolled_out = async {
        while requests.load(Ordering::Relaxed) < 2 * tenants.len() {
            tokio::task::yield_now().await;
        }
        let (report, _) = run(&world, &current, Options { workers: 2, failures_max: None }).await;
        assert_eq!((report.migrated, report.failed.len()), (tenants.len(), 0), "{report:?}");
        migrated.store(true, Ordering::Relaxed);
    };
    tokio::join!(futures_util::future::join_all(tenants.iter().map(traffic)), rolled_out);
    assert!(4 * tenants.len() <= requests.load(Ordering::Relaxed));

    let busy = "mutation { updateAgent(input: {busyMessage: \"Call back.\"}) { agent { busyMessage } } }";
    let changed = api.data(&tenants[0], busy, json!({})).await;
    assert_eq!(changed["updateAgent"]["agent"]["busyMessage"], "Call back.", "{changed}");
    api.running.stop().await;
}

#[tokio::test]
async fn what_an_older_schema_cannot_hold_is_refused_and_not_lost() {
    let world = World::new().await;
    let tenant = world.tenant_behind().await;
    let api = Api::of(&world).await;
    let busy =
        "mutation { updateAgent(input: {busyMessage: \"Call back.\"}) { agent { name } errors { code } } }";
    let refused = api.data(&tenant, busy, json!({})).await;
    assert_eq!(refused["updateAgent"]["errors"][0]["code"], "BEING_UPGRADED", "{refused}");
    api.running.stop().await;
}
