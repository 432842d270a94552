//! An answered call: follows the verbs of one document after the other while the line ticks every 20 ms. Owns the
//! order of things; the media stream is [`super::stream`]'s, the line's sound [`super::line`]'s.

use super::Twilio;
use super::call::{Call, Command, Status, fetch};
use super::callbacks::Callback;
use super::ear::{Heard, Segment};
use super::line::{FRAME_MS, Line, Tick};
use super::performer::{Action, Performer};
use super::recording::Recording;
use super::stream;
use super::twiml::{self, Target, Verb};
use super::web::Fields;
use crate::speech::ulaw;
use serde_json::json;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Documents followed in one call: a redirect to itself must end.
const DOCUMENTS_MAX: u32 = 100;

pub(crate) struct Document {
    pub(crate) verbs: VecDeque<Verb>,
    /// Where it came from; relative URLs in it start there.
    pub(crate) url: String,
}

impl Document {
    /// What Twilio says when the product brings no document.
    pub(crate) fn apology() -> Document {
        let text = "We are sorry, an application error has occurred. Goodbye.".to_owned();
        Document { verbs: [Verb::Say { text, voice: None }, Verb::Hangup].into(), url: String::new() }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) reason: &'static str,
}

/// Why the verb at hand is left.
#[derive(Debug)]
pub(crate) enum Next {
    Ask { of: &'static str, target: Target },
    Read(String),
    End(End),
}

impl Next {
    fn end(reason: &'static str) -> Next {
        Next::End(End { status: Status::Completed, reason })
    }
}

/// `Err` leaves the verb at hand.
pub(crate) type Flow<T> = Result<T, Next>;

pub(crate) struct Talk {
    pub(super) call: Arc<Call>,
    pub(super) twilio: Twilio,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) ticker: Interval,
    /// `None` once the call is over.
    line: Option<Line>,
    told: mpsc::UnboundedSender<Callback>,
}

impl Talk {
    pub(crate) fn begin(
        call: Arc<Call>,
        twilio: &Twilio,
        performer: Performer,
        commands: mpsc::Receiver<Command>,
        told: mpsc::UnboundedSender<Callback>,
    ) -> Talk {
        let recording = call.order.options.record_wav_dir.clone().map(Recording::new);
        let line = Some(Line::new(performer, recording, call.timeline.now_ms()));
        Talk { call, twilio: twilio.clone(), commands, ticker: frames(), line, told }
    }

    pub(crate) async fn follow(&mut self, mut document: Document) -> End {
        for _ in 0..DOCUMENTS_MAX {
            let mut next = self.run(&mut document).await;
            if let Next::Ask { of, target } = next {
                next = match self.ask(of, target, &document.url).await {
                    Ok(asked) => {
                        document = asked;
                        continue;
                    }
                    Err(next) => next,
                };
            }
            match next {
                Next::Read(text) => document = self.read(&text, document.url),
                Next::End(end) => return end,
                Next::Ask { of, target } => {
                    document.verbs = [Verb::Redirect(target)].into();
                    self.call.timeline.record("replaced", &json!({ "of": of }));
                }
            }
        }
        End { status: Status::Completed, reason: "too_many_documents" }
    }

    /// Follows the verbs until one leads elsewhere.
    async fn run(&mut self, document: &mut Document) -> Next {
        while let Some(verb) = document.verbs.pop_front() {
            if let Err(next) = self.obey(verb).await {
                return next;
            }
        }
        Next::end("no_more_verbs")
    }

    async fn obey(&mut self, verb: Verb) -> Flow<()> {
        if !matches!(verb, Verb::Connect { .. }) {
            self.begin_caller();
        }
        match verb {
            Verb::Connect { after, stream } => {
                stream::carry(self, &stream).await?;
                after.map_or(Ok(()), |target| Err(Next::Ask { of: "action", target }))
            }
            Verb::Say { text, voice } => self.say(&text, voice).await,
            Verb::Pause(length) => self.wait_for(tokio::time::sleep(length)).await,
            Verb::Play(url) => {
                self.call.timeline.record("play_ignored", &json!({ "url": url }));
                Ok(())
            }
            Verb::Redirect(target) => Err(Next::Ask { of: "redirect", target }),
            Verb::Reject { .. } => Err(Next::end("rejected_late")),
            Verb::Hangup => Err(Next::end("hangup_verb")),
        }
    }

    async fn say(&mut self, text: &str, voice: Option<String>) -> Flow<()> {
        let speech = self.twilio.speech().clone();
        let audio =
            self.wait_for(async { speech.speak(text, voice.as_deref().unwrap_or("twilio")).await }).await?;
        let length_ms = ulaw::milliseconds(audio.len());
        let Some(line) = &mut self.line else { return Ok(()) };
        let from_ms = line.now_ms();
        if line.playback.push_audio(audio.to_vec()).is_err() {
            self.call
                .timeline
                .record("error", &json!({ "of": "say", "problem": "longer than can be played" }));
        }
        self.call
            .timeline
            .record("say", &json!({ "text": text, "from_ms": from_ms, "to_ms": from_ms + length_ms }));
        self.wait_for(tokio::time::sleep(Duration::from_millis(length_ms + FRAME_MS))).await
    }

