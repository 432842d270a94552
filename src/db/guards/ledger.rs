//! The registry's word, the ledger's and the catalog's on where schemas are. Must never look into a schema.

use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::super::blueprint::Blueprint;
use super::super::owner::Owner;
use super::super::tx::schema_of;
use super::{Finding, Guard, Spot};
use crate::error::{Fault, OrFault as _};
use crate::ids::{ClusterName, TenantId};

/// What a cluster knows of a tenant's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) schema_exists: bool,
    pub(super) entry: Option<Entry>,
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: u16,
    pub(super) login: u16,
    pub(super) claimed: bool,
    checksum: Option<String>,
}

/// What the registry says of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) slug: String,
    state: String,
    pub(super) cluster: String,
    pub(super) login: u16,
    version: u16,
}

impl Registered {
    /// Whether its schema must be there: not while it is being made, nor once it is being removed.
    pub(super) fn lives(&self) -> bool {
        !["provisioning", "deleting", "deleted"].contains(&self.state.as_str())
    }
}

pub(super) type Registry = BTreeMap<TenantId, Registered>;
pub(super) type Ledger = BTreeMap<TenantId, Held>;

const LEDGER: &str = include_str!("ledger.sql");
const REGISTRY: &str = "select id, slug, state, cluster, login, schema_version from platform.tenants";

/// Reads the ledger of a cluster beside its catalog.
pub(super) async fn read(owner: &Owner) -> Result<Ledger, Fault> {
    let rows = owner.as_platform(LEDGER, &[]).await?;
    rows.iter()
        .map(|row| {
            let entry = || {
                let (version, login) = (small(row.get(2))?, small(row.get(3))?);
                Ok(Entry { version, login, claimed: row.get(4), checksum: row.get(5) })
            };
            let entry = row.get::<_, Option<i32>>(2).is_some().then(entry).transpose()?;
            Ok((row.get::<_, Uuid>(0).into(), Held { schema_exists: row.get(1), entry }))
        })
        .collect()
}

/// Reads the registry; on the control plane's cluster.
pub(super) async fn registry(main: &Owner) -> Result<Registry, Fault> {
    let rows = main.as_platform(REGISTRY, &[]).await?;
    rows.iter()
        .map(|row| {
            let registered = Registered {
                slug: row.get(1),
                state: row.get(2),
                cluster: row.get(3),
                login: small(row.get(4))?,
                version: small(row.get(5))?,
            };
            Ok((row.get::<_, Uuid>(0).into(), registered))
        })
        .collect()
}

fn small(figure: i32) -> Result<u16, Fault> {
    u16::try_from(figure).or_fault("read the ledger")
}

/// Whose a schema is, for people.
pub(super) fn name(registry: &Registry, tenant: TenantId) -> String {
    match registry.get(&tenant) {
        Some(registered) => registered.slug.clone(),
        None => format!("nobody's {}", schema_of(tenant)),
    }
}

/// In what the three disagree.
pub(super) fn disagreements(
    cluster: &ClusterName,
    ledger: &Ledger,
    registry: &Registry,
    blueprint: &Blueprint,
) -> Vec<Finding> {
    let here = |registered: &&Registered| registered.cluster == cluster.as_str();
    let homes = registry.iter().filter(|(_, registered)| here(registered) && registered.lives());
    let all: BTreeSet<TenantId> = ledger.keys().copied().chain(homes.map(|(tenant, _)| *tenant)).collect();
    let mut found = Vec::new();
    for tenant in all {
        let spot = Spot::of(&name(registry, tenant));
        let schema = schema_of(tenant);
        let held = ledger.get(&tenant);
        let registered = registry.get(&tenant).filter(here);
        let fault =
            match (held.and_then(|held| held.entry.as_ref()), held.is_some_and(|held| held.schema_exists)) {
                (None, true) => Some((
                    "a schema that the ledger does not know".to_owned(),
                    format!("if it is nobody's: drop schema {schema} cascade; drop role {schema}"),
                )),
                (None, false) => Some((
                    format!("the registry says that its schema is in cluster {cluster}, and it is not"),
                    "restore it from a backup".to_owned(),
                )),
                (Some(_), false) => Some((
                    "the ledger names a schema that is not there".to_owned(),
                    "restore it from a backup, or delete its row of platform.schema_ledger".to_owned(),
                )),
                (Some(entry), true) => against(entry, registered, blueprint),
            };
        found.extend(fault.map(|(what, mend)| spot.finding(Guard::Registry, &schema, &what, &mend)));
    }
    found
}

fn against(
    entry: &Entry,
    registered: Option<&Registered>,
    blueprint: &Blueprint,
) -> Option<(String, String)> {
    let ours = blueprint.checksum(entry.version);
    let migrate = || "run: neurosphere migrate".to_owned();
    match registered {
        None if entry.claimed => Some((
            "the ledger says that somebody has it, and the registry does not".to_owned(),
            "look for the tenant in the registry; if there is none, drop schema and role and delete the ledger's row"
                .to_owned(),
        )),
        Some(_) if !entry.claimed => Some((
            "somebody has it, and the ledger says that nobody does".to_owned(),
            "set claimed in its row of platform.schema_ledger, before it is given away again".to_owned(),
        )),
        Some(registered) if registered.login != entry.login => Some((
            format!("the registry names login role {}, the ledger {}", registered.login, entry.login),
            "correct login in platform.tenants: the role of the ledger may become the tenant's".to_owned(),
        )),
        Some(registered) if registered.lives() && registered.version != entry.version => Some((
            format!("the registry says version {}, the ledger {}", registered.version, entry.version),
            migrate(),
        )),
        _ if ours.is_some() && entry.checksum.is_some() && entry.checksum.as_deref() != ours => Some((
            format!("version {} was made of other migrations than this program's", entry.version),
            "restore the migrations that were applied, and add a new one".to_owned(),
        )),
        _ => None,
    }
}
