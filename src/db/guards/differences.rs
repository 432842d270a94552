//! In what the facts of a schema differ from those that they should be, and which guard each difference weakens. Pure;
//! must never know where facts come from. What people read of it is in [`super::remedies`].

use std::collections::BTreeSet;

use super::facts::{Facts, Key, Kind};
use super::{Guard, rules};

/// One fact that is missing, that should not be, or that is otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) key: Key,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Missing { expected: String },
    Foreign { found: String },
    Changed { expected: String, found: String },
}

/// Every difference. What belongs to an object that is missing or foreign as a whole is not told again.
pub(super) fn between(expected: &Facts, found: &Facts) -> Vec<Difference> {
    let mut all = Vec::new();
    for (key, value) in expected {
        let state = match found.get(key) {
            Some(same) if same == value => continue,
            Some(other) => State::Changed { expected: value.clone(), found: other.clone() },
            None => State::Missing { expected: value.clone() },
        };
        all.push(Difference { key: key.clone(), state });
    }
    for (key, value) in found.iter().filter(|(key, _)| !expected.contains_key(key)) {
        all.push(Difference { key: key.clone(), state: State::Foreign { found: value.clone() } });
    }
    let whole: BTreeSet<_> = all.iter().filter(|one| one.is_whole()).map(|one| one.key.clone()).collect();
    all.retain(|one| !one.is_told_by(&whole));
    all
}

impl Difference {
    /// Whether an object is missing or foreign as such.
    fn is_whole(&self) -> bool {
        let one_sided = match self.state {
            State::Missing { .. } | State::Foreign { .. } => true,
            State::Changed { .. } => false,
        };
        match self.key.kind {
            Kind::Relation => one_sided && self.key.part == "kind",
            Kind::Column | Kind::Function | Kind::Role => one_sided,
            // Its index says nothing more.
            Kind::Constraint => true,
            Kind::Schema
            | Kind::Grant
            | Kind::Index
            | Kind::Policy
            | Kind::Trigger
            | Kind::Rule
            | Kind::Object
            | Kind::Inheritance
            | Kind::Publication
            | Kind::Subscription
            | Kind::Outsider
            | Kind::Member
            | Kind::Setting
            | Kind::Holding => false,
        }
    }

    /// Whether it is only a part of an object that is told as a whole.
    fn is_told_by(&self, whole: &BTreeSet<Key>) -> bool {
        let Key { kind, object, part } = &self.key;
        let has = |kind, object: &str, part: &str| {
            whole.contains(&Key { kind, object: object.to_owned(), part: part.to_owned() })
        };
        let table = object.split_once('.').map_or(object.as_str(), |(table, _)| table);
        match kind {
            Kind::Member => has(Kind::Role, object, "attributes") || has(Kind::Role, part, "attributes"),
            Kind::Setting | Kind::Holding => has(Kind::Role, object, "attributes"),
            Kind::Index => has(Kind::Constraint, object, part) || has(Kind::Relation, table, "kind"),
            Kind::Grant => {
                let (table, column) = object.split_once('.').unwrap_or((object, ""));
                let (_, grantee) = part.split_once(" to ").unwrap_or_default();
                let nobodys = has(Kind::Function, object, "body") || has(Kind::Role, grantee, "attributes");
                nobodys || has(Kind::Relation, table, "kind") || has(Kind::Column, table, column)
            }
            Kind::Schema | Kind::Role | Kind::Function | Kind::Object => false,
            Kind::Relation if part == "kind" => false,
            Kind::Relation
            | Kind::Column
            | Kind::Constraint
            | Kind::Policy
            | Kind::Trigger
            | Kind::Rule
            | Kind::Inheritance
            | Kind::Publication
            | Kind::Subscription
            | Kind::Outsider => has(Kind::Relation, table, "kind"),
        }
    }

    /// The value that is there; empty if it is missing.
    pub(super) fn found(&self) -> &str {
        match &self.state {
            State::Missing { .. } => "",
            State::Foreign { found } | State::Changed { found, .. } => found,
        }
    }

    /// The value that should be there; empty if there should be none.
    pub(super) fn expected(&self) -> &str {
        match &self.state {
            State::Foreign { .. } => "",
            State::Missing { expected } | State::Changed { expected, .. } => expected,
        }
    }

    /// The table of which `tenant_id` may hold something else by this.
    pub(super) fn unchecked_table(&self) -> Option<&str> {
        (self.guard() == Guard::Checks).then_some(self.key.object.as_str())
    }

