//! Transactions: the one tenant transaction, which carries tenant, actor, authority, time, ids and the right to run SQL,
//! and the platform transaction, for what must be known before the tenant is. Must never know a table.
//!
//! A statement is a [`Sql`]: static text in which `{t}` stands for the tenant's schema, and the types of its parameters.
//! Only [`TenantTx`] can fill `{t}`. Unqualified table names do not resolve at all.

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::pool::{Connection, Pooled, Use};
use super::{Param, Row, Type};
use crate::access::{self, Action, TenantScope};
use crate::clock::Clock;
use crate::error::{Error, Fault, OrFault as _};
use crate::ids::TenantId;

/// A statement: its text and the types of its parameters, in order.
#[derive(Debug)]
pub struct Sql {
    text: &'static str,
    types: &'static [Type],
}

impl Sql {
    /// Declares a statement.
    pub const fn new(text: &'static str, types: &'static [Type]) -> Self {
        Self { text, types }
    }
}

/// Schema and role of a tenant: `tenant_` and its id without hyphens.
pub(super) fn schema_of(tenant: TenantId) -> String {
    format!("tenant_{}", tenant.uuid().simple())
}

const STATEMENT_MS_MAX: u32 = 5_000;

/// A connection on which transactions of one tenant can be begun; it has no query methods.
pub struct TenantSession {
    connection: Pooled,
    scope: TenantScope,
    clock: Clock,
}

impl TenantSession {
    pub(super) fn new(connection: Pooled, scope: TenantScope, clock: Clock) -> Self {
        Self { connection, scope, clock }
    }

    /// The time, from the clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Begins a transaction: one round trip for BEGIN, role and time limit.
    pub async fn begin(&mut self) -> Result<TenantTx<'_>, Fault> {
        let tx = TenantTx::open(self);
        tx.core
            .connection
            .client()
            .batch_execute(&tx.preamble())
            .await
            .or_fault("begin a tenant transaction")?;
        Ok(tx)
    }

    /// Runs one statement as a transaction of its own: BEGIN, statement and COMMIT leave together, so that the answer
    /// takes one round trip.
    pub async fn single(
        &mut self,
        action: Action,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        let mut tx = TenantTx::open(self);
        tx.permit(action)?;
        let preamble = tx.preamble();
        let text = tx.core.filled(sql);
        let known = tx.core.known(sql);
        let (begun, rows, ended) = {
            let client = tx.core.connection.client();
            futures_util::join!(
                client.batch_execute(&preamble),
                run(client, known.as_ref(), &text, sql, params),
                client.batch_execute("COMMIT"),
            )
        };
        begun.or_fault("begin a tenant transaction")?;
        let rows = rows.or_fault("run a statement")?;
        ended.or_fault("end a tenant transaction")?;
        tx.core.learn(sql, &text).await;
        tx.core.settled();
        Ok(rows)
    }
}

/// A transaction within one tenant. Dropped without [`TenantTx::commit`], it is rolled back.
pub struct TenantTx<'s> {
    core: Core<'s>,
    scope: TenantScope,
    clock: &'s Clock,
}

impl<'s> TenantTx<'s> {
    fn open(session: &'s mut TenantSession) -> Self {
        let tenant = session.scope.tenant();
        session.connection.visit(tenant.uuid());
        let core = Core::open(&mut session.connection, schema_of(tenant), tenant.uuid());
        Self { core, scope: session.scope, clock: &session.clock }
    }

    fn preamble(&self) -> String {
        let role = &self.core.schema;
        format!("BEGIN; SET LOCAL ROLE {role}; SET LOCAL statement_timeout = {STATEMENT_MS_MAX}")
    }

    /// Refuses unless the actor's role covers the action; every operation asks first.
    pub fn permit(&self, action: Action) -> Result<(), Error> {
        if access::may(self.scope.role(), action) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.scope.tenant()
    }

    /// Who acts, and as what.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// The time, from the clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A new time-ordered id.
    pub fn new_id(&self) -> Uuid {
        self.clock.new_id()
    }

    /// Runs a statement and gives all its rows.
    pub async fn rows(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        self.core.rows(sql, params).await
    }

    /// Runs a statement that gives one row or none.
    pub async fn row(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.core.rows(sql, params).await?.into_iter().next())
    }

    /// Runs a statement for its effect and gives the number of rows it touched.
    pub async fn run(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<u64, Fault> {
        self.core.run(sql, params).await
    }

    /// Makes everything since `begin` durable.
    pub async fn commit(mut self) -> Result<(), Fault> {
        self.core.commit().await
    }
}

/// A transaction on the control plane, under the platform role: it sees no tenant's schema.
pub struct PlatformTx {
    core: Core<'static>,
    clock: Clock,
}

impl PlatformTx {
    pub(super) async fn begin(connection: Pooled, clock: Clock) -> Result<Self, Fault> {
        let core = Core {
            connection: Held::Owned(connection),
            schema: String::new(),
            cache: Uuid::nil(),
            open: true,
            failed: false,
        };
        let mut tx = Self { core, clock };
        tx.core.connection.get_mut().in_transaction = true;
        let preamble = format!(
            "BEGIN; SET LOCAL ROLE neurosphere_platform; SET LOCAL statement_timeout = {STATEMENT_MS_MAX}"
        );
        tx.core
            .connection
            .client()
            .batch_execute(&preamble)
            .await
            .or_fault("begin a platform transaction")?;
        Ok(tx)
    }

