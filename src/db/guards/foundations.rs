//! What all tenants of a cluster stand on: the database, the roles that are not one tenant's, the control plane. Must
//! never look at a tenant's schema.

use std::collections::BTreeSet;

use super::super::owner::Owner;
use super::facts::{self, Facts, Kind, Target, fact};
use super::{Finding, Guard, Spot, baseline, differences, ledger, rules, seen_twice};
use crate::config::login_role;
use crate::error::Fault;

const LOGIN_ROLE: &str = include_str!("../../../policies/login_role.sql");

/// What came of it.
pub(super) struct Foundations {
    pub(super) findings: Vec<Finding>,
    /// Whether what stands on them can be looked at: not where the control plane is not up to date.
    pub(super) bear: bool,
}

/// Looks at all of it; an older control plane is told, and not looked at.
pub(super) async fn examine(owner: &Owner) -> Result<Foundations, Fault> {
    let what = match owner.pending_platform_migrations().await? {
        Some(0) => {
            let look = async || {
                let mut findings = server(owner).await?;
                findings.extend(platform(owner).await?);
                Ok(findings)
            };
            return Ok(Foundations { findings: seen_twice(look).await?, bear: true });
        }
        Some(pending) => format!("{pending} migration(s) are pending"),
        None => "it was never migrated".to_owned(),
    };
    let spot = Spot::of("control plane");
    let finding = spot.finding(Guard::Structure, "schema platform", &what, "run: neurosphere migrate");
    Ok(Foundations { findings: vec![finding], bear: false })
}

async fn server(owner: &Owner) -> Result<Vec<Finding>, Fault> {
    let logins = ledger::read(owner).await?.into_values().filter_map(|held| Some(held.entry?.login));
    let needed = logins.chain([0]).collect();
    let found = facts::reading(owner, async |client| facts::server_facts(client).await).await?;
    let differences = differences::between(&expected_of_server(&found, &needed), &found);
    let (spot, nobody) = (Spot::of("database"), Target::platform("platform"));
    Ok(differences.iter().map(|one| spot.difference(&nobody, one)).collect())
}

async fn platform(owner: &Owner) -> Result<Vec<Finding>, Fault> {
    let expected = baseline::of_platform(owner).await?;
    let target = Target::platform("platform");
    let read =
        facts::reading(owner, async |client| facts::facts(client, std::slice::from_ref(&target)).await)
            .await?;
    let mut found = read.into_values().next().map(|read| read.found).unwrap_or_default();
    let (spot, migrations) = (Spot::of("control plane"), Spot::of("migrations"));
    // The history is made by what runs migrations, so that no migration says how it should be.
    let of_history = |object: &str| object.split('.').next() == Some(rules::HISTORY);
    let breaches = rules::of_platform(&found).into_iter().filter(|breach| of_history(&breach.object));
    let mut findings: Vec<_> = breaches.map(|breach| spot.breach(&breach)).collect();
    found.retain(|key, _| !of_history(&key.object));
    let differences = differences::between(&expected, &found);
    findings.extend(differences.iter().map(|one| spot.difference(&target, one)));
    findings.extend(rules::of_platform(&expected).iter().map(|breach| migrations.breach(breach)));
    Ok(findings)
}

/// The facts that should be there. Login roles are those that tenants need, and those that there are: one whose tenants
/// are all gone is no fault, nor one of another database of the same server, which has nothing in this one.
fn expected_of_server(found: &Facts, needed: &BTreeSet<u16>) -> Facts {
    let mut logins: BTreeSet<String> = needed.iter().map(|login| login_role(*login)).collect();
    let roles = found.keys().filter(|key| key.kind == Kind::Role).map(|key| key.object.clone());
    logins.extend(roles.filter(|role| role.starts_with("neurosphere_app")));
    let mut facts = Facts::new();
    for group in ["neurosphere_platform", "neurosphere_tenants"] {
        facts.extend([
            fact(Kind::Role, group, "attributes", "nologin inherit"),
            fact(Kind::Grant, "schema extensions", &format!("USAGE to {group}"), ""),
        ]);
    }
    let settings = login_settings();
    for login in &logins {
        facts.extend([
            fact(Kind::Role, login, "attributes", "login noinherit"),
            fact(Kind::Member, "neurosphere_platform", login, "set"),
            fact(Kind::Setting, login, "", &settings),
        ]);
        let (usage, granted) = fact(Kind::Grant, "schema extensions", &format!("USAGE to {login}"), "");
        if found.contains_key(&usage) || needed.iter().any(|needed| login_role(*needed) == *login) {
            facts.insert(usage, granted);
        }
    }
    facts
}

/// What `policies/login_role.sql` sets, as the catalog tells it.
fn login_settings() -> String {
    let setting = |line: &str| {
        let (name, value) =
            line.strip_prefix("alter role {login} set ")?.strip_suffix(';')?.split_once(" = ")?;
        Some(format!("{name}={}", value.trim_matches('\'')))
    };
    LOGIN_ROLE.lines().filter_map(setting).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_nobody_may_have_is_told_and_a_missing_one_is_missed() {
        let needed = BTreeSet::from([0, 1]);
        let right = expected_of_server(&Facts::new(), &needed);
        assert_eq!(differences::between(&expected_of_server(&right, &needed), &right), []);
        for (role, attributes) in [
            ("neurosphere_app", "login noinherit superuser"),
            ("neurosphere_app_1", "login noinherit bypassrls"),
            ("neurosphere_platform", "nologin inherit bypassrls"),
            ("neurosphere_tenants", "nologin inherit replication"),
        ] {
            let mut found = right.clone();
            found.extend([fact(Kind::Role, role, "attributes", attributes)]);
            let differences = differences::between(&expected_of_server(&found, &needed), &found);
            let told: Vec<_> = differences.iter().map(|one| (one.guard(), one.object())).collect();
            assert_eq!(told, [(Guard::Roles, format!("role {role}"))]);
        }
        let of_it =
            |key: &facts::Key| key.object == "neurosphere_app_1" || key.part.ends_with("neurosphere_app_1");
        let gone: Facts = right.into_iter().filter(|(key, _)| !of_it(key)).collect();
        let differences = differences::between(&expected_of_server(&gone, &needed), &gone);
        let told: Vec<_> =
            differences.iter().map(|one| format!("{}: {}", one.object(), one.what())).collect();
        assert_eq!(told, ["role neurosphere_app_1: is missing"]);
    }

    #[test]
    fn a_login_role_of_another_database_has_nothing_in_this_one() {
        let both = BTreeSet::from([0, 1]);
        let without_usage: Facts = expected_of_server(&Facts::new(), &both)
            .into_iter()
            .filter(|(key, _)| key.part != "USAGE to neurosphere_app_1")
            .collect();
        let told = |needed: &BTreeSet<u16>| -> Vec<String> {
            let expected = expected_of_server(&without_usage, needed);
            let differences = differences::between(&expected, &without_usage);
            differences.iter().map(|one| format!("{}: {}", one.object(), one.what())).collect()
        };
        assert_eq!(told(&BTreeSet::from([0])), [""; 0]);
        assert_eq!(told(&both), ["schema extensions: USAGE is not granted to neurosphere_app_1"]);
    }
}