    async fn ask(&mut self, of: &'static str, target: Target, base: &str) -> Flow<Document> {
        let url = match url::Url::parse(base).and_then(|base| base.join(&target.url)) {
            // an absolute URL stays as it was written: it is signed letter by letter
            Ok(joined) if url::Url::parse(&target.url).is_err() => joined.to_string(),
            Ok(_) | Err(_) => target.url,
        };
        let (call, web) = (Arc::clone(&self.call), self.twilio.web().clone());
        let target = Target { url, method: target.method };
        let document = self.wait_for(async { fetch(&call, &web, of, &target, Fields::new()).await }).await?;
        Ok(document.unwrap_or_else(|_| Document::apology()))
    }

    fn read(&self, text: &str, url: String) -> Document {
        match twiml::read(text) {
            Ok(verbs) => Document { verbs: verbs.into(), url },
            Err(error) => {
                self.call
                    .timeline
                    .record("error", &json!({ "of": "twiml", "code": 12_100, "problem": error.to_string() }));
                Document::apology()
            }
        }
    }

    /// Lets the line tick until the future is there. Without a stream the caller's keys and frames go nowhere.
    pub(super) async fn wait_for<T>(&mut self, future: impl Future<Output = T>) -> Flow<T> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return Ok(done),
                command = self.commands.recv() => self.interrupted(command)?,
                _ = self.ticker.tick() => {
                    let tick = self.tick()?;
                    for action in tick.actions {
                        self.call.timeline.record("unheard", &json!({ "action": format!("{action:?}") }));
                    }
                }
            }
        }
    }

    /// One frame on the line, with what it means for the timeline and the call.
    pub(super) fn tick(&mut self) -> Flow<Tick> {
        let Some(line) = &mut self.line else { return Err(Next::end("over")) };
        let tick = line.tick();
        for note in &tick.notes {
            self.call.timeline.record(note.event, &note.detail);
        }
        match &tick.heard {
            None => {}
            Some(Heard::Begins) => {
                self.call.timeline.record("agent_starts", &json!({ "from_ms": tick.at_ms }));
            }
            Some(Heard::Ends(segment)) => self.recognise(segment),
        }
        if tick.actions.contains(&Action::HangUp) {
            return Err(Next::end("caller_hung_up"));
        }
        if self.call.order.options.limit_ms <= tick.at_ms {
            return Err(Next::end("limit"));
        }
        Ok(tick)
    }

    /// Looks whether a command has come, at the cost of no waiting: there are fifty ticks a second in every call.
    pub(super) fn look_for_command(&mut self) -> Flow<()> {
        match self.commands.try_recv() {
            Ok(command) => self.interrupted(Some(command)),
            Err(TryRecvError::Disconnected) => self.interrupted(None),
            Err(TryRecvError::Empty) => Ok(()),
        }
    }

    /// What a command from outside does to the verb at hand: always leaves it.
    #[expect(clippy::unused_self, reason = "reads as what happens to the talk")]
    pub(super) fn interrupted(&self, command: Option<Command>) -> Flow<()> {
        Err(match command {
            None | Some(Command::HangUp) => Next::end("caller_hung_up"),
            Some(Command::Complete) => Next::end("completed_by_rest"),
            Some(Command::Read(text)) => Next::Read(text),
            Some(Command::Ask(target)) => Next::Ask { of: "rest_url", target },
        })
    }

    pub(super) fn begin_caller(&mut self) {
        self.line.as_mut().into_iter().for_each(Line::begin);
    }

    pub(super) fn line(&mut self) -> Option<&mut Line> {
        self.line.as_mut()
    }

    /// The stream is over, and with it the agent's words on their way.
    pub(super) fn cut(&mut self) {
        if let Some(segment) = self.line.as_mut().and_then(Line::cut) {
            self.recognise(&segment);
        }
    }

    pub(super) fn tell(&self, callback: Callback) {
        let told = self.told.send(callback);
        debug_assert!(told.is_ok(), "callbacks are delivered until the call drops its end");
    }

    /// The caller has put down, or was put down.
    pub(crate) async fn put_down(&mut self, end: &End) {
        let Some(line) = self.line.take() else { return };
        let (last, recording) = line.end();
        if let Some(segment) = last {
            self.recognise(&segment);
        }
        if let Some(recording) = recording {
            match recording.write().await {
                Ok(folder) => {
                    self.call.timeline.record("recorded", &json!({ "folder": folder, "reason": end.reason }));
                }
                Err(error) => {
                    self.call
                        .timeline
                        .record("error", &json!({ "of": "recording", "problem": error.to_string() }));
                }
            }
        }
    }

    fn recognise(&self, segment: &Segment) {
        let text = self.twilio.speech().recognise(&segment.audio);
        let detail = json!({ "from_ms": segment.from_ms, "to_ms": segment.to_ms, "text": text });
        self.call.timeline.record("agent", &detail);
    }
}

/// A tick every 20 ms by absolute deadlines: one that is late does not move the next.
fn frames() -> Interval {
    let mut ticker = interval(Duration::from_millis(FRAME_MS));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticker
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn frames_do_not_drift_when_some_are_late() {
        let began = Instant::now();
        let mut ticker = frames();
        for n in 0..500_u64 {
            ticker.tick().await;
            assert!(Duration::from_millis(n * FRAME_MS) <= began.elapsed(), "frame {n} came early");
            if n % 50 == 7 {
                sleep(Duration::from_millis(73)).await;
            }
        }
        assert_eq!(began.elapsed(), Duration::from_millis(499 * FRAME_MS));
    }
}
