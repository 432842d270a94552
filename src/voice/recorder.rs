//! Writes what is kept of a call, in batches, off the audio path. Postgres may be gone for a while: what waits is bounded,
//! tried again with growing pauses, after the call too, and in the end written or reported as lost, never silently. Must
//! never know what a record means.

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ending::EndReason;
use super::record::{self, Record};
use crate::access::TenantScope;
use crate::calls;
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::ids::CallId;

/// How much may wait for Postgres, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many records may wait on their way from the call to its recorder.
    pub queue_max: usize,
    /// How many records may wait for Postgres.
    pub waiting_max: usize,
    /// How many records are gathered before they are written.
    pub batch_max: usize,
    /// How long a batch is gathered.
    pub gather_max: Duration,
    /// How long Postgres may take to write a batch.
    pub attempt_max: Duration,
    /// The first pause between tries.
    pub pause_min: Duration,
    /// The longest pause between tries.
    pub pause_max: Duration,
    /// How long after a call its records are tried to be written.
    pub after_call_max: Duration,
    /// How long once the process wants to stop.
    pub after_stop_max: Duration,
}

impl Limits {
    /// Enough for a database that is restarted or moved.
    pub const STANDARD: Self = Self {
        queue_max: 4_096,
        waiting_max: 20_000,
        batch_max: 500,
        gather_max: Duration::from_millis(200),
        attempt_max: Duration::from_secs(4),
        pause_min: Duration::from_millis(250),
        pause_max: Duration::from_secs(10),
        after_call_max: Duration::from_mins(10),
        after_stop_max: Duration::from_secs(5),
    };
}

/// Where the call puts its records; never waits.
pub(super) struct Recorder {
    records: mpsc::Sender<Record>,
    lost: Lost,
}

impl Recorder {
    /// Takes a record; what does not fit is counted as lost.
    pub(super) fn keep(&self, record: Record) {
        if self.records.try_send(record).is_err() {
            self.lost.add(1);
        }
    }
}

/// Whose records are written, and where.
pub(super) struct Book {
    pub(super) db: Db,
    pub(super) scope: TenantScope,
    pub(super) call: CallId,
    pub(super) limits: Limits,
    /// The process wants to stop.
    pub(super) stop: CancellationToken,
}

/// The other half of a [`Recorder`].
pub(super) struct Writer {
    book: Book,
    records: mpsc::Receiver<Record>,
    turns: Vec<calls::Turn>,
    events: Vec<calls::Event>,
    turns_count: i32,
    events_count: i32,
    lost: Lost,
}

/// A recorder for a call.
pub(super) fn open(book: Book) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(book.limits.queue_max);
    let lost = Lost::default();
    let writer = Writer {
        book,
        records: receiver,
        turns: Vec::new(),
        events: Vec::new(),
        turns_count: 0,
        events_count: 0,
        lost: lost.clone(),
    };
    (Recorder { records: sender, lost }, writer)
}

/// How many records of a call are lost; both halves count.
#[derive(Clone, Default)]
struct Lost(Arc<AtomicU64>);

impl Lost {
    fn add(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.0.fetch_add(records, Ordering::Relaxed);
        metrics::counter!("neurosphere_call_records_lost_total").increment(records);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Writes until the recorder is dropped, and then ends the call, for the reason that `ended` gives by then.
    pub(super) async fn run(mut self, ended: oneshot::Receiver<EndReason>) {
        let limits = self.book.limits;
        let mut pause = limits.pause_min;
        while self.gather().await {
            match self.write(None).await {
                Ok(()) => pause = limits.pause_min,
                Err(error) => {
                    self.complain(&error, pause);
                    self.wait(pause).await;
                    pause = (pause * 2).min(limits.pause_max);
                }
            }
        }
        // Without a word from the driver the call broke off: it panicked, or was dropped.
        let reason = ended.await.map_or("gateway_lost", EndReason::code);
        self.conclude(reason).await;
    }

    /// Waits for records and gathers what comes close after. False once none will come.
    async fn gather(&mut self) -> bool {
        if self.waiting() == 0 {
            match self.records.recv().await {
                Some(record) => self.note(record),
                None => return false,
            }
        }
        let until = Instant::now() + self.book.limits.gather_max;
        while self.waiting() < self.book.limits.batch_max {
            match timeout_at(until, self.records.recv()).await {
                Ok(Some(record)) => self.note(record),
                Ok(None) => return false,
                Err(_) => break,
            }
        }
        true
    }

    /// Lets time pass, taking in records meanwhile.
    async fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while let Ok(Some(record)) = timeout_at(until, self.records.recv()).await {
            self.note(record);
        }
    }

    /// Writes the rest together with the end of the call, for as long as there is patience; says what is lost.
    async fn conclude(&mut self, reason: &str) {
        let (call, waiting) = (self.book.call, self.waiting());
        let patience = patience(self.book.limits, self.book.stop.clone());
        let written = tokio::select! {
            () = self.end(reason) => true,
            () = patience => false,
        };
        if !written {
            self.lost.add(waiting);
            tracing::error!(%call, reason, "the end of a call could not be written");
        }
        let records = self.lost.count();
        if 0 < records {
            tracing::error!(%call, records, "records of a call are lost");
        }
    }

    /// Tries until it is done. A process that stops is worth one more try at once.
    async fn end(&mut self, reason: &str) {
        self.note_loss();
        let limits = self.book.limits;
        let mut pause = limits.pause_min;
        let stop = self.book.stop.clone();
        while let Err(error) = self.write(Some(reason)).await {
            self.complain(&error, pause);
            if stop.is_cancelled() {
                sleep(pause).await;
            } else {
                // Either is a reason to look again.
                drop(timeout(pause, stop.cancelled()).await);
            }
            pause = (pause * 2).min(limits.pause_max);
        }
    }