    /// The guard that it weakens.
    pub(super) fn guard(&self) -> Guard {
        let (found, expected) = (self.found(), self.expected());
        match self.key.kind {
            Kind::Schema | Kind::Grant | Kind::Role | Kind::Member | Kind::Holding => Guard::Roles,
            Kind::Policy => Guard::RowSecurity,
            Kind::Relation => match self.key.part.as_str() {
                "owner" => Guard::Roles,
                "row security" => Guard::RowSecurity,
                _ if rules::leads_around(found) || rules::leads_around(expected) => Guard::Names,
                _ => Guard::Structure,
            },
            Kind::Inheritance
            | Kind::Publication
            | Kind::Subscription
            | Kind::Outsider
            | Kind::Setting
            | Kind::Rule => Guard::Names,
            Kind::Column if self.key.part == "tenant_id" => Guard::Checks,
            Kind::Constraint if [found, expected].contains(&rules::TENANT_CHECK) => Guard::Checks,
            Kind::Constraint if rules::leads_out(found) => Guard::Names,
            Kind::Object if self.key.part == "default acl" => Guard::Roles,
            Kind::Object if self.key.object.starts_with("extensions.") => Guard::Names,
            Kind::Function if found.contains("security definer") => Guard::Names,
            Kind::Column | Kind::Constraint | Kind::Object | Kind::Function | Kind::Index | Kind::Trigger => {
                Guard::Structure
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::fact;
    use super::*;

    /// A table with a key and a grant, and the role.
    fn schema() -> Facts {
        Facts::from([
            fact(Kind::Relation, "calls", "kind", "table"),
            fact(Kind::Relation, "calls", "row security", "enabled, forced"),
            fact(Kind::Column, "calls", "id", "uuid not null"),
            fact(Kind::Constraint, "calls", "calls_pk", "PRIMARY KEY (id)"),
            fact(
                Kind::Index,
                "calls",
                "calls_pk",
                "CREATE UNIQUE INDEX calls_pk ON {t}.calls USING btree (id)",
            ),
            fact(Kind::Policy, "calls", "own_role", "for all to {t} using (true) with check (true)"),
            fact(Kind::Grant, "calls", "SELECT to {t}", ""),
            fact(Kind::Grant, "calls.id", "UPDATE to {t}", ""),
            fact(Kind::Role, "{t}", "attributes", "nologin inherit"),
            fact(Kind::Member, "{t}", "{login}", "set"),
            fact(Kind::Member, "neurosphere_tenants", "{t}", "inherit"),
        ])
    }

    fn check(found: &Facts, expected: &[(Guard, &str, &str, &str)]) {
        let told: Vec<_> = between(&schema(), found)
            .iter()
            .map(|one| (one.guard(), one.object(), one.what(), one.mend()))
            .collect();
        let told: Vec<_> = told.iter().map(|(g, o, w, m)| (*g, o.as_str(), w.as_str(), m.as_str())).collect();
        assert_eq!(told, expected);
    }

    fn without(gone: impl Fn(&Key) -> bool) -> Facts {
        schema().into_iter().filter(|(key, _)| !gone(key)).collect()
    }

    fn with(more: (Key, String)) -> Facts {
        schema().into_iter().chain([more]).collect()
    }

    #[test]
    fn nothing_differs_from_itself() {
        check(&schema(), &[]);
    }

    #[test]
    fn what_is_gone_or_foreign_as_a_whole_is_told_once() {
        let restored =
            "restore it, or run again what made it and its guards (see the migrations and policies/)";
        check(
            &without(|key| key.object.starts_with("calls")),
            &[(Guard::Structure, "calls", "is missing", restored)],
        );
        check(
            &without(|key| [Kind::Role, Kind::Member].contains(&key.kind)),
            &[(
                Guard::Roles,
                "role {t}",
                "is missing",
                "run: neurosphere migrate; if it stays, make the role again",
            )],
        );
        let mut more = with(fact(Kind::Relation, "peek", "kind", "view with (security_barrier=true)"));
        more.extend([
            fact(Kind::Column, "peek", "id", "uuid"),
            fact(Kind::Grant, "peek", "SELECT to {t}", ""),
        ]);
        let told = "no migration made it: view with (security_barrier=true)";
        check(&more, &[(Guard::Names, "peek", told, "drop view {t}.peek")]);
    }

    #[test]
    fn a_key_is_told_without_its_index_and_mended_by_sql() {
        let mended = "alter table {t}.calls add constraint calls_pk PRIMARY KEY (id)";
        check(
            &without(|key| key.part == "calls_pk"),
            &[(Guard::Structure, "constraint calls_pk of calls", "is missing", mended)],
        );
    }

    #[test]
    fn grants_and_memberships_are_mended_where_they_are() {
        let to_other = fact(Kind::Grant, "calls.id", "SELECT to other", "");
        let mended = "revoke SELECT (id) on {t}.calls from other";
        check(&with(to_other), &[(Guard::Roles, "calls.id", "SELECT is granted to other", mended)]);
        let with_option = fact(Kind::Grant, "calls", "SELECT to {t}", "with grant option");
        let mended = "revoke grant option for SELECT on {t}.calls from {t}";
        let told = "SELECT is granted to {t} with grant option";
        check(&with(with_option), &[(Guard::Roles, "calls", told, mended)]);
        let inherits = fact(Kind::Member, "{t}", "{login}", "inherit set");
        let told = "{login} is a member of it with \"inherit set\" instead of \"set\"";
        let mended =
            "revoke {t} from {login}; grant {t} to {login} with inherit false, set true, admin false";
        check(&with(inherits), &[(Guard::Roles, "role {t}", told, mended)]);
    }

    /// What only a superuser could plant in a database.
    #[test]
    fn what_replication_and_disabled_keys_do_is_told() {
        let everything = fact(Kind::Publication, "every table", "all", "");
        let told = "hands its rows out by replication";
        check(
            &with(everything),
            &[(Guard::Names, "publication all of every table", told, "drop publication all")],
        );
        let taken = fact(Kind::Subscription, "calls", "subscription", "");
        let told = "takes rows in by replication";
        check(&with(taken), &[(Guard::Names, "calls", told, "drop the subscription")]);
        let disabled =
            fact(Kind::Trigger, "calls", "\"RI_ConstraintTrigger_c_1\"", "of a foreign key, disabled");
        check(
            &with(disabled),
            &[(
                Guard::Structure,
                "trigger \"RI_ConstraintTrigger_c_1\" of calls",
                "no migration made it: of a foreign key, disabled",
                "as a superuser: alter table {t}.calls enable trigger \"RI_ConstraintTrigger_c_1\"",
            )],
        );
    }
}
