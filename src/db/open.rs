//! An open transaction on a connection: fills in the schema, prepares what is used twice, notices what failed, and rolls
//! back when it is dropped. Shared by both kinds of transaction; must never know which of them it is.

use futures_util::FutureExt as _;
use std::borrow::Cow;
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::failure::OrFailed as _;
use super::pool::{Connection, Phase, Pooled, Use};
use super::sql::Sql;
use super::{Param, Row};
use crate::error::Fault;

#[expect(clippy::large_enum_variant, reason = "both live on the stack of one request")]
pub(super) enum Held<'s> {
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

/// Whose schema is filled in for `{t}`, and what it understands.
pub(super) struct Schema {
    /// Empty outside a tenant.
    pub(super) name: String,
    /// Tells the statements of one schema from those of another.
    pub(super) key: Uuid,
    pub(super) version: u16,
}

/// A connection with an open transaction, and the schema to fill in.
pub(super) struct Open<'s> {
    connection: Held<'s>,
    pub(super) schema: Schema,
    settled: bool,
    /// A statement failed: Postgres would answer COMMIT with a silent rollback.
    failed: bool,
}

impl<'s> Open<'s> {
    /// Takes a connection on which nothing is sent yet.
    pub(super) fn new(connection: Held<'s>, schema: Schema) -> Self {
        Self { connection, schema, settled: true, failed: false }
    }

    /// BEGIN, with the role and the time limit.
    pub(super) async fn begin(&mut self, preamble: &str) -> Result<(), Fault> {
        let opening = self.opening(preamble, Phase::Open)?;
        self.connection.client().batch_execute(&opening).await.or_failed("begin a transaction")
    }

