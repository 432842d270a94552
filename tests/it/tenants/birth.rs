//! A tenant is made once however often it is asked for, under a name and a number that nobody else has, and is finished
//! wherever the process died that began it.

use crate::world::{World, fresh_number, operator};
use neurosphere::access::{Actor, PlatformScope, Role, TenantScope};
use neurosphere::audit::{self, Chain};
use neurosphere::error::Error;
use neurosphere::secret::Secret;
use neurosphere::tenancy::ClusterIndex;
use neurosphere::tenants::birth::{self, Account, Created, NewTenant};
use neurosphere::tenants::{State, life, reach};

async fn actions(world: &World, chain: Chain) -> Vec<String> {
    let rows = world.operate(async |tx| audit::list(tx, chain, None, 100).await).await.unwrap();
    rows.into_iter().rev().map(|row| row.action).collect()
}

#[tokio::test]
async fn a_tenant_comes_out_of_the_warm_pool_with_all_that_it_needs() {
    let world = World::new().await;
    let db = &world.app.db;
    let fill = || birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, 2);
    let made = tokio::try_join!(fill(), fill(), fill()).unwrap();
    assert_eq!(made.0 + made.1 + made.2, 2, "several at once make no more than one");
    assert_eq!(birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, 2).await.unwrap(), 0, "it is full");
    // without the owner's connection: nothing may be built
    let new = NewTenant { number: Some(fresh_number()), ..world.new_tenant().await };
    let created = birth::create(db, None, &operator(), new, None).await.unwrap();
    assert_eq!(created.tenant.state, State::Active);
    assert_eq!(created.tenant.schema_version, i32::from(db.schema_version()));
    let host = reach::Host::parse(&format!("{}.localhost", created.tenant.slug), "localhost").unwrap();
    let scope = reach::holder_of_key(db, &host, &created.api_key.unwrap()).await.unwrap().unwrap();
    let mut session = db.tenant(&scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    assert_eq!(neurosphere::tenants::agent(&mut tx).await.unwrap().name, "Alex");
    drop(tx);
    assert_eq!(actions(&world, Chain::Tenant(created.tenant.id)).await, ["tenant.create", "tenant.activate"]);
    assert_eq!(
        birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, 2).await.unwrap(),
        1,
        "one was taken"
    );
}

#[tokio::test]
async fn without_a_schema_a_tenant_waits_for_a_worker_that_may_make_one() {
    let world = World::with(&[("TENANTS_PREPARED", "2".to_owned())]).await;
    let db = &world.app.db;
    let new = world.new_tenant().await;
    let created = birth::create(db, None, &operator(), new, None).await.unwrap();
    assert_eq!(created.tenant.state, State::Provisioning);
    let host = reach::Host::parse(&format!("{}.localhost", created.tenant.slug), "localhost").unwrap();
    let key = created.api_key.unwrap();
    assert!(reach::holder_of_key(db, &host, &key).await.unwrap().is_none(), "nobody reaches it yet");
    world.app.runner().run_due().await.unwrap();
    let tenant = world.operate(async |tx| life::get(tx, created.tenant.id).await).await.unwrap();
    assert_eq!(tenant.state, State::Active);
    assert!(reach::holder_of_key(db, &host, &key).await.unwrap().is_some());
    let in_pool =
        birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, world.app.config.tenants_prepared).await;
    assert_eq!(in_pool.unwrap(), 0, "the worker filled the pool, too");
}

