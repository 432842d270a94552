//! How what goes wrong is told. A refusal of a mutation is data of its payload ([`UserError`]); what a query cannot
//! answer, and every fault, is an error with `extensions.code`. A fault is logged here, once, and never described to
//! whoever asked.

use async_graphql::{ErrorExtensions as _, SimpleObject};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Fault};

/// The code of a fault.
pub const INTERNAL: &str = "INTERNAL";

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
        Self::from(Error::Fault(fault))
    }
}

impl From<Problem> for async_graphql::Error {
    fn from(Problem(error): Problem) -> Self {
        let message = match error.as_ref() {
            Error::Fault(fault) => {
                tracing::error!(fault = fault.chain(), "a GraphQL request failed");
                "Something went wrong on our side; give the request id to support.".to_owned()
            }
            Error::Invalid(violations) => {
                let lines: Vec<_> = violations.iter().map(|v| format!("{} {}", v.path, v.message)).collect();
                lines.join("; ")
            }
            Error::Forbidden | Error::NotFound(_) | Error::Conflict { .. } => error.to_string(),
        };
        async_graphql::Error::new(message).extend_with(|_, extensions| extensions.set("code", code(&error)))
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

/// A refusal as the errors of a payload; a fault stays a fault.
pub(super) fn refusal(error: Error) -> Result<Vec<UserError>, Problem> {
    let code = code(&error);
    let one = |message: String| vec![UserError { code: code.clone(), message, field: None }];
    match error {
        Error::Fault(_) => Err(error.into()),
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
        Err(error @ (Error::Forbidden | Error::Invalid(_) | Error::Conflict { .. } | Error::Fault(_))) => {
            Err(error.into())
        }
    }
}
