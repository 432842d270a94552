//! Logs and metrics: set up once per process. Must never decide what is worth logging; private values never come here,
//! because the types that hold them print redacted.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;
use crate::error::{Fault, OrFault as _};

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Libraries that log what passes through them, statements and frames, once they are asked to be talkative.
const TALKATIVE: [&str; 8] = [
    "async_graphql",
    "h2",
    "hickory_net",
    "hyper",
    "reqwest",
    "tokio_postgres",
    "tokio_tungstenite",
    "tungstenite",
];

/// What `LOG` lets through. However talkative it wants to be, libraries that would log people's words stay quiet.
pub fn filter<S: Subscriber>(directives: &str) -> Result<impl Filter<S> + use<S>, Fault> {
    let asked = EnvFilter::try_new(directives).or_fault("read LOG")?;
    let discreet =
        |metadata: &Metadata<'_>| *metadata.level() <= Level::INFO || !is_talkative(metadata.target());
    Ok(asked.and(filter_fn(discreet)))
}

fn is_talkative(target: &str) -> bool {
    let library = target.split("::").next().unwrap_or(target);
    TALKATIVE.contains(&library)
}

/// Sends logs to standard error, as text or as JSON lines.
pub fn init_logs(config: &config::Telemetry) -> Result<(), Fault> {
    let filter = filter(&config.filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let base = tracing_subscriber::registry();
    if config.json {
        base.with(lines.json().with_filter(filter)).try_init().or_fault("set up logs")
    } else {
        base.with(lines.compact().with_filter(filter)).try_init().or_fault("set up logs")
    }
}

/// The process's metrics; recording begins with the first call.
pub fn metrics() -> Result<PrometheusHandle, Fault> {
    if let Some(handle) = METRICS.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
        .or_fault("set up metrics")?
        .build_recorder();
    let handle = METRICS.get_or_init(|| recorder.handle()).clone();
    // Somebody else in this process was first: then theirs records, and this handle shows nothing.
    drop(metrics::set_global_recorder(recorder));
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What of four events is logged under these directives.
    fn logged(directives: &str) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry()
            .with(layer.without_time().with_filter(filter(directives).unwrap()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "neurosphere::calls", "ours");
            tracing::info!(target: "tokio_postgres::connection", "a notice");
            tracing::debug!(target: "tokio_postgres::query", "a statement");
            tracing::warn!(target: "hyper", "a warning");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.rsplit(": ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn no_directive_makes_a_library_tell_statements() {
        assert_eq!(logged("trace"), ["ours", "a notice", "a warning"]);
        assert_eq!(logged("warn,tokio_postgres::query=trace"), ["a warning"]);
    }

    #[test]
    fn nobody_is_louder_than_was_asked() {
        assert_eq!(logged("warn"), ["a warning"]);
        assert_eq!(logged("warn,neurosphere=trace"), ["ours", "a warning"]);
        assert!(filter::<tracing_subscriber::Registry>("neurosphere=loud").is_err());
    }
}
