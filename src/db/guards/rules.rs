//! What must be true of the facts of a schema whatever its migrations say: they are asked of each baseline, so that a
//! migration that forgets a guard is found though every schema is as it says. Pure; must never know where facts come
//! from.

use super::Guard;
use super::facts::{Facts, Key, Kind};

/// The check of every table of a tenant.
pub(super) const TENANT_CHECK: &str = "CHECK ((tenant_id = '{tenant}'::uuid))";
const TENANT_COLUMN: &str = "uuid not null default '{tenant}'::uuid";
const TENANT_POLICY: &str = "for all to {t} using (true) with check (true)";
const FORCED: &str = "enabled, forced";
/// Nothing else may be done to a table by anybody but its owner.
const PRIVILEGES: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
const PLATFORM_POLICY: &str = "for all to neurosphere_platform using (true) with check (true)";
/// How the control plane reads the tenant from the role's own name.
const OWN_TENANT: &str =
    "( SELECT (\"substring\"((CURRENT_USER)::text, '^tenant_([0-9a-f]{32})$'::text))::uuid AS \"substring\")";
/// What shows rows elsewhere than in their schema.
const SHARING: [Kind; 4] = [Kind::Inheritance, Kind::Publication, Kind::Subscription, Kind::Outsider];
const SHARED: &str = "rows are shared with what is outside";
/// The migrations' own history, which only the owner reads.
pub(super) const HISTORY: &str = "schema_history";

/// A rule that a schema breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) guard: Guard,
    pub(super) object: String,
    pub(super) what: String,
}

/// Whether a relation shows rows of others past their guards.
pub(super) fn leads_around(relation: &str) -> bool {
    relation.contains("view") || relation.contains("foreign table")
}

/// Whether a constraint refers to another schema.
pub(super) fn leads_out(constraint: &str) -> bool {
    constraint.split_once(" REFERENCES ").is_some_and(|(_, target)| !target.starts_with("{t}."))
}

/// Which rules a tenant's schema breaks.
pub(super) fn of_tenant(facts: &Facts) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for table in tables(facts) {
        tenant_table(facts, table, &mut breaches);
    }
    for (key, value) in facts {
        breaches.extend(tenant_fault(key, value).map(|(guard, what)| breach(guard, key, what)));
        breaches.extend(owner_fault(facts, key, value));
    }
    breaches
}

fn tenant_fault(key: &Key, value: &str) -> Option<(Guard, &'static str)> {
    let is = |kinds: &[Kind]| kinds.contains(&key.kind);
    let fault = |is: bool, guard, what| is.then_some((guard, what));
    let nothing_else = "a tenant's schema has tables only";
    if is(&[Kind::Grant]) {
        grant_fault(key, value, &["{t}"])
    } else if is(&[Kind::Relation]) {
        fault(key.part == "kind" && value != "table", Guard::Names, nothing_else)
    } else if is(&[Kind::Constraint]) {
        fault(leads_out(value), Guard::Names, "a key leads out of the schema")
    } else if is(&[Kind::Function, Kind::Trigger, Kind::Rule, Kind::Object]) {
        fault(true, Guard::Names, nothing_else)
    } else if is(&SHARING) {
        fault(true, Guard::Names, SHARED)
    } else if is(&[Kind::Role]) {
        fault(value != "nologin inherit", Guard::Roles, "a tenant's role may do nothing but be a tenant")
    } else if is(&[Kind::Member]) {
        let edge = (key.object.as_str(), key.part.as_str(), value);
        let right = [("{t}", "{login}", "set"), ("neurosphere_tenants", "{t}", "inherit")].contains(&edge);
        // Whoever made the role may give it away, and nothing else.
        fault(!right && value != "admin", Guard::Roles, "only the login role may become the tenant's")
    } else {
        let alone = "a tenant's role has its own schema and nothing else";
        fault(is(&[Kind::Setting, Kind::Holding]), Guard::Roles, alone)
    }
}

