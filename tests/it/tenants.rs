//! Tenants: made once, found by number, host and key; never by anything else.

use crate::world::{World, fresh_number};
use neurosphere::access::Role;
use neurosphere::db::tx::PlatformTx;
use neurosphere::error::Error;
use neurosphere::ids::PhoneNumber;
use neurosphere::secret::Secret;
use neurosphere::tenants::agent::AgentChange;
use neurosphere::tenants::{self, Host, Line, State};

async fn line(world: &World, number: &PhoneNumber) -> Option<Line> {
    let mut tx: PlatformTx = world.app.db.platform().await.unwrap();
    let line = tenants::line(&mut tx, number).await.unwrap();
    tx.commit().await.unwrap();
    line
}

#[tokio::test]
async fn a_number_names_its_tenant_exactly() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    assert_eq!(line(&world, &tenant.number).await.unwrap().tenant, tenant.id);
    assert_eq!(line(&world, &fresh_number()).await, None, "an unknown number reaches nobody");
    let same_end: PhoneNumber = format!("+44{}", &tenant.number.reveal()[4..]).parse().unwrap();
    assert_eq!(line(&world, &same_end).await, None, "the last digits alone name nobody");
    let slug = tenant.slug.parse().unwrap();
    tenants::move_to(&world.app.db, &slug, State::Suspended).await.unwrap();
    assert_eq!(line(&world, &tenant.number).await.unwrap().state, State::Suspended);
    let again = tenants::move_to(&world.app.db, &slug, State::Suspended).await;
    assert!(matches!(again, Err(Error::Conflict { code: "state", .. })), "{again:?}");
}

#[tokio::test]
async fn host_and_key_must_name_the_same_active_tenant() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let db = &world.app.db;
    let host = |slug: &str| Host::parse(&format!("{slug}.localhost:8080"), "localhost").unwrap();
    let held = tenants::holder_of_key(db, &host(&a.slug), &a.api_key).await.unwrap();
    assert_eq!(held.map(|scope| scope.tenant()), Some(a.id));
    for (slug, key) in [(&b.slug, &a.api_key), (&a.slug, &b.api_key), (&a.slug, &Secret::new("ns_nothing"))] {
        assert!(tenants::holder_of_key(db, &host(slug), key).await.unwrap().is_none());
    }
    tenants::move_to(db, &a.slug.parse().unwrap(), State::Suspended).await.unwrap();
    assert!(tenants::holder_of_key(db, &host(&a.slug), &a.api_key).await.unwrap().is_none(), "suspended");
}

#[tokio::test]
async fn a_verified_domain_is_a_host_and_an_unverified_one_is_not() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let domain = format!("calls.{}.example", tenant.slug);
    let owner = world.as_owner().await;
    owner.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let insert = "insert into platform.domains (host, tenant_id) values ($1, $2)";
    owner.execute(insert, &[&domain, &tenant.id.uuid()]).await.unwrap();
    owner.batch_execute("commit").await.unwrap();
    let host = Host::parse(&domain, "localhost").unwrap();
    assert!(tenants::at_host(&world.app.db, &host).await.unwrap().is_none(), "not verified yet");
    owner.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    owner
        .execute("update platform.domains set verified_at = now() where host = $1", &[&domain])
        .await
        .unwrap();
    owner.batch_execute("commit").await.unwrap();
    assert_eq!(tenants::at_host(&world.app.db, &host).await.unwrap().map(|found| found.id), Some(tenant.id));
    assert!(tenants::holder_of_key(&world.app.db, &host, &tenant.api_key).await.unwrap().is_some());
}

#[tokio::test]
async fn a_number_or_slug_of_another_tenant_is_refused() {
    let world = World::new().await;
    let first = world.tenant().await;
    let new = |slug: String, number: &PhoneNumber| tenants::NewTenant {
        slug: slug.parse().unwrap(),
        name: "Second".to_owned(),
        agent_name: "Alex".to_owned(),
        time_zone: chrono_tz::Tz::UTC,
        template_version: uuid::Uuid::nil().into(),
        number: Some(number.clone()),
        account: None,
    };
    let mut owner = world.owner().await;
    let template_version = neurosphere::templates::catalog::latest(&world.app.db, "insurance").await.unwrap();
    let taken = tenants::NewTenant { template_version, ..new(first.slug.clone(), &fresh_number()) };
    let taken = tenants::create(&world.app.db, &mut owner, taken).await;
    assert!(matches!(taken, Err(Error::Conflict { code: "slug_taken", .. })), "{taken:?}");
    let slug = format!("{}-2", first.slug);
    let stolen = tenants::NewTenant { template_version, ..new(slug.clone(), &first.number) };
    let stolen = tenants::create(&world.app.db, &mut owner, stolen).await;
    assert!(matches!(stolen, Err(Error::Conflict { code: "number_taken", .. })), "{stolen:?}");
    assert_eq!(line(&world, &first.number).await.unwrap().tenant, first.id, "the number stays where it was");
    // The half-made tenant is finished by the same command with a number that is free.
    let number = fresh_number();
    let finished = tenants::NewTenant { template_version, ..new(slug, &number) };
    let finished = tenants::create(&world.app.db, &mut owner, finished).await.unwrap();
    assert_eq!(line(&world, &number).await.unwrap().tenant, finished.tenant.id);
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
