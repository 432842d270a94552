//! What becomes of a tenant: every step obeys the machine of states, is written down with its reason, and reaches
//! whoever asks next.

use crate::world::{TestTenant, World};
use chrono::TimeDelta;
use neurosphere::access::{Actor, PlatformScope, Role};
use neurosphere::audit::{self, Chain};
use neurosphere::db::tx::PlatformTx;
use neurosphere::error::Error;
use neurosphere::tenants::life::{self, Exceptions, Terms};
use neurosphere::tenants::reach::{self, Host};
use neurosphere::tenants::{State, Tenant};

fn host(slug: &str) -> Host {
    Host::parse(&format!("{slug}.localhost"), "localhost").unwrap()
}

async fn state(world: &World, tenant: &TestTenant) -> State {
    world.operate(async |tx| life::get(tx, tenant.id).await).await.unwrap().state
}

#[tokio::test]
async fn every_step_is_written_down_with_actor_reason_before_and_after() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.operate(async |tx| life::suspend(tx, tenant.id, " unpaid ").await).await.unwrap();
    world.operate(async |tx| life::resume(tx, tenant.id, "paid").await).await.unwrap();
    let rows =
        world.operate(async |tx| audit::list(tx, Chain::Tenant(tenant.id), None, 2).await).await.unwrap();
    let [resumed, suspended] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((suspended.action.as_str(), suspended.reason.as_deref()), ("tenant.suspend", Some("unpaid")));
    assert_eq!(
        (suspended.actor.as_str(), suspended.subject.as_str()),
        ("command line", tenant.slug.as_str())
    );
    assert_eq!(
        (suspended.before["state"].as_str(), suspended.after["state"].as_str()),
        (Some("active"), Some("suspended"))
    );
    assert_eq!((resumed.action.as_str(), resumed.sequence), ("tenant.resume", suspended.sequence + 1));
    let unreasoned = world.operate(async |tx| life::suspend(tx, tenant.id, "  ").await).await;
    assert!(matches!(unreasoned, Err(Error::Invalid(_))), "{unreasoned:?}");
    assert_eq!(state(&world, &tenant).await, State::Active);
}

#[tokio::test]
async fn no_step_is_taken_that_the_machine_of_states_does_not_have() {
    type Deed = for<'a> fn(
        &'a mut PlatformTx,
        &'a TestTenant,
    ) -> futures_util::future::BoxFuture<'a, Result<Tenant, Error>>;
    let deeds: [(&str, Deed); 3] = [
        ("resume", |tx, tenant| Box::pin(life::resume(tx, tenant.id, "x"))),
        ("reopen", |tx, tenant| Box::pin(life::reopen(tx, tenant.id, "x"))),
        ("suspend", |tx, tenant| Box::pin(life::suspend(tx, tenant.id, "x"))),
    ];
    let world = World::new().await;
    let tenant = world.tenant().await;
    let refused = async |names: &[&str]| {
        for (name, deed) in deeds.iter().filter(|(name, _)| names.contains(name)) {
            let refused = world.operate(async |tx| deed(tx, &tenant).await).await;
            assert!(matches!(refused, Err(Error::Conflict { code: "state", .. })), "{name}: {refused:?}");
        }
    };
    refused(&["resume", "reopen"]).await;
    world.operate(async |tx| life::suspend(tx, tenant.id, "x").await).await.unwrap();
    refused(&["suspend", "reopen"]).await;
    world.operate(async |tx| life::close(tx, tenant.id, "x", TimeDelta::days(1)).await).await.unwrap();
    refused(&["suspend", "resume"]).await;
    world.operate(async |tx| life::reopen(tx, tenant.id, "x").await).await.unwrap();
    assert_eq!(state(&world, &tenant).await, State::Active);
}