fn tenant_table(facts: &Facts, table: &str, breaches: &mut Vec<Breach>) {
    let value = |kind, part: &str| value(facts, kind, table, part);
    let mut must = |is: bool, guard, what: &str| {
        if !is {
            breaches.push(Breach { guard, object: table.to_owned(), what: what.to_owned() });
        }
    };
    let forced = value(Kind::Relation, "row security") == Some(FORCED);
    must(forced, Guard::RowSecurity, "row security is not enabled and forced");
    let policies: Vec<_> = of(facts, Kind::Policy, table).collect();
    let one = [("own_role", TENANT_POLICY)];
    must(policies == one, Guard::RowSecurity, "its one policy must be own_role of policies/tenant_rls.sql");
    let column = value(Kind::Column, "tenant_id");
    must(
        column == Some(TENANT_COLUMN),
        Guard::Checks,
        "tenant_id must be a uuid, not null, the tenant's by default",
    );
    let checked = of(facts, Kind::Constraint, table).any(|(_, is)| is == TENANT_CHECK);
    must(checked, Guard::Checks, "tenant_id must be checked against the tenant's id");
}

/// Which rules the control plane breaks.
pub(super) fn of_platform(facts: &Facts) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for table in tables(facts).filter(|table| *table != HISTORY) {
        platform_table(facts, table, &mut breaches);
    }
    for (key, value) in facts {
        breaches.extend(platform_fault(key, value).map(|(guard, what)| breach(guard, key, what)));
        breaches.extend(owner_fault(facts, key, value));
    }
    breaches
}

fn platform_fault(key: &Key, value: &str) -> Option<(Guard, &'static str)> {
    let is = |kinds: &[Kind]| kinds.contains(&key.kind);
    let fault = |is: bool, guard, what| is.then_some((guard, what));
    if is(&[Kind::Grant]) && key.object == HISTORY {
        fault(true, Guard::Roles, "only the owner reads what was migrated")
    } else if is(&[Kind::Grant]) {
        grant_fault(key, value, &["neurosphere_platform", "neurosphere_tenants"])
    } else if is(&[Kind::Relation]) {
        let hides = !leads_around(value) || value == "view with (security_invoker=true)";
        let what = "a view must have security_invoker, or it shows what its owner sees";
        fault(key.part == "kind" && !hides, Guard::RowSecurity, what)
    } else if is(&[Kind::Function]) {
        let what = "a function must run as whoever calls it";
        fault(value.contains("security definer"), Guard::Roles, what)
    } else if is(&[Kind::Constraint]) {
        fault(leads_out(value), Guard::Names, "a key leads out of the schema")
    } else {
        fault(is(&SHARING), Guard::Names, SHARED)
    }
}

/// A table's rows are seen by the platform whole, and by a tenant if they are its own, or everybody's.
fn platform_table(facts: &Facts, table: &str, breaches: &mut Vec<Breach>) {
    let mut must = |is: bool, what: &str| {
        if !is {
            let (object, what) = (table.to_owned(), what.to_owned());
            breaches.push(Breach { guard: Guard::RowSecurity, object, what });
        }
    };
    let forced = value(facts, Kind::Relation, table, "row security") == Some(FORCED);
    must(forced, "row security is not enabled and forced");
    let of_tenants = value(facts, Kind::Column, table, "tenant_id").is_some();
    let column = if of_tenants { "tenant_id" } else { "id" };
    let own = format!("(({column} = {OWN_TENANT}))");
    let own_all = format!("for all to neurosphere_tenants using {own} with check {own}");
    let own_read = format!("for select to neurosphere_tenants using {own}");
    let mut seen_by_platform = false;
    for (name, policy) in of(facts, Kind::Policy, table) {
        match name {
            "platform_all" => seen_by_platform = policy == PLATFORM_POLICY,
            "own_rows" => {
                must(
                    policy == own_all || policy == own_read,
                    "own_rows must show a tenant its own rows only",
                );
            }
            "everyone" => must(!of_tenants && table != "tenants", "rows of tenants must not be everyone's"),
            _ => must(false, "its policies are platform_all, and own_rows or everyone"),
        }
    }
    must(seen_by_platform, "platform_all must show it to the platform's role");
}

fn grant_fault(key: &Key, options: &str, allowed: &[&str]) -> Option<(Guard, &'static str)> {
    let (privilege, grantee) = key.part.split_once(" to ")?;
    let may = if key.object.is_empty() { privilege == "USAGE" } else { PRIVILEGES.contains(&privilege) };
    if !allowed.contains(&grantee) {
        Some((Guard::Roles, "is granted to somebody whom it is not for"))
    } else if !may || !options.is_empty() {
        Some((Guard::Roles, "more is granted than reading and writing rows"))
    } else {
        None
    }
}

