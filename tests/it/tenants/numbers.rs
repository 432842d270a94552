//! Telephone numbers: one number, one tenant, whoever asks at once.

use crate::world::{TestTenant, World, fresh_number};
use neurosphere::audit::{self, Chain};
use neurosphere::error::Error;
use neurosphere::ids::PhoneNumber;
use neurosphere::tenants::{life, numbers, reach};

async fn holder(world: &World, number: &PhoneNumber) -> Option<neurosphere::ids::TenantId> {
    reach::line(&world.app.db, number).await.unwrap().map(|line| line.tenancy.tenant)
}

async fn last_deed(world: &World, tenant: &TestTenant) -> String {
    let rows =
        world.operate(async |tx| audit::list(tx, Chain::Tenant(tenant.id), None, 1).await).await.unwrap();
    rows[0].action.clone()
}

#[tokio::test]
async fn a_number_is_given_handed_over_and_taken_back() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let number = fresh_number();
    world.operate(async |tx| numbers::assign(tx, a.id, &number, None).await).await.unwrap();
    world
        .operate(async |tx| numbers::assign(tx, a.id, &number, None).await)
        .await
        .expect("again changes nothing");
    let taken = world.operate(async |tx| numbers::assign(tx, b.id, &number, None).await).await;
    assert!(matches!(taken, Err(Error::Conflict { code: "number_taken", .. })), "{taken:?}");
    let not_theirs = world.operate(async |tx| numbers::hand_over(tx, &number, (b.id, a.id), "x").await).await;
    assert!(matches!(not_theirs, Err(Error::NotFound(_))), "{not_theirs:?}");
    world.operate(async |tx| numbers::hand_over(tx, &number, (a.id, b.id), "sold").await).await.unwrap();
    assert_eq!(holder(&world, &number).await, Some(b.id));
    for tenant in [&a, &b] {
        assert_eq!(last_deed(&world, tenant).await, "number.hand_over");
    }
    let foreign = world.operate(async |tx| numbers::release(tx, a.id, &number, "x").await).await;
    assert!(matches!(foreign, Err(Error::NotFound(_))), "{foreign:?}");
    world.operate(async |tx| numbers::release(tx, b.id, &number, "not needed").await).await.unwrap();
    assert_eq!(holder(&world, &number).await, None);
}

#[tokio::test]
async fn a_tenant_that_is_closed_gets_no_number_and_foreign_accounts_count_for_nothing() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let number = fresh_number();
    let account = Some("AC0123456789abcdef0123456789abcdef");
    let foreign = world.operate(async |tx| numbers::assign(tx, tenant.id, &number, account).await).await;
    assert!(matches!(foreign, Err(Error::Invalid(_))), "{foreign:?}");
    world.operate(async |tx| life::close(tx, tenant.id, "x", life::GRACE).await).await.unwrap();
    let closed = world.operate(async |tx| numbers::assign(tx, tenant.id, &number, None).await).await;
    assert!(matches!(closed, Err(Error::Conflict { code: "state", .. })), "{closed:?}");
    assert_eq!(holder(&world, &number).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_for_a_number_at_once_one_gets_it() {
    let world = World::with(&[("DATABASE_POOL_MAX", "16".to_owned())]).await;
    let tenants = [world.tenant().await, world.tenant().await, world.tenant().await];
    for _ in 0..10 {
        let number = fresh_number();
        let ask = async |tenant: &TestTenant| {
            world.operate(async |tx| numbers::assign(tx, tenant.id, &number, None).await).await.is_ok()
        };
        let (one, two, three) = tokio::join!(ask(&tenants[0]), ask(&tenants[1]), ask(&tenants[2]));
        assert_eq!([one, two, three].iter().filter(|got| **got).count(), 1);
        let from = holder(&world, &number).await.unwrap();
        let others: Vec<_> = tenants.iter().filter(|tenant| tenant.id != from).collect();
        let hand = async |to: &TestTenant| {
            world.operate(async |tx| numbers::hand_over(tx, &number, (from, to.id), "x").await).await.is_ok()
        };
        let (one, two) = tokio::join!(hand(others[0]), hand(others[1]));
        assert_eq!([one, two].iter().filter(|got| **got).count(), 1, "handed over once");
    }
}
