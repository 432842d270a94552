//! Where Postgres is: clusters, their login roles and how they are reached.

use url::Url;

use super::Reader;
use crate::ids::ClusterName;
use crate::secret::{MasterKey, Secret, hex};

/// Where Postgres is: the cluster of the control plane, and others that hold tenants too.
#[derive(Debug, Clone)]
pub struct Database {
    /// Holds the control plane, and tenants (`DATABASE_URL`).
    pub main: Cluster,
    /// Hold tenants only (`DATABASE_CLUSTERS`, and for each its `DATABASE_URL_<NAME>`).
    pub others: Vec<Cluster>,
    /// PEM file of the certificate authority that signed the servers' certificates (`DATABASE_CA_FILE`); public ones
    /// are trusted anyway.
    pub ca_file: Option<std::path::PathBuf>,
    /// Connections at most, per cluster and login role (`DATABASE_POOL_MAX`).
    pub pool_max: usize,
    /// Whether statements may be prepared (`DATABASE_POOLER`).
    pub pooler: Pooler,
}

impl Database {
    /// Every cluster, the control plane's first.
    pub fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        std::iter::once(&self.main).chain(&self.others)
    }
}

/// What stands between us and Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler that keeps a session's prepared statements.
    None,
    /// A pooler in transaction mode: a statement that was prepared in one transaction is unknown in the next.
    Transaction,
}

/// One Postgres server.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name in the registry.
    pub name: ClusterName,
    /// The owner's URL, for `migrate`, `tenant create`, `doctor`, and workers that make and drop tenants' schemas; an
    /// API or voice process runs without it.
    pub owner_url: Option<Secret>,
    /// The first login role's URL (`DATABASE_APP_URL`); derived from the owner's when unset.
    pub app_url: Secret,
    /// Where notifications are listened for: past a pooler in transaction mode (`DATABASE_LISTEN_URL`).
    pub listen_url: Secret,
    /// Passwords of further login roles are derived from it.
    key: MasterKey,
}

impl Cluster {
    /// The URL of a login role: the first is given or derived, further ones share all but name and password with it.
    pub fn login_url(&self, login: u16) -> Secret {
        if login == 0 {
            return self.app_url.clone();
        }
        let role = login_role(login);
        let password = derived_password(&self.key, &role);
        self.as_user(&role, &password).unwrap_or_else(|| self.app_url.clone())
    }

    /// The password that the login role has, to be set by the owner.
    pub fn login_password(&self, login: u16) -> Secret {
        let given =
            Url::parse(self.login_url(login).reveal()).ok().and_then(|url| url.password().map(Secret::new));
        given.unwrap_or_else(|| Secret::new(derived_password(&self.key, &login_role(login))))
    }

    fn as_user(&self, user: &str, password: &str) -> Option<Secret> {
        with_user(self.app_url.reveal(), user, password).map(Secret::new)
    }
}

/// The name of a login role.
pub fn login_role(login: u16) -> String {
    if login == 0 { "neurosphere_app".to_owned() } else { format!("neurosphere_app_{login}") }
}

fn derived_password(key: &MasterKey, role: &str) -> String {
    hex(&key.tag("postgres login role", role.as_bytes()))
}

fn with_user(url: &str, user: &str, password: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_username(user).ok()?;
    url.set_password(Some(password)).ok()?;
    Some(url.into())
}

impl Reader<'_> {
    pub(super) fn database(&mut self, master_key: Option<&MasterKey>) -> Option<Database> {
        let pooler = match self.text("DATABASE_POOLER", "none").as_str() {
            "none" => Some(Pooler::None),
            "transaction" => Some(Pooler::Transaction),
            other => self.must(None, &format!("DATABASE_POOLER is {other:?}; it is none or transaction")),
        };
        let main = self.cluster(ClusterName::main(), master_key, pooler);
        let names = self.text("DATABASE_CLUSTERS", "");
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut others = Vec::new();
        for name in names {
            match name.parse::<ClusterName>() {
                Ok(name) if !name.is_main() => others.extend(self.cluster(name, master_key, pooler)),
                _ => self.mistakes.push(format!(
                    "DATABASE_CLUSTERS names {name:?}; a name has 2 to 30 of a-z and 0-9 and is not main"
                )),
            }
        }
        let pool_max = self.parsed("DATABASE_POOL_MAX", "16", "a number of connections");
        let pool_max = pool_max.and_then(|max: usize| {
            self.must((4 <= max).then_some(max), "DATABASE_POOL_MAX must be 4 or more")
        });
        Some(Database {
            main: main?,
            others,
            ca_file: self.found("DATABASE_CA_FILE").map(Into::into),
            pool_max: pool_max?,
            pooler: pooler?,
        })
    }

    /// The login role's password is derived from the master key, so that one owner URL is enough to start with.
    fn cluster(
        &mut self,
        name: ClusterName,
        master_key: Option<&MasterKey>,
        pooler: Option<Pooler>,
    ) -> Option<Cluster> {
        let suffix =
            if name.is_main() { String::new() } else { format!("_{}", name.to_string().to_uppercase()) };
        let (owner_name, app_name) = (format!("DATABASE_URL{suffix}"), format!("DATABASE_APP_URL{suffix}"));
        let (owner, app) = (self.found(&owner_name), self.found(&app_name));
        if owner.is_none() && app.is_none() {
            self.mistakes
                .push(format!("{owner_name} is not set: run scripts/setup, or name a Postgres >= 16"));
        }
        let key = master_key?.clone();
        let app_url = match (app, owner.as_deref()) {
            (Some(app), _) => app,
            (None, owner) => {
                let role = login_role(0);
                let url = with_user(owner?, &role, &derived_password(&key, &role));
                let form = "is not a URL such as postgres://owner:password@host:5432/name";
                self.must(url, &format!("{owner_name} {form}"))?
            }
        };
        let listen_name = format!("DATABASE_LISTEN_URL{suffix}");
        let listen_url = match (self.found(&listen_name), pooler) {
            (Some(given), _) => Some(given),
            (None, Some(Pooler::Transaction)) => self.must(
                None,
                &format!("{listen_name} is not set: notifications do not pass a pooler in transaction mode, give the direct URL of the login role"),
            ),
            (None, Some(Pooler::None) | None) => Some(app_url.clone()),
        }?;
        Some(Cluster {
            name,
            owner_url: owner.map(Secret::new),
            app_url: Secret::new(app_url),
            listen_url: Secret::new(listen_url),
            key,
        })
    }
}
