//! Transactions: the one tenant transaction, which carries tenant, actor, authority, time, ids and the right to run SQL,
//! and the platform transaction, for what must be known before the tenant is. Must never know a table.
//!
//! Only [`TenantTx`] can fill the `{t}` of a [`Sql`]. Unqualified table names do not resolve at all.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::gate::Place;
use super::open::{Held, Open, Schema};
use super::pool::Pooled;
pub use super::sql::Sql;
use super::{Db, Param, Row};
use crate::access::{self, Action, PlatformScope, TenantScope};
use crate::error::{Error, Fault};
use crate::ids::{ClusterName, TenantId};
use crate::refusals::{self, Limit};
use crate::secret::MasterKey;

/// Schema and role of a tenant: `tenant_` and its id without hyphens.
pub(super) fn schema_of(tenant: TenantId) -> String {
    format!("tenant_{}", tenant.uuid().simple())
}

const PLATFORM_PREAMBLE: &str =
    "BEGIN; SET LOCAL ROLE neurosphere_platform; SET LOCAL statement_timeout = 5000";

/// A connection on which transactions of one tenant can be begun; it has no query methods.
pub struct TenantSession {
    connection: Pooled,
    /// Given back after the connection.
    _place: Place,
    scope: TenantScope,
    db: Db,
}

impl TenantSession {
    pub(super) fn new(connection: Pooled, place: Place, scope: TenantScope, db: Db) -> Self {
        Self { connection, _place: place, scope, db }
    }

    /// The time, from the clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.db.clock().now()
    }

    /// Begins a transaction: one round trip for BEGIN, role and time limit.
    pub async fn begin(&mut self) -> Result<TenantTx<'_>, Fault> {
        let mut tx = TenantTx::open(self, Mode::Whole);
        let preamble = tx.preamble();
        tx.open.begin(&preamble).await?;
        Ok(tx)
    }

    /// For what only reads: each statement is a transaction of its own, in one round trip, and nothing is to be committed.
    pub fn read(&mut self) -> TenantTx<'_> {
        TenantTx::open(self, Mode::Each)
    }

    /// Runs one statement as a transaction of its own, in one round trip.
    pub async fn single(
        &mut self,
        action: Action,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        let mut tx = TenantTx::open(self, Mode::Whole);
        tx.permit(action)?;
        let preamble = tx.preamble();
        let answer = tx.open.single(&preamble, sql, params).await;
        Ok(tx.counted(answer)?)
    }
}

/// How the statements of a tenant's transaction are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// All of them are one transaction.
    Whole,
    /// Each is one of its own, which may only read.
    Each,
}

/// A transaction within one tenant. Dropped without [`TenantTx::commit`], it is rolled back.
pub struct TenantTx<'s> {
    open: Open<'s>,
    mode: Mode,
    scope: TenantScope,
    db: &'s Db,
}

impl<'s> TenantTx<'s> {
    fn open(session: &'s mut TenantSession, mode: Mode) -> Self {
        let tenancy = session.scope.tenancy();
        let id = tenancy.tenant.uuid();
        session.connection.visit(id);
        let version = tenancy.placement.schema_version;
        let schema = Schema { name: schema_of(tenancy.tenant), key: id, version };
        let open = Open::new(Held::Borrowed(&mut session.connection), schema);
        Self { open, mode, scope: session.scope, db: &session.db }
    }

    fn preamble(&self) -> String {
        let role = &self.open.schema.name;
        let limit_ms = self.scope.tenancy().limits.statement_ms_max;
        let begin = match self.mode {
            Mode::Whole => "BEGIN",
            Mode::Each => "BEGIN READ ONLY",
        };
        format!("{begin}; SET LOCAL ROLE {role}; SET LOCAL statement_timeout = {limit_ms}")
    }

    /// Counts a statement that ran longer than the tenant may have it run.
    fn counted<T>(&self, answer: Result<T, Fault>) -> Result<T, Fault> {
        if answer.as_ref().is_err_and(Fault::is_for_time) {
            refusals::note(Limit::Statement, self.scope.tenant());
        }
        answer
    }

    /// Refuses unless the action is among the actor's rights; every operation asks first.
    pub fn permit(&self, action: Action) -> Result<(), Error> {
        if self.scope.rights().include(action) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.scope.tenant()
    }

    /// Who acts, and as what.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Signs what must be known again as ours.
    pub fn master_key(&self) -> &MasterKey {
        self.db.master_key()
    }

    /// The cluster where the tenant's schema is.
    pub fn cluster_name(&self) -> Result<&ClusterName, Fault> {
        self.db.cluster_name(self.scope.tenancy().placement.cluster)
    }

    /// The time, from the clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.db.clock().now()
    }

    /// A new time-ordered id.
    pub fn new_id(&self) -> Uuid {
        self.db.clock().new_id()
    }

    /// Runs a statement and gives all its rows.
    pub async fn rows(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        let answer = match self.mode {
            Mode::Whole => self.open.rows(sql, params).await,
            Mode::Each => self.open.single(&self.preamble(), sql, params).await,
        };
        self.counted(answer)
    }

    /// Runs a statement that gives one row or none.
    pub async fn row(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Runs a statement for its effect and gives the number of rows it touched.
    pub async fn run(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<u64, Fault> {
        let answer = match self.mode {
            Mode::Whole => self.open.run(sql, params).await,
            Mode::Each => Err(Fault::new("change something while only reading")),
        };
        self.counted(answer)
    }

    /// Makes everything since `begin` durable.
    pub async fn commit(mut self) -> Result<(), Fault> {
        self.open.commit().await
    }
}

/// A transaction on the control plane, under the platform role: it sees no tenant's schema.
pub struct PlatformTx {
    open: Open<'static>,
    scope: Option<PlatformScope>,
    db: Db,
}

impl PlatformTx {
    pub(super) fn on(connection: Pooled, scope: Option<PlatformScope>, db: Db) -> Self {
        let schema = Schema { name: String::new(), key: Uuid::nil(), version: 0 };
        Self { open: Open::new(Held::Owned(connection), schema), scope, db }
    }

    pub(super) async fn begin(&mut self) -> Result<(), Fault> {
        self.open.begin(PLATFORM_PREAMBLE).await
    }

    /// Runs one statement as the whole transaction, in one round trip.
    pub(super) async fn single(mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        self.open.single(PLATFORM_PREAMBLE, sql, params).await
    }

    /// Refuses unless the transaction was begun by somebody whose role covers the action; every operation on tenants
    /// from outside asks first.
    pub fn permit(&self, action: Action) -> Result<PlatformScope, Error> {
        self.scope.filter(|scope| access::may(scope.role(), action)).ok_or(Error::Forbidden)
    }

    /// Postgres, for what must follow the transaction.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The time, from the clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.db.clock().now()
    }

    /// A new time-ordered id.
    pub fn new_id(&self) -> Uuid {
        self.db.clock().new_id()
    }

    /// Runs a statement and gives all its rows.
    pub async fn rows(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        self.open.rows(sql, params).await
    }

    /// Runs a statement that gives one row or none.
    pub async fn row(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.open.rows(sql, params).await?.into_iter().next())
    }

    /// Runs a statement for its effect and gives the number of rows it touched.
    pub async fn run(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<u64, Fault> {
        self.open.run(sql, params).await
    }

    /// Makes everything since `begin` durable.
    pub async fn commit(mut self) -> Result<(), Fault> {
        self.open.commit().await
    }
}
