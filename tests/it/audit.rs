//! The audit log shows when somebody has altered, removed, reordered or added a row, or begun it anew.

use crate::world::{TestTenant, World};
use neurosphere::audit::{self, Broken, Chain, Head};
use neurosphere::error::Error;
use neurosphere::operators;
use neurosphere::tenants::life;

/// Whether what is found is what was done.
type Expected = fn(&Broken) -> bool;

/// A tenant with a log of eight rows.
async fn tenant_with_a_past(world: &World) -> TestTenant {
    let tenant = world.tenant().await;
    for n in 0..3 {
        let reason = format!("reason {n}");
        world.operate(async |tx| life::suspend(tx, tenant.id, &reason).await).await.unwrap();
        world.operate(async |tx| life::resume(tx, tenant.id, &reason).await).await.unwrap();
    }
    tenant
}

async fn verified(world: &World, tenant: &TestTenant, kept: Option<&Head>) -> Result<Head, Broken> {
    audit::verify(&world.app.db, Chain::Tenant(tenant.id), kept).await.unwrap()
}

/// Does to the log of a tenant what only somebody with the owner's rights could: `$t` stands for its id.
async fn tamper(world: &World, tenant: &TestTenant, deed: &str) {
    let owner = world.as_owner().await;
    let deed = deed.replace("$t", &format!("'{}'", tenant.id.uuid()));
    let open = "alter table platform.audit no force row level security;
                alter table platform.audit_heads no force row level security";
    owner.batch_execute(&format!("begin; {open}; {deed}; commit")).await.unwrap();
}

