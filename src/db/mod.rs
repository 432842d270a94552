//! Postgres: clusters and their pools, the tenant transaction and the platform transaction, migrations, notifications.
//! The only module that knows `tokio_postgres` and `deadpool`. Must never know what the statements of the slices mean.
//!
//! Start at [`Db::tenant`] and [`tx::TenantTx`].

pub mod blueprint;
mod cluster;
mod failure;
pub mod fleet;
mod gate;
pub mod guards;
pub mod listen;
mod open;
pub mod owner;
pub mod page;
mod pool;
mod sql;
mod tls;
pub mod tx;

use std::sync::Arc;
use uuid::Uuid;

use crate::access::{PlatformScope, TenantScope};
use crate::clock::Clock;
use crate::config;
use crate::error::{Error, Fault, OrFault as _};
use crate::ids::ClusterName;
use crate::secret::MasterKey;
use crate::tenancy::{ClusterIndex, Limits, Placement, Tenancy};
use blueprint::Blueprint;
use cluster::Cluster;
use gate::Gates;
use tx::{PlatformTx, Sql, TenantSession};

/// A value bound to a statement.
pub type Param<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);
/// A row that came back.
pub type Row = tokio_postgres::Row;
/// The Postgres type of a parameter.
pub type Type = tokio_postgres::types::Type;

/// The door to Postgres. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    clusters: Vec<Cluster>,
    gates: Gates,
    schema_version: u16,
    clock: Clock,
    master_key: MasterKey,
}

impl Db {
    /// Prepares the pools; the first connection is made when it is first needed.
    pub fn new(config: &config::Database, master_key: &MasterKey, clock: Clock) -> Result<Self, Fault> {
        let clusters = config.clusters().map(|settings| Cluster::new(config, settings));
        let clusters = clusters.collect::<Result<_, _>>()?;
        let schema_version = Blueprint::of_this_program()?.version();
        let (gates, master_key) = (Gates::default(), master_key.clone());
        Ok(Self(Arc::new(Inner { clusters, gates, schema_version, clock, master_key })))
    }

    /// A connection on which transactions of this tenant can be begun, where its schema is; it has no query methods of
    /// its own. When the tenant has as many as it may, waits for a short while.
    pub async fn tenant(&self, scope: &TenantScope) -> Result<TenantSession, Error> {
        self.session(scope.tenancy().placement.cluster, scope).await
    }

    /// The same on the control plane's cluster, for the tenant's own rows of the registry. Its schema may be elsewhere.
    pub async fn registry(&self, scope: &TenantScope) -> Result<TenantSession, Error> {
        self.session(ClusterIndex::MAIN, scope).await
    }

    async fn session(&self, cluster: ClusterIndex, scope: &TenantScope) -> Result<TenantSession, Error> {
        let (tenancy, cluster) = (scope.tenancy(), self.cluster(cluster)?);
        let place = self.0.gates.enter(scope, cluster.tenant_share_max()).await?;
        let connection = cluster.tenant(tenancy.placement.login, tenancy.tenant).await?;
        Ok(TenantSession::new(connection, place, *scope, self.clone()))
    }

    /// Begins a transaction on the control plane, for what must be known before the tenant is. It may do nothing that
    /// asks for authority.
    pub async fn platform(&self) -> Result<PlatformTx, Fault> {
        self.platform_at(ClusterIndex::MAIN).await
    }

    /// The same on what a cluster has of the control plane: the queue, and the tenants whose schemas it has.
    pub async fn platform_at(&self, cluster: ClusterIndex) -> Result<PlatformTx, Fault> {
        let mut tx = PlatformTx::on(self.cluster(cluster)?.control().await?, None, self.clone());
        tx.begin().await?;
        Ok(tx)
    }

    /// Begins a transaction on the control plane on somebody's behalf.
    pub async fn operate(&self, scope: &PlatformScope) -> Result<PlatformTx, Fault> {
        let mut tx =
            PlatformTx::on(self.cluster(ClusterIndex::MAIN)?.control().await?, Some(*scope), self.clone());
        tx.begin().await?;
        Ok(tx)
    }

