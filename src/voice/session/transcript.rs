//! The conversation in its order, although the caller's words are put in writing any time after they were spoken, the
//! agent's are known before they are heard, and a tool takes its time. A turn leaves when it and all before it are complete. Must never know why
//! something was said.

use std::collections::VecDeque;
use std::time::Duration;

use super::desk::millis;
use crate::voice::record::{Heard, Speaker, Turn};

/// How many turns may be open; beyond that the oldest leaves as it is.
const TURNS_OPEN_MAX: usize = 64;

pub(super) struct Transcript {
    turns: VecDeque<Open>,
    /// Words of an item of which no sound went out yet; they come a little ahead of it.
    early: Option<(String, String)>,
    turn_chars_max: usize,
}

struct Open {
    item_id: String,
    speaker: Speaker,
    text: String,
    started: Duration,
    ended: Duration,
    progress: Progress,
}

impl Open {
    fn new(item_id: &str, speaker: Speaker, now: Duration, progress: Progress) -> Self {
        Self { item_id: item_id.to_owned(), speaker, text: String::new(), started: now, ended: now, progress }
    }

    /// Whether it is this item of the conversation.
    fn is_said(&self, item_id: &str) -> bool {
        self.speaker != Speaker::Tool && self.item_id == item_id
    }

    /// Whether it is this call of a tool.
    fn is_tool(&self, call_id: &str) -> bool {
        self.speaker == Speaker::Tool && self.item_id == call_id
    }

    fn fail(&mut self, now: Duration, why: &str) {
        self.text = format!("{}: {why}", self.text);
        self.finish(now);
    }

    fn finish(&mut self, now: Duration) {
        self.ended = now;
        self.progress = Progress::Complete(None);
    }

    /// Whether it is the agent's, begun after that time.
    fn follows(&self, time: Duration) -> bool {
        self.speaker == Speaker::Agent && time < self.started
    }
}

enum Progress {
    /// The caller's words are being put in writing.
    Transcribing,
    /// The agent's words are being played.
    Playing,
    /// The tool runs; the text is its name.
    Running,
    /// Nothing is missing.
    Complete(Option<Heard>),
}

impl Transcript {
    pub(super) fn new(turn_chars_max: usize) -> Self {
        Self { turns: VecDeque::new(), early: None, turn_chars_max }
    }

    /// The caller said something, after `previous` if that is known; the words follow. The model takes speech up when it
    /// ends: what the agent began to say meanwhile stands after it.
    pub(super) fn caller_spoke(
        &mut self,
        item_id: &str,
        previous: Option<&str>,
        spoken: (Duration, Duration),
    ) {
        if self.position(item_id).is_some() {
            return;
        }
        let after = previous.and_then(|id| self.position(id));
        let open = Open::new(item_id, Speaker::Caller, spoken.0, Progress::Transcribing);
        let open = Open { ended: spoken.1, ..open };
        let mut place = after.map_or(self.turns.len(), |place| place + 1);
        while let Some(before) = place.checked_sub(1)
            && self.turns.get(before).is_some_and(|turn| turn.follows(spoken.0))
        {
            place = before;
        }
        self.turns.insert(place, open);
    }

    /// The caller's words, which may be none.
    pub(super) fn caller_transcribed(&mut self, now: Duration, item_id: &str, text: &str) {
        if self.position(item_id).is_none() {
            self.caller_spoke(item_id, None, (now, now));
        }
        let text = self.cut(text.trim());
        if let Some(open) = self.find(item_id) {
            open.text = text;
            open.progress = Progress::Complete(None);
        }
    }

    /// The caller pressed keys.
    pub(super) fn keys_pressed(&mut self, keys: &str, pressed: (Duration, Duration)) {
        let open = Open::new("", Speaker::Keypad, pressed.0, Progress::Complete(None));
        self.turns.push_back(Open { text: keys.to_owned(), ended: pressed.1, ..open });
    }

    /// The first sound of an item of the agent's went out.
    pub(super) fn agent_began(&mut self, now: Duration, item_id: &str) {
        if let Some(open) = self.find(item_id) {
            open.started = now;
            return;
        }
        let early = self.early.take().filter(|(early, _)| early == item_id);
        let open = Open::new(item_id, Speaker::Agent, now, Progress::Playing);
        self.turns.push_back(Open { text: early.map(|(_, text)| text).unwrap_or_default(), ..open });
    }

