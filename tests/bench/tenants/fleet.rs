//! Migrating all tenants: when there is nothing to do, and when each gets a column.

use neurosphere::db::fleet::{Fleet, Options};
use serde_json::{Value, json};
use std::time::Instant;

use crate::figures::{own_cpu_ms, postgres_cpu_ms};
use crate::town::Town;

pub(crate) async fn all(town: &Town) -> Value {
    let (database, main) = (town.app.config.database.clone(), town.app.config.database.main.clone());
    let began = Instant::now();
    let pending = Fleet::new(&database, &main, &town.blueprint).pending(&town.owner).await.unwrap();
    let nothing_ms = began.elapsed().as_secs_f64() * 1_000.0;
    assert!(pending.is_empty(), "everybody is up to date");

    let (version, size) = (town.blueprint.version(), town.len());
    let next = town
        .blueprint
        .with(version + 1, &format!("alter table {{t}}.callers add column extra_{size} text;\n"));
    let (began, used, own) = (Instant::now(), postgres_cpu_ms(), own_cpu_ms());
    let report =
        Fleet::new(&database, &main, &next).run(&town.owner, Options::default(), &|_| {}).await.unwrap();
    assert!(report.failed.is_empty() && report.left == 0, "{report:?}");
    let column = json!({
        "nothing_ms": nothing_ms, "migrated": report.migrated, "column_wall_ms": began.elapsed().as_secs_f64() * 1_000.0,
        "column_cpu_ms": postgres_cpu_ms() - used + own_cpu_ms() - own,
    });
    // The column stays; the ledger says what this program knows, so that more tenants can be made.
    let back = format!(
        "begin; set local role neurosphere_platform;
         update platform.schema_ledger set version = {version}, checksum = '{}';
         update platform.tenants set schema_version = {version}; commit",
        town.blueprint.checksum(version).unwrap()
    );
    town.direct().await.batch_execute(&back).await.unwrap();
    column
}
