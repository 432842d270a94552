//! The subcommands, one file each. They read the environment, call an operation and print what came of it.

pub(crate) mod audit;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod member;
pub(crate) mod migrate;
pub(crate) mod operator;
pub(crate) mod serve;
pub(crate) mod template;
pub(crate) mod tenant;
pub(crate) mod tenant_audit;
pub(crate) mod tenant_key;

use indicatif::{ProgressBar, ProgressStyle};
use neurosphere::access::{Actor, PlatformScope, Role};
use neurosphere::clock::Clock;
use neurosphere::config::Operations;
use neurosphere::db::Db;
use neurosphere::db::owner::Owners;
use neurosphere::db::tx::PlatformTx;
use neurosphere::error::{Error, Fault};
use std::fmt::Write as _;
use std::time::Duration;

/// What the commands of an operator work with: the right of whoever is at the server's command line, the owners'
/// connections, and the pool of the login role.
pub(crate) struct Desk {
    pub(crate) operations: Operations,
    pub(crate) owners: Owners,
    pub(crate) db: Db,
}

impl Desk {
    /// Who is at the command line.
    pub(crate) fn scope() -> PlatformScope {
        PlatformScope::mint(Actor::CommandLine, Role::Operator)
    }

    pub(crate) fn open() -> Result<Self, String> {
        let operations = Operations::from_env().map_err(|mistakes| mistakes.to_string())?;
        let owners = Owners::of(&operations.database).map_err(told)?;
        let owners = owners.ok_or("DATABASE_URL is not set: this command needs the owner's connection")?;
        let db = Db::new(&operations.database, &operations.master_key, Clock::system()).map_err(told)?;
        Ok(Self { operations, owners, db })
    }

    /// Begins a transaction on the control plane for whoever is at the command line.
    pub(crate) async fn begin(&self) -> Result<PlatformTx, String> {
        self.db.operate(&Self::scope()).await.map_err(|fault| {
            format!(
                "{}\nIs Postgres running, and migrated? `scripts/setup` starts the local one, `neurosphere migrate` \
                 prepares it; DATABASE_URL names any other.",
                fault.chain()
            )
        })
    }
}

/// A bar on a terminal; nothing where the output goes to a file.
pub(crate) fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos}/{len} {per_sec} {eta} {msg}");
    let bar = ProgressBar::new(0);
    bar.enable_steady_tick(Duration::from_millis(200));
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// A fault, for a person at the command line.
#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
pub(crate) fn told(fault: Fault) -> String {
    fault.chain()
}

/// A refusal or a fault, for a person at the command line.
pub(crate) fn refused(error: Error) -> String {
    match error {
        Error::Invalid(violations) => {
            violations.iter().fold("the input breaks a rule:".to_owned(), |mut text, broken| {
                write!(text, "\n  {}: {}", broken.path, broken.message).ok();
                text
            })
        }
        other @ (Error::Forbidden
        | Error::NotFound(_)
        | Error::Conflict { .. }
        | Error::Busy { .. }
        | Error::TimedOut(_)
        | Error::Fault(_)) => other.chain(),
    }
}
