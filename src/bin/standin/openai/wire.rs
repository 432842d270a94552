//! What a session sends: events with fresh ids, in order, noted in the journal. Knows the shape of events, not when
//! they are due.

use super::journal::Page;
use super::refusal::Refusal;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write;

/// Something for the socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outgoing {
    Text(String),
    Binary(Vec<u8>),
    Close {
        code: u16,
        reason: String,
    },
    /// The connection ends without a close frame.
    Drop,
}

pub(super) struct Wire {
    page: Page,
    queue: VecDeque<Outgoing>,
    ids: u64,
    family: String,
}

impl Wire {
    pub(super) fn new(page: Page) -> Self {
        let family = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
        Self { page, queue: VecDeque::new(), ids: 0, family }
    }

    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    pub(super) fn fresh_id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}_{}{:06}", self.family, self.ids)
    }

    pub(super) fn next(&mut self) -> Option<Outgoing> {
        self.queue.pop_front()
    }

    /// Sends an event and notes it.
    pub(super) fn send(&mut self, kind: &str, mut fields: Value) {
        let event_id = self.fresh_id("event");
        if let Value::Object(fields) = &mut fields {
            fields.insert("type".to_owned(), kind.into());
            fields.insert("event_id".to_owned(), event_id.into());
        }
        self.page.event("server", &fields);
        self.queue.push_back(Outgoing::Text(fields.to_string()));
    }

    /// Sends an audio delta: the bulk of all bytes, so it is written by hand and only counted.
    pub(super) fn send_audio(&mut self, at: &Position<'_>, base64: &str, bytes: usize) {
        let event_id = self.fresh_id("event");
        let mut event = String::with_capacity(base64.len() + 256);
        let written = write!(
            event,
            r#"{{"type":"response.output_audio.delta","event_id":"{event_id}","response_id":"{}","item_id":"{}","output_index":{},"content_index":0,"delta":"{base64}"}}"#,
            at.response_id, at.item_id, at.output_index,
        );
        debug_assert!(written.is_ok());
        self.page.audio_out(bytes);
        self.queue.push_back(Outgoing::Text(event));
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal, event_id: Option<&str>) {
        self.send("error", json!({ "error": refusal.of_event(event_id) }));
    }

    /// Puts something on the wire as it is.
    pub(super) fn raw(&mut self, outgoing: Outgoing) {
        self.queue.push_back(outgoing);
    }
}

/// Where in a response an event belongs.
pub(super) struct Position<'a> {
    pub(super) response_id: &'a str,
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
}

impl Position<'_> {
    /// The fields of an event about this content part, with those of `more`.
    pub(super) fn with(&self, more: Value) -> Value {
        let mut fields = self.item(more);
        if let Value::Object(fields) = &mut fields {
            fields.insert("item_id".to_owned(), self.item_id.into());
            fields.insert("content_index".to_owned(), 0.into());
        }
        fields
    }

    /// The fields of an event about this output item, with those of `more`.
    pub(super) fn item(&self, mut more: Value) -> Value {
        if let Value::Object(fields) = &mut more {
            fields.insert("response_id".to_owned(), self.response_id.into());
            fields.insert("output_index".to_owned(), self.output_index.into());
        }
        more
    }
}
