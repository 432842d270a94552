//! The world of a test: a database of its own, made from a migrated template, the application joined as in production,
//! tenants, and direct connections for proving what the application cannot be asked. What an earlier, dead run left
//! behind is removed first.

use crate::wire::Wire;
use chrono_tz::Tz;
use neurosphere::access::{Actor, PlatformScope, Role, TenantScope};
use neurosphere::app::App;
use neurosphere::clock::Clock;
use neurosphere::config::Config;
use neurosphere::db::blueprint::Blueprint;
use neurosphere::db::owner::Owners;
use neurosphere::db::tx::PlatformTx;
use neurosphere::error::Error;
use neurosphere::ids::{ClusterName, PhoneNumber, TenantId};
use neurosphere::secret::Secret;
use neurosphere::templates;
use neurosphere::tenancy::Tenancy;
use neurosphere::tenants::birth::{self, Account, Created, NewTenant};
use neurosphere::tenants::{mirror, reach};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NUMBERS: AtomicU32 = AtomicU32::new(0);
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// The account that the platform itself has at the carrier.
pub(crate) const ACCOUNT_SID: &str = "AC0000000000000000000000000000feed";
/// Its token.
pub(crate) const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An application on a migrated database.
pub(crate) struct World {
    pub(crate) app: App,
}

