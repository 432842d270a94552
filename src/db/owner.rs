//! What only the owner of a database may do: roles, the control plane's tables, tenants' schemas. Used by the command
//! line and by workers that were given the owner's URL; an API or voice process never has one. Must never know what the
//! tables mean.

use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::blueprint::Blueprint;
use super::failure::OrFailed as _;
use super::tls;
use super::tx::schema_of;
use crate::config::{self, Database, login_role};
use crate::error::{Fault, OrFault as _};
use crate::ids::{ClusterName, TenantId};
use crate::secret::hex;

mod platform_files {
    refinery::embed_migrations!("migrations");
}

/// Identifies our advisory locks among those of other programs.
pub(super) const LOCK_SPACE: i32 = 0x4e53;
/// Tenants of one login role at most: every membership that is granted makes the role's next SET ROLE on every connection
/// read all of them again, which costs 1 ms at three hundred and 17 to 35 ms at five thousand.
const LOGIN_TENANTS_MAX: i64 = 1_000;

/// A connection of a database's owner.
pub struct Owner {
    pub(super) client: Client,
    settings: config::Cluster,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("cluster", &self.settings.name).finish_non_exhaustive()
    }
}

/// What a process may do that was given the owners' URLs: make and remove tenants' schemas in every cluster. Cheap to
/// clone.
#[derive(Clone)]
pub struct Owners {
    database: Arc<Database>,
    blueprint: Arc<Blueprint>,
}

impl Owners {
    /// The owners of these clusters; none where the control plane's is not given.
    pub fn of(database: &Database) -> Result<Option<Self>, Fault> {
        if database.main.owner_url.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            database: Arc::new(database.clone()),
            blueprint: Arc::new(Blueprint::of_this_program()?),
        }))
    }

    /// The clusters, the control plane's first.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        self.database.clusters().map(|cluster| &cluster.name)
    }

    /// What tenants' schemas are made of.
    pub(super) fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// Connects as the owner of a cluster.
    pub async fn connect(&self, cluster: &ClusterName) -> Result<Owner, Fault> {
        let found = self.database.clusters().find(|known| known.name == *cluster);
        let settings = found.ok_or_else(|| Fault::new(format!("cluster {cluster} is not configured")))?;
        Owner::connect(&self.database, settings).await
    }

    /// Makes a tenant's schema in a cluster, see [`Owner::build`], and in the control plane's its role.
    pub async fn build(&self, cluster: &ClusterName, tenant: TenantId, claimed: bool) -> Result<(), Fault> {
        let login = self.connect(cluster).await?.build(&self.blueprint, tenant, claimed).await?;
        if cluster.is_main() {
            return Ok(());
        }
        self.connect(&ClusterName::main()).await?.make_role(tenant, login).await
    }

    /// Removes a tenant's schema and role. May be repeated.
    pub async fn drop_tenant(&self, cluster: &ClusterName, tenant: TenantId) -> Result<(), Fault> {
        self.connect(cluster).await?.drop_tenant(tenant).await?;
        if cluster.is_main() {
            return Ok(());
        }
        self.connect(&ClusterName::main()).await?.drop_tenant(tenant).await
    }
}

