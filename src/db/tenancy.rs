//! Roles, schemas and migrations: what only the owner of the database may do. Used by the command line, never by a
//! serving process. Must never know what the tables mean.

use refinery::{Migration, Runner};
use std::path::Path;

use super::tls;
use super::tx::schema_of;
use crate::config;
use crate::error::{Fault, OrFault as _};
use crate::ids::TenantId;

mod platform_files {
    refinery::embed_migrations!("migrations");
}

mod tenant_files {
    refinery::embed_migrations!("tenant_migrations");
}

/// Identifies our advisory locks among those of other programs.
const LOCK_SPACE: i32 = 0x4e53;

/// A connection of the database's owner.
pub struct Owner {
    client: tokio_postgres::Client,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Owner")
    }
}

impl Owner {
    /// Connects with `DATABASE_URL`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the connection's task ends with the connection of this one command"
    )]
    pub async fn connect(database: &config::Database) -> Result<Self, Fault> {
        let url = database.owner_url.as_ref().ok_or_else(|| Fault::new("DATABASE_URL is not set"))?;
        let connector = tls::connector(database.ca_file.as_deref().map(Path::new))?;
        let (client, connection) =
            tokio_postgres::connect(url.reveal(), connector).await.or_fault("connect with DATABASE_URL")?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "the owner's connection to Postgres broke");
            }
        });
        Ok(Self { client })
    }

    /// Roles, control plane and its row policies; gives the names of the migrations that were pending.
    pub async fn migrate_platform(
        &mut self,
        app_password: &crate::secret::Secret,
    ) -> Result<Vec<String>, Fault> {
        self.lock("platform").await?;
        let roles = include_str!("../../policies/roles.sql");
        let roles = roles.replace("{app_password}", &app_password.reveal().replace('\'', "''"));
        self.client.batch_execute(&roles).await.or_fault("set up roles (policies/roles.sql)")?;
        let mut runner = platform_files::migrations::runner();
        runner.set_migration_table_name("platform.schema_history");
        let report = runner.run_async(&mut self.client).await.or_fault("migrate the control plane")?;
        let policies = include_str!("../../policies/platform_rls.sql");
        self.client.batch_execute(policies).await.or_fault("set row policies (policies/platform_rls.sql)")?;
        self.unlock("platform").await?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }

    /// Creates or brings up to date one tenant's role, schema, tables and policies; gives the schema version.
    pub async fn migrate_tenant(&mut self, tenant: TenantId) -> Result<u32, Fault> {
        let schema = schema_of(tenant);
        self.lock(&schema).await?;
        let role = include_str!("../../policies/tenant_role.sql").replace("{t}", &schema);
        self.client
            .batch_execute(&role)
            .await
            .or_fault("set up a tenant's role (policies/tenant_role.sql)")?;
        let migrations = Self::tenant_migrations(tenant)?;
        let mut runner = Runner::new(&migrations);
        runner.set_migration_table_name(format!("{schema}.schema_history"));
        runner.run_async(&mut self.client).await.or_fault("migrate a tenant")?;
        self.protect_tables(&schema).await?;
        self.unlock(&schema).await?;
        Ok(Self::tenant_version())
    }

    /// The version that a tenant's schema has after `migrate_tenant`.
    pub fn tenant_version() -> u32 {
        let last = tenant_files::migrations::runner().get_migrations().iter().map(Migration::version).max();
        last.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
    }

    /// Drops the control plane and every tenant's schema and role in this database. For the demo's own database only.
    pub async fn empty_database(&mut self) -> Result<(), Fault> {
        let text = "do $$ declare tenant text; begin
            for tenant in select nspname from pg_namespace where nspname ~ '^tenant_[0-9a-f]{32}$' loop
                execute format('drop schema %I cascade', tenant);
                execute format('drop role if exists %I', tenant);
            end loop;
            drop schema if exists platform cascade;
        end $$";
        self.client.batch_execute(text).await.or_fault("empty the database")
    }

    /// What `doctor` looks at: server version, pgvector's version, and every fault of roles and grants that it finds.
    pub async fn examine(&self) -> Result<Examination, Fault> {
        let row =
            self.client.query_one(include_str!("examine.sql"), &[]).await.or_fault("examine the database")?;
        let pending = if row.get(2) {
            let applied = "select count(*) from platform.schema_history";
            let applied: i64 = self.client.query_one(applied, &[]).await.or_fault("count migrations")?.get(0);
            let files = platform_files::migrations::runner().get_migrations().len();
            Some(files.saturating_sub(usize::try_from(applied).unwrap_or(0)))
        } else {
            None
        };
        Ok(Examination {
            server_version: row.get(0),
            vector_version: row.get(1),
            pending,
            faults: row.get(3),
        })
    }

    fn tenant_migrations(tenant: TenantId) -> Result<Vec<Migration>, Fault> {
        let schema = schema_of(tenant);
        let id = tenant.uuid().to_string();
        let files = tenant_files::migrations::runner();
        let filled = files.get_migrations().iter().map(|file| {
            let name = format!("V{}__{}", file.version(), file.name());
            let text = file.sql().unwrap_or_default().replace("{tenant}", &id).replace("{t}", &schema);
            Migration::unapplied(&name, &text)
        });
        filled.collect::<Result<_, _>>().or_fault("read tenant_migrations")
    }

    /// The history table is the runner's own: no role is granted it.
    async fn protect_tables(&self, schema: &str) -> Result<(), Fault> {
        let tables = self
            .client
            .query(
                "select tablename::text from pg_tables where schemaname = $1 and tablename <> 'schema_history'",
                &[&schema],
            )
            .await
            .or_fault("list a tenant's tables")?;
        let policy = include_str!("../../policies/tenant_rls.sql").replace("{t}", schema);
        let all: String = tables.iter().map(|row| policy.replace("{table}", row.get(0))).collect();
        self.client.batch_execute(&all).await.or_fault("set row policies (policies/tenant_rls.sql)")
    }

    async fn lock(&self, name: &str) -> Result<(), Fault> {
        let sql = "select pg_advisory_lock($1, hashtext($2))";
        self.client.execute(sql, &[&LOCK_SPACE, &name]).await.or_fault("wait for the migration lock")?;
        Ok(())
    }

    async fn unlock(&self, name: &str) -> Result<(), Fault> {
        let sql = "select pg_advisory_unlock($1, hashtext($2))";
        self.client.execute(sql, &[&LOCK_SPACE, &name]).await.or_fault("release the migration lock")?;
        Ok(())
    }
}

/// What `doctor` learns from the owner's connection.
#[derive(Debug, Clone)]
pub struct Examination {
    /// `server_version_num`, e.g. 180004.
    pub server_version: i32,
    /// Version of pgvector, if it is installed or can be.
    pub vector_version: Option<String>,
    /// Migrations of the control plane that were not applied yet; `None` if it was never migrated.
    pub pending: Option<usize>,
    /// Roles, memberships and grants that are not as they should be.
    pub faults: Vec<String>,
}
