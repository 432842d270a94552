//! Pooled connections: each with its prepared statements, the tenants it has seen, and whether a transaction was left
//! open on it. Must never run a statement of its own accord but ROLLBACK.

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{ClientWrapper, Manager};
use lru::LruCache;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::tls;
use crate::config::{self, Pooler};
use crate::error::{Fault, OrFault as _};
use crate::secret::Secret;

pub(super) type Pooled = managed::Object<Connections>;

/// Makes and checks connections; `deadpool_postgres` does the connecting.
pub(super) struct Connections {
    inner: Manager,
    pooler: Pooler,
}

/// One connection and what must be known about it.
pub(super) struct Connection {
    client: ClientWrapper,
    pooler: Pooler,
    statements: LruCache<StatementKey, Use>,
    tenants: HashSet<Uuid>,
    pub(super) phase: Phase,
}

/// How far a connection's transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none: its COMMIT or ROLLBACK was confirmed.
    Settled,
    /// BEGIN was sent, or is just being sent.
    Open,
    /// COMMIT was sent too.
    Ending,
}

/// The address of the static text and the schema that was filled in: the same pair is always the same statement.
pub(super) type StatementKey = (usize, Uuid);

/// First use of a text goes unprepared, the second prepares: most texts meet a tenant once per connection, and preparing
/// those would cost more than it saves.
pub(super) enum Use {
    Once,
    Prepared(Statement),
}

impl Connection {
    const STATEMENTS_MAX: NonZeroUsize = NonZeroUsize::new(512).unwrap();

    pub(super) fn client(&self) -> &tokio_postgres::Client {
        &self.client
    }

    pub(super) fn statements(&mut self) -> &mut LruCache<StatementKey, Use> {
        &mut self.statements
    }

    /// Whether what is prepared now is still there in a later transaction.
    pub(super) fn keeps_statements(&self) -> bool {
        match self.pooler {
            Pooler::None => true,
            Pooler::Transaction => false,
        }
    }

    /// Whether anything may be sent before the end of a transaction is answered. With that answer a pooler gives the
    /// server's connection to somebody else, whatever it has passed on behind it: that would be done in a stranger's
    /// transaction (<https://github.com/pgbouncer/pgbouncer/issues/759>).
    pub(super) fn may_send_ahead(&self) -> bool {
        self.keeps_statements()
    }

    pub(super) fn visit(&mut self, tenant: Uuid) {
        self.tenants.insert(tenant);
    }
}

impl Connections {
    /// Each tenant that a backend has touched costs it some 0.4 MB of relation cache that only a disconnect frees.
    const TENANTS_MAX: usize = 300;

    pub(super) fn new(database: &config::Database, login_url: &Secret) -> Result<Self, Fault> {
        let mut url: tokio_postgres::Config = login_url.reveal().parse().or_fault("read DATABASE_APP_URL")?;
        url.application_name("neurosphere").connect_timeout(Duration::from_secs(2));
        url.keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(10));
        let inner = Manager::new(url, tls::connector(database.ca_file.as_deref())?);
        Ok(Self { inner, pooler: database.pooler })
    }
}

impl managed::Manager for Connections {
    type Type = Connection;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Connection, tokio_postgres::Error> {
        Ok(Connection {
            client: self.inner.create().await?,
            pooler: self.pooler,
            statements: LruCache::new(Connection::STATEMENTS_MAX),
            tenants: HashSet::new(),
            phase: Phase::Settled,
        })
    }

    /// A request that was abandoned after BEGIN would hand its role to the next one: its transaction is rolled back
    /// here, and awaited, before anybody gets the connection.
    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<tokio_postgres::Error> {
        if Self::TENANTS_MAX < connection.tenants.len() {
            return Err(RecycleError::message("retired: it has seen enough tenants"));
        }
        match connection.phase {
            Phase::Settled => {}
            Phase::Ending if !connection.may_send_ahead() => {
                return Err(RecycleError::message("closed: nobody awaited the end of its transaction"));
            }
            Phase::Open | Phase::Ending => {
                connection.client.batch_execute("ROLLBACK").await?;
                connection.phase = Phase::Settled;
            }
        }
        self.inner.recycle(&mut connection.client, metrics).await
    }

    fn detach(&self, connection: &mut Connection) {
        self.inner.detach(&mut connection.client);
    }
}