    /// The time, from the clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A new time-ordered id.
    pub fn new_id(&self) -> Uuid {
        self.clock.new_id()
    }

    /// Runs a statement and gives all its rows.
    pub async fn rows(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        self.core.rows(sql, params).await
    }

    /// Runs a statement that gives one row or none.
    pub async fn row(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.core.rows(sql, params).await?.into_iter().next())
    }

    /// Runs a statement for its effect and gives the number of rows it touched.
    pub async fn run(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<u64, Fault> {
        self.core.run(sql, params).await
    }

    /// Makes everything since `begin` durable.
    pub async fn commit(mut self) -> Result<(), Fault> {
        self.core.commit().await
    }
}

#[expect(clippy::large_enum_variant, reason = "both live on the stack of one request")]
enum Held<'s> {
    Borrowed(&'s mut Connection),
    Owned(Pooled),
}

impl Held<'_> {
    fn client(&self) -> &tokio_postgres::Client {
        match self {
            Self::Borrowed(connection) => connection.client(),
            Self::Owned(pooled) => pooled.client(),
        }
    }

    fn get_mut(&mut self) -> &mut Connection {
        match self {
            Self::Borrowed(connection) => connection,
            Self::Owned(pooled) => pooled,
        }
    }
}

/// What both kinds of transaction share: a connection with an open transaction, and the schema to fill in.
struct Core<'s> {
    connection: Held<'s>,
    schema: String,
    cache: Uuid,
    open: bool,
    /// A statement failed: Postgres would answer COMMIT with a silent rollback.
    failed: bool,
}

impl<'s> Core<'s> {
    fn open(connection: &'s mut Connection, schema: String, cache: Uuid) -> Self {
        connection.in_transaction = true;
        Self { connection: Held::Borrowed(connection), schema, cache, open: true, failed: false }
    }

    fn filled(&self, sql: &Sql) -> String {
        sql.text.replace("{t}", &self.schema)
    }

    fn key(&self, sql: &Sql) -> (usize, Uuid) {
        (sql.text.as_ptr() as usize, self.cache)
    }

    fn known(&mut self, sql: &Sql) -> Option<Statement> {
        let key = self.key(sql);
        match self.connection.get_mut().statements().get(&key) {
            Some(Use::Prepared(statement)) => Some(statement.clone()),
            Some(Use::Once) | None => None,
        }
    }

    /// Notes that a text was used; prepares it when this was the second time.
    async fn learn(&mut self, sql: &Sql, text: &str) {
        let key = self.key(sql);
        let next = match self.connection.get_mut().statements().get(&key) {
            Some(Use::Prepared(_)) => return,
            None => Use::Once,
            Some(Use::Once) => match self.connection.client().prepare_typed(text, sql.types).await {
                Ok(statement) => Use::Prepared(statement),
                Err(_) => return,
            },
        };
        self.connection.get_mut().statements().put(key, next);
    }

    async fn rows(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        let text = self.filled(sql);
        let known = self.known(sql);
        let answer = run(self.connection.client(), known.as_ref(), &text, sql, params).await;
        if answer.is_err() {
            self.forget(sql);
        }
        let rows = answer.or_fault("run a statement")?;
        self.learn(sql, &text).await;
        Ok(rows)
    }

    async fn run(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<u64, Fault> {
        let text = self.filled(sql);
        let known = self.known(sql);
        let answer = match known {
            Some(statement) => self.connection.client().execute(&statement, params).await,
            None => self.connection.client().execute_typed(&text, &typed(sql, params)).await,
        };
        if answer.is_err() {
            self.forget(sql);
        }
        let touched = answer.or_fault("run a statement")?;
        self.learn(sql, &text).await;
        Ok(touched)
    }

    /// A statement failed: whatever was prepared of it may be the reason.
    fn forget(&mut self, sql: &Sql) {
        let key = self.key(sql);
        self.connection.get_mut().statements().pop(&key);
        self.failed = true;
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        if self.failed {
            return Err(Fault::new("commit: a statement of this transaction had failed"));
        }
        self.connection.client().batch_execute("COMMIT").await.or_fault("commit")?;
        self.settled();
        Ok(())
    }

    fn settled(&mut self) {
        self.open = false;
        self.connection.get_mut().in_transaction = false;
    }
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        if self.open {
            // Polling once puts ROLLBACK on the wire, ahead of anything that comes after; the pool awaits another one
            // before it hands the connection on, since nobody waits for this answer.
            drop(self.connection.client().batch_execute("ROLLBACK").now_or_never());
        }
    }
}

async fn run(
    client: &tokio_postgres::Client,
    known: Option<&Statement>,
    text: &str,
    sql: &Sql,
    params: &[Param<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    match known {
        Some(statement) => client.query(statement, params).await,
        None => client.query_typed(text, &typed(sql, params)).await,
    }
}

fn typed<'p>(sql: &Sql, params: &[Param<'p>]) -> Vec<(Param<'p>, Type)> {
    params.iter().copied().zip(sql.types.iter().cloned()).collect()
}