impl Owner {
    /// Connects with the cluster's `DATABASE_URL`.
    #[expect(clippy::disallowed_methods, reason = "the connection's task ends with the connection")]
    pub async fn connect(database: &Database, cluster: &config::Cluster) -> Result<Self, Fault> {
        let url = cluster.owner_url.as_ref().ok_or_else(|| {
            Fault::new(format!(
                "connect as the owner of cluster {}: its DATABASE_URL is not set",
                cluster.name
            ))
        })?;
        let connector = tls::connector(database.ca_file.as_deref())?;
        let connected = tokio_postgres::connect(url.reveal(), connector).await;
        let (client, connection) = connected.or_failed("connect with DATABASE_URL")?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "the owner's connection to Postgres broke");
            }
        });
        // A notice for each policy that is replaced would fill the log.
        client
            .batch_execute("set client_min_messages = warning")
            .await
            .or_failed("connect with DATABASE_URL")?;
        Ok(Self { client, settings: cluster.clone() })
    }

    /// The cluster.
    pub fn cluster(&self) -> &ClusterName {
        &self.settings.name
    }

    /// Roles, control plane and its row policies; gives the names of the migrations that were pending. Files that have
    /// not changed since they were last run are left alone.
    pub async fn migrate_platform(&mut self) -> Result<Vec<String>, Fault> {
        self.lock("platform").await?;
        let before = self.applied_files().await?;
        let roles = Script::new("policies/roles.sql", include_str!("../../policies/roles.sql").to_owned());
        roles.run_on(&self.client, &before).await?;
        let mut runner = platform_files::migrations::runner();
        runner.set_migration_table_name("platform.schema_history");
        self.client.batch_execute(LIMITED).await.or_failed("limit the control plane's migrations")?;
        let report = runner.run_async(&mut self.client).await.or_fault("migrate the control plane")?;
        self.client.batch_execute(UNLIMITED).await.or_failed("end the control plane's migrations")?;
        let policies = Script::new(
            "policies/platform_rls.sql",
            include_str!("../../policies/platform_rls.sql").to_owned(),
        );
        policies.run_on(&self.client, &before).await?;
        let login = self.login_script(0);
        login.run_on(&self.client, &before).await?;
        for script in [&roles, &policies, &login] {
            self.note(script).await?;
        }
        self.unlock("platform").await?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }

    /// Makes a tenant's role, schema, tables and guards, and notes it in the ledger: all of it or nothing. Unclaimed, it
    /// waits in the warm pool. A schema that is there already, or that somebody else is just making, is left alone. Gives
    /// the login role's number.
    pub async fn build(&self, blueprint: &Blueprint, tenant: TenantId, claimed: bool) -> Result<u16, Fault> {
        let login = self.login_with_room().await?;
        let begin = format!(
            "begin; select pg_advisory_xact_lock({LOCK_SPACE}, hashtext('{}')); set local role neurosphere_platform",
            schema_of(tenant)
        );
        self.whole(&begin).await.or_failed("make a tenant's schema")?;
        let there = self.client.query_typed(IS_BUILT, &[(&tenant.uuid(), Type::UUID)]).await;
        if let Some(row) = there.or_failed("make a tenant's schema")?.first() {
            self.client.batch_execute("rollback").await.or_failed("leave a tenant's schema alone")?;
            return u16::try_from(row.get::<_, i32>(0)).or_fault("read the ledger");
        }
        let (version, id) = (blueprint.version(), tenant.uuid());
        let checksum = blueprint.checksum(version).unwrap_or_default();
        let script = format!(
            "set local role none; {}; set local role neurosphere_platform;
             insert into platform.schema_ledger (tenant_id, version, checksum, claimed, login, ms)
             values ('{id}', {version}, '{checksum}', {claimed}, {login},
                     extract(epoch from clock_timestamp() - transaction_timestamp()) * 1000);
             commit",
            blueprint.creation(tenant, &login_role(login))
        );
        self.whole(&script).await.or_failed("make a tenant's schema")?;
        Ok(login)
    }

    /// Makes the role of a tenant whose schema is in another cluster, so that it can reach its rows of the registry.
    pub async fn make_role(&self, tenant: TenantId, login: u16) -> Result<(), Fault> {
        self.make_login(login).await?;
        let script = format!("begin; {}; commit", Blueprint::role(tenant, &login_role(login)));
        self.whole(&script).await.or_failed("make a tenant's role")
    }

    /// Removes a tenant's schema with everything in it, its role, and its row of the ledger. May be repeated.
    pub async fn drop_tenant(&self, tenant: TenantId) -> Result<(), Fault> {
        let (schema, id) = (schema_of(tenant), tenant.uuid());
        let script = format!(
            "begin; drop schema if exists {schema} cascade; drop role if exists {schema};
             set local role neurosphere_platform; delete from platform.schema_ledger where tenant_id = '{id}'; commit"
        );
        self.whole(&script).await.or_failed("drop a tenant's schema")
    }

    /// Drops the control plane and every tenant's schema and role in this database. For the demo's own database only.
    pub async fn empty_database(&self) -> Result<(), Fault> {
        let schemas = "select nspname::text from pg_namespace where nspname ~ '^tenant_[0-9a-f]{32}$'";
        // Each in a transaction of its own: the locks of hundreds have no room in one.
        for row in self.client.query(schemas, &[]).await.or_failed("empty the database")? {
            let schema: String = row.get(0);
            let drop = format!("drop schema {schema} cascade; drop role if exists {schema}");
            self.client.batch_execute(&drop).await.or_failed("empty the database")?;
        }
        self.client
            .batch_execute("drop schema if exists platform cascade")
            .await
            .or_failed("empty the database")
    }

    /// The server's version and pgvector's.
    pub async fn versions(&self) -> Result<Versions, Fault> {
        let row = self.client.query_one(VERSIONS, &[]).await.or_failed("ask for versions")?;
        Ok(Versions { server: row.get(0), vector: row.get(1) })
    }

    /// How many migrations of the control plane were not applied yet; none if it was never migrated.
    pub async fn pending_platform_migrations(&self) -> Result<Option<usize>, Fault> {
        let there = "select to_regclass('platform.schema_history') is not null";
        if !self.client.query_one(there, &[]).await.or_failed("look for the control plane")?.get::<_, bool>(0)
        {
            return Ok(None);
        }
        let applied = "select count(*) from platform.schema_history";
        let applied: i64 = self.client.query_one(applied, &[]).await.or_failed("count migrations")?.get(0);
        let files = platform_files::migrations::runner().get_migrations().len();
        Ok(Some(files.saturating_sub(usize::try_from(applied).unwrap_or(0))))
    }

    /// The first login role that has room for another tenant; made if there is none.
    async fn login_with_room(&self) -> Result<u16, Fault> {
        let rows = self.as_platform(LOGIN_WITH_ROOM, &[&LOGIN_TENANTS_MAX]).await?;
        let login =
            rows.first().ok_or_else(|| Fault::new("choose a login role: every one of the 64 is full"))?;
        let login = u16::try_from(login.get::<_, i32>(0)).or_fault("choose a login role")?;
        self.make_login(login).await?;
        Ok(login)
    }

    /// Makes a login role unless it was made before with this password.
    async fn make_login(&self, login: u16) -> Result<(), Fault> {
        let script = self.login_script(login);
        script.run_on(&self.client, &self.applied_files().await?).await?;
        self.note(&script).await
    }

    fn login_script(&self, login: u16) -> Script {
        let password = self.settings.login_password(login).reveal().replace('\'', "''");
        let text = include_str!("../../policies/login_role.sql");
        let text = text.replace("{login}", &login_role(login)).replace("{password}", &password);
        Script::new(&format!("policies/login_role.sql for {}", login_role(login)), text)
    }

    /// The digest of every file that was run, by name; none before the first migration.
    async fn applied_files(&self) -> Result<HashMap<String, String>, Fault> {
        let there = "select to_regclass('platform.applied_files') is not null";
        if !self.client.query_one(there, &[]).await.or_failed("look for the control plane")?.get::<_, bool>(0)
        {
            return Ok(HashMap::new());
        }
        let rows = self.as_platform("select name, sha256 from platform.applied_files", &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn note(&self, script: &Script) -> Result<(), Fault> {
        self.as_platform(NOTE_FILE, &[&script.name, &script.sha256]).await.map(drop)
    }

    /// Runs one statement on the control plane's tables, which their owner cannot read as such.
    pub(super) async fn as_platform(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let begin = "begin; set local role neurosphere_platform";
        self.client.batch_execute(begin).await.or_failed("begin as the platform")?;
        let rows = self.client.query(sql, params).await;
        let end = if rows.is_ok() { "commit" } else { "rollback" };
        self.client.batch_execute(end).await.or_failed("commit as the platform")?;
        rows.or_failed("read or write the control plane")
    }

    /// Runs a script that is a transaction of its own; where it fails, nothing of it stays.
    pub(super) async fn whole(&self, script: &str) -> Result<(), tokio_postgres::Error> {
        let done = self.client.batch_execute(script).await;
        if done.is_err() {
            self.client.batch_execute("rollback").await?;
        }
        done
    }

    /// Waits until no other owner's connection holds the lock of this name. It is given back when the connection ends, if
    /// not before.
    pub async fn lock(&self, name: &str) -> Result<(), Fault> {
        let sql = "select pg_advisory_lock($1, hashtext($2))";
        self.client.execute(sql, &[&LOCK_SPACE, &name]).await.or_failed("wait for another owner")?;
        Ok(())
    }

    async fn unlock(&self, name: &str) -> Result<(), Fault> {
        let sql = "select pg_advisory_unlock($1, hashtext($2))";
        self.client.execute(sql, &[&LOCK_SPACE, &name]).await.or_failed("let another owner go on")?;
        Ok(())
    }
}

/// What makes the control plane: its migrations in order, then its row policies.
pub(super) fn platform_scripts() -> Vec<String> {
    let runner = platform_files::migrations::runner();
    let mut files: Vec<_> = runner.get_migrations().iter().collect();
    files.sort_by_key(|file| file.version());
    let texts = files.iter().map(|file| file.sql().unwrap_or_default().to_owned());
    texts.chain([include_str!("../../policies/platform_rls.sql").to_owned()]).collect()
}

/// Everybody's requests queue behind a migration of the control plane that waits for a lock.
const LIMITED: &str = "set lock_timeout = '5s'; set statement_timeout = '60s'";
const UNLIMITED: &str = "reset lock_timeout; reset statement_timeout";
const VERSIONS: &str = "
    select current_setting('server_version_num')::int,
           coalesce((select extversion::text from pg_extension where extname = 'vector'),
                    (select default_version::text from pg_available_extensions where name = 'vector'))";
const IS_BUILT: &str = "select login from platform.schema_ledger where tenant_id = $1";
const LOGIN_WITH_ROOM: &str = "
    select n.login from generate_series(0, 63) as n(login)
      left join (select login, count(*) from platform.schema_ledger group by login) l on l.login = n.login
     where coalesce(l.count, 0) < $1 order by n.login limit 1";
const NOTE_FILE: &str = "
    insert into platform.applied_files (name, sha256) values ($1, $2)
    on conflict (name) do update set sha256 = excluded.sha256, applied_at = now()
     where applied_files.sha256 <> excluded.sha256";

/// A file of `policies/`, filled in.
struct Script {
    name: String,
    text: String,
    sha256: String,
}

impl Script {
    fn new(name: &str, text: String) -> Self {
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        Self { name: name.to_owned(), text, sha256 }
    }

    /// Runs it unless this very text was the last that was run under its name.
    async fn run_on(&self, client: &Client, applied: &HashMap<String, String>) -> Result<(), Fault> {
        if applied.get(&self.name) == Some(&self.sha256) {
            return Ok(());
        }
        client.batch_execute(&self.text).await.or_failed(&format!("apply {}", self.name))
    }
}

/// Versions of what is not ours.
#[derive(Debug, Clone)]
pub struct Versions {
    /// `server_version_num`, e.g. 180004.
    pub server: i32,
    /// Of pgvector, if it is installed or can be.
    pub vector: Option<String>,
}
