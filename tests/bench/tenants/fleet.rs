//! What is done to all tenants: migrating them when there is nothing to do, and when each gets a column; proving that the
//! guards between them hold.

use neurosphere::db::fleet::{Fleet, Options};
use neurosphere::db::guards::{self, Event, Selection};
use serde_json::{Value, json};
use std::time::Instant;

use crate::figures::{own_cpu_ms, postgres_cpu_ms};
use crate::town::Town;

pub(crate) async fn all(town: &Town) -> Value {
    let database = &town.app.config.database;
    let (nothing, pending) =
        costs(Fleet::new(database, &database.main, &town.blueprint).pending(&town.owner)).await;
    assert!(pending.unwrap().is_empty(), "everybody is up to date");
    let (audit, ()) = costs(audit(town)).await;
    let (column, schemas) = costs(migrate(town, "alter table {t}.callers add column extra text;\n")).await;
    migrate(town, "alter table {t}.callers drop column extra;\n").await;
    json!({ "schemas": schemas, "nothing": nothing, "audit": audit, "column": column })
}

/// What something costs, in wall time and in processor time of this process and of Postgres.
async fn costs<T>(deed: impl Future<Output = T>) -> (Value, T) {
    let (began, used) = (Instant::now(), postgres_cpu_ms() + own_cpu_ms());
    let done = deed.await;
    let wall_ms = began.elapsed().as_secs_f64() * 1_000.0;
    (json!({ "wall_ms": wall_ms, "cpu_ms": postgres_cpu_ms() + own_cpu_ms() - used }), done)
}

/// The audit, which must find every tenant and no fault.
async fn audit(town: &Town) {
    let looked = std::sync::atomic::AtomicUsize::new(0);
    let tell = |event: Event<'_>| match event {
        Event::Found(_, finding) => panic!("{finding:?}"),
        Event::Checked(count) => drop(looked.fetch_add(count, std::sync::atomic::Ordering::Relaxed)),
        Event::Cluster(..) => {}
    };
    let owners = town.app.owners.as_ref().unwrap();
    guards::audit(owners, &Selection::default(), &tell).await.unwrap();
    assert!(town.len() <= looked.into_inner(), "every tenant was looked at");
}

/// Brings every schema one migration further, and gives how many there are. Afterwards the ledger says again what this program knows, so that more
/// tenants can be made.
async fn migrate(town: &Town, sql: &str) -> usize {
    let (database, version) = (&town.app.config.database, town.blueprint.version());
    let next = town.blueprint.with(version + 1, sql);
    let fleet = Fleet::new(database, &database.main, &next);
    let report = fleet.run(&town.owner, Options::default(), &|_| {}).await.unwrap();
    assert!(report.failed.is_empty() && report.left == 0 && town.len() <= report.migrated, "{report:?}");
    let back = format!(
        "begin; set local role neurosphere_platform;
         update platform.schema_ledger set version = {version}, checksum = '{}';
         update platform.tenants set schema_version = {version}; commit",
        town.blueprint.checksum(version).unwrap()
    );
    town.direct().await.batch_execute(&back).await.unwrap();
    report.migrated
}