    /// What is to be sent first, with which the transaction comes as far as `phase`. What is left of an earlier one is
    /// rolled back in the same message.
    fn opening<'p>(&mut self, preamble: &'p str, phase: Phase) -> Result<Cow<'p, str>, Fault> {
        let connection = self.connection.get_mut();
        let opening = match connection.phase {
            Phase::Settled => preamble.into(),
            Phase::Ending if !connection.may_send_ahead() => {
                return Err(Fault::new("begin a transaction: nobody awaited the end of the last one"));
            }
            Phase::Open | Phase::Ending => format!("ROLLBACK; {preamble}").into(),
        };
        connection.phase = phase;
        self.settled = false;
        Ok(opening)
    }

    /// BEGIN, one statement and COMMIT leave together, so that the answer takes one round trip. When the text is used for
    /// the second time, it is prepared first, which takes another; a statement whose preparation is out of date is asked
    /// once more, unprepared: nothing of it was done.
    pub(super) async fn single(
        &mut self,
        preamble: &str,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Fault> {
        count();
        let opening = self.opening(preamble, Phase::Ending)?;
        let rows = match self.take_use(sql) {
            None => {
                let rows = self.at_once(&opening, None, sql, params).await;
                self.put_use(sql, Use::Once);
                rows
            }
            Some(Use::Once) => self.preparing(&opening, sql, params).await,
            Some(Use::Prepared(statement)) => {
                match self.at_once(&opening, Some(&statement), sql, params).await {
                    Err(error) if is_stale(&error) => {
                        let opening = self.opening(preamble, Phase::Ending)?;
                        self.at_once(&opening, None, sql, params).await
                    }
                    answered => {
                        self.put_use(sql, Use::Prepared(statement));
                        answered
                    }
                }
            }
        };
        rows.or_failed("run a statement as a transaction")
    }

    async fn at_once(
        &mut self,
        opening: &str,
        known: Option<&Statement>,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let text = self.filled(sql);
        let client = self.connection.client();
        let (begun, rows, ended) = futures_util::join!(
            client.batch_execute(opening),
            query(client, known, &text, sql, params),
            client.batch_execute("COMMIT"),
        );
        self.ended(ended)?;
        begun?;
        rows
    }

    /// COMMIT was answered, whatever became of what it was to commit.
    fn ended(&mut self, answer: Result<(), tokio_postgres::Error>) -> Result<(), tokio_postgres::Error> {
        if answer.is_ok() {
            self.settle();
        }
        answer
    }

    /// The role must be on when a statement is prepared, or it may not even look at the table.
    async fn preparing(
        &mut self,
        opening: &str,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let text = self.filled(sql);
        let client = self.connection.client();
        let (begun, prepared) =
            futures_util::join!(client.batch_execute(opening), client.prepare_typed(&text, sql.types()));
        begun?;
        let statement = prepared?;
        let (rows, ended) =
            futures_util::join!(client.query(&statement, params), client.batch_execute("COMMIT"));
        self.ended(ended)?;
        let rows = rows?;
        self.put_use(sql, Use::Prepared(statement));
        Ok(rows)
    }

    pub(super) async fn rows(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        count();
        let known = self.known(sql);
        let text = self.filled(sql);
        let answer = query(self.connection.client(), known.as_ref(), &text, sql, params).await;
        self.noted(sql, answer).await
    }

    pub(super) async fn run(&mut self, sql: &Sql, params: &[Param<'_>]) -> Result<u64, Fault> {
        count();
        let text = self.filled(sql);
        let answer = match self.known(sql) {
            Some(statement) => self.connection.client().execute(&statement, params).await,
            None => self.connection.client().execute_typed(&text, &sql.typed(params)).await,
        };
        self.noted(sql, answer).await
    }

    async fn noted<T>(&mut self, sql: &Sql, answer: Result<T, tokio_postgres::Error>) -> Result<T, Fault> {
        match answer {
            Ok(answer) => {
                self.learn(sql).await;
                Ok(answer)
            }
            Err(error) => {
                self.forget(sql);
                self.failed = true;
                Err(error).or_failed("run a statement")
            }
        }
    }

    pub(super) async fn commit(&mut self) -> Result<(), Fault> {
        if self.failed {
            return Err(Fault::new("commit: a statement of this transaction had failed"));
        }
        self.connection.get_mut().phase = Phase::Ending;
        self.connection.client().batch_execute("COMMIT").await.or_failed("commit")?;
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        self.settled = true;
        self.connection.get_mut().phase = Phase::Settled;
    }

    fn filled(&self, sql: &Sql) -> Cow<'static, str> {
        let text = sql.text(self.schema.version);
        if self.schema.name.is_empty() {
            Cow::Borrowed(text)
        } else {
            text.replace("{t}", &self.schema.name).into()
        }
    }

    fn key(&self, sql: &Sql) -> (usize, Uuid) {
        (sql.text(self.schema.version).as_ptr() as usize, self.schema.key)
    }

    fn known(&mut self, sql: &Sql) -> Option<Statement> {
        let key = self.key(sql);
        match self.connection.get_mut().statements().get(&key) {
            Some(Use::Prepared(statement)) => Some(statement.clone()),
            Some(Use::Once) | None => None,
        }
    }

    fn take_use(&mut self, sql: &Sql) -> Option<Use> {
        let key = self.key(sql);
        self.connection.get_mut().statements().pop(&key)
    }

    fn put_use(&mut self, sql: &Sql, made: Use) {
        let key = self.key(sql);
        let connection = self.connection.get_mut();
        if connection.keeps_statements() {
            connection.statements().put(key, made);
        }
    }

    /// Within the transaction: notes that a text was used; prepares it when this was the second time.
    async fn learn(&mut self, sql: &Sql) {
        let key = self.key(sql);
        let connection = self.connection.get_mut();
        if !connection.keeps_statements() {
            return;
        }
        let next = match connection.statements().get(&key) {
            Some(Use::Prepared(_)) => return,
            None => Use::Once,
            Some(Use::Once) => {
                let text = self.filled(sql);
                match self.connection.client().prepare_typed(&text, sql.types()).await {
                    Ok(statement) => Use::Prepared(statement),
                    Err(_) => return,
                }
            }
        };
        self.connection.get_mut().statements().put(key, next);
    }

    /// A statement failed: whatever was prepared of it may be the reason.
    fn forget(&mut self, sql: &Sql) {
        let key = self.key(sql);
        self.connection.get_mut().statements().pop(&key);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.settled && self.connection.get_mut().may_send_ahead() {
            // Polling once puts ROLLBACK on the wire, ahead of anything that comes after; the pool awaits another one
            // before it hands the connection on, since nobody waits for this answer. Behind a pooler that one is the only one.
            drop(self.connection.client().batch_execute("ROLLBACK").now_or_never());
        }
    }
}

/// Counts a statement of a store; what opens and ends transactions, and what prepares, is not counted.
fn count() {
    metrics::counter!("neurosphere_statements_total").increment(1);
}

/// Whether a prepared statement no longer fits: its table changed, or a pooler changed the server connection.
fn is_stale(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
        || error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

async fn query(
    client: &tokio_postgres::Client,
    known: Option<&Statement>,
    text: &str,
    sql: &Sql,
    params: &[Param<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    match known {
        Some(statement) => client.query(statement, params).await,
        None => client.query_typed(text, &sql.typed(params)).await,
    }
}
