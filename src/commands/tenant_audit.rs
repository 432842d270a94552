//! `neurosphere tenant audit`: the proof that the guards between tenants hold, or what is wrong with which.

use clap::Args;
use indicatif::ProgressBar;
use neurosphere::db::guards::{self, Event, Finding, Guard, Selection};
use neurosphere::ids::ClusterName;
use neurosphere::tenants::{life, slug::Slug};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use super::{Desk, bar, refused, told};

#[derive(Args)]
pub(crate) struct TenantAudit {
    /// One tenant, beside what all of them stand on; every tenant when not given
    slug: Option<Slug>,
    /// One cluster; every cluster when not given
    #[arg(long)]
    cluster: Option<ClusterName>,
    /// Print one JSON object a line: each fault, then one with the counts of each cluster
    #[arg(long)]
    json: bool,
}

/// What was seen of a cluster.
#[derive(Default)]
struct Seen {
    schemas: usize,
    faults: BTreeMap<Guard, usize>,
}

/// What was seen of each, by name.
type Report = BTreeMap<String, Seen>;

impl TenantAudit {
    /// Fails if anything does not hold.
    pub(crate) async fn run(self, desk: &Desk) -> Result<ExitCode, String> {
        let tenant = match &self.slug {
            None => None,
            Some(slug) => {
                let mut tx = desk.begin().await?;
                Some(life::named(&mut tx, slug).await.map_err(refused)?.id)
            }
        };
        let selection = Selection { cluster: self.known_cluster(desk)?, tenant };
        let (report, bar) = (Mutex::new(Report::default()), bar());
        let tell = |event: Event<'_>| {
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            self.show(&bar, &mut report, event);
        };
        let done = guards::audit(&desk.owners, &selection, &tell).await;
        bar.finish_and_clear();
        done.map_err(told)?;
        let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (cluster, seen) in &report {
            self.conclude(cluster, seen);
        }
        let holds = report.values().all(|seen| seen.faults.is_empty());
        Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn known_cluster(&self, desk: &Desk) -> Result<Option<ClusterName>, String> {
        let Some(name) = &self.cluster else { return Ok(None) };
        desk.db.cluster_named(name.as_str()).map_err(told)?;
        Ok(Some(name.clone()))
    }

    fn show(&self, bar: &ProgressBar, report: &mut Report, event: Event<'_>) {
        match event {
            Event::Cluster(cluster, schemas) => {
                report.entry(cluster.to_string()).or_default().schemas = schemas;
                bar.set_prefix(cluster.to_string());
                bar.set_length(u64::try_from(schemas).unwrap_or(u64::MAX));
                bar.set_position(0);
            }
            Event::Checked(count) => bar.inc(u64::try_from(count).unwrap_or(0)),
            Event::Found(cluster, finding) => {
                let seen = report.entry(cluster.to_string()).or_default();
                *seen.faults.entry(finding.guard).or_default() += 1;
                bar.suspend(|| self.print(cluster, &finding));
            }
        }
    }

    fn print(&self, cluster: &ClusterName, finding: &Finding) {
        let Finding { whose, guard, object, what, mend } = finding;
        if self.json {
            let guard = guard.name();
            let line = json!({ "cluster": cluster.as_str(), "whose": whose, "guard": guard, "object": object, "what": what, "mend": mend });
            println!("{line}");
        } else {
            println!("BROKEN  {cluster}: {whose}: {guard}: {object}: {what}\n        {mend}");
        }
    }

    fn conclude(&self, cluster: &str, seen: &Seen) {
        let faults = |guard| seen.faults.get(&guard).copied().unwrap_or(0);
        if self.json {
            let guards: BTreeMap<_, _> =
                Guard::ALL.into_iter().map(|guard| (guard.name(), faults(guard))).collect();
            println!("{}", json!({ "cluster": cluster, "schemas": seen.schemas, "faults": guards }));
            return;
        }
        println!("{cluster}: control plane and {} schema(s)", seen.schemas);
        for guard in Guard::ALL {
            match faults(guard) {
                0 => println!("  {guard:<14}holds"),
                count => println!("  {guard:<14}BROKEN, {count} fault(s)"),
            }
        }
    }
}
