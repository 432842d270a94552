//! The agent's speech on its way to the caller's ear. What was heard is known from marks alone: one after each piece,
//! named by generation and number. Interrupting begins a new generation, as the carrier then returns every outstanding
//! mark at once. Must never know why speech is interrupted.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::desk::{Desk, millis};
use super::{EndReason, Output};
use crate::providers::openai::realtime::client;
use crate::providers::pcmu::{BYTES_PER_MS, Pcmu};
use crate::providers::twilio::{StreamSid, media};
use crate::voice::record::{Heard, Leg};
use serde_json::json;

/// How many answers and items that are over are remembered, so that their late speech is dropped.
const ENDED_MAX: usize = 64;
/// How many items may be on their way to the caller.
const ITEMS_MAX: usize = 32;

pub(super) struct Playback {
    stream: StreamSid,
    generation: u32,
    next_mark: u64,
    marks: VecDeque<Mark>,
    items: VecDeque<Item>,
    next_item: u64,
    /// Answers and items of which nothing more may be played.
    ended: VecDeque<String>,
    unplayed_bytes: u64,
}

/// A mark that has not come back.
struct Mark {
    number: u64,
    item: u64,
    /// How much of the item the caller has heard when it comes back.
    heard_bytes: u64,
    bytes: u64,
}

/// A piece of conversation that the caller has not heard to its end.
struct Item {
    serial: u64,
    id: String,
    response_id: String,
    content_index: u32,
    sent_bytes: u64,
    heard_bytes: u64,
    /// Whether more may come.
    open: bool,
}

/// A piece of the agent's speech.
pub(super) struct Piece<'a> {
    pub(super) response_id: &'a str,
    pub(super) item_id: &'a str,
    pub(super) content_index: u32,
    pub(super) audio: &'a Pcmu<'a>,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Played {
    /// It is the first that the carrier has of its item.
    First,
    /// It continues its item.
    More,
    /// Its answer was interrupted.
    Discarded,
}

/// A mark's name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    generation: u32,
    number: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.number)
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let (generation, number) = text.split_once('.')?;
        Some(Self { generation: generation.parse().ok()?, number: number.parse().ok()? })
    }
}

impl Playback {
    pub(super) fn new(stream: StreamSid) -> Self {
        Self {
            stream,
            generation: 0,
            next_mark: 0,
            marks: VecDeque::with_capacity(64),
            items: VecDeque::new(),
            next_item: 0,
            ended: VecDeque::new(),
            unplayed_bytes: 0,
        }
    }

    pub(super) fn stream(&self) -> &str {
        self.stream.as_str()
    }

    /// Sends a piece to the carrier, and a mark after it.
    pub(super) fn play(
        &mut self,
        desk: &mut Desk,
        now: Duration,
        piece: &Piece<'_>,
    ) -> Result<Played, EndReason> {
        let bytes = piece.audio.bytes();
        let known = self.items.iter().rposition(|item| item.id == piece.item_id);
        let over = match known.and_then(|place| self.items.get(place)) {
            Some(item) => !item.open,
            None => self.ended.iter().any(|id| id == piece.response_id || id == piece.item_id),
        };
        if over {
            desk.totals.frames_discarded += 1;
            return Ok(Played::Discarded);
        }
        if desk.plan.limits.unplayed_ms_max * BYTES_PER_MS < self.unplayed_bytes + bytes
            || (known.is_none() && ITEMS_MAX <= self.items.len())
        {
            return Err(EndReason::ModelMisbehaved);
        }
        if known.is_none() {
            self.items.push_back(Item {
                serial: self.next_item,
                id: piece.item_id.to_owned(),
                response_id: piece.response_id.to_owned(),
                content_index: piece.content_index,
                sent_bytes: 0,
                heard_bytes: 0,
                open: true,
            });
            self.next_item += 1;
            desk.transcript.agent_began(now, piece.item_id);
        }
        let place = known.unwrap_or(self.items.len().saturating_sub(1));
        let Some(item) = self.items.get_mut(place) else { return Ok(Played::Discarded) };
        item.sent_bytes += bytes;
        let name = Name { generation: self.generation, number: self.next_mark };
        self.next_mark += 1;
        self.unplayed_bytes += bytes;
        let heard_bytes = item.sent_bytes;
        self.marks.push_back(Mark { number: name.number, item: item.serial, heard_bytes, bytes });
        desk.totals.frames_out += 1;
        desk.totals.bytes_out += bytes;
        desk.push(Output::ToCarrier(media::media(&self.stream, piece.audio)));
        desk.push(Output::ToCarrier(media::mark(&self.stream, name)));
        Ok(if known.is_some() { Played::More } else { Played::First })
    }