/// Everything belongs to whom the schema belongs to, and that is nobody who serves requests.
fn owner_fault(facts: &Facts, key: &Key, value: &str) -> Option<Breach> {
    let owner = self::value(facts, Kind::Schema, "", "owner");
    let serves = value.starts_with("neurosphere_app") || value.starts_with("{t}");
    let wrong = key.part == "owner" && (Some(value) != owner || serves);
    wrong.then(|| breach(Guard::Roles, key, "must belong to the owner of the database"))
}

fn breach(guard: Guard, key: &Key, what: &str) -> Breach {
    let object = if key.object.is_empty() { "schema".to_owned() } else { key.object.clone() };
    Breach { guard, object, what: format!("{what} ({} {})", key.kind.name(), key.part) }
}

fn tables(facts: &Facts) -> impl Iterator<Item = &str> {
    let kinds = facts.iter().filter(|(key, _)| key.kind == Kind::Relation && key.part == "kind");
    kinds.filter(|(_, value)| value.contains("table")).map(|(key, _)| key.object.as_str())
}

fn of<'f>(facts: &'f Facts, kind: Kind, object: &str) -> impl Iterator<Item = (&'f str, &'f str)> {
    let all = facts.iter().filter(move |(key, _)| key.kind == kind);
    let object = object.to_owned();
    all.filter(move |(key, _)| key.object == object).map(|(key, value)| (key.part.as_str(), value.as_str()))
}

