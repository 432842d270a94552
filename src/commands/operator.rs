//! `neurosphere operator`.

use clap::Subcommand;
use neurosphere::operators;
use std::process::ExitCode;

use super::{Desk, refused, told};

#[derive(Subcommand)]
pub(crate) enum Operator {
    /// Add somebody of the platform's own team; prints the key for the platform's API, once
    Create {
        /// What colleagues call them; the audit log names them
        name: String,
    },
    /// Take an operator's rights and keys away, at once and for good
    Disable {
        /// Their name
        name: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// List operators
    List,
}

impl Operator {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let desk = Desk::open()?;
        let mut tx = desk.begin().await?;
        match self {
            Self::Create { name } => {
                let (operator, key) = operators::create(&mut tx, &name).await.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("operator  {}  {}", operator.id, operator.name);
                println!("key       {}   (shown this once)", key.reveal());
            }
            Self::Disable { name, reason } => {
                let operator = operators::disable(&mut tx, &name, &reason).await.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("{} ({}) may do nothing any more", operator.name, operator.id);
            }
            Self::List => {
                for operator in operators::list(&mut tx).await.map_err(refused)? {
                    let state = if operator.disabled_at.is_some() { "disabled" } else { "active" };
                    println!("{:<36} {state:<9} {}", operator.id.to_string(), operator.name);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
