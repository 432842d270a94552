//! How what goes wrong is told. A refusal of a mutation is data of its payload ([`UserError`]); what a query cannot
//! answer, and every fault, is an error with `extensions.code`. A fault is logged here, once, and never described to
//! whoever asked. What there is no room for now is an error too, also of a mutation: nothing is wrong with the input, and
//! `extensions.retryAfterSeconds` says when the same request is worth another try.

use async_graphql::{ErrorExtensions as _, SimpleObject};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Fault};

/// The code of a fault.
pub const INTERNAL: &str = "INTERNAL";
/// Where an error says when the same request is worth another try.
pub const RETRY_AFTER: &str = "retryAfterSeconds";

/// An error on its way into an answer.
#[derive(Debug, Clone)]
pub struct Problem(Arc<Error>);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::from(Error::from(fault))
    }
}

impl Problem {
    /// When it is worth another try, if there was no room.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self.0.as_ref() {
            Error::Busy { retry_after } => Some(*retry_after),
            Error::Forbidden
            | Error::NotFound(_)
            | Error::Invalid(_)
            | Error::Conflict { .. }
            | Error::TimedOut(_)
            | Error::Fault(_) => None,
        }
    }
}

/// Whole seconds, at least one: sooner than it is said, nothing is worth a try.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(0 < wait.subsec_nanos() || wait.is_zero())
}

impl From<Problem> for async_graphql::Error {
    fn from(problem: Problem) -> Self {
        let retry_after = problem.retry_after();
        let Problem(error) = problem;
        let message = match error.as_ref() {
            Error::Fault(fault) => {
                tracing::error!(fault = fault.chain(), "a GraphQL request failed");
                "Something went wrong on our side; give the request id to support.".to_owned()
            }
            Error::Invalid(violations) => {
                let lines: Vec<_> = violations.iter().map(|v| format!("{} {}", v.path, v.message)).collect();
                lines.join("; ")
            }
            Error::Forbidden
            | Error::NotFound(_)
            | Error::Conflict { .. }
            | Error::Busy { .. }
            | Error::TimedOut(_) => error.to_string(),
        };
        async_graphql::Error::new(message).extend_with(|_, extensions| {
            extensions.set("code", code(&error));
            if let Some(wait) = retry_after {
                extensions.set(RETRY_AFTER, whole_seconds(wait));
            }
        })
    }
}

/// Why a mutation was refused. Nothing was changed.
#[derive(Debug, SimpleObject)]
pub(super) struct UserError {
    /// A stable code to match on, e.g. `INVALID`, `NOT_FOUND` or `FORBIDDEN`.
    code: String,
    /// What is wrong and what to do, for people.
    message: String,
    /// Which input is meant: the name of a field, or a JSON Pointer into a document; absent when it is the whole.
    field: Option<String>,
}

/// A refusal as the errors of a payload; a fault stays a fault, and what there is no room for is no matter of the input.
pub(super) fn refusal(error: Error) -> Result<Vec<UserError>, Problem> {
    let code = code(&error);
    let one = |message: String| vec![UserError { code: code.clone(), message, field: None }];
    match error {
        Error::Busy { .. } | Error::TimedOut(_) | Error::Fault(_) => Err(error.into()),
        Error::Invalid(violations) => Ok(violations
            .into_iter()
            .map(|v| UserError {
                code: code.clone(),
                message: v.message,
                field: Some(v.path).filter(|p| !p.is_empty()),
            })
            .collect()),
        Error::Conflict { message, .. } => Ok(one(message)),
        Error::Forbidden | Error::NotFound(_) => Ok(one(error.to_string())),
    }
}

fn code(error: &Error) -> String {
    error.code().to_ascii_uppercase()
}

/// An id from the wire; what is no id of that kind names nothing.
pub(super) fn id<T: FromStr>(text: &async_graphql::ID, kind: &'static str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::NotFound(kind))
}

/// Nothing instead of an error, for a query that asks for one thing by its id.
pub(super) fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Problem> {
    match result {
        Ok(thing) => Ok(Some(thing)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(
            error @ (Error::Forbidden
            | Error::Invalid(_)
            | Error::Conflict { .. }
            | Error::Busy { .. }
            | Error::TimedOut(_)
            | Error::Fault(_)),
        ) => Err(error.into()),
    }
}
