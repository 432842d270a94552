//! What a test's own thread logs and counts, and nobody else.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// The log lines and metrics of this thread, while it lives.
pub(crate) struct Witness {
    pub(crate) lines: Lines,
    pub(crate) metrics: PrometheusHandle,
    _log: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines that say this, for people.
    pub(crate) fn that_say(&self, what: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }
}

impl Witness {
    /// Runs a test with its own witness.
    pub(crate) fn watch(test: impl AsyncFnOnce(&Witness)) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let recorder = PrometheusBuilder::new().build_recorder();
        let witness =
            Witness { lines, metrics: recorder.handle(), _log: tracing::subscriber::set_default(subscriber) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        metrics::with_local_recorder(&recorder, || runtime.block_on(test(&witness)));
    }
}
