//! How schemas should be: a tenant's in each version, and the control plane, built from the program's own migrations and
//! policies in a transaction of which nothing stays. Must never read a schema that somebody uses.

use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::super::blueprint::Blueprint;
use super::super::owner::{self, Owner};
use super::facts::{self, Facts, Target};
use super::{Finding, Spot, rules};
use crate::error::Fault;
use crate::ids::TenantId;

/// A baseline makes roles, as the making of a tenant does, and so may wait for a lock, but not for long. What somebody has
/// granted on all tables to come must not be granted on its own.
const PLAINLY: &str = "
    set local lock_timeout = '5s';
    do $$ declare one record; begin
        for one in select case a.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                               when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end as what,
                          case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end as whom
                     from pg_default_acl a join pg_roles r on r.oid = a.defaclrole cross join aclexplode(a.defaclacl) x
                    where r.rolname = current_user and a.defaclnamespace = 0 and x.grantee <> a.defaclrole loop
            execute format('alter default privileges revoke all on %s from %s', one.what, one.whom);
        end loop;
    end $$";
const ROLE_ONLY: u16 = 0;

/// How a schema should be.
pub(super) struct Baseline {
    pub(super) facts: Facts,
    pub(super) fingerprint: Vec<u8>,
}

/// How tenants' schemas should be, by version.
pub(super) struct Baselines {
    by_version: BTreeMap<u16, Baseline>,
    newest: u16,
}

impl Baselines {
    /// Builds those of these versions that the program knows; and what a role without a schema should be.
    pub(super) async fn build(
        owner: &Owner,
        blueprint: &Blueprint,
        versions: &BTreeSet<u16>,
    ) -> Result<Self, Fault> {
        let newest = blueprint.version();
        let known = versions.iter().copied().filter(|version| (1..=newest).contains(version));
        let known: BTreeSet<u16> = known.chain([newest, ROLE_ONLY]).collect();
        let mut by_version = BTreeMap::new();
        for version in known {
            by_version.insert(version, build(owner, blueprint, version).await?);
        }
        Ok(Self { by_version, newest })
    }

    /// How a schema of that version should be.
    pub(super) fn of(&self, version: u16) -> Option<&Baseline> {
        self.by_version.get(&version).filter(|_| version != ROLE_ONLY)
    }

    /// How the role of a tenant should be whose schema is in another cluster.
    pub(super) fn role_only(&self) -> Option<&Baseline> {
        self.by_version.get(&ROLE_ONLY)
    }

    /// The version that the program itself is made for.
    pub(super) fn newest(&self) -> u16 {
        self.newest
    }

    /// What the program's own migrations do wrong.
    pub(super) fn breaches(&self) -> Vec<Finding> {
        let schemas = self.by_version.iter().filter(|(version, _)| **version != ROLE_ONLY);
        schemas
            .flat_map(|(version, baseline)| {
                let spot = Spot::of(&format!("tenant_migrations up to V{version:03}"));
                rules::of_tenant(&baseline.facts).into_iter().map(move |breach| spot.breach(&breach))
            })
            .collect()
    }
}

async fn build(owner: &Owner, blueprint: &Blueprint, version: u16) -> Result<Baseline, Fault> {
    let tenant = TenantId::from(Uuid::new_v4());
    let target = Target::tenant(tenant, 0);
    let made = match version {
        ROLE_ONLY => target.fill(&Blueprint::role(tenant, &target.fill("{login}"))),
        version => blueprint.up_to(version).creation(tenant, &target.fill("{login}")),
    };
    let script = format!("{PLAINLY}; {made}");
    facts::building(owner, &script, async |client| {
        let targets = [target.clone()];
        let mut facts = facts::facts(client, &targets).await?;
        let mut fingerprints = facts::fingerprints(client, &targets).await?;
        let read = facts.remove(&target.schema).zip(fingerprints.remove(&target.schema));
        let (facts, fingerprint) = read.ok_or_else(|| Fault::new("build how a tenant's schema should be"))?;
        Ok(Baseline { facts: facts.found, fingerprint: fingerprint.found })
    })
    .await
}

/// How the control plane should be, without the history of its own migrations.
pub(super) async fn of_platform(owner: &Owner) -> Result<Facts, Fault> {
    let schema = format!("platform_{}", Uuid::new_v4().simple());
    let made = owner::platform_scripts().join(";\n").replace("platform.", &format!("{schema}."));
    // What policies/roles.sql does to the control plane's schema, beside what it does to the database.
    let script = format!(
        "{PLAINLY}; create schema {schema}; grant usage on schema {schema} to neurosphere_platform, neurosphere_tenants;
         {made}"
    );
    let target = Target::platform(&schema);
    facts::building(owner, &script, async |client| {
        let mut facts = facts::facts(client, std::slice::from_ref(&target)).await?;
        let read = facts.remove(&target.schema);
        read.map(|read| read.found).ok_or_else(|| Fault::new("build how the control plane should be"))
    })
    .await
}
