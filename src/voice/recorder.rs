//! Writes what is kept of a call, in batches, off the audio path. Postgres may be gone for a while: what waits is bounded,
//! tried again with growing pauses, after the call too, and in the end written or reported as lost, never silently. Must
//! never know what a record means.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ending::EndReason;
use super::record::{self, Record};
use crate::access::TenantScope;
use crate::calls;
use crate::db::Db;
use crate::error::Error;
use crate::ids::CallId;

/// How many records may wait on their way from the call to its recorder.
const QUEUE_MAX: usize = 4_096;
/// How many records may wait for Postgres.
const WAITING_MAX: usize = 20_000;
/// How many records are written at once.
const BATCH_MAX: usize = 500;
/// How long a batch is gathered.
const GATHER: Duration = Duration::from_millis(200);
/// The first and the longest pause between tries.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long after a call its records are tried to be written.
const AFTER_CALL_MAX: Duration = Duration::from_mins(10);
/// How long once the process wants to stop.
const AFTER_STOP_MAX: Duration = Duration::from_secs(5);

/// Where the call puts its records; never waits.
pub(super) struct Recorder {
    records: mpsc::Sender<Record>,
}

impl Recorder {
    /// Takes a record; what does not fit is counted as lost.
    pub(super) fn keep(&self, record: Record) {
        if self.records.try_send(record).is_err() {
            lost(1);
        }
    }
}

/// Whose records are written, and where.
pub(super) struct Book {
    pub(super) db: Db,
    pub(super) scope: TenantScope,
    pub(super) call: CallId,
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
    lost: u64,
}

/// A recorder for a call.
pub(super) fn open(book: Book) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let writer = Writer {
        book,
        records: receiver,
        turns: Vec::new(),
        events: Vec::new(),
        turns_count: 0,
        events_count: 0,
        lost: 0,
    };
    (Recorder { records: sender }, writer)
}

impl Writer {
    /// Writes until the recorder is dropped, and then ends the call, for the reason that `ended` gives by then.
    pub(super) async fn run(mut self, ended: tokio::sync::oneshot::Receiver<EndReason>) {
        let mut pause = PAUSE_MIN;
        while self.gather().await {
            match self.write().await {
                Ok(()) => pause = PAUSE_MIN,
                Err(error) => {
                    self.complain(&error, pause);
                    self.wait(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        // Without a word from the driver the call broke off: it panicked, or was dropped.
        let reason = ended.await.map_or("gateway_lost", EndReason::code);
        self.conclude(reason).await;
    }

    /// Waits for records and gathers what comes close after. False once none will come.
    async fn gather(&mut self) -> bool {
        if self.turns.is_empty() && self.events.is_empty() {
            match self.records.recv().await {
                Some(record) => self.note(record),
                None => return false,
            }
        }
        let until = Instant::now() + GATHER;
        while self.turns.len() + self.events.len() < BATCH_MAX {
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

    /// Writes the rest together with the end of the call.
    async fn conclude(&mut self, reason: &str) {
        let ended = Instant::now();
        let mut stopped: Option<Instant> = None;
        let mut pause = PAUSE_MIN;
        loop {
            let Err(error) = self.write_end(reason).await else { break };
            if self.book.stop.is_cancelled() {
                stopped.get_or_insert_with(Instant::now);
            }
            let too_late = AFTER_CALL_MAX <= ended.elapsed()
                || stopped.is_some_and(|stopped| AFTER_STOP_MAX <= stopped.elapsed());
            if too_late {
                self.lost += (self.turns.len() + self.events.len()) as u64;
                let (call, code) = (self.book.call, error.code());
                tracing::error!(%call, reason, code, fault = chain(&error), "the end of a call could not be written");
                break;
            }
            self.complain(&error, pause);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if 0 < self.lost {
            lost(self.lost);
            tracing::error!(call = %self.book.call, records = self.lost, "records of a call are lost");
        }
    }

    async fn write(&mut self) -> Result<(), Error> {
        let mut session = self.book.db.tenant(&self.book.scope).await?;
        let mut tx = session.begin().await?;
        calls::record(&mut tx, self.book.call, &self.turns, &self.events).await?;
        tx.commit().await?;
        self.turns.clear();
        self.events.clear();
        Ok(())
    }

    async fn write_end(&mut self, reason: &str) -> Result<(), Error> {
        let mut session = self.book.db.tenant(&self.book.scope).await?;
        let mut tx = session.begin().await?;
        calls::record(&mut tx, self.book.call, &self.turns, &self.events).await?;
        calls::end(&mut tx, self.book.call, reason).await?;
        tx.commit().await?;
        self.turns.clear();
        self.events.clear();
        Ok(())
    }

    fn note(&mut self, record: Record) {
        if WAITING_MAX <= self.turns.len() + self.events.len() {
            self.lost += 1;
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
        let (call, waiting) = (self.book.call, self.turns.len() + self.events.len());
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(%call, waiting, pause_ms, fault = chain(error), "records of a call wait for Postgres");
    }
}

fn lost(records: u64) {
    metrics::counter!("neurosphere_call_records_lost_total").increment(records);
}

fn chain(error: &Error) -> String {
    match error {
        Error::Fault(fault) => fault.chain(),
        Error::Forbidden | Error::NotFound(_) | Error::Invalid(_) | Error::Conflict { .. } => {
            error.to_string()
        }
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
