//! The command line: one subcommand per deed of an operator. Prints for people, exits non-zero with what to do next.

#![expect(clippy::print_stdout, reason = "a command line prints its results")]
#![expect(clippy::print_stderr, reason = "a command line prints its errors")]

mod commands;

use clap::{Parser, Subcommand};
use neurosphere::graphql;
use std::process::ExitCode;

/// `NeuroSphere`: AI agents that answer the telephone, for many businesses, each on its own.
#[derive(Parser)]
#[command(version, about, long_about = None, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service: GraphQL API, voice gateway and workers, or one of them
    Serve(commands::serve::Serve),
    /// Set up roles, migrate the control plane and every tenant, publish the built-in templates
    Migrate(commands::migrate::Migrate),
    /// Make, list, change and close tenants
    #[command(subcommand)]
    Tenant(Box<commands::tenant::Tenant>),
    /// Invite, list and remove the people of a tenant
    #[command(subcommand)]
    Member(commands::member::Member),
    /// Add, list and disable the platform's own team
    #[command(subcommand)]
    Operator(commands::operator::Operator),
    /// Print and verify the audit log
    #[command(subcommand)]
    Audit(commands::audit::Audit),
    /// List and make industry templates
    #[command(subcommand)]
    Template(commands::template::Template),
    /// Print a GraphQL schema, as it stands in graphql/
    Schema {
        /// The platform's own, for operators, instead of the tenants'
        #[arg(long)]
        platform: bool,
        /// As a document for people, as it stands in docs/api/
        #[arg(long)]
        markdown: bool,
    },
    /// Check everything that the service needs, and say what to do where it is missing
    Doctor,
    /// Two businesses, three calls, and the proof that they share nothing
    Demo(commands::demo::Demo),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    neurosphere::app::install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(run(command)) {
        Ok(code) => code,
        Err(message) => failed(&message),
    }
}

/// The error is what a person should read.
async fn run(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Migrate(migrate) => migrate.run().await,
        Command::Tenant(tenant) => tenant.run().await,
        Command::Member(member) => member.run().await.map(|()| ExitCode::SUCCESS),
        Command::Operator(operator) => operator.run().await,
        Command::Audit(audit) => audit.run().await,
        Command::Template(template) => template.run().await,
        Command::Schema { platform, markdown } => {
            let (sdl, title) = if platform {
                (graphql::platform::sdl(), graphql::platform::TITLE)
            } else {
                (graphql::sdl(), graphql::TITLE)
            };
            let written = if markdown { graphql::reference::markdown(title, &sdl) } else { Ok(sdl) };
            print!("{}", written.map_err(|error| error.to_string())?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor => commands::doctor::run().await,
        Command::Demo(demo) => demo.run().await,
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("neurosphere: {message}");
    ExitCode::FAILURE
}
