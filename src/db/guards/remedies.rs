//! What people read of a difference: what it is about, what is wrong with it, and what to do, as SQL wherever SQL mends
//! it. Placeholders are filled by whoever knows the schema. Pure; must never decide whether something is wrong.

use super::differences::{Difference, State};
use super::facts::{Key, Kind};

impl Difference {
    /// What it is about.
    pub(super) fn object(&self) -> String {
        let Key { kind, object, part } = &self.key;
        match kind {
            Kind::Schema => "schema".to_owned(),
            Kind::Grant if object.is_empty() => "schema".to_owned(),
            Kind::Relation | Kind::Grant | Kind::Outsider | Kind::Inheritance | Kind::Subscription => {
                object.clone()
            }
            Kind::Function => format!("function {object}"),
            Kind::Object => format!("{part} {object}"),
            Kind::Setting if object.starts_with("database ") => object.clone(),
            Kind::Role | Kind::Member | Kind::Setting | Kind::Holding => format!("role {object}"),
            Kind::Column
            | Kind::Constraint
            | Kind::Index
            | Kind::Policy
            | Kind::Trigger
            | Kind::Rule
            | Kind::Publication => format!("{} {part} of {object}", kind.name()),
        }
    }

    /// What is wrong with it.
    pub(super) fn what(&self) -> String {
        let Key { kind, part, .. } = &self.key;
        match (kind, &self.state) {
            (Kind::Grant, state) => {
                let (privilege, grantee) = self.grant();
                match state {
                    State::Missing { .. } => format!("{privilege} is not granted to {grantee}"),
                    State::Foreign { found } => {
                        format!("{privilege} is granted to {grantee} {found}").trim_end().to_owned()
                    }
                    State::Changed { .. } => format!("{privilege} is granted to {grantee} with grant option"),
                }
            }
            (Kind::Member, State::Missing { expected }) => format!("{part} is no member of it ({expected})"),
            (Kind::Member, State::Foreign { found }) => format!("{part} is a member of it ({found})"),
            (Kind::Member, State::Changed { expected, found }) => {
                format!("{part} is a member of it with \"{found}\" instead of \"{expected}\"")
            }
            (Kind::Holding, State::Foreign { found }) => format!("{part} is {found}"),
            (Kind::Outsider, _) => format!("{part} depends on it from outside"),
            (Kind::Inheritance, _) => format!("is {part}"),
            (Kind::Publication, _) => "hands its rows out by replication".to_owned(),
            (Kind::Subscription, _) => "takes rows in by replication".to_owned(),
            (_, State::Missing { .. }) => "is missing".to_owned(),
            (Kind::Object, State::Foreign { .. }) => "no migration made it".to_owned(),
            (_, State::Foreign { found }) => format!("no migration made it: {}", brief(found)),
            (Kind::Relation | Kind::Schema, State::Changed { expected, found }) => {
                format!("{part} is \"{found}\" instead of \"{expected}\"")
            }
            (_, State::Changed { expected, found }) => {
                format!("is \"{}\" instead of \"{}\"", brief(found), brief(expected))
            }
        }
    }