    /// A mark came back. Says whether the caller heard something.
    pub(super) fn mark(&mut self, desk: &mut Desk, now: Duration, name: &str) -> bool {
        let ours = Name::parse(name).filter(|name| name.generation == self.generation);
        let Some(place) = ours.and_then(|name| self.marks.iter().position(|mark| mark.number == name.number))
        else {
            desk.totals.marks_stale += 1;
            return false;
        };
        for mark in self.marks.drain(..=place) {
            self.unplayed_bytes = self.unplayed_bytes.saturating_sub(mark.bytes);
            desk.totals.marks_heard += 1;
            if let Some(item) = self.items.iter_mut().find(|item| item.serial == mark.item) {
                item.heard_bytes = mark.heard_bytes;
            }
        }
        self.retire(desk, now);
        true
    }

    /// Nothing more comes of this item.
    pub(super) fn close_item(&mut self, desk: &mut Desk, now: Duration, item_id: &str) {
        if let Some(item) = self.items.iter_mut().find(|item| item.id == item_id) {
            item.open = false;
        }
        self.retire(desk, now);
    }

    /// Nothing more comes of this answer.
    pub(super) fn close_response(&mut self, desk: &mut Desk, now: Duration, response_id: &str) {
        self.discard(response_id);
        self.retire(desk, now);
    }

    /// Drops whatever still comes of this answer; what the carrier has of it is played.
    pub(super) fn discard(&mut self, response_id: &str) {
        for item in self.items.iter_mut().filter(|item| item.response_id == response_id) {
            item.open = false;
        }
        self.remember_ended(response_id);
    }

    /// Whether the caller is hearing something, or about to.
    pub(super) fn audible(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The caller speaks over the agent: silence at once, and the model forgets what was not heard.
    pub(super) fn interrupt(&mut self, desk: &mut Desk, now: Duration) {
        if self.audible() {
            desk.tell_carrier(now, "clear", media::clear(&self.stream));
            self.generation += 1;
            self.marks.clear();
            self.unplayed_bytes = 0;
        }
        while let Some(item) = self.items.pop_front() {
            let heard = self.forget_unheard(desk, now, &item);
            desk.transcript.agent_heard(now, &item.id, heard);
        }
    }

    /// The line is cut: what was not heard will not be, and the model no longer matters.
    pub(super) fn cut(&mut self, desk: &mut Desk, now: Duration) {
        self.marks.clear();
        for item in self.items.drain(..) {
            let heard = item.heard();
            item.log(desk, now, heard);
            desk.transcript.agent_heard(now, &item.id, heard);
        }
    }

    fn forget_unheard(&mut self, desk: &mut Desk, now: Duration, item: &Item) -> Heard {
        let heard = item.heard();
        self.remember_ended(&item.response_id);
        self.remember_ended(&item.id);
        item.log(desk, now, heard);
        if heard.heard_ms == 0 {
            let data = json!({ "item_id": item.id });
            desk.tell_model(now, "conversation.item.delete", data, client::delete(&item.id));
        } else {
            let data = json!({ "item_id": item.id, "audio_end_ms": heard.heard_ms });
            let event = client::truncate(&item.id, item.content_index, heard.heard_ms);
            desk.tell_model(now, "conversation.item.truncate", data, event);
        }
        heard
    }

    /// Lets go of items that were heard to their end, in order.
    fn retire(&mut self, desk: &mut Desk, now: Duration) {
        while let Some(item) =
            self.items.pop_front_if(|item| !item.open && item.sent_bytes <= item.heard_bytes)
        {
            let heard = item.heard();
            self.remember_ended(&item.id);
            item.log(desk, now, heard);
            desk.transcript.agent_heard(now, &item.id, heard);
        }
    }

    fn remember_ended(&mut self, id: &str) {
        if self.ended.iter().any(|ended| ended == id) {
            return;
        }
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(id.to_owned());
    }
}

impl Item {
    fn heard(&self) -> Heard {
        let heard_bytes = self.heard_bytes.min(self.sent_bytes);
        Heard {
            heard_ms: heard_bytes / BYTES_PER_MS,
            sent_ms: self.sent_bytes / BYTES_PER_MS,
            interrupted: heard_bytes < self.sent_bytes || self.open,
        }
    }

    fn log(&self, desk: &mut Desk, now: Duration, heard: Heard) {
        let data = json!({
            "item_id": self.id, "heard_ms": heard.heard_ms, "sent_ms": heard.sent_ms,
            "interrupted": heard.interrupted, "at_ms": millis(now),
        });
        desk.event(now, Leg::Call, "playback.ended", data);
    }
}
