//! All that happened in one call, in order, as JSON lines that can be read while it goes on. Owns their common part
//! (`at_ms` from the call's beginning, and `event`); knows nothing of what they tell.

use futures_util::Stream;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;

/// Lines kept of one call; what comes after is counted only.
const LINES_MAX: usize = 200_000;

pub(crate) struct Timeline {
    inside: Mutex<Inside>,
    grown: watch::Sender<Reach>,
}

struct Inside {
    began: Instant,
    lines: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Default)]
struct Reach {
    lines: usize,
    ended: bool,
}

impl Timeline {
    pub(crate) fn new() -> Timeline {
        let inside = Inside { began: Instant::now(), lines: Vec::new() };
        Timeline { inside: Mutex::new(inside), grown: watch::Sender::new(Reach::default()) }
    }

    /// The call begins now: what was prepared before does not count.
    pub(crate) fn begin(&self) {
        self.inside().began = Instant::now();
    }

    pub(crate) fn began(&self) -> Instant {
        self.inside().began
    }

    pub(crate) fn now_ms(&self) -> u64 {
        milliseconds_since(self.began())
    }

    /// Adds a line; the detail is an object whose fields follow `at_ms` and `event`.
    pub(crate) fn record(&self, event: &str, detail: &Value) {
        let mut inside = self.inside();
        if LINES_MAX <= inside.lines.len() {
            return;
        }
        let head = json!({ "at_ms": milliseconds_since(inside.began), "event": event }).to_string();
        let line = match detail.to_string().strip_prefix('{') {
            None | Some("}") => head,
            Some(fields) => format!("{},{fields}", head.trim_end_matches('}')),
        };
        inside.lines.push(line.into());
        let lines = inside.lines.len();
        drop(inside);
        self.grown.send_modify(|reach| reach.lines = lines);
    }

    /// Nothing follows: readers come to the end.
    pub(crate) fn end(&self) {
        self.grown.send_modify(|reach| reach.ended = true);
    }

    pub(crate) fn lines(&self) -> Vec<Arc<str>> {
        self.inside().lines.clone()
    }

    /// Every line from the first on, until the end.
    pub(crate) fn follow(self: Arc<Timeline>) -> impl Stream<Item = Arc<str>> + Send + 'static {
        let grown = self.grown.subscribe();
        futures_util::stream::unfold((self, grown, 0), |(timeline, mut grown, read)| async move {
            let reach = *grown.wait_for(|reach| read < reach.lines || reach.ended).await.ok()?;
            if reach.lines <= read {
                return None;
            }
            let line = timeline.inside().lines.get(read).map(Arc::clone)?;
            Some((line, (timeline, grown, read + 1)))
        })
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn readers_see_every_line_once_and_the_end() {
        let timeline = Arc::new(Timeline::new());
        timeline.record("early", &json!({}));
        let reader = Arc::clone(&timeline).follow().map(|line| line.to_string()).collect::<Vec<_>>();
        let writer = async {
            tokio::time::sleep(Duration::from_millis(40)).await;
            timeline.record("late", &json!({ "n": 1 }));
            timeline.end();
        };
        let (lines, ()) = tokio::join!(reader, writer);
        assert_eq!(lines, [r#"{"at_ms":0,"event":"early"}"#, r#"{"at_ms":40,"event":"late","n":1}"#]);
    }
}
