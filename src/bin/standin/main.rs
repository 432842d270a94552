//! `standin`: the outside world of a phone platform on one machine. A Twilio that rings, streams and can be called back
//! ([`twilio`]) and an OpenAI that listens and answers by script ([`openai`]), ordered about over a control port
//! ([`control`]), with voices of their own ([`speech`]). It shares no code with the product: what both believe about a
//! wire format is written down twice, and tests compare the two.

mod control;
mod load;
mod openai;
mod relay;
mod serve;
mod speech;
mod tap;
mod twilio;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The stand-in world: Twilio and OpenAI on loopback, for tests, demo and benchmarks.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Load(load::Arguments),
    Relay(relay::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let level = tracing::Level::WARN;
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).init();
    // both TLS users of this program take the process's default
    drop(rustls::crypto::ring::default_provider().install_default());
    let outcome = match Arguments::parse().command {
        Command::Serve(arguments) => serve::serve(arguments).await,
        Command::Load(arguments) => load::load(arguments).await,
        Command::Relay(arguments) => relay::relay(arguments).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!("{problem}");
            ExitCode::FAILURE
        }
    }
}
