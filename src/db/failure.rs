//! What Postgres answered when it refused, without the values that it quotes: its detail and hint name rows, and rows are
//! people's data. Must never be got around: every error of Postgres becomes a fault here.

use deadpool::managed::PoolError;
use std::fmt;
use tokio_postgres::error::SqlState;

use crate::error::Fault;

/// An error of Postgres or of the way to it, fit for a log.
struct Failure {
    told: String,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl std::error::Error for Failure {}

impl From<&tokio_postgres::Error> for Failure {
    fn from(error: &tokio_postgres::Error) -> Self {
        let told = match error.as_db_error() {
            None => told(error),
            Some(refused) => {
                let place = [refused.schema(), refused.table(), refused.constraint()];
                let place: Vec<_> = place.into_iter().flatten().collect();
                let place = if place.is_empty() { String::new() } else { format!(" [{}]", place.join(".")) };
                format!("{} {}: {}{place}", refused.severity(), refused.code().code(), refused.message())
            }
        };
        Self { told }
    }
}

/// An error on the way to Postgres, with what caused it; what Postgres itself answered is told alone.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(answered) =
            cause.downcast_ref().filter(|error: &&tokio_postgres::Error| error.code().is_some())
        {
            return Failure::from(answered).told;
        }
        let cause_told = cause.to_string();
        if !told.contains(&cause_told) {
            told = format!("{told}: {cause_told}");
        }
        next = cause.source();
    }
    told
}

/// An error of Postgres as a fault.
pub(super) trait OrFailed<T> {
    /// Wraps the error with what was being done.
    fn or_failed(self, doing: &str) -> Result<T, Fault>;
}

impl<T> OrFailed<T> for Result<T, tokio_postgres::Error> {
    fn or_failed(self, doing: &str) -> Result<T, Fault> {
        self.map_err(|error| {
            let fault = Fault::caused(doing, Failure::from(&error));
            // Postgres says so for `statement_timeout`, and when an administrator cancels a statement that runs long.
            if error.code() == Some(&SqlState::QUERY_CANCELED) { fault.for_time() } else { fault }
        })
    }
}

impl<T> OrFailed<T> for Result<T, PoolError<tokio_postgres::Error>> {
    fn or_failed(self, doing: &str) -> Result<T, Fault> {
        self.map_err(|error| Fault::caused(doing, Failure { told: told(&error) }))
    }
}