    /// What to do, as SQL wherever SQL mends it.
    pub(super) fn mend(&self) -> String {
        let Key { kind, object, part } = &self.key;
        let (expected, found) = (self.expected(), self.found());
        match kind {
            Kind::Schema => format!("alter schema {{t}} owner to {expected}"),
            Kind::Grant => self.mend_grant(),
            Kind::Relation => self.mend_relation(),
            Kind::Column => match self.state {
                State::Missing { .. } => format!("alter table {{t}}.{object} add column {part} {expected}"),
                State::Foreign { .. } => format!("alter table {{t}}.{object} drop column {part}"),
                State::Changed { .. } => {
                    format!("alter table {{t}}.{object} alter column {part}, so that it is: {expected}")
                }
            },
            Kind::Constraint => self.replaced(
                &format!("alter table {{t}}.{object} drop constraint {part}"),
                &format!("alter table {{t}}.{object} add constraint {part} {expected}"),
            ),
            Kind::Index => self.replaced(&format!("drop index {{t}}.{part}"), expected),
            Kind::Policy => self.replaced(
                &format!("drop policy {part} on {{t}}.{object}"),
                &format!("create policy {part} on {{t}}.{object} {expected}"),
            ),
            Kind::Trigger if found.starts_with("of a foreign key") => {
                format!("as a superuser: alter table {{t}}.{object} enable trigger {part}")
            }
            Kind::Trigger => self.replaced(&format!("drop trigger {part} on {{t}}.{object}"), expected),
            Kind::Rule => self.replaced(&format!("drop rule {part} on {{t}}.{object}"), expected),
            Kind::Function => self.replaced(
                &format!("drop function {{t}}.{object}"),
                "create it again as the migration that made it says",
            ),
            Kind::Object if part == "default acl" => {
                format!("alter default privileges {object}: revoke them")
            }
            Kind::Object => {
                self.replaced(&format!("drop {part} {object}"), "create it again as the migrations say")
            }
            Kind::Inheritance => format!("alter table {{t}}.{object} no inherit, or detach it: it is {part}"),
            Kind::Publication if object == "every table" => format!("drop publication {part}"),
            Kind::Publication => format!("alter publication {part} drop table {{t}}.{object}"),
            Kind::Subscription => "drop the subscription".to_owned(),
            Kind::Outsider => format!("drop {part}"),
            Kind::Role if found.is_empty() => {
                "run: neurosphere migrate; if it stays, make the role again".to_owned()
            }
            Kind::Role => format!("alter role {object} so that it is: {expected}"),
            Kind::Member => self.mend_member(),
            Kind::Setting if object.starts_with("database ") => format!("alter {object} reset {part}"),
            Kind::Setting if expected.is_empty() => {
                let within = if part.is_empty() { String::new() } else { format!(" in database {part}") };
                format!("alter role {object}{within} reset all")
            }
            Kind::Setting => format!("alter role {object} set … so that it is: {expected}"),
            Kind::Holding if found == "owned" => format!("reassign owned by {object}: {part}"),
            Kind::Holding => format!("revoke all on {part} from {object}"),
        }
    }

    /// Takes away what is there and makes what should be.
    fn replaced(&self, drop: &str, make: &str) -> String {
        match self.state {
            State::Missing { .. } => make.to_owned(),
            State::Foreign { .. } => drop.to_owned(),
            State::Changed { .. } => format!("{drop}; {make}"),
        }
    }

    /// The privilege and who has it.
    fn grant(&self) -> (&str, &str) {
        self.key.part.split_once(" to ").unwrap_or((&self.key.part, ""))
    }

    fn mend_grant(&self) -> String {
        let object = self.key.object.as_str();
        let (privilege, grantee) = self.grant();
        let target = match object.split_once('.') {
            _ if object.is_empty() => format!("{privilege} on schema {{t}}"),
            _ if object.starts_with("schema ") || object.starts_with("database ") => {
                format!("{privilege} on {object}")
            }
            _ if object.contains('(') => format!("{privilege} on function {{t}}.{object}"),
            Some((table, column)) => format!("{privilege} ({column}) on {{t}}.{table}"),
            None => format!("{privilege} on {{t}}.{object}"),
        };
        match &self.state {
            State::Missing { expected } => {
                format!("grant {target} to {grantee} {expected}").trim_end().to_owned()
            }
            State::Foreign { .. } => format!("revoke {target} from {grantee}"),
            State::Changed { .. } => format!("revoke grant option for {target} from {grantee}"),
        }
    }

    fn mend_relation(&self) -> String {
        let object = &self.key.object;
        match (self.key.part.as_str(), &self.state) {
            ("owner", _) => format!("alter table {{t}}.{object} owner to {}", self.expected()),
            ("row security", _) => {
                format!("alter table {{t}}.{object} enable row level security, force row level security")
            }
            (_, State::Foreign { found }) => {
                let kind = found.split(" with (").next().unwrap_or(found).trim_start_matches("unlogged ");
                format!("drop {kind} {{t}}.{object}")
            }
            (_, State::Missing { .. }) => {
                "restore it, or run again what made it and its guards (see the migrations and policies/)"
                    .to_owned()
            }
            (_, State::Changed { expected, .. }) => {
                format!("alter {{t}}.{object}, so that it is: {expected}")
            }
        }
    }

    fn mend_member(&self) -> String {
        let (role, member) = (&self.key.object, &self.key.part);
        let is = |option| self.expected().split(' ').any(|one| one == option);
        let options = format!("inherit {}, set {}, admin {}", is("inherit"), is("set"), is("admin"));
        self.replaced(
            &format!("revoke {role} from {member}"),
            &format!("grant {role} to {member} with {options}"),
        )
    }
}

/// One line of a definition, which may be a page.
fn brief(definition: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let line = definition.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
