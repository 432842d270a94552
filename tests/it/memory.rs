//! Memory within one caller of one tenant; profiles under the template.

use crate::world::{TestTenant, World};
use neurosphere::access::Role;
use neurosphere::callers;
use neurosphere::db::page::{Page, PageOf};
use neurosphere::error::Error;
use neurosphere::ids::{CallerId, PhoneNumber};
use neurosphere::memory::{self, Kind, NewMemory, Query, Source, Vector};
use serde_json::json;

const PAGE: Page = Page { first: 50, after: None };

async fn meet(world: &World, tenant: &TestTenant, number: &str) -> CallerId {
    let mut session = world.app.db.tenant(&tenant.scope(Role::Carrier)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let caller = callers::meet(&mut tx, &number.parse::<PhoneNumber>().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    caller
}

fn fact(caller: CallerId, text: &str) -> NewMemory {
    NewMemory {
        caller,
        call: None,
        kind: Kind::Fact,
        text: text.to_owned(),
        importance: 3,
        source: Source::Staff,
    }
}

#[tokio::test]
async fn what_is_remembered_is_recalled_by_words_and_by_vector_and_by_nobody_else() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let here = meet(&world, &a, "+19495550199").await;
    let elsewhere = meet(&world, &b, "+19495550199").await;
    let neighbour = meet(&world, &a, "+19495550198").await;

    let mut session = world.app.db.tenant(&a.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let car = memory::remember(&mut tx, fact(here, "Drives a 2019  Toyota Camry.")).await.unwrap();
    memory::remember(&mut tx, fact(here, "His wife is called Maria.")).await.unwrap();
    memory::remember(&mut tx, fact(neighbour, "Drives a Toyota too.")).await.unwrap();
    let again = memory::remember(&mut tx, fact(here, "drives a 2019 toyota camry.")).await.unwrap();
    assert_eq!(again.id, car.id, "the same words are one memory");
    let foreign = memory::remember(&mut tx, fact(elsewhere, "x")).await;
    assert!(matches!(foreign, Err(Error::NotFound("caller"))), "{foreign:?}");

    let ask = |question, vector| Query { question, vector, limit: 10 };
    let found =
        memory::recall(&mut tx, &[here], &ask("which car does he drive?", None)).await.unwrap().remove(0);
    assert_eq!(found.first().map(|best| best.memory.id), Some(car.id));
    assert_eq!(found.len(), 2, "nothing of the neighbour");
    let empty = memory::recall(&mut tx, &[here], &ask("", None)).await.unwrap().remove(0);
    assert_eq!(empty.len(), 2, "a question without words ranks by importance and age");
    let vector = Vector { values: vec![0.1; memory::DIMENSIONS], model: "none".to_owned() };
    let found = memory::recall(&mut tx, &[here], &ask("car drive", Some(vector))).await.unwrap().remove(0);
    assert_eq!(
        found.first().map(|best| best.memory.id),
        Some(car.id),
        "vectors of another model are left out"
    );
    tx.commit().await.unwrap();

    let mut session = world.app.db.tenant(&b.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    assert!(memory::list(&mut tx, PageOf { of: here, page: PAGE }).await.unwrap().is_empty());
    assert!(memory::recall(&mut tx, &[here], &ask("car", None)).await.unwrap().remove(0).is_empty());
    assert!(matches!(memory::forget(&mut tx, car.id).await, Err(Error::NotFound("memory"))));
    tx.commit().await.unwrap();

    let mut session = world.app.db.tenant(&a.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    assert_eq!(
        memory::list(&mut tx, PageOf { of: here, page: PAGE }).await.unwrap().len(),
        2,
        "nothing was lost to the stranger"
    );
    memory::forget(&mut tx, car.id).await.unwrap();
    assert!(matches!(memory::forget(&mut tx, car.id).await, Err(Error::NotFound("memory"))));
    assert_eq!(memory::list(&mut tx, PageOf { of: here, page: PAGE }).await.unwrap().len(), 1);
}

#[tokio::test]
async fn pages_of_memories_meet_without_gap_or_repeat() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let caller = meet(&world, &tenant, "+19495550199").await;
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    for number in 0..7 {
        memory::remember(&mut tx, fact(caller, &format!("fact {number}"))).await.unwrap();
    }
    let mut page = Page { first: 3, after: None };
    let mut seen = Vec::new();
    loop {
        let mut rows = memory::list(&mut tx, PageOf { of: caller, page }).await.unwrap();
        let more = page.cut(&mut rows);
        page.after = rows.last().map(|memory| memory.id.uuid());
        seen.extend(rows.into_iter().map(|memory| memory.text));
        if !more {
            break;
        }
    }
    assert_eq!(seen, (0..7).rev().map(|number| format!("fact {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_profile_keeps_to_its_template_and_makes_the_quick_bio() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let caller = meet(&world, &tenant, "+19495550199").await;
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let patch = json!({"personal": {"name": "John Smith", "county": "Orange County"}});
    let profile = callers::patch_profile(&mut tx, caller, &patch, None).await.unwrap();
    assert_eq!((profile.quick_bio.as_str(), profile.revision), ("John Smith | Orange County", 1));
    let wrong = json!({"personal": {"name": 7}, "shoe_size": 44});
    let refused = callers::patch_profile(&mut tx, caller, &wrong, None).await;
    let Err(Error::Invalid(violations)) = refused else { panic!("{refused:?}") };
    let paths: Vec<_> = violations.iter().map(|broken| broken.path.as_str()).collect();
    assert!(paths.contains(&"/personal/name"), "{paths:?}");
    assert!(2 <= paths.len(), "every broken rule is named: {violations:?}");
    let stale = callers::patch_profile(&mut tx, caller, &json!({}), Some(0)).await;
    assert!(matches!(stale, Err(Error::Conflict { code: "stale_revision", .. })), "{stale:?}");
    assert_eq!(callers::profiles(&mut tx, &[caller]).await.unwrap(), [profile]);
    tx.commit().await.unwrap();
}
