//! Tenants in a second Postgres server: made there, served from there, with their jobs there; and when that server is
//! gone, its own tenants notice and nobody else.

use crate::api::{Api, call_from, hang_up, say};
use crate::world::{ACCOUNT_SID, World, operator};
use neurosphere::access::{Actor, PlatformScope, Role};
use neurosphere::calls::{self, Arrival, Arrived};
use neurosphere::db::blueprint::Blueprint;
use neurosphere::db::fleet::{Fleet, Options};
use neurosphere::error::Error;
use neurosphere::jobs::runner::{Handlers, Runner};
use neurosphere::jobs::{Kind, enqueue};
use neurosphere::tenants::clusters::{self, Cluster, Schemas};
use neurosphere::tenants::life::{self, Exceptions, Terms};
use neurosphere::tenants::{State, birth, mirror, reach};
use serde_json::json;
use std::time::{Duration, Instant};

const KIND: Kind = Kind { name: "test.deed", attempts_max: 2 };
const LOOK: &str = "{ tenant { name numbers } agent { name } calls(first: 5) { nodes { turns(first: 5) { nodes { text } } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_another_cluster_is_served_like_any_other() {
    let (world, _wire) = World::of_two_clusters().await;
    let db = &world.app.db;
    let west = db.cluster_named("west").unwrap();
    assert_eq!(birth::fill_pool(db, world.owners(), west, 1).await.unwrap(), 1);
    let (there, here) = (world.tenant_in("west").await, world.tenant().await);
    assert_eq!(there.tenancy.placement.cluster, west);
    assert_eq!(
        birth::fill_pool(db, world.owners(), west, 1).await.unwrap(),
        1,
        "it came out of the warm pool"
    );
    let schemas = "select count(*) from pg_namespace where nspname = $1";
    let on_main = world.as_owner().await.query_one(schemas, &[&there.schema()]).await.unwrap();
    assert_eq!(on_main.get::<_, i64>(0), 0, "nothing of it is in the control plane's server");

    let call = call_from(&world, &there, "+19495550199").await;
    say(&world, &there, call, 1..=2).await;
    hang_up(&world, &there, call).await;
    let api = Api::of(&world).await;
    let seen = api.data(&there, LOOK, json!({})).await;
    assert_eq!(seen["tenant"]["numbers"], json!([there.number.reveal()]), "{seen}");
    assert_eq!(seen["calls"]["nodes"][0]["turns"]["nodes"][0]["text"], "turn 1");
    let other = api.data(&here, LOOK, json!({})).await;
    assert_eq!(other["calls"]["nodes"], json!([]));
    let key = format!("Bearer {}", here.api_key.reveal());
    let (post, body) = ((reqwest::Method::POST, "/graphql"), json!({"query": LOOK}).to_string());
    let refused = api.send(post, &there, &[("authorization", &key)], body).await;
    assert_eq!(refused.status(), 401, "another tenant's key");
    api.running.stop().await;
}

