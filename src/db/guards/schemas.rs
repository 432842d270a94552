//! Tenants' schemas and roles against their baselines, in batches: a fingerprint of each, and the facts of those alone
//! whose fingerprint is another. Must never hold more of them than a batch.

use futures_util::{StreamExt as _, stream};
use std::collections::{BTreeMap, BTreeSet};

use super::super::owner::{Owner, Owners};
use super::baseline::{Baseline, Baselines};
use super::differences;
use super::facts::{self, Facts, Kind, Read, Target, fact};
use super::ledger::{Ledger, Registry, name};
use super::{Event, Finding, Guard, Spot, connect, rows, seen_twice};
use crate::error::Fault;
use crate::ids::{ClusterName, TenantId};

/// Schemas of one statement. Each costs the connection some 0.15 MB of catalog cache that only a disconnect frees, so
/// that every batch has a connection of its own.
const BATCH: usize = 100;
/// Batches at once.
const WORKERS: usize = 2;

/// A tenant's schema and role, or the role alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    tenant: TenantId,
    whose: String,
    target: Target,
    /// None for a role whose schema is in another cluster.
    version: Option<u16>,
}

/// Every schema of the ledger; and in the control plane's cluster, the roles of tenants whose schemas are elsewhere.
pub(super) fn places(cluster: &ClusterName, ledger: &Ledger, registry: &Registry) -> Vec<Place> {
    let schemas = ledger.iter().filter(|(_, held)| held.schema_exists).filter_map(|(tenant, held)| {
        let entry = held.entry.as_ref()?;
        let whose = if entry.claimed { name(registry, *tenant) } else { format!("prepared schema {tenant}") };
        let target = Target::tenant(*tenant, entry.login);
        Some(Place { tenant: *tenant, whose, target, version: Some(entry.version) })
    });
    let elsewhere = registry.iter().filter(|(_, registered)| {
        cluster.is_main() && registered.cluster != ClusterName::MAIN && registered.lives()
    });
    let roles = elsewhere.map(|(tenant, registered)| Place {
        tenant: *tenant,
        whose: registered.slug.clone(),
        target: Target::tenant(*tenant, registered.login),
        version: None,
    });
    schemas.chain(roles).collect()
}