#[tokio::test]
async fn an_old_name_leads_to_the_new_one_for_thirty_days_and_is_never_anybody_elses() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let new: neurosphere::tenants::slug::Slug = format!("new-{}", &tenant.slug[2..20]).parse().unwrap();
    world.operate(async |tx| life::rename(tx, tenant.id, &new, "a new brand").await).await.unwrap();
    let db = &world.app.db;
    assert!(reach::holder_of_key(db, &host(new.as_str()), &tenant.api_key).await.unwrap().is_some());
    assert!(reach::at_host(db, &host(&tenant.slug)).await.unwrap().is_none());
    assert_eq!(reach::moved_from(db, &host(&tenant.slug)).await.unwrap().as_deref(), Some(new.as_str()));
    assert_eq!(reach::moved_from(db, &host(new.as_str())).await.unwrap(), None);
    for name in [tenant.slug.as_str(), new.as_str()] {
        let taken =
            world.operate(async |tx| life::rename(tx, other.id, &name.parse().unwrap(), "x").await).await;
        assert!(matches!(taken, Err(Error::Conflict { code: "slug_taken", .. })), "{name}: {taken:?}");
    }
    let owner = world.as_owner().await;
    let later = "begin; set local role neurosphere_platform;
                 update platform.slugs set retired_at = retired_at - interval '31 days' where retired_at is not null; commit";
    owner.batch_execute(later).await.unwrap();
    assert_eq!(reach::moved_from(db, &host(&tenant.slug)).await.unwrap(), None, "it leads nowhere any more");
    let back = tenant.slug.parse().unwrap();
    world.operate(async |tx| life::rename(tx, tenant.id, &back, "back again").await).await.unwrap();
    assert!(reach::holder_of_key(db, &host(&tenant.slug), &tenant.api_key).await.unwrap().is_some());
}

#[tokio::test]
async fn terms_are_in_force_with_the_next_request() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let limits = async || reach::tenancy(&world.app.db, tenant.id).await.unwrap().unwrap().limits;
    let before = limits().await;
    let exceptions = Exceptions { calls_max: Some(3), ..Exceptions::default() };
    let terms = Terms { plan: "large".to_owned(), exceptions, canary: true };
    let changed =
        world.operate(async |tx| life::set_terms(tx, tenant.id, &terms, "upgrade").await).await.unwrap();
    assert!(changed.canary);
    let after = limits().await;
    assert_eq!(after.calls_max, 3, "the exception");
    assert!(before.requests_per_s < after.requests_per_s, "the plan: {before:?} {after:?}");
    for bad in [
        Terms { plan: "gigantic".to_owned(), ..terms.clone() },
        Terms { exceptions: Exceptions { statement_ms_max: Some(1), ..exceptions }, ..terms.clone() },
    ] {
        let refused = world.operate(async |tx| life::set_terms(tx, tenant.id, &bad, "x").await).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    assert_eq!(limits().await, after);
}

#[tokio::test]
async fn a_closed_tenant_is_removed_with_everything_when_its_time_is_over_and_not_before() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let db = &world.app.db;
    let keeper = PlatformScope::mint(Actor::CommandLine, Role::Keeper);
    world
        .operate(async |tx| life::close(tx, tenant.id, "they left", TimeDelta::days(30)).await)
        .await
        .unwrap();
    assert!(reach::holder_of_key(db, &host(&tenant.slug), &tenant.api_key).await.unwrap().is_none());
    assert_eq!(reach::line(db, &tenant.number).await.unwrap().unwrap().state, State::Deleting);
    assert!(!life::remove(db, world.owners(), &keeper, tenant.id).await.unwrap(), "not yet");

    world.operate(async |tx| life::reopen(tx, tenant.id, "they came back").await).await.unwrap();
    world.operate(async |tx| life::close(tx, tenant.id, "they left", TimeDelta::zero()).await).await.unwrap();
    world.app.runner().run_due().await.unwrap();
    assert_eq!(state(&world, &tenant).await, State::Deleted);
    let owner = world.as_owner().await;
    let left = "select count(*) from pg_namespace where nspname = $1";
    assert_eq!(owner.query_one(left, &[&tenant.schema()]).await.unwrap().get::<_, i64>(0), 0, "its schema");
    let left = "select count(*) from pg_roles where rolname = $1";
    assert_eq!(owner.query_one(left, &[&tenant.schema()]).await.unwrap().get::<_, i64>(0), 0, "its role");
    assert_eq!(reach::line(db, &tenant.number).await.unwrap(), None, "its number is free");
    let taken =
        world.operate(async |tx| life::rename(tx, other.id, &tenant.slug.parse().unwrap(), "x").await).await;
    assert!(matches!(taken, Err(Error::Conflict { code: "slug_taken", .. })), "its name is not: {taken:?}");
    let log =
        world.operate(async |tx| audit::list(tx, Chain::Tenant(tenant.id), None, 1).await).await.unwrap();
    assert_eq!(log[0].action, "tenant.remove");
    assert!(life::remove(db, world.owners(), &keeper, tenant.id).await.unwrap(), "again changes nothing");
    assert!(reach::holder_of_key(db, &host(&other.slug), &other.api_key).await.unwrap().is_some());
}
