//! Postgres: pools, the tenant transaction and the platform transaction, migrations, notifications. The only module
//! that knows `tokio_postgres` and `deadpool`. Must never know what the statements of the slices mean.
//!
//! Start at [`Db::tenant`] and [`tx::TenantTx`].

pub mod listen;
pub mod page;
mod pool;
pub mod tenancy;
mod tls;
pub mod tx;

use deadpool::managed;
use std::time::Duration;

use crate::access::TenantScope;
use crate::clock::Clock;
use crate::config;
use crate::error::{Fault, OrFault as _};
use crate::secret::MasterKey;
use pool::{Connections, Pooled};
use tx::{PlatformTx, TenantSession};

/// A value bound to a statement.
pub type Param<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);
/// A row that came back.
pub type Row = tokio_postgres::Row;
/// The Postgres type of a parameter.
pub type Type = tokio_postgres::types::Type;

/// The door to Postgres. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: managed::Pool<Connections>,
    clock: Clock,
    master_key: MasterKey,
}

impl Db {
    const WAIT_MAX: Duration = Duration::from_millis(2_500);

    /// Prepares a pool; the first connection is made when it is first needed.
    pub fn new(config: &config::Database, master_key: &MasterKey, clock: Clock) -> Result<Self, Fault> {
        let connections = Connections::new(config)?;
        let pool = managed::Pool::builder(connections)
            .max_size(config.pool_max)
            .wait_timeout(Some(Self::WAIT_MAX))
            .create_timeout(Some(Self::WAIT_MAX))
            .recycle_timeout(Some(Self::WAIT_MAX))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .or_fault("build the connection pool")?;
        Ok(Self { pool, clock, master_key: master_key.clone() })
    }

    /// A connection on which transactions of this tenant can be begun; it has no query methods of its own.
    pub async fn tenant(&self, scope: &TenantScope) -> Result<TenantSession, Fault> {
        Ok(TenantSession::new(self.connection().await?, *scope, self.clock.clone()))
    }

    /// Begins a transaction on the control plane, for what must be known before the tenant is.
    pub async fn platform(&self) -> Result<PlatformTx, Fault> {
        PlatformTx::begin(self.connection().await?, self.clock.clone()).await
    }

    /// Signs and opens the cursors of pages.
    pub fn master_key(&self) -> &MasterKey {
        &self.master_key
    }

    /// The clock that transactions read.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Connections now open, and how many of them are idle.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }

    /// Closes every connection; what is in flight fails.
    pub fn close(&self) {
        self.pool.close();
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that hands out connections")]
    async fn connection(&self) -> Result<Pooled, Fault> {
        self.pool.get().await.or_fault("get a connection to Postgres")
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}