#[tokio::test]
async fn a_repeated_request_makes_one_tenant_and_gets_one_answer() {
    let world = World::new().await;
    let db = &world.app.db;
    let new = world.new_tenant().await;
    let ask = async |new: NewTenant, key: &str| {
        birth::create(db, Some(world.owners()), &operator(), new, Some(key)).await
    };
    let first = ask(new.clone(), "request-1").await.unwrap();
    let again = ask(new.clone(), "request-1").await.unwrap();
    assert_eq!(first.tenant.id, again.tenant.id);
    assert_eq!(first.api_key.unwrap().reveal(), again.api_key.unwrap().reveal());
    let other = NewTenant { name: "Another".to_owned(), ..new.clone() };
    let refused = ask(other, "request-1").await;
    assert!(matches!(refused, Err(Error::Conflict { code: "idempotency_mismatch", .. })), "{refused:?}");
    let refused = ask(new.clone(), "request-2").await;
    assert!(matches!(refused, Err(Error::Conflict { code: "slug_taken", .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_repeated_at_once_is_answered_like_the_first() {
    let world = World::new().await;
    let db = &world.app.db;
    birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, 6).await.unwrap();
    let new = world.new_tenant().await;
    let scope = operator();
    let asked = (0..6).map(|_| birth::create(db, None, &scope, new.clone(), Some("request-1")));
    let made: Vec<_> =
        futures_util::future::join_all(asked).await.into_iter().map(|made| made.unwrap()).collect();
    let answer = |made: &Created| (made.tenant.id, made.api_key.as_ref().unwrap().reveal().to_owned());
    assert!(made.iter().all(|other| answer(other) == answer(&made[0])), "{made:?}");
    let id = made[0].tenant.id;
    assert_eq!(actions(&world, Chain::Tenant(id)).await, ["tenant.create", "tenant.activate"]);
    let taken = birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, 6).await.unwrap();
    assert_eq!(taken, 1, "one schema was taken");
    let tenancy = reach::tenancy(db, id).await.unwrap().unwrap();
    let scope = TenantScope::mint(tenancy, Actor::CommandLine, Role::Owner);
    let mut session = db.tenant(&scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    assert_eq!(neurosphere::tenants::agent(&mut tx).await.unwrap().revision, 1, "its agent was written once");
}

#[tokio::test]
async fn what_a_tenant_cannot_be_is_named_by_field() {
    let world = World::new().await;
    let account = |sid: &str| Some(Account { sid: sid.to_owned(), auth_token: Secret::new("token") });
    let new = world.new_tenant().await;
    let cases = [
        ("name", NewTenant { name: " ".to_owned(), ..new.clone() }, None),
        ("agentName", NewTenant { agent_name: "x".repeat(81), ..new.clone() }, None),
        ("plan", NewTenant { plan: "gigantic".to_owned(), ..new.clone() }, None),
        ("plan", NewTenant { plan: "standard\0".to_owned(), ..new.clone() }, None),
        ("cluster", NewTenant { cluster: "nowhere".parse().unwrap(), ..new.clone() }, None),
        ("account", NewTenant { account: account("AC1"), ..new.clone() }, None),
        ("account", NewTenant { account: account("AC\0"), ..new.clone() }, None),
        ("idempotencyKey", new.clone(), Some("short")),
        ("idempotencyKey", new.clone(), Some("with a \0 in it")),
    ];
    for (field, new, key) in cases {
        let refused = birth::create(&world.app.db, None, &operator(), new, key).await;
        let Err(Error::Invalid(violations)) = refused else { panic!("{field}: {refused:?}") };
        assert_eq!(violations[0].path, field);
    }
    world.create(new).await;
}

#[tokio::test]
async fn names_that_are_taken_or_look_alike_are_refused_with_others_that_are_free() {
    let world = World::new().await;
    let slug = format!("modern-{}", uuid::Uuid::new_v4().simple().to_string().get(..8).unwrap());
    let first = NewTenant { slug: slug.parse().unwrap(), ..world.new_tenant().await };
    world.create(first).await;
    let alike = slug.replace("modern-", "m0dem");
    for taken in [slug.clone(), alike] {
        let new = NewTenant { slug: taken.parse().unwrap(), ..world.new_tenant().await };
        let refused = birth::create(&world.app.db, Some(world.owners()), &operator(), new, None).await;
        let Err(Error::Conflict { code: "slug_taken", message }) = refused else { panic!("{refused:?}") };
        let free = message.rsplit("free are ").next().unwrap().split(", ");
        let free: Vec<String> = free.map(str::to_owned).collect();
        assert_eq!(free.len(), 3, "{message}");
        for name in free {
            let new = NewTenant { slug: name.parse().unwrap(), ..world.new_tenant().await };
            world.create(new).await;
        }
    }
}

#[tokio::test]
async fn a_refused_tenant_leaves_nothing_behind() {
    let world = World::new().await;
    let first = world.tenant().await;
    let new = NewTenant { number: Some(first.number.clone()), ..world.new_tenant().await };
    let slug = new.slug.clone();
    let stolen = birth::create(&world.app.db, Some(world.owners()), &operator(), new, None).await;
    assert!(matches!(stolen, Err(Error::Conflict { code: "number_taken", .. })), "{stolen:?}");
    let line = reach::line(&world.app.db, &first.number).await.unwrap().unwrap();
    assert_eq!(line.tenancy.tenant, first.id, "the number stays where it was");
    assert!(matches!(world.operate(async |tx| life::named(tx, &slug).await).await, Err(Error::NotFound(_))));
    // and the name is free for somebody else
    world.create(NewTenant { slug, ..world.new_tenant().await }).await;
}

#[tokio::test]
async fn nobody_makes_a_tenant_who_may_not() {
    let world = World::new().await;
    let keeper = PlatformScope::mint(Actor::CommandLine, Role::Keeper);
    let new = world.new_tenant().await;
    let refused = birth::create(&world.app.db, Some(world.owners()), &keeper, new, None).await;
    assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
    let mut tx = world.app.db.platform().await.unwrap();
    assert!(matches!(life::get(&mut tx, world.tenant().await.id).await, Err(Error::Forbidden)));
}

/// Every point at which the making of a tenant can be cut off: after each of its transactions.
#[tokio::test]
async fn wherever_the_process_died_a_restart_finishes_the_tenant() {
    let world = World::new().await;
    let db = &world.app.db;
    let owner = world.as_owner().await;
    for stage in ["begun", "built", "settled"] {
        let created = birth::create(db, None, &operator(), world.new_tenant().await, None).await.unwrap();
        let id = created.tenant.id;
        assert_eq!(created.tenant.state, State::Provisioning, "{stage}");
        if stage != "begun" {
            world.owners().build(&created.tenant.cluster, id, true).await.unwrap();
        }
        if stage == "settled" {
            // finished but for the last transaction
            birth::finish(db, None, &operator(), id).await.unwrap();
            let undo = format!(
                "begin; set local role neurosphere_platform;
                 update platform.tenants set state = 'provisioning',
                        birth = '{{\"agent_name\": \"Alex\", \"time_zone\": \"UTC\"}}' where id = '{}'; commit",
                id.uuid()
            );
            owner.batch_execute(&undo).await.unwrap();
        }
        // its job was tried in vain until it was given up
        let dead = "begin; set local role neurosphere_platform;
                    update platform.jobs set state = 'dead', finished_at = now() where kind = 'tenants.finish'; commit";
        owner.batch_execute(dead).await.unwrap();
        neurosphere::tenants::jobs::resume(db).await.unwrap();
        world.app.runner().run_due().await.unwrap();
        let tenant = world.operate(async |tx| life::get(tx, id).await).await.unwrap();
        assert_eq!(tenant.state, State::Active, "{stage}");
        let host = reach::Host::parse(&format!("{}.localhost", tenant.slug), "localhost").unwrap();
        assert!(
            reach::holder_of_key(db, &host, &created.api_key.unwrap()).await.unwrap().is_some(),
            "{stage}"
        );
    }
}

#[tokio::test]
async fn a_schema_whose_claim_led_to_no_tenant_comes_back_to_the_pool() {
    let world = World::new().await;
    let db = &world.app.db;
    birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, 1).await.unwrap();
    let owner = world.as_owner().await;
    let claim = "begin; set local role neurosphere_platform;
                 update platform.schema_ledger set claimed = true, started_at = now() - interval '1 hour'; commit";
    owner.batch_execute(claim).await.unwrap();
    assert_eq!(birth::fill_pool(db, world.owners(), ClusterIndex::MAIN, 1).await.unwrap(), 0, "it came back");
    let created = birth::create(db, None, &operator(), world.new_tenant().await, None).await.unwrap();
    assert_eq!(created.tenant.state, State::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_several_make_at_once_is_made_once() {
    let world = World::with(&[("DATABASE_POOL_MAX", "16".to_owned())]).await;
    let created =
        birth::create(&world.app.db, None, &operator(), world.new_tenant().await, None).await.unwrap();
    let scope = operator();
    let finish = || birth::finish(&world.app.db, Some(world.owners()), &scope, created.tenant.id);
    let (one, two, three) = tokio::join!(finish(), finish(), finish());
    for finished in [one, two, three] {
        assert_eq!(finished.unwrap().state, State::Active);
    }
    assert_eq!(actions(&world, Chain::Tenant(created.tenant.id)).await, ["tenant.create", "tenant.activate"]);
}
