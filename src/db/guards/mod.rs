//! The audit of the guards between tenants: reads the catalog of every cluster and says of each guard whether it holds,
//! naming every fault with what to do. A schema is compared, fact by fact, with one that is built from the program's own
//! migrations in a transaction of which nothing stays; that one is asked whether it keeps the rules. Must never mend
//! anything, nor know what tables mean, but for those of the control plane in [`rows`].
//!
//! Start at [`audit`]. What costs little and looks at no tenant's schema is [`foundations()`].

mod baseline;
mod differences;
mod facts;
mod foundations;
mod ledger;
mod remedies;
mod rows;
mod rules;
mod schemas;

use std::fmt;

use super::failure::OrFailed as _;
use super::owner::{Owner, Owners};
use crate::error::Fault;
use crate::ids::{ClusterName, TenantId};
use ledger::{Ledger, Registry};

/// A guard between tenants, or what belongs to the guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Statements reach their own schema only: nothing leads out of one or into it, no bare name resolves.
    Names,
    /// Who owns what, who may become whom, what is granted to whom.
    Roles,
    /// Row security is enabled and forced, with the one policy of each table.
    RowSecurity,
    /// Each row's tenant is checked against the schema's.
    Checks,
    /// Each schema is as the migrations of its version make it.
    Structure,
    /// Registry, ledger and catalog agree on which schemas there are.
    Registry,
    /// Rows are where they belong.
    Rows,
}

impl Guard {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Names,
        Self::Roles,
        Self::RowSecurity,
        Self::Checks,
        Self::Structure,
        Self::Registry,
        Self::Rows,
    ];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Roles => "roles",
            Self::RowSecurity => "row security",
            Self::Checks => "checks",
            Self::Structure => "structure",
            Self::Registry => "registry",
            Self::Rows => "rows",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A guard that does not hold somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose: a tenant's slug, `control plane`, `database`, or what else has no slug.
    pub whose: String,
    /// Which guard is weaker for it.
    pub guard: Guard,
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub mend: String,
}

/// What happens, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'e> {
    /// A cluster is looked at, and so many schemas in it.
    Cluster(&'e ClusterName, usize),
    /// So many more schemas were looked at.
    Checked(usize),
    /// Something does not hold.
    Found(&'e ClusterName, Finding),
}

/// What to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// One cluster, or all.
    pub cluster: Option<ClusterName>,
    /// One tenant beside the foundations, or all.
    pub tenant: Option<TenantId>,
}

/// Where something was found.
pub(super) struct Spot {
    whose: String,
}

impl Spot {
    fn of(whose: &str) -> Self {
        Self { whose: whose.to_owned() }
    }

    fn finding(&self, guard: Guard, object: &str, what: &str, mend: &str) -> Finding {
        let [object, what, mend] = [object, what, mend].map(ToOwned::to_owned);
        Finding { whose: self.whose.clone(), guard, object, what, mend }
    }

    fn difference(&self, target: &facts::Target, difference: &differences::Difference) -> Finding {
        let [object, what, mend] = [difference.object(), difference.what(), difference.mend()];
        self.finding(difference.guard(), &target.fill(&object), &target.fill(&what), &target.fill(&mend))
    }

    fn breach(&self, breach: &rules::Breach) -> Finding {
        let mend = "write a migration that mends it, and have it applied to every schema";
        self.finding(breach.guard, &breach.object, &breach.what, mend)
    }
}

/// Looks at every cluster that is selected and tells what it finds. A cluster that cannot be looked at is a finding.
pub async fn audit(
    owners: &Owners,
    selection: &Selection,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(), Fault> {
    let main = connect(owners, &ClusterName::main()).await?;
    if main.pending_platform_migrations().await?.is_none() {
        return Err(Fault::new("audit: this database was never migrated; run: neurosphere migrate"));
    }
    let selected =
        |cluster: &&ClusterName| selection.cluster.as_ref().is_none_or(|chosen| chosen == *cluster);
    for cluster in owners.clusters().filter(selected) {
        if let Err(fault) = one_cluster(owners, (&main, cluster), selection.tenant, tell).await {
            let mend = "mend what is said there and run this again: until then nothing is known of it";
            let finding =
                Spot::of("cluster").finding(Guard::Registry, cluster.as_str(), &fault.chain(), mend);
            tell(Event::Found(cluster, finding));
        }
    }
    Ok(())
}

async fn one_cluster(
    owners: &Owners,
    (main, cluster): (&Owner, &ClusterName),
    only: Option<TenantId>,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(), Fault> {
    let owner = connect(owners, cluster).await?;
    let told = |findings: Vec<Finding>| {
        for finding in findings {
            tell(Event::Found(cluster, finding));
        }
    };
    let blueprint = owners.blueprint();
    let foundations = foundations::examine(&owner).await?;
    told(foundations.findings);
    if !foundations.bear {
        return Ok(());
    }
    let look = async || {
        let (ledger, registry) = maps((main, &owner), only).await?;
        Ok(ledger::disagreements(cluster, &ledger, &registry, blueprint))
    };
    told(seen_twice(look).await?);
    let (ledger, registry) = maps((main, &owner), only).await?;
    let places = schemas::places(cluster, &ledger, &registry);
    tell(Event::Cluster(cluster, places.len()));
    let spot = Spot::of("control plane");
    told(seen_twice(async || rows::of_platform(&owner, &spot).await).await?);
    schemas::audit(owners, (cluster, &owner), &places, tell).await
}

async fn connect(owners: &Owners, cluster: &ClusterName) -> Result<Owner, Fault> {
    let owner = owners.connect(cluster).await?;
    see_plainly(&owner).await?;
    Ok(owner)
}

/// Has a connection see what there is, whatever somebody has set for the database.
async fn see_plainly(owner: &Owner) -> Result<(), Fault> {
    let plainly = "set role none; set row_security = on";
    owner.client.batch_execute(plainly).await.or_failed("look as the owner")
}

/// The ledger of a cluster and the registry, or what they say of one tenant.
async fn maps((main, owner): (&Owner, &Owner), only: Option<TenantId>) -> Result<(Ledger, Registry), Fault> {
    let (mut ledger, mut registry) = (ledger::read(owner).await?, ledger::registry(main).await?);
    if let Some(only) = only {
        ledger.retain(|tenant, _| *tenant == only);
        registry.retain(|tenant, _| *tenant == only);
    }
    Ok((ledger, registry))
}

/// What everything else in a cluster stands on, and costs little: the database, the roles that are not one tenant's, the
/// control plane.
pub async fn foundations(owner: &Owner) -> Result<Vec<Finding>, Fault> {
    see_plainly(owner).await?;
    Ok(foundations::examine(owner).await?.findings)
}

/// Looks a second time where something was found, and gives what was there both times: between two looks a tenant may be
/// made, migrated or removed.
async fn seen_twice(look: impl AsyncFn() -> Result<Vec<Finding>, Fault>) -> Result<Vec<Finding>, Fault> {
    let mut found = look().await?;
    if !found.is_empty() {
        let again = look().await?;
        found.retain(|finding| again.contains(finding));
    }
    Ok(found)
}