fn value<'f>(facts: &'f Facts, kind: Kind, object: &str, part: &str) -> Option<&'f str> {
    let key = Key { kind, object: object.to_owned(), part: part.to_owned() };
    facts.get(&key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::facts::fact;
    use super::*;

    fn tenant() -> Facts {
        Facts::from([
            fact(Kind::Schema, "", "owner", "keeper"),
            fact(Kind::Grant, "", "USAGE to {t}", ""),
            fact(Kind::Relation, "calls", "kind", "table"),
            fact(Kind::Relation, "calls", "owner", "keeper"),
            fact(Kind::Relation, "calls", "row security", FORCED),
            fact(Kind::Column, "calls", "tenant_id", TENANT_COLUMN),
            fact(Kind::Constraint, "calls", "calls_tenant", TENANT_CHECK),
            fact(Kind::Constraint, "calls", "calls_fk", "FOREIGN KEY (x) REFERENCES {t}.callers(id)"),
            fact(Kind::Policy, "calls", "own_role", TENANT_POLICY),
            fact(Kind::Grant, "calls", "SELECT to {t}", ""),
            fact(Kind::Role, "{t}", "attributes", "nologin inherit"),
            fact(Kind::Member, "{t}", "{login}", "set"),
            fact(Kind::Member, "{t}", "keeper", "admin"),
            fact(Kind::Member, "neurosphere_tenants", "{t}", "inherit"),
        ])
    }

    fn platform() -> Facts {
        let own = format!("((tenant_id = {OWN_TENANT}))");
        let policy = format!("for all to neurosphere_tenants using {own} with check {own}");
        Facts::from([
            fact(Kind::Schema, "", "owner", "keeper"),
            fact(Kind::Grant, "", "USAGE to neurosphere_tenants", ""),
            fact(Kind::Relation, HISTORY, "kind", "table"),
            fact(Kind::Relation, "jobs", "kind", "table"),
            fact(Kind::Relation, "jobs", "row security", FORCED),
            fact(Kind::Column, "jobs", "tenant_id", "uuid"),
            fact(Kind::Policy, "jobs", "platform_all", PLATFORM_POLICY),
            fact(Kind::Policy, "jobs", "own_rows", &policy),
            fact(Kind::Relation, "tenancies", "kind", "view with (security_invoker=true)"),
            fact(Kind::Grant, "jobs", "SELECT to neurosphere_tenants", ""),
        ])
    }

    type Judge = fn(&Facts) -> Vec<Breach>;

    /// With one fact more, or another value, one rule is broken.
    fn each_breaks_one(right: fn() -> Facts, judge: Judge, cases: &[(Guard, (Key, String))]) {
        assert_eq!(judge(&right()), []);
        for (guard, (key, value)) in cases {
            let mut facts = right();
            facts.insert(key.clone(), value.clone());
            let broken: Vec<_> = judge(&facts).iter().map(|breach| breach.guard).collect();
            assert_eq!(broken, [*guard], "{key:?} {value}");
        }
    }

    #[test]
    fn a_migration_of_tenants_that_forgets_a_guard_is_found() {
        each_breaks_one(
            tenant,
            of_tenant,
            &[
                (Guard::RowSecurity, fact(Kind::Relation, "calls", "row security", "enabled, not forced")),
                (
                    Guard::RowSecurity,
                    fact(Kind::Policy, "calls", "more", "for select to public using (true)"),
                ),
                (Guard::Checks, fact(Kind::Column, "calls", "tenant_id", "uuid not null")),
                (Guard::Checks, fact(Kind::Constraint, "calls", "calls_tenant", "CHECK (true)")),
                (Guard::Roles, fact(Kind::Grant, "calls", "SELECT to PUBLIC", "")),
                (Guard::Roles, fact(Kind::Grant, "calls", "TRUNCATE to {t}", "")),
                (Guard::Roles, fact(Kind::Grant, "calls", "SELECT to {t}", "with grant option")),
                (Guard::Roles, fact(Kind::Grant, "", "CREATE to {t}", "")),
                (Guard::Roles, fact(Kind::Relation, "calls", "owner", "neurosphere_app")),
                (Guard::Roles, fact(Kind::Role, "{t}", "attributes", "nologin inherit bypassrls")),
                (Guard::Roles, fact(Kind::Member, "{t}", "{login}", "inherit set")),
                (Guard::Roles, fact(Kind::Member, "{t}", "somebody", "set")),
                (Guard::Roles, fact(Kind::Member, "pg_read_all_data", "{t}", "inherit")),
                (Guard::Roles, fact(Kind::Holding, "{t}", "schema public", "granted")),
                (Guard::Names, fact(Kind::Relation, "peek", "kind", "view with (security_invoker=true)")),
                (Guard::Names, fact(Kind::Function, "peek()", "body", "owned by keeper")),
                (Guard::Names, fact(Kind::Object, "{t}.mood", "type", "")),
                (
                    Guard::Names,
                    fact(Kind::Constraint, "calls", "out", "FOREIGN KEY (x) REFERENCES platform.tenants(id)"),
                ),
                (Guard::Names, fact(Kind::Inheritance, "calls", "child of public.calls", "")),
            ],
        );
        let nothing = Facts::from([
            fact(Kind::Schema, "", "owner", "keeper"),
            fact(Kind::Relation, "bare", "kind", "table"),
        ]);
        let guards: Vec<_> = of_tenant(&nothing).iter().map(|breach| breach.guard).collect();
        assert_eq!(guards, [Guard::RowSecurity, Guard::RowSecurity, Guard::Checks, Guard::Checks]);
    }

    #[test]
    fn a_migration_of_the_control_plane_that_forgets_a_guard_is_found() {
        each_breaks_one(
            platform,
            of_platform,
            &[
                (Guard::RowSecurity, fact(Kind::Relation, "jobs", "row security", "disabled, not forced")),
                (
                    Guard::RowSecurity,
                    fact(Kind::Policy, "jobs", "own_rows", "for all to neurosphere_tenants using (true)"),
                ),
                (
                    Guard::RowSecurity,
                    fact(Kind::Policy, "jobs", "everyone", "for select to neurosphere_tenants using (true)"),
                ),
                (
                    Guard::RowSecurity,
                    fact(Kind::Policy, "jobs", "platform_all", "for select to public using (true)"),
                ),
                (Guard::RowSecurity, fact(Kind::Policy, "jobs", "more", "for select to public using (true)")),
                (Guard::RowSecurity, fact(Kind::Relation, "tenancies", "kind", "view")),
                (Guard::Roles, fact(Kind::Grant, HISTORY, "SELECT to neurosphere_platform", "")),
                (Guard::Roles, fact(Kind::Grant, "jobs", "SELECT to PUBLIC", "")),
                (Guard::Roles, fact(Kind::Grant, "refuse()", "EXECUTE to PUBLIC", "")),
                (Guard::Roles, fact(Kind::Function, "refuse()", "body", "owned by keeper, security definer")),
                (Guard::Names, fact(Kind::Outsider, "jobs", "view public.jobs", "")),
            ],
        );
    }
}