    /// Runs one statement on the control plane as a transaction of its own, in one round trip.
    pub async fn lookup(&self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        self.lookup_at(ClusterIndex::MAIN, sql, params).await
    }

    /// The same on what a cluster has of the control plane.
    pub async fn lookup_at(
        &self,
        cluster: ClusterIndex,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Fault> {
        PlatformTx::on(self.cluster(cluster)?.control().await?, None, self.clone()).single(sql, params).await
    }

    /// Reads the columns that `tenancy_columns!` lists, which begin at `from`.
    pub fn tenancy(&self, row: &Row, from: usize) -> Result<Tenancy, Fault> {
        let figure = |at: usize| u16::try_from(row.get::<_, i32>(from + at)).or_fault("read a tenant's row");
        Ok(Tenancy {
            tenant: row.get::<_, Uuid>(from).into(),
            placement: Placement {
                cluster: self.cluster_named(row.get(from + 1))?,
                login: figure(2)?,
                schema_version: figure(3)?,
            },
            limits: limits(row, from + 4)?,
        })
    }

    fn cluster(&self, index: ClusterIndex) -> Result<&Cluster, Fault> {
        let found = self.0.clusters.get(usize::from(index.0));
        found.ok_or_else(|| Fault::new("reach a cluster: it is not configured in this process"))
    }

    /// Every cluster, the control plane's first.
    pub fn clusters(&self) -> impl Iterator<Item = (ClusterIndex, &ClusterName)> {
        (0..).map(ClusterIndex).zip(self.0.clusters.iter().map(|cluster| &cluster.name))
    }

    /// The cluster of that name.
    pub fn cluster_named(&self, name: &str) -> Result<ClusterIndex, Fault> {
        let found = self.clusters().find(|(_, known)| known.as_str() == name);
        found.map(|(index, _)| index).ok_or_else(|| {
            Fault::new(format!("reach cluster {name}: add it to DATABASE_CLUSTERS of this process"))
        })
    }

    /// The name of a cluster.
    pub fn cluster_name(&self, index: ClusterIndex) -> Result<&ClusterName, Fault> {
        Ok(&self.cluster(index)?.name)
    }

    /// The version of tenants' schemas that this program is made for; it serves the one before, too.
    pub fn schema_version(&self) -> u16 {
        self.0.schema_version
    }

    /// Signs and opens the cursors of pages.
    pub fn master_key(&self) -> &MasterKey {
        &self.0.master_key
    }

    /// The clock that transactions read.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Connections now open, and how many of them are idle.
    pub fn connections(&self) -> (usize, usize) {
        self.0
            .clusters
            .iter()
            .map(Cluster::connections)
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// Sessions of tenants now open, and how many wait because their tenant has as many as it may.
    pub fn crowd(&self) -> (usize, usize) {
        self.0.gates.crowd()
    }

    /// Closes every connection; what is in flight fails.
    pub fn close(&self) {
        self.0.clusters.iter().for_each(Cluster::close);
    }
}

/// Reads the five limits, in the order of [`Limits`], which begin at `from`.
pub fn limits(row: &Row, from: usize) -> Result<Limits, Fault> {
    let figure = |at: usize| u16::try_from(row.get::<_, i32>(from + at)).or_fault("read limits");
    Ok(Limits {
        transactions_max: figure(0)?,
        requests_per_s: figure(1)?,
        statement_ms_max: u32::try_from(row.get::<_, i32>(from + 2)).or_fault("read limits")?,
        calls_max: figure(3)?,
        jobs_max: figure(4)?,
    })
}

/// A text as a pattern of `like` that finds the text itself.
pub fn like_literal(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.clusters().map(|(_, name)| name.as_str()).collect();
        f.debug_struct("Db").field("clusters", &names).finish_non_exhaustive()
    }
}
