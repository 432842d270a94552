//! `neurosphere serve`.

use clap::{Args, ValueEnum};
use neurosphere::app::{App, Only};
use neurosphere::clock::Clock;
use neurosphere::config::Config;
use neurosphere::telemetry;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the service until SIGTERM or SIGINT; calls under way may finish.
#[derive(Args)]
pub(crate) struct Serve {
    /// Run one part alone; the same program scales out that way
    #[arg(long)]
    only: Option<Part>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// GraphQL
    Api,
    /// Webhooks and media streams
    Voice,
    /// Queued jobs
    Work,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let config = Config::from_env().map_err(|mistakes| mistakes.to_string())?;
        telemetry::init_logs(&config.telemetry).map_err(super::told)?;
        let only = match self.only {
            None => Only::Everything,
            Some(Part::Api) => Only::Api,
            Some(Part::Voice) => Only::Voice,
            Some(Part::Work) => Only::Work,
        };
        let public = config.http.public_url.clone();
        let app = App::new(config, Clock::system()).map_err(super::told)?;
        let running = app.start(only).await.map_err(super::told)?;
        println!("listening on http://{}  (carriers reach us at {public})", running.address);
        let unheard = |error: std::io::Error| format!("cannot listen for signals: {error}");
        let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        println!("stopping: calls under way may finish");
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