#[tokio::test]
async fn a_log_that_nobody_touched_holds() {
    let world = World::new().await;
    let tenant = tenant_with_a_past(&world).await;
    let head = verified(&world, &tenant, None).await.unwrap();
    assert_eq!(head.sequence, 8);
    world.operate(async |tx| life::suspend(tx, tenant.id, "more").await).await.unwrap();
    assert_eq!(verified(&world, &tenant, Some(&head)).await.unwrap().sequence, 9, "it went on from the head");
    for chain in audit::chains(&world.app.db).await.unwrap() {
        audit::verify(&world.app.db, chain, None).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_first_row_that_is_wrong_is_named() {
    let at = |sequence| format!("where tenant_id = $t and sequence = {sequence}");
    let cases: [(&str, String, Expected); 8] = [
        (
            "an altered reason",
            format!("update platform.audit set reason = 'better' {}", at(4)),
            |broken| matches!(broken, Broken::Altered { sequence: 4, .. }),
        ),
        (
            "an altered value",
            format!("update platform.audit set after = '{{\"state\": \"active\"}}' {}", at(3)),
            |broken| matches!(broken, Broken::Altered { sequence: 3, .. }),
        ),
        (
            "an altered actor, with two more",
            "update platform.audit set actor = 'nobody' where tenant_id = $t and 5 <= sequence".to_owned(),
            |broken| matches!(broken, Broken::Altered { sequence: 5, .. }),
        ),
        ("a removed row", format!("delete from platform.audit {}", at(6)), |broken| {
            *broken == Broken::Missing { sequence: 6 }
        }),
        ("a removed end", "delete from platform.audit where tenant_id = $t and 7 <= sequence".to_owned(), |broken| {
            *broken == Broken::Missing { sequence: 7 }
        }),
        (
            "two rows that changed places",
            format!(
                "update platform.audit set sequence = 100 {}; update platform.audit set sequence = 3 {};
                 update platform.audit set sequence = 4 where tenant_id = $t and sequence = 100",
                at(3),
                at(4)
            ),
            |broken| matches!(broken, Broken::Reordered { sequence: 3, now_at: 4, .. }),
        ),
        (
            "an added row",
            "insert into platform.audit (id, tenant_id, sequence, hash, actor, action, subject)
             values (gen_random_uuid(), $t, 9, 'x', 'a', 'b', 'c')"
                .to_owned(),
            |broken| matches!(broken, Broken::Altered { sequence: 9, .. }),
        ),
        (
            "nothing at all",
            "delete from platform.audit where tenant_id = $t; delete from platform.audit_heads where chain = $t"
                .to_owned(),
            |broken| *broken == Broken::Absent,
        ),
    ];
    let world = World::new().await;
    let untouched = tenant_with_a_past(&world).await;
    for (what, deed, expected) in cases {
        let tenant = tenant_with_a_past(&world).await;
        tamper(&world, &tenant, &deed).await;
        let broken = verified(&world, &tenant, None).await.expect_err(what);
        assert!(expected(&broken), "{what}: {broken}");
    }
    verified(&world, &untouched, None).await.expect("another tenant's log is another chain");
}

#[tokio::test]
async fn a_log_that_was_cut_short_and_continued_is_found_out_by_a_head_that_was_kept() {
    let world = World::new().await;
    let tenant = tenant_with_a_past(&world).await;
    let kept = verified(&world, &tenant, None).await.unwrap();
    let owner = world.as_owner().await;
    owner.batch_execute("alter table platform.audit no force row level security").await.unwrap();
    let hash = "select encode(hash, 'hex') from platform.audit where tenant_id = $1 and sequence = 5";
    let hash: String = owner.query_one(hash, &[&tenant.id.uuid()]).await.unwrap().get(0);
    let cut = format!(
        "delete from platform.audit where tenant_id = $t and 6 <= sequence;
         update platform.audit_heads set sequence = 5, hash = '\\x{hash}' where chain = $t"
    );
    tamper(&world, &tenant, &cut).await;
    verified(&world, &tenant, None).await.expect("by itself it looks whole");
    assert_eq!(verified(&world, &tenant, Some(&kept)).await, Err(Broken::Missing { sequence: 6 }));
    for _ in 0..2 {
        world.operate(async |tx| life::resume(tx, tenant.id, "x").await).await.ok();
        world.operate(async |tx| life::suspend(tx, tenant.id, "x").await).await.ok();
    }
    let continued = verified(&world, &tenant, None).await.unwrap();
    assert!(kept.sequence <= continued.sequence);
    assert_eq!(verified(&world, &tenant, Some(&kept)).await, Err(Broken::Replaced { sequence: 8 }));
}

#[tokio::test]
async fn operators_are_written_down_and_lose_everything_at_once() {
    let world = World::new().await;
    let (operator, key) = world.operate(async |tx| operators::create(tx, " Grace ").await).await.unwrap();
    assert_eq!(operator.name, "Grace");
    let (_, scope) = operators::holder_of_key(&world.app.db, &key).await.unwrap().unwrap();
    let tenant = world.tenant().await;
    let mut tx = world.app.db.operate(&scope).await.unwrap();
    assert_eq!(operators::own(&mut tx).await.unwrap(), operator);
    life::suspend(&mut tx, tenant.id, "unpaid").await.unwrap();
    tx.commit().await.unwrap();
    let log =
        world.operate(async |tx| audit::list(tx, Chain::Tenant(tenant.id), None, 1).await).await.unwrap();
    assert_eq!(log[0].actor, operator.id.to_string());
    let nobody = world.operate(async |tx| operators::own(tx).await).await;
    assert!(matches!(nobody, Err(Error::NotFound("operator"))), "at the command line: {nobody:?}");
    let twice = world.operate(async |tx| operators::create(tx, "Grace").await).await;
    assert!(matches!(twice, Err(Error::Conflict { code: "operator_exists", .. })), "{twice:?}");
    world.operate(async |tx| operators::disable(tx, "Grace", "left").await).await.unwrap();
    assert!(operators::holder_of_key(&world.app.db, &key).await.unwrap().is_none());
    let log = world.operate(async |tx| audit::list(tx, Chain::Platform, None, 2).await).await.unwrap();
    assert_eq!(
        log.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(),
        ["operator.disable", "operator.create"]
    );
    audit::verify(&world.app.db, Chain::Platform, None).await.unwrap().unwrap();
}