    /// More of the agent's words; they belong to sound that went out or is about to.
    pub(super) fn agent_said(&mut self, item_id: &str, text: &str) {
        let limit = self.turn_chars_max;
        let said = match self.turns.iter_mut().rev().find(|open| open.is_said(item_id)) {
            Some(Open { progress: Progress::Playing, text, .. }) => text,
            Some(_) => return,
            None => {
                let early = self.early.take_if(|(early, _)| early == item_id);
                &mut self.early.insert(early.unwrap_or_else(|| (item_id.to_owned(), String::new()))).1
            }
        };
        if said.len() + text.len() <= limit {
            said.push_str(text);
        }
    }

    /// All of the agent's words of an item.
    pub(super) fn agent_said_all(&mut self, item_id: &str, text: &str) {
        let text = self.cut(text);
        if let Some(open) = self.find(item_id)
            && matches!(open.progress, Progress::Playing)
        {
            open.text = text;
        }
    }

    /// What the caller heard of an item of the agent's, once that is final.
    pub(super) fn agent_heard(&mut self, now: Duration, item_id: &str, heard: Heard) {
        if let Some(open) = self.find(item_id) {
            if heard.interrupted {
                open.text = heard_part(&open.text, heard).to_owned();
            }
            open.ended = now;
            open.progress = Progress::Complete(Some(heard));
        }
    }

    /// The agent uses a tool. Its calls have names of their own, apart from those of what is said.
    pub(super) fn tool_called(&mut self, now: Duration, call_id: &str, name: &str) {
        let open = Open::new(call_id, Speaker::Tool, now, Progress::Running);
        self.turns.push_back(Open { text: self.cut(name), ..open });
    }

    /// What came of it, for people.
    pub(super) fn tool_done(&mut self, now: Duration, call_id: &str, account: &str) {
        let account = self.cut(account);
        if let Some(open) = self.turns.iter_mut().find(|open| open.is_tool(call_id)) {
            open.text = account;
            open.finish(now);
        }
    }

    /// Why nothing came of it.
    pub(super) fn tool_failed(&mut self, now: Duration, call_id: &str, why: &str) {
        if let Some(open) = self.turns.iter_mut().find(|open| open.is_tool(call_id)) {
            open.fail(now, why);
        }
    }

    /// Takes the next turn, if it is complete. Turns without words are nobody's business.
    pub(super) fn pop(&mut self) -> Option<Turn> {
        loop {
            let complete = matches!(self.turns.front()?.progress, Progress::Complete(_));
            if !complete && self.turns.len() <= TURNS_OPEN_MAX {
                return None;
            }
            let open = self.turns.pop_front()?;
            let heard = match open.progress {
                Progress::Complete(heard) => heard,
                Progress::Transcribing | Progress::Playing | Progress::Running => None,
            };
            if !open.text.trim().is_empty() {
                return Some(Turn {
                    speaker: open.speaker,
                    text: open.text,
                    started_ms: millis(open.started),
                    ended_ms: millis(open.ended.max(open.started)),
                    heard,
                });
            }
        }
    }

    /// Whether the caller's words are still awaited.
    pub(super) fn awaits_words(&self) -> bool {
        self.turns.iter().any(|open| matches!(open.progress, Progress::Transcribing))
    }

    /// When the words that hold up everything after them were spoken.
    pub(super) fn held_up_since(&self) -> Option<Duration> {
        let first = self.turns.get(self.first_incomplete()?)?;
        matches!(first.progress, Progress::Transcribing).then_some(first.ended)
    }

    /// Goes on without the words that hold up everything after them.
    pub(super) fn skip(&mut self) {
        if let Some(first) = self.first_incomplete() {
            self.turns.remove(first);
        }
    }

    /// Nothing more comes: goes on without any words that are still awaited, and says of tools that they were.
    pub(super) fn close(&mut self, now: Duration) {
        self.turns.retain(|open| !matches!(open.progress, Progress::Transcribing));
        for open in self.turns.iter_mut().filter(|open| matches!(open.progress, Progress::Running)) {
            open.fail(now, "not done when the call was over");
        }
    }