    /// Whoever reads the call's log shall see that it is not whole.
    fn note_loss(&mut self) {
        let records = self.lost.count();
        if records == 0 {
            return;
        }
        self.events_count += 1;
        self.events.push(calls::Event {
            sequence: self.events_count,
            at_ms: self.events.last().map_or(0, |last| last.at_ms),
            leg: calls::Leg::Gateway,
            kind: "records.lost".to_owned(),
            data: json!({ "records": records }),
        });
    }

    /// Writes what waits, and the end of the call where there is a reason for it.
    async fn write(&mut self, ended: Option<&str>) -> Result<(), Error> {
        let writing = timeout(self.book.limits.attempt_max, self.try_to_write(ended)).await;
        writing.unwrap_or_else(|_| Err(Fault::new("write the records of a call in time").into()))?;
        self.turns.clear();
        self.events.clear();
        Ok(())
    }

    async fn try_to_write(&self, ended: Option<&str>) -> Result<(), Error> {
        let mut session = self.book.db.tenant(&self.book.scope).await?;
        let mut tx = session.begin().await?;
        calls::record(&mut tx, self.book.call, &self.turns, &self.events).await?;
        if let Some(reason) = ended {
            calls::end(&mut tx, self.book.call, reason).await?;
        }
        Ok(tx.commit().await?)
    }

    fn waiting(&self) -> usize {
        self.turns.len() + self.events.len()
    }

    fn note(&mut self, record: Record) {
        if self.book.limits.waiting_max <= self.waiting() {
            self.lost.add(1);
            return;
        }
        match record {
            Record::Turn(turn) => {
                self.turns_count += 1;
                self.turns.push(turn_row(self.turns_count, turn));
            }
            Record::Event(event) => {
                self.events_count += 1;
                self.events.push(event_row(self.events_count, event));
            }
        }
    }

    fn complain(&self, error: &Error, pause: Duration) {
        let (call, waiting) = (self.book.call, self.waiting());
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(%call, waiting, pause_ms, fault = error.chain(), "records of a call wait for Postgres");
    }
}

/// Ends when nothing more is tried: long after the call, or soon after the process wants to stop.
async fn patience(limits: Limits, stop: CancellationToken) {
    let stopped = async {
        stop.cancelled().await;
        sleep(limits.after_stop_max).await;
    };
    tokio::select! {
        () = sleep(limits.after_call_max) => {}
        () = stopped => {}
    }
}

fn turn_row(sequence: i32, turn: record::Turn) -> calls::Turn {
    calls::Turn {
        sequence,
        speaker: match turn.speaker {
            record::Speaker::Caller => calls::Speaker::Caller,
            record::Speaker::Keypad => calls::Speaker::Keypad,
            record::Speaker::Agent => calls::Speaker::Agent,
            record::Speaker::Tool => calls::Speaker::Tool,
        },
        text: without_nul(turn.text),
        started_ms: column(turn.started_ms),
        ended_ms: column(turn.ended_ms),
        heard_ms: turn.heard.map(|heard| column(heard.heard_ms)),
        interrupted: turn.heard.is_some_and(|heard| heard.interrupted),
    }
}

fn event_row(sequence: i32, event: record::Event) -> calls::Event {
    let (leg, sent) = match event.leg {
        record::Leg::FromCarrier => (calls::Leg::Carrier, Some(false)),
        record::Leg::ToCarrier => (calls::Leg::Carrier, Some(true)),
        record::Leg::FromModel => (calls::Leg::Model, Some(false)),
        record::Leg::ToModel => (calls::Leg::Model, Some(true)),
        record::Leg::Call => (calls::Leg::Gateway, None),
    };
    let mut data = match without_nuls(event.data) {
        Value::Object(data) => data,
        Value::Null => serde_json::Map::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            serde_json::Map::from_iter([("value".to_owned(), other)])
        }
    };
    if let Some(sent) = sent {
        data.insert("sent".to_owned(), json!(sent));
    }
    calls::Event {
        sequence,
        at_ms: column(event.at_ms),
        leg,
        kind: without_nul(event.kind.into_owned()),
        data: Value::Object(data),
    }
}

fn column(ms: u64) -> i32 {
    i32::try_from(ms).unwrap_or(i32::MAX)
}

/// Postgres stores no NUL, neither in text nor in JSON; one of them would hold up every record after it.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

fn without_nuls(data: Value) -> Value {
    match data {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nuls).collect()),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(key, value)| (without_nul(key), without_nuls(value))).collect(),
        ),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_nothing_that_postgres_refuses() {
        let row = event_row(
            7,
            record::Event {
                at_ms: u64::MAX,
                leg: record::Leg::FromModel,
                kind: "a\0b".into(),
                data: json!({"x\0": ["\0", 1]}),
            },
        );
        assert_eq!((row.sequence, row.at_ms, row.leg), (7, i32::MAX, calls::Leg::Model));
        assert_eq!(row.kind, "a\u{FFFD}b");
        assert_eq!(row.data, json!({"x\u{FFFD}": ["\u{FFFD}", 1], "sent": false}));
        let turn = record::Turn {
            speaker: record::Speaker::Agent,
            text: "Hi\0".to_owned(),
            started_ms: 1,
            ended_ms: 2,
            heard: Some(record::Heard { heard_ms: 3, sent_ms: 4, interrupted: true }),
        };
        let row = turn_row(1, turn);
        assert_eq!((row.text.as_str(), row.heard_ms, row.interrupted), ("Hi\u{FFFD}", Some(3), true));
    }
}
