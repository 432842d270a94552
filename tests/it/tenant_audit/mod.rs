//! `neurosphere tenant audit` finds every kind of fault that is planted, exactly that, and nothing where nothing is wrong.
//! Tables are taken from the catalog, so that a new one is covered by being there.

mod foundations;
mod registry;
mod schemas;

use crate::world::World;
use neurosphere::db::guards::{self, Event, Finding, Guard, Selection};
use std::sync::Mutex;
use tokio_postgres::Client;

/// An expected finding: the guard, the object, and words of what is wrong.
pub(crate) type Expected<'e> = (Guard, &'e str, &'e str);

/// What the audit of a world finds, with the cluster's name, once nobody plants faults in what all worlds share.
pub(crate) async fn findings(world: &World, selection: &Selection) -> Vec<(String, Finding)> {
    let server = World::of_all_worlds().await;
    server.batch_execute("select pg_advisory_lock_shared(20785, 3)").await.unwrap();
    findings_now(world, selection).await
}

/// The same without waiting.
async fn findings_now(world: &World, selection: &Selection) -> Vec<(String, Finding)> {
    let found = Mutex::new(Vec::new());
    let tell = |event: Event<'_>| {
        if let Event::Found(cluster, finding) = event {
            found.lock().unwrap().push((cluster.to_string(), finding));
        }
    };
    guards::audit(world.owners(), selection, &tell).await.unwrap();
    found.into_inner().unwrap()
}

/// What the audit of everything in a world finds.
pub(crate) async fn all_findings(world: &World) -> Vec<Finding> {
    findings(world, &Selection::default()).await.into_iter().map(|(_, finding)| finding).collect()
}

/// Every way in which what was found is not what was expected: for each expectation one finding, and no other.
pub(crate) fn unlike(expected: &[Expected<'_>], mut found: Vec<&Finding>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (guard, object, words) in expected {
        let fits = |one: &&Finding| one.guard == *guard && one.object == *object && one.what.contains(words);
        match found.iter().position(fits) {
            Some(at) => drop(found.swap_remove(at)),
            None => wrong.push(format!("not found: {guard}: {object}: {words}")),
        }
    }
    wrong.extend(found.iter().map(|one| format!("found besides: {one:?}")));
    wrong
}

/// Names of tables in a schema.
pub(crate) async fn tables(owner: &Client, schema: &str) -> Vec<String> {
    let tables = "select tablename::text from pg_tables where schemaname = $1 and tablename <> 'schema_history' order by 1";
    let found: Vec<String> =
        owner.query(tables, &[&schema]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(8 <= found.len(), "the tables are there: {found:?}");
    found
}
