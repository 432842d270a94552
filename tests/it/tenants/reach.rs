//! A tenant is found by number, host and key, exactly; never by anything else.

use crate::world::{World, fresh_number};
use neurosphere::access::Role;
use neurosphere::error::Error;
use neurosphere::ids::PhoneNumber;
use neurosphere::secret::Secret;
use neurosphere::tenants::agent::AgentChange;
use neurosphere::tenants::reach::{self, Host};
use neurosphere::tenants::{self, State, life};

fn host(slug: &str) -> Host {
    Host::parse(&format!("{slug}.localhost:8080"), "localhost").unwrap()
}

#[tokio::test]
async fn a_number_names_its_tenant_exactly() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let line = async |number: &PhoneNumber| reach::line(&world.app.db, number).await.unwrap();
    assert_eq!(line(&tenant.number).await.unwrap().tenancy, tenant.tenancy);
    assert_eq!(line(&fresh_number()).await, None, "an unknown number reaches nobody");
    let same_end: PhoneNumber = format!("+44{}", &tenant.number.reveal()[4..]).parse().unwrap();
    assert_eq!(line(&same_end).await, None, "the last digits alone name nobody");
    world.operate(async |tx| life::suspend(tx, tenant.id, "unpaid").await).await.unwrap();
    assert_eq!(line(&tenant.number).await.unwrap().state, State::Suspended);
}

#[tokio::test]
async fn host_and_key_must_name_the_same_active_tenant() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let db = &world.app.db;
    let held = reach::holder_of_key(db, &host(&a.slug), &a.api_key).await.unwrap();
    assert_eq!(held.map(|scope| scope.tenant()), Some(a.id));
    for (slug, key) in [(&b.slug, &a.api_key), (&a.slug, &b.api_key), (&a.slug, &Secret::new("ns_nothing"))] {
        assert!(reach::holder_of_key(db, &host(slug), key).await.unwrap().is_none());
    }
    world.operate(async |tx| life::suspend(tx, a.id, "unpaid").await).await.unwrap();
    assert!(reach::holder_of_key(db, &host(&a.slug), &a.api_key).await.unwrap().is_none(), "suspended");
}

#[tokio::test]
async fn the_agent_is_changed_whole_or_not_at_all() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let mut session = world.app.db.tenant(&a.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let change = AgentChange { voice: Some("cedar".to_owned()), ..AgentChange::default() };
    let changed = tenants::change_agent(&mut tx, change).await.unwrap();
    assert_eq!((changed.voice.as_str(), changed.revision), ("cedar", 2));
    let wrong = AgentChange {
        name: Some("Eve".to_owned()),
        voice: Some("nova".to_owned()),
        ..AgentChange::default()
    };
    assert!(matches!(tenants::change_agent(&mut tx, wrong).await, Err(Error::Invalid(_))));
    assert_eq!(tenants::agent(&mut tx).await.unwrap().name, "Barbara");
    tx.commit().await.unwrap();
    let mut session = world.app.db.tenant(&b.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    assert_eq!(
        tenants::agent(&mut tx).await.unwrap().voice,
        "marin",
        "the other tenant's agent is as it was"
    );
    let mut session = world.app.db.tenant(&b.scope(Role::Call)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let refused = tenants::change_agent(&mut tx, AgentChange::default()).await;
    assert!(matches!(refused, Err(Error::Forbidden)), "a call may not change settings");
}

#[tokio::test]
async fn a_published_template_version_never_changes() {
    let world = World::new().await;
    let owner = world.as_owner().await;
    for change in
        ["update platform.template_versions set version = 7", "delete from platform.template_versions"]
    {
        owner
            .batch_execute("alter table platform.template_versions no force row level security")
            .await
            .unwrap();
        let error = owner.batch_execute(change).await.expect_err(change);
        assert!(error.as_db_error().is_some_and(|db| db.message().contains("immutable")), "{error:?}");
    }
    neurosphere::templates::catalog::publish_built_in(&world.app.db).await.unwrap();
}
