//! Times and memory: percentiles, processor time of a process, resident memory.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Times of many requests of one kind.
#[derive(Default)]
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    /// Times one request.
    pub(crate) async fn time<T>(&mut self, request: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = request.await;
        self.0.push(began.elapsed());
        answer
    }

    /// Adds what one request took.
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn join(all: impl IntoIterator<Item = Self>) -> Self {
        Self(all.into_iter().flat_map(|one| one.0).collect())
    }

    /// Half of them took at most so long, 99 of 100 at most so long.
    pub(crate) fn told(mut self) -> Value {
        self.0.sort_unstable();
        let at = |hundredths: usize| {
            let place = (self.0.len() * hundredths).div_ceil(100).saturating_sub(1);
            self.0.get(place).map(|time| time.as_secs_f64() * 1_000.0)
        };
        json!({ "count": self.0.len(), "p50_ms": at(50), "p99_ms": at(99) })
    }
}

/// The processes of the Postgres server, as `SERVER_PID` names its first; none where it is not on this machine.
fn postgres() -> Vec<String> {
    let Ok(first) = std::env::var("SERVER_PID") else { return Vec::new() };
    let children =
        std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).chain([first]).collect()
}

/// Processor time that Postgres has used, its processes that are there now and those that have ended, in milliseconds.
pub(crate) fn postgres_cpu_ms() -> f64 {
    let living: f64 = postgres().iter().map(|pid| cpu_ms(&format!("/proc/{pid}"))).sum();
    living + std::env::var("SERVER_PID").map_or(0.0, |first| ended_cpu_ms(&first))
}

/// What the children of a process used that have ended: the 14th and 15th number after its name, in hundredths.
fn ended_cpu_ms(pid: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let numbers = fields.split_whitespace().skip(13).take(2);
    numbers.filter_map(|number| number.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Processor time that this process has used, all its threads together, in milliseconds.
pub(crate) fn own_cpu_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads.flatten().map(|thread| cpu_ms(thread.path().to_str().unwrap())).sum()
}

fn cpu_ms(place: &str) -> f64 {
    let text = std::fs::read_to_string(format!("{place}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// Memory that the processes of Postgres have each for itself, in megabytes.
pub(crate) fn postgres_mb() -> f64 {
    postgres().iter().map(|pid| own_mb(pid)).sum()
}

/// Memory that this process has for itself, in megabytes.
pub(crate) fn server_mb() -> f64 {
    own_mb("self")
}

fn own_mb(pid: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let own = ["Private_Clean:", "Private_Dirty:"].iter().map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0)
    });
    own.sum::<f64>() / 1_024.0
}