/// A tenant of this test alone.
pub(crate) struct TestTenant {
    pub(crate) id: TenantId,
    pub(crate) tenancy: Tenancy,
    pub(crate) slug: String,
    pub(crate) number: PhoneNumber,
    pub(crate) api_key: Secret,
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their Postgres as the program does, in the environment"
)]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration of a test: Postgres and key from the environment, everything else given here.
pub(crate) fn config(overrides: &[(&str, String)]) -> Config {
    let mut values: HashMap<String, String> = [
        ("ENVIRONMENT", "development"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("PUBLIC_URL", "http://127.0.0.1:1"),
        ("DATABASE_POOL_MAX", "8"),
        ("TENANTS_PREPARED", "0"),
        ("TWILIO_ACCOUNT_SID", ACCOUNT_SID),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
        ("TWILIO_API_URL", "http://127.0.0.1:1"),
        ("OPENAI_API_KEY", "sk-test"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for (name, value) in overrides {
        values.insert((*name).to_owned(), value.clone());
    }
    values.insert(
        "MASTER_KEY".to_owned(),
        environment("MASTER_KEY").expect("MASTER_KEY is not set: run scripts/test"),
    );
    Config::read(|name| values.get(name).cloned()).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(overrides: &[(&str, String)]) -> Self {
        let template = TEMPLATE.get_or_init(migrated_template).await;
        let count = WORLDS.fetch_add(1, Ordering::Relaxed);
        let database = format!("neurosphere_world_{}_{count}", std::process::id());
        let server = connect(&url_of_environment()).await;
        server.batch_execute(&format!("create database {database} template {template}")).await.unwrap();
        // A template hands down everything but the database's own grants, which policies/roles.sql takes away.
        server.batch_execute(&format!("revoke temporary on database {database} from public")).await.unwrap();
        let mut overrides = overrides.to_vec();
        overrides.push(("DATABASE_URL", named(&url_of_environment(), &database)));
        Self { app: App::new(config(&overrides), Clock::system()).unwrap() }
    }

    pub(crate) fn owners(&self) -> &Owners {
        self.app.owners.as_ref().unwrap()
    }

    /// The same database by another way.
    pub(crate) fn through(&self, overrides: &[(&str, String)]) -> Self {
        let mut overrides = overrides.to_vec();
        let owner = self.app.config.database.main.owner_url.as_ref().unwrap().reveal();
        overrides.push(("DATABASE_URL", owner.to_owned()));
        Self { app: App::new(config(&overrides), Clock::system()).unwrap() }
    }

    /// An application whose second cluster, `west`, is another Postgres server, and the wire to it.
    pub(crate) async fn of_two_clusters() -> (Self, Wire) {
        let server = url_of_second_server();
        let count = WORLDS.fetch_add(1, Ordering::Relaxed);
        let database = format!("neurosphere_world_{}_{count}", std::process::id());
        let direct = connect(&server).await;
        direct.batch_execute("select pg_advisory_lock(20785, 2)").await.unwrap();
        remove_leftovers(&direct).await;
        direct.batch_execute(&format!("create database {database}")).await.unwrap();
        let wire = Wire::to(&named(&server, &database)).await;
        let west = [
            ("DATABASE_CLUSTERS", "west".to_owned()),
            ("DATABASE_URL_WEST", wire.url.reveal().to_owned()),
            ("DATABASE_POOL_MAX", "16".to_owned()),
        ];
        let world = Self::with(&west).await;
        let name = "west".parse().unwrap();
        world.owners().connect(&name).await.unwrap().migrate_platform().await.unwrap();
        direct.batch_execute("select pg_advisory_unlock(20785, 2)").await.unwrap();
        let west = world.app.db.cluster_named("west").unwrap();
        mirror::reference(&world.app.db, west).await.unwrap();
        (world, wire)
    }

    /// Does something to the control plane as whoever is at the command line.
    pub(crate) async fn operate<T>(
        &self,
        deed: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut tx = self.app.db.operate(&operator()).await.unwrap();
        let done = deed(&mut tx).await?;
        tx.commit().await.unwrap();
        Ok(done)
    }

    /// A fresh business whose number is in a carrier account of its own, with that account's token.
    pub(crate) async fn tenant_with_account(&self) -> (TestTenant, Account) {
        let sid = format!("AC{}", uuid::Uuid::new_v4().simple());
        let account = Account { sid, auth_token: Secret::new(uuid::Uuid::new_v4().to_string()) };
        let new = NewTenant {
            number: Some(fresh_number()),
            account: Some(account.clone()),
            ..self.new_tenant().await
        };
        (self.made(new).await, account)
    }

    /// A fresh business whose data is in that cluster.
    pub(crate) async fn tenant_in(&self, cluster: &str) -> TestTenant {
        let new = NewTenant {
            cluster: cluster.parse().unwrap(),
            number: Some(fresh_number()),
            ..self.new_tenant().await
        };
        self.made(new).await
    }

    /// A fresh insurance business.
    pub(crate) async fn tenant(&self) -> TestTenant {
        self.tenant_named("Peterson Family Insurance", "Barbara").await
    }

    pub(crate) async fn tenant_named(&self, name: &str, agent: &str) -> TestTenant {
        let new = NewTenant {
            name: name.to_owned(),
            agent_name: agent.to_owned(),
            number: Some(fresh_number()),
            ..self.new_tenant().await
        };
        self.made(new).await
    }

    async fn made(&self, new: NewTenant) -> TestTenant {
        let (slug, number) = (new.slug.to_string(), new.number.clone().unwrap());
        let created = self.create(new).await;
        // What follows a birth is over, so that a test finds its own jobs alone.
        self.app.runner().run_due().await.unwrap();
        let tenancy = reach::tenancy(&self.app.db, created.tenant.id).await.unwrap().unwrap();
        TestTenant { id: created.tenant.id, tenancy, slug, number, api_key: created.api_key.unwrap() }
    }

    /// A tenant whose schema is as the version before this program's left it: the last migration is taken back.
    pub(crate) async fn tenant_behind(&self) -> TestTenant {
        let tenant = self.tenant_named("Behind the times", "Alex").await;
        let blueprint = Blueprint::of_this_program().unwrap();
        let before = blueprint.version() - 1;
        let back = format!(
            "begin; alter table {schema}.agent_settings drop column busy_message;
             set local role neurosphere_platform;
             update platform.schema_ledger set version = {before}, checksum = '{checksum}' where tenant_id = '{id}';
             update platform.tenants set schema_version = {before} where id = '{id}'; commit",
            schema = tenant.schema(),
            checksum = blueprint.checksum(before).unwrap(),
            id = tenant.id.uuid()
        );
        self.as_owner().await.batch_execute(&back).await.unwrap();
        let tenancy = reach::tenancy(&self.app.db, tenant.id).await.unwrap().unwrap();
        assert_eq!(tenancy.placement.schema_version, before);
        TestTenant { tenancy, ..tenant }
    }

    /// What a tenant of this test is asked to be, under a name that nobody has.
    pub(crate) async fn new_tenant(&self) -> NewTenant {
        NewTenant {
            slug: format!("t-{}", uuid::Uuid::new_v4().simple()).parse().unwrap(),
            name: "A business".to_owned(),
            agent_name: "Alex".to_owned(),
            time_zone: Tz::America__Los_Angeles,
            template_version: templates::catalog::latest(&self.app.db, "insurance").await.unwrap(),
            plan: "standard".to_owned(),
            cluster: ClusterName::main(),
            number: None,
            account: None,
        }
    }

    pub(crate) async fn create(&self, new: NewTenant) -> Created {
        birth::create(&self.app.db, Some(self.owners()), &operator(), new, None).await.unwrap()
    }

    /// A direct connection as the owner of the database.
    pub(crate) async fn as_owner(&self) -> tokio_postgres::Client {
        connect(self.app.config.database.main.owner_url.as_ref().unwrap().reveal()).await
    }

    /// A direct connection to what all worlds of a server share: its roles.
    pub(crate) async fn of_all_worlds() -> tokio_postgres::Client {
        connect(&url_of_environment()).await
    }

    /// A direct connection as the login role, as a leak in the application would have it.
    pub(crate) async fn as_login(&self) -> tokio_postgres::Client {
        connect(self.app.config.database.main.app_url.reveal()).await
    }
}

impl TestTenant {
    pub(crate) fn scope(&self, role: Role) -> TenantScope {
        TenantScope::mint(self.tenancy, Actor::CommandLine, role)
    }

    /// Schema and role.
    pub(crate) fn schema(&self) -> String {
        format!("tenant_{}", self.id.uuid().simple())
    }
}

/// Whoever is at the command line.
pub(crate) fn operator() -> PlatformScope {
    PlatformScope::mint(Actor::CommandLine, Role::Operator)
}

/// A number that no other test has, in this run or another.
pub(crate) fn fresh_number() -> PhoneNumber {
    let count = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let random = uuid::Uuid::new_v4().as_u128() % 100_000_000_000;
    format!("+1{random:011}{:02}", count % 100).parse().unwrap()
}

fn url_of_environment() -> String {
    environment("DATABASE_URL").expect("DATABASE_URL is not set: run scripts/test")
}

/// Another server than that of the environment; where none is given, another database of the same server.
fn url_of_second_server() -> String {
    environment("SECOND_DATABASE_URL").unwrap_or_else(url_of_environment)
}

fn named(url: &str, database: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_path(database);
    url.into()
}

/// The name of a database that is migrated and never connected to again, one per content of the migrations.
async fn migrated_template() -> String {
    let server = connect(&url_of_environment()).await;
    server.batch_execute("select pg_advisory_lock(20785, 1)").await.unwrap();
    remove_leftovers(&server).await;
    let template = format!("neurosphere_template_{:016x}", migrations_digest());
    let there = "select count(*) from pg_database where datname = $1";
    if server.query_one(there, &[&template]).await.unwrap().get::<_, i64>(0) == 0 {
        let unfinished = format!("{template}_unfinished");
        server.batch_execute(&format!("drop database if exists {unfinished}")).await.unwrap();
        server.batch_execute(&format!("create database {unfinished}")).await.unwrap();
        let config = config(&[("DATABASE_URL", named(&url_of_environment(), &unfinished))]);
        let app = App::new(config, Clock::system()).unwrap();
        let mut owner = app.owners.as_ref().unwrap().connect(&ClusterName::main()).await.unwrap();
        owner.migrate_platform().await.unwrap();
        templates::catalog::publish_built_in(&app.db).await.unwrap();
        drop(owner);
        app.db.close();
        server.batch_execute(&disconnected(&unfinished)).await.unwrap();
        server.batch_execute(&format!("alter database {unfinished} rename to {template}")).await.unwrap();
    }
    server.batch_execute("select pg_advisory_unlock(20785, 1)").await.unwrap();
    template
}

fn disconnected(database: &str) -> String {
    // Not the server's own workers, which the owner may not end; they leave of themselves.
    format!(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
          where datname = '{database}' and backend_type = 'client backend'"
    )
}

fn migrations_digest() -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    for folder in ["migrations", "policies", "src/templates/seeds"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            std::fs::read(file).unwrap().hash(&mut hasher);
        }
    }
    environment("MASTER_KEY").hash(&mut hasher);
    hasher.finish()
}

/// Databases of runs whose process is gone, and tenant roles that own nothing any more.
async fn remove_leftovers(server: &tokio_postgres::Client) {
    let worlds = "select datname::text from pg_database where datname like 'neurosphere\\_world\\_%'";
    for row in server.query(worlds, &[]).await.unwrap() {
        let name: String = row.get(0);
        let alive =
            name.split('_').nth(2).is_some_and(|pid| std::path::Path::new("/proc").join(pid).exists());
        if !alive {
            // Not `with (force)`: that refuses where a worker of the server's own is at work, which a plain drop ends.
            server.batch_execute(&disconnected(&name)).await.unwrap();
            server.batch_execute(&format!("drop database if exists {name}")).await.unwrap();
        }
    }
    // Ids begin with their time. A tenant of another cluster that somebody tests now has a role here, and nothing else.
    let roles = "select rolname::text from pg_roles r where rolname ~ '^tenant_[0-9a-f]{32}$'
                    and substr(rolname, 8, 12) < lpad(to_hex((extract(epoch from now() - interval '1 hour') * 1000)::bigint), 12, '0')
                    and not exists (select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid)";
    for row in server.query(roles, &[]).await.unwrap() {
        server.batch_execute(&format!("drop role if exists {}", row.get::<_, String>(0))).await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the connection's task ends with the test")]
async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    client
}