#[tokio::test]
async fn a_stream_token_and_a_job_are_where_the_tenant_is() {
    let (world, _wire) = World::of_two_clusters().await;
    let db = &world.app.db;
    let there = world.tenant_in("west").await;
    let arrival = Arrival {
        call_sid: "CA1".to_owned(),
        account_sid: ACCOUNT_SID.to_owned(),
        from: None,
        to: there.number.clone(),
    };
    let mut session = db.tenant(&there.scope(Role::Carrier)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let arrived = calls::arrive(&mut tx, &arrival).await.unwrap();
    enqueue(&mut tx, &KIND, "one").await.unwrap();
    tx.commit().await.unwrap();
    let Arrived::In { call, stream_token } = arrived else { panic!("{arrived:?}") };
    assert!(stream_token.reveal().starts_with("west."));
    let elsewhere = stream_token.reveal().replace("west.", "main.");
    assert!(calls::redeem(db, &neurosphere::secret::Secret::new(elsewhere)).await.unwrap().is_none());
    let redeemed = calls::redeem(db, &stream_token).await.unwrap().unwrap();
    assert_eq!((redeemed.call, redeemed.scope.tenant()), (call, there.id));

    let handlers = || Handlers::default().with(KIND, |_| async { Ok(()) });
    assert_eq!(
        Runner::new(db.clone(), handlers()).run_due().await.unwrap(),
        0,
        "not in the control plane's queue"
    );
    let west = there.tenancy.placement.cluster;
    assert_eq!(Runner::on(db.clone(), west, handlers()).run_due().await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_decided_in_the_control_plane_holds_in_every_cluster() {
    let (world, _wire) = World::of_two_clusters().await;
    let db = &world.app.db;
    let there = world.tenant_in("west").await;
    let terms = Terms { plan: "large".to_owned(), exceptions: Exceptions::default(), canary: false };
    world.operate(async |tx| life::set_terms(tx, there.id, &terms, "upgrade").await).await.unwrap();
    world.operate(async |tx| life::suspend(tx, there.id, "unpaid").await).await.unwrap();
    assert_eq!(world.app.runner().run_due().await.unwrap(), 2, "the copy of its row follows by itself");
    let west = there.tenancy.placement.cluster;
    let mut tx = db.platform_at(west).await.unwrap();
    let copy = neurosphere::db::tx::Sql::new("select plan, state from platform.tenants", &[]);
    let copy = tx.rows(&copy, &[]).await.unwrap();
    assert_eq!((copy.len(), copy[0].get::<_, &str>(0), copy[0].get::<_, &str>(1)), (1, "large", "suspended"));
    drop(tx);

    world.operate(async |tx| life::resume(tx, there.id, "paid").await).await.unwrap();
    world
        .operate(async |tx| life::close(tx, there.id, "left", chrono::TimeDelta::zero()).await)
        .await
        .unwrap();
    let keeper = PlatformScope::mint(Actor::CommandLine, Role::Keeper);
    assert!(life::remove(db, world.owners(), &keeper, there.id).await.unwrap());
    let gone = world.operate(async |tx| life::get(tx, there.id).await).await.unwrap();
    assert_eq!(gone.state, State::Deleted);
    let owner = world.owners().connect(&"west".parse().unwrap()).await.unwrap();
    let current = Blueprint::of_this_program().unwrap();
    let next = current.with(current.version() + 1, "-- nothing\n");
    let fleet = Fleet::new(&world.app.config.database, &world.app.config.database.others[0], &next);
    assert!(fleet.pending(&owner).await.unwrap().is_empty(), "nothing of it is left there");
}

#[tokio::test]
async fn each_cluster_is_migrated_by_itself_and_the_control_plane_learns_of_it() {
    let (world, _wire) = World::of_two_clusters().await;
    let there = world.tenant_in("west").await;
    let current = Blueprint::of_this_program().unwrap();
    let next = current.with(current.version() + 1, "alter table {t}.callers add column nickname text;\n");
    let owner = world.owners().connect(&"west".parse().unwrap()).await.unwrap();
    let fleet = Fleet::new(&world.app.config.database, &world.app.config.database.others[0], &next);
    let report = fleet.run(&owner, Options::default(), &|_| {}).await.unwrap();
    assert_eq!((report.migrated, report.failed.len()), (1, 0), "{report:?}");
    mirror::versions(&world.app.db, there.tenancy.placement.cluster).await.unwrap();
    let tenancy = reach::tenancy(&world.app.db, there.id).await.unwrap().unwrap();
    assert_eq!(tenancy.placement.schema_version, next.version());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_cluster_takes_its_own_tenants_down_and_nobody_else() {
    let (world, wire) = World::of_two_clusters().await;
    let (there, here) = (world.tenant_in("west").await, world.tenant().await);
    let api = Api::of(&world).await;
    api.data(&there, LOOK, json!({})).await;
    wire.cut();
    let (lost, served) = tokio::join!(api.answer(&there, LOOK, json!({})), async {
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let began = elapsed();
            api.data(&here, LOOK, json!({})).await;
            slowest = slowest.max(elapsed().saturating_duration_since(began));
        }
        slowest
    });
    assert_eq!(lost["errors"][0]["extensions"]["code"], "INTERNAL", "{lost}");
    assert!(served < Duration::from_secs(2), "the others were served meanwhile, each within {served:?}");
    let another =
        birth::create(&world.app.db, Some(world.owners()), &operator(), world.new_tenant().await, None).await;
    assert_eq!(another.unwrap().tenant.state, State::Active, "tenants are made elsewhere");
    let ready = reqwest::get(format!("http://{}/readyz", api.address())).await.unwrap();
    assert_eq!(ready.status(), 200, "the process is not taken out of service for it");
    wire.mend();
    api.data(&there, LOOK, json!({})).await;
    api.running.stop().await;
}

#[tokio::test]
async fn clusters_are_counted_and_one_that_is_lost_says_so() {
    let (world, wire) = World::of_two_clusters().await;
    let db = &world.app.db;
    let west = db.cluster_named("west").unwrap();
    world.tenant_in("west").await;
    world.tenant().await;
    world.tenant_behind().await;
    birth::fill_pool(db, world.owners(), west, 2).await.unwrap();
    let seen = async || clusters::overview(db, &operator()).await.unwrap();
    let cluster = |name: &str, tenants, schemas| Cluster { name: name.to_owned(), tenants, schemas };
    let here = cluster("main", 2, Some(Schemas { prepared: 0, pending: 1, failed: 0 }));
    let there = cluster("west", 1, Some(Schemas { prepared: 2, pending: 0, failed: 0 }));
    assert_eq!(seen().await, [here.clone(), there]);
    wire.cut();
    assert_eq!(seen().await, [here.clone(), cluster("west", 1, None)], "nothing is waited for");
    wire.mend();
    let moved = "begin; set local role neurosphere_platform;
                 update platform.tenants set cluster = 'east' where cluster = 'west'; commit";
    world.as_owner().await.batch_execute(moved).await.unwrap();
    assert_eq!(seen().await[2], cluster("east", 1, None), "tenants of a cluster that this process lacks");
    let nobody = PlatformScope::mint(Actor::CommandLine, Role::Job);
    assert!(matches!(clusters::overview(db, &nobody).await, Err(Error::Forbidden)));
}

#[expect(clippy::disallowed_methods, reason = "what is measured is how long a person would wait")]
fn elapsed() -> Instant {
    Instant::now()
}
