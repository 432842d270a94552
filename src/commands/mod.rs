//! The subcommands, one file each. They read the environment, call an operation and print what came of it.

pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod template;
pub(crate) mod tenant;

use neurosphere::clock::Clock;
use neurosphere::config::Operations;
use neurosphere::db::Db;
use neurosphere::db::tenancy::Owner;
use neurosphere::error::{Error, Fault};
use std::fmt::Write as _;

/// What the commands of an operator work with: the owner's connection, and the pool of the login role.
pub(crate) struct Desk {
    pub(crate) operations: Operations,
    pub(crate) owner: Owner,
    pub(crate) db: Db,
}

impl Desk {
    pub(crate) async fn open() -> Result<Self, String> {
        let operations = Operations::from_env().map_err(|mistakes| mistakes.to_string())?;
        let owner = Owner::connect(&operations.database).await.map_err(|fault| {
            format!("{}\nIs Postgres running? `scripts/setup` starts the local one; DATABASE_URL names any other.", fault.chain())
        })?;
        let db = Db::new(&operations.database, &operations.master_key, Clock::system()).map_err(told)?;
        Ok(Self { operations, owner, db })
    }
}

/// A fault, for a person at the command line.
#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
pub(crate) fn told(fault: Fault) -> String {
    fault.chain()
}

/// A refusal or a fault, for a person at the command line.
pub(crate) fn refused(error: Error) -> String {
    match error {
        Error::Fault(fault) => fault.chain(),
        Error::Invalid(violations) => {
            violations.iter().fold("the input breaks a rule:".to_owned(), |mut text, broken| {
                write!(text, "\n  {}: {}", broken.path, broken.message).ok();
                text
            })
        }
        other @ (Error::Forbidden | Error::NotFound(_) | Error::Conflict { .. }) => other.to_string(),
    }
}
