//! `neurosphere migrate`.

use clap::Args;
use indicatif::ProgressBar;
use neurosphere::config::Cluster;
use neurosphere::db::blueprint::Blueprint;
use neurosphere::db::fleet::{Event, Fleet, Options, Report};
use neurosphere::db::owner::Owner;
use neurosphere::templates;
use neurosphere::tenants::mirror;
use std::process::ExitCode;

use super::{Desk, bar, told};

/// Brings roles, control plane, templates and every tenant's schema up to date, in every cluster
#[derive(Args)]
pub(crate) struct Migrate {
    /// Say what would be done, and do none of it
    #[arg(long)]
    dry_run: bool,
    /// Schemas at once, in each cluster
    #[arg(long, default_value_t = Options::default().workers, value_parser = workers)]
    workers: usize,
    /// So many schemas may fail before the rest is left alone; one in a hundred, at least three, when not given
    #[arg(long)]
    failures_max: Option<usize>,
}

fn workers(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=32).contains(count))
        .ok_or_else(|| "must be from 1 to 32".to_owned())
}

impl Migrate {
    /// Everything, without being asked how.
    pub(crate) fn all() -> Self {
        Self { dry_run: false, workers: Options::default().workers, failures_max: None }
    }

    /// Fails if a cluster or a schema is not up to date afterwards.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let desk = Desk::open()?;
        if self.migrate(&desk).await? { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::FAILURE) }
    }

    /// True if everything is up to date. A cluster that cannot be reached does not keep the others behind.
    pub(crate) async fn migrate(&self, desk: &Desk) -> Result<bool, String> {
        let blueprint = Blueprint::of_this_program().map_err(told)?;
        let mut good = true;
        for cluster in desk.operations.database.clusters() {
            if !self.dry_run {
                match platform(desk, cluster).await {
                    Ok(()) => {}
                    Err(problem) if cluster.name.is_main() => return Err(problem),
                    Err(problem) => {
                        println!("cluster {}: NOT REACHED: {problem}", cluster.name);
                        good = false;
                        continue;
                    }
                }
            }
            good &= self.tenants(desk, cluster, &blueprint).await?;
        }
        Ok(good)
    }

    async fn tenants(&self, desk: &Desk, cluster: &Cluster, blueprint: &Blueprint) -> Result<bool, String> {
        let owner = desk.owners.connect(&cluster.name).await.map_err(told)?;
        let fleet = Fleet::new(&desk.operations.database, cluster, blueprint);
        if self.dry_run {
            return plan(&owner, &fleet, blueprint).await.map(|()| true);
        }
        let bar = bar().with_prefix(cluster.name.to_string());
        let options = Options { workers: self.workers, failures_max: self.failures_max };
        let report = fleet.run(&owner, options, &|event| show(&bar, &event)).await.map_err(told);
        bar.finish_and_clear();
        let report = report?;
        let index = desk.db.cluster_named(cluster.name.as_str()).map_err(told)?;
        mirror::versions(&desk.db, index).await.map_err(told)?;
        print(&cluster.name.to_string(), &report);
        Ok(report.failed.is_empty() && report.left == 0)
    }
}

/// Says what a run would do.
async fn plan(owner: &Owner, fleet: &Fleet<'_>, blueprint: &Blueprint) -> Result<(), String> {
    let cluster = owner.cluster();
    match owner.pending_platform_migrations().await.map_err(told)? {
        Some(0) => println!("{cluster}: control plane up to date"),
        Some(count) => println!("{cluster}: control plane, {count} migration(s) would be applied"),
        None => {
            println!("{cluster}: the control plane would be made; there are no tenants yet");
            return Ok(());
        }
    }
    let pending = fleet.pending(owner).await.map_err(told)?;
    for one in &pending {
        let role = if one.canary { "  canary" } else { "" };
        println!("{cluster}: {} from version {} to {}{role}", one.name, one.version, blueprint.version());
    }
    println!("{cluster}: {} schema(s) would be migrated", pending.len());
    Ok(())
}

async fn platform(desk: &Desk, cluster: &Cluster) -> Result<(), String> {
    let mut owner = desk.owners.connect(&cluster.name).await.map_err(|fault| {
        format!(
            "{}\nIs Postgres running? `scripts/setup` starts the local one; DATABASE_URL names any other.",
            fault.chain()
        )
    })?;
    let applied = owner.migrate_platform().await.map_err(told)?;
    let what = if applied.is_empty() { "up to date".to_owned() } else { applied.join(", ") };
    println!("{}: control plane {what}", cluster.name);
    if cluster.name.is_main() {
        templates::catalog::publish_built_in(&desk.db).await.map_err(told)
    } else {
        let index = desk.db.cluster_named(cluster.name.as_str()).map_err(told)?;
        mirror::reference(&desk.db, index).await.map_err(told)
    }
}

fn show(bar: &ProgressBar, event: &Event) {
    match event {
        Event::Planned(count) => bar.set_length(u64::try_from(*count).unwrap_or(u64::MAX)),
        Event::Wave(count) => bar.set_message(format!("wave of {count}")),
        Event::Done(_) => bar.inc(1),
        Event::Failed(one, why) => {
            bar.inc(1);
            bar.suspend(|| println!("{}: FAILED, still version {}: {why}", one.name, one.version));
        }
    }
}

fn print(cluster: &str, report: &Report) {
    println!("{cluster}: {} schema(s) migrated, {} failed", report.migrated, report.failed.len());
    if 0 < report.left {
        println!(
            "{cluster}: stopped, too many failed; {} schema(s) are left as they were. Mend the cause and run it again: \
             what is done stays done.",
            report.left
        );
    }
}
