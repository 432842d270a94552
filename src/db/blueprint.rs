//! What a tenant's schema is made of: its migrations, role and guards, as scripts that are ready to be run. Knows no
//! connection; must never know what the tables mean.

use sha2::{Digest as _, Sha256};

use super::tx::schema_of;
use crate::error::{Fault, OrFault as _};
use crate::ids::TenantId;
use crate::secret::hex;

mod files {
    refinery::embed_migrations!("tenant_migrations");
}

const ROLE: &str = include_str!("../../policies/tenant_role.sql");
const SCHEMA: &str = include_str!("../../policies/tenant_schema.sql");
const GUARD: &str = include_str!("../../policies/tenant_rls.sql");

/// The migrations of tenants' schemas, in order.
#[derive(Debug, Clone)]
pub struct Blueprint {
    steps: Vec<Step>,
}

/// One migration.
#[derive(Debug, Clone)]
struct Step {
    version: u16,
    text: String,
    /// Of this migration and all before it.
    checksum: String,
}

impl Blueprint {
    /// The migrations of this program.
    pub fn of_this_program() -> Result<Self, Fault> {
        let runner = files::migrations::runner();
        let texts = runner.get_migrations().iter().map(|file| {
            let version = u16::try_from(file.version()).or_fault("number a tenant migration")?;
            Ok((version, file.sql().unwrap_or_default().to_owned()))
        });
        Ok(Self::new(texts.collect::<Result<Vec<_>, Fault>>()?))
    }

    /// These migrations: version and text.
    pub fn new(mut texts: Vec<(u16, String)>) -> Self {
        texts.sort_by_key(|(version, _)| *version);
        let mut digest = Sha256::new();
        let steps = texts.into_iter().map(|(version, text)| {
            digest.update(version.to_be_bytes());
            digest.update(text.as_bytes());
            Step { version, text, checksum: hex(&digest.clone().finalize()) }
        });
        Self { steps: steps.collect() }
    }

    /// The same with one more migration at its end.
    #[must_use]
    pub fn with(&self, version: u16, text: &str) -> Self {
        let texts = self.steps.iter().map(|step| (step.version, step.text.clone()));
        Self::new(texts.chain([(version, text.to_owned())]).collect())
    }

    /// Only the migrations up to this version.
    #[must_use]
    pub fn up_to(&self, version: u16) -> Self {
        Self { steps: self.steps.iter().filter(|step| step.version <= version).cloned().collect() }
    }

    /// The version that a schema has with all of them; 0 with none.
    pub fn version(&self) -> u16 {
        self.steps.last().map_or(0, |step| step.version)
    }

    /// The digest of everything up to a version, which tells whether a migration was changed after it was applied.
    pub fn checksum(&self, version: u16) -> Option<&str> {
        self.steps.iter().find(|step| step.version == version).map(|step| step.checksum.as_str())
    }

    /// Makes a tenant's role and lets a login role become it.
    pub(super) fn role(tenant: TenantId, login: &str) -> String {
        ROLE.replace("{t}", &schema_of(tenant)).replace("{login}", login)
    }

    /// Makes role, schema, tables and guards.
    pub(super) fn creation(&self, tenant: TenantId, login: &str) -> String {
        let schema = SCHEMA.replace("{t}", &schema_of(tenant));
        [Self::role(tenant, login), schema, self.migration(tenant, 0)].concat()
    }

    /// Brings a schema from a version to the newest; every new table gets its guard.
    pub fn migration(&self, tenant: TenantId, from: u16) -> String {
        let mut script = String::new();
        for step in self.steps.iter().filter(|step| from < step.version) {
            script.push_str(&step.text);
            for table in tables_made(&step.text) {
                script.push_str(&GUARD.replace("{table}", table));
            }
        }
        script.replace("{tenant}", &tenant.uuid().to_string()).replace("{t}", &schema_of(tenant))
    }
}

/// The tables that a migration makes.
fn tables_made(text: &str) -> impl Iterator<Item = &str> {
    const HEAD: &str = "create table {t}.";
    let heads = text.lines().filter_map(|line| line.trim_start().strip_prefix(HEAD));
    heads.filter_map(|rest| rest.split([' ', '(']).next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn two_steps() -> Blueprint {
        let first = "create table {t}.callers (\n    id uuid default '{tenant}'\n);\n".to_owned();
        Blueprint::new(vec![(2, "alter table {t}.callers add column name text;\n".to_owned()), (1, first)])
    }

    #[test]
    fn a_schema_is_brought_from_where_it_is_to_the_newest_version() {
        let tenant = TenantId::from(Uuid::from_u128(7));
        let blueprint = two_steps();
        assert_eq!(blueprint.version(), 2);
        let whole = blueprint.migration(tenant, 0);
        let (made, guarded) =
            (whole.find("create table").unwrap(), whole.find("force row level security").unwrap());
        let added = whole.find("add column name").unwrap();
        assert!(made < guarded && guarded < added, "{whole}");
        assert!(!whole.contains('{'), "everything is filled in: {whole}");
        assert!(whole.contains("'00000000-0000-0000-0000-000000000007'"));
        let rest = blueprint.migration(tenant, 1);
        assert!(!rest.contains("create table") && rest.contains("add column name"), "{rest}");
        assert_eq!(blueprint.migration(tenant, 2), "");
    }

    #[test]
    fn a_checksum_covers_everything_up_to_its_version() {
        let blueprint = two_steps();
        let changed = Blueprint::new(vec![(1, "create table {t}.callers ()".to_owned())]).with(2, "x");
        assert_ne!(blueprint.checksum(1), changed.checksum(1));
        assert_ne!(blueprint.checksum(2), blueprint.checksum(1));
        assert_eq!(blueprint.up_to(1).checksum(1), blueprint.checksum(1));
        assert_eq!(blueprint.checksum(3), None);
    }

    #[test]
    fn the_programs_own_migrations_guard_every_table_that_they_make() {
        let blueprint = Blueprint::of_this_program().unwrap();
        let script = blueprint.migration(TenantId::from(Uuid::nil()), 0);
        let count = |word: &str| script.matches(word).count();
        assert!(8 <= count("create table "));
        assert_eq!(count("create table "), count("force row level security"));
    }
}
