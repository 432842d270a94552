//! Logs and metrics: set up once per process. Must never decide what is worth logging; private values never come here,
//! because the types that hold them print redacted.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
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
pub fn filter(directives: &str) -> Result<EnvFilter, Fault> {
    let mut filter = EnvFilter::try_new(directives).or_fault("read LOG")?;
    for library in TALKATIVE {
        let quiet = format!("{library}=info").parse().or_fault("read LOG")?;
        filter = filter.add_directive(quiet);
    }
    Ok(filter)
}

/// Sends logs to standard error, as text or as JSON lines.
pub fn init_logs(config: &config::Telemetry) -> Result<(), Fault> {
    let filter = filter(&config.filter)?;
    let base = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    if config.json {
        base.with(lines.json()).try_init().or_fault("set up logs")
    } else {
        base.with(lines.compact()).try_init().or_fault("set up logs")
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