    fn first_incomplete(&self) -> Option<usize> {
        self.turns.iter().position(|open| !matches!(open.progress, Progress::Complete(_)))
    }

    fn position(&self, item_id: &str) -> Option<usize> {
        self.turns.iter().rposition(|open| open.is_said(item_id))
    }

    fn find(&mut self, item_id: &str) -> Option<&mut Open> {
        self.turns.iter_mut().rev().find(|open| open.is_said(item_id))
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.turn_chars_max).collect()
    }
}

/// The share of the words that the share of the sound carried, to the last whole word.
fn heard_part(text: &str, heard: Heard) -> &str {
    if heard.sent_ms <= heard.heard_ms {
        return text;
    }
    let letters = text.chars().count() as u64;
    let kept = usize::try_from(letters * heard.heard_ms / heard.sent_ms).unwrap_or(0);
    let Some((end, _)) = text.char_indices().nth(kept) else { return text };
    let (before, after) = text.split_at(end);
    if after.starts_with(char::is_whitespace) {
        return before;
    }
    before.rfind(char::is_whitespace).map_or("", |space| before.split_at(space).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn words(transcript: &mut Transcript) -> Vec<String> {
        std::iter::from_fn(|| transcript.pop()).map(|turn| turn.text).collect()
    }

    #[test]
    fn turns_leave_in_the_order_of_the_conversation() {
        let mut transcript = Transcript::new(100);
        let whole = Heard { heard_ms: 10, sent_ms: 10, interrupted: false };
        transcript.caller_spoke("c1", None, (at(0), at(1)));
        transcript.agent_began(at(2), "a1");
        transcript.agent_said("a1", "one ");
        transcript.agent_said("a1", "two");
        transcript.agent_heard(at(3), "a1", whole);
        transcript.caller_spoke("c3", Some("a1"), (at(5), at(6)));
        transcript.caller_spoke("c2", Some("c1"), (at(1), at(2)));
        transcript.caller_transcribed(at(7), "c3", "three");
        assert!(words(&mut transcript).is_empty());
        transcript.caller_transcribed(at(8), "c1", " zero ");
        assert_eq!(words(&mut transcript), ["zero"]);
        assert_eq!(transcript.held_up_since(), Some(at(2)));
        transcript.caller_transcribed(at(9), "c2", "");
        assert_eq!(words(&mut transcript), ["one two", "three"]);
        transcript.caller_transcribed(at(9), "late", "late words are kept too");
        assert_eq!(words(&mut transcript), ["late words are kept too"]);
    }

    #[test]
    fn open_turns_and_texts_are_bounded() {
        let mut transcript = Transcript::new(5);
        for number in 0..TURNS_OPEN_MAX + 10 {
            transcript.caller_spoke(&number.to_string(), None, (at(0), at(0)));
            assert!(transcript.pop().is_none());
        }
        assert_eq!(transcript.turns.len(), TURNS_OPEN_MAX);
        transcript.close(at(0));
        transcript.caller_transcribed(at(0), "x", "ÄÖÜäöü");
        transcript.tool_called(at(0), "x", "forget everything");
        transcript.tool_done(at(0), "x", "Forgot everything.");
        assert_eq!(words(&mut transcript), ["ÄÖÜäö", "Forgo"]);
    }

    #[test]
    fn interrupted_words_are_cut_where_the_sound_was() {
        for (text, heard_ms, sent_ms, kept) in [
            ("Good morning, this is Barbara.", 1000, 1000, "Good morning, this is Barbara."),
            ("Good morning, this is Barbara.", 0, 1000, ""),
            ("Good morning, this is Barbara.", 500, 1000, "Good morning,"),
            ("Good morning", 350, 1000, "Good"),
            ("Schöne Grüße überall", 600, 1000, "Schöne Grüße"),
            ("", 10, 100, ""),
            ("word", 99, 100, ""),
        ] {
            assert_eq!(
                heard_part(text, Heard { heard_ms, sent_ms, interrupted: true }),
                kept,
                "{text} {heard_ms}"
            );
        }
    }
}
