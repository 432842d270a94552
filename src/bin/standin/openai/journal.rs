//! What happened to the stand-in model: each session with its events, each HTTP request, and how many sockets are
//! open, so that a test can ask what the product really sent and what survived. Audio is counted, not kept.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

const EVENTS_MAX: usize = 2_000;
const SESSIONS_MAX: usize = 2_000;
const REQUESTS_MAX: usize = 2_000;

/// Clones share it.
#[derive(Clone)]
pub(super) struct Journal(Arc<Shared>);

struct Shared {
    started: Instant,
    /// How many events of a session are kept.
    events_max: usize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    sessions: Vec<Arc<Mutex<Record>>>,
    sessions_seen: u64,
    requests: Vec<Value>,
    requests_seen: u64,
    open: usize,
}

/// One session's page of the journal; dropping it notes that the socket is closed.
pub(super) struct Page {
    journal: Journal,
    pub(super) number: u64,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    number: u64,
    model: String,
    headers: Map<String, Value>,
    opened_ms: u64,
    closed_ms: Option<u64>,
    ended_by: Option<String>,
    audio_in_bytes: usize,
    appends: usize,
    audio_out_bytes: usize,
    settings: Value,
    events: Vec<Value>,
    left_out: usize,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self::keeping(EVENTS_MAX)
    }

    /// A journal that only counts events: nobody reads what hundreds of calls in a load were told.
    pub(super) fn of_counts() -> Self {
        Self::keeping(0)
    }

    fn keeping(events_max: usize) -> Self {
        Self(Arc::new(Shared { started: Instant::now(), events_max, book: Mutex::default() }))
    }

    /// Begins the page of a session that knocks.
    pub(super) fn open(&self, headers: &HeaderMap, model: &str) -> Page {
        let opened_ms = self.now_ms();
        let mut book = self.book();
        book.sessions_seen += 1;
        book.open += 1;
        let number = book.sessions_seen;
        let headers = headers.iter().map(|(name, value)| {
            let value = if name == "authorization" {
                "Bearer (hidden)"
            } else {
                value.to_str().unwrap_or("(binary)")
            };
            (name.to_string(), value.into())
        });
        let record = Record {
            number,
            model: model.to_owned(),
            headers: headers.collect(),
            opened_ms,
            ..Record::default()
        };
        let record = Arc::new(Mutex::new(record));
        if book.sessions.len() < SESSIONS_MAX {
            book.sessions.push(Arc::clone(&record));
        }
        drop(book);
        Page { journal: self.clone(), number, record }
    }

    /// The number of a new HTTP request.
    pub(super) fn next_request(&self) -> u64 {
        let mut book = self.book();
        book.requests_seen += 1;
        book.requests_seen
    }

    pub(super) fn request(&self, number: u64, path: &str, status: u16, body: &Value) {
        let entry =
            json!({ "number": number, "at_ms": self.now_ms(), "path": path, "status": status, "body": body });
        let mut book = self.book();
        if book.requests.len() < REQUESTS_MAX {
            book.requests.push(entry);
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let (sessions, requests, open) = {
            let book = self.book();
            (book.sessions.clone(), book.requests.clone(), book.open)
        };
        let sessions: Vec<Value> = sessions.iter().map(|record| locked(record).to_json()).collect();
        json!({ "now_ms": self.now_ms(), "open_sockets": open, "sessions": sessions, "requests": requests })
    }

    /// Starts the journal, and the numbers, anew; open sockets stay counted.
    pub(super) fn clear(&self) {
        let mut book = self.book();
        *book = Book { open: book.open, ..Book::default() };
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        locked(&self.0.book)
    }
}

impl Page {
    pub(super) fn audio_in(&self, bytes: usize) {
        let mut record = locked(&self.record);
        record.audio_in_bytes += bytes;
        record.appends += 1;
    }

    pub(super) fn audio_out(&self, bytes: usize) {
        locked(&self.record).audio_out_bytes += bytes;
    }

    pub(super) fn settings(&self, settings: Value) {
        locked(&self.record).settings = settings;
    }

    pub(super) fn ended_by(&self, why: &str) {
        locked(&self.record).ended_by.get_or_insert_with(|| why.to_owned());
    }

    /// Notes an event that the client sent or that the stand-in sent it.
    pub(super) fn event(&self, from: &str, event: &Value) {
        let mut record = locked(&self.record);
        if record.events.len() < self.journal.0.events_max {
            let at_ms = self.journal.now_ms();
            record.events.push(json!({ "at_ms": at_ms, "from": from, "event": event }));
        } else {
            record.left_out += 1;
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        locked(&self.record).closed_ms = Some(self.journal.now_ms());
        let mut book = self.journal.book();
        book.open = book.open.saturating_sub(1);
    }
}

impl Record {
    fn to_json(&self) -> Value {
        json!({
            "number": self.number, "model": self.model, "headers": self.headers, "opened_ms": self.opened_ms,
            "closed_ms": self.closed_ms, "open": self.closed_ms.is_none(), "ended_by": self.ended_by,
            "audio_in_bytes": self.audio_in_bytes, "appends": self.appends, "audio_out_bytes": self.audio_out_bytes,
            "settings": self.settings, "events": self.events, "events_left_out": self.left_out,
        })
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