/// Looks at all of them and tells what it finds.
pub(super) async fn audit(
    owners: &Owners,
    (cluster, owner): (&ClusterName, &Owner),
    places: &[Place],
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(), Fault> {
    let versions: BTreeSet<u16> = places.iter().filter_map(|place| place.version).collect();
    let baselines = Baselines::build(owner, owners.blueprint(), &versions).await?;
    baselines.breaches().into_iter().for_each(|finding| tell(Event::Found(cluster, finding)));
    let baselines = &baselines;
    let mut batches = stream::iter(places.chunks(BATCH))
        .map(|batch| async move { (batch.len(), self::batch(owners, cluster, batch, baselines).await) })
        .buffer_unordered(WORKERS);
    while let Some((count, findings)) = batches.next().await {
        findings?.into_iter().for_each(|finding| tell(Event::Found(cluster, finding)));
        tell(Event::Checked(count));
    }
    Ok(())
}

async fn batch(
    owners: &Owners,
    cluster: &ClusterName,
    batch: &[Place],
    baselines: &Baselines,
) -> Result<Vec<Finding>, Fault> {
    let owner = connect(owners, cluster).await?;
    let look = async || {
        let mut findings = differing(&owner, batch, baselines).await?;
        findings.extend(strangers(&owner, batch).await?);
        Ok(findings)
    };
    seen_twice(look).await
}

/// Work and tokens of the control plane that name calls of somebody else.
async fn strangers(owner: &Owner, batch: &[Place]) -> Result<Vec<Finding>, Fault> {
    let here: BTreeMap<_, _> =
        batch.iter().filter(|place| place.version.is_some()).map(|place| (place.tenant, place)).collect();
    let tenants: Vec<_> = here.keys().copied().collect();
    let mut findings = Vec::new();
    for one in rows::strangers(owner, &tenants).await? {
        let Some(place) = here.get(&one.tenant) else { continue };
        let mend = format!("look at who wrote them, then delete them from platform.{}", one.table);
        findings.extend(counted(
            place,
            &one.table,
            one.count,
            "name a call that is not this tenant's",
            &mend,
        ));
    }
    Ok(findings)
}

/// Rows that are where they do not belong; none if there are none.
fn counted(place: &Place, table: &str, count: Result<i64, Fault>, what: &str, mend: &str) -> Option<Finding> {
    let what = match count {
        Ok(0) => return None,
        Ok(count) => format!("{count} row(s) {what}"),
        Err(fault) => format!("an unknown number of row(s) {what} ({})", fault.chain()),
    };
    Some(Spot::of(&place.whose).finding(Guard::Rows, table, &what, mend))
}

async fn differing(owner: &Owner, batch: &[Place], baselines: &Baselines) -> Result<Vec<Finding>, Fault> {
    let targets: Vec<_> = batch.iter().map(|place| place.target.clone()).collect();
    let prints = facts::reading(owner, async |client| facts::fingerprints(client, &targets).await).await?;
    let right = |place: &&Place| {
        let print = prints.get(&place.target.schema);
        print.is_some_and(|print| {
            baseline(place, print, baselines).is_some_and(|is| is.fingerprint == print.found)
        })
    };
    let others: Vec<_> = batch.iter().filter(|place| !right(place)).collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let targets: Vec<_> = others.iter().map(|place| place.target.clone()).collect();
    let read = facts::reading(owner, async |client| facts::facts(client, &targets).await).await?;
    let mut findings = Vec::new();
    for place in others {
        let nothing = Read { version: None, found: Facts::new() };
        let read = read.get(&place.target.schema).unwrap_or(&nothing);
        findings.extend(judge(owner, place, read, baselines).await?);
    }
    Ok(findings)
}

/// How it should be in the version that the ledger says now.
fn baseline<'b, T>(place: &Place, read: &Read<T>, baselines: &'b Baselines) -> Option<&'b Baseline> {
    match (place.version, read.version) {
        (None, _) => baselines.role_only(),
        (Some(_), Some(version)) => baselines.of(version),
        (Some(_), None) => None,
    }
}

async fn judge(
    owner: &Owner,
    place: &Place,
    read: &Read<Facts>,
    baselines: &Baselines,
) -> Result<Vec<Finding>, Fault> {
    let spot = Spot::of(&place.whose);
    let there = read.found.keys().any(|key| key.kind == Kind::Schema);
    let Some(baseline) = baseline(place, read, baselines) else {
        // Removed since the ledger was read.
        let Some(version) = read.version else { return Ok(Vec::new()) };
        let what = format!("is version {version}; this program knows 1 to {}", baselines.newest());
        let mend = "run the audit of the program that migrated it";
        return Ok(vec![spot.finding(Guard::Structure, &place.target.schema, &what, mend)]);
    };
    if place.version.is_some() && !there {
        return Ok(Vec::new());
    }
    let differences = differences::between(&baseline.facts, &read.found);
    let mut findings: Vec<_> = differences.iter().map(|one| spot.difference(&place.target, one)).collect();
    let has_tenant = |table: &str| read.found.contains_key(&fact(Kind::Column, table, "tenant_id", "").0);
    let unchecked =
        differences.iter().filter_map(|one| one.unchecked_table()).filter(|table| has_tenant(table));
    let unchecked: BTreeSet<_> = unchecked.collect();
    for table in unchecked {
        let count = rows::foreign(owner, place.tenant, table).await;
        let mend = format!("find out whose they are, then delete them from {}.{table}", place.target.schema);
        findings.extend(counted(place, table, count, "have another tenant's id", &mend));
    }
    Ok(findings)
}
