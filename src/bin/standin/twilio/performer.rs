//! Performs a caller's steps, 20 ms at a time: what is on the line now, what else happens. Pure: hears through
//! [`Ear`], knows no socket and no clock.

use super::caller::{Caller, Step};
use super::ear::Ear;
use crate::speech::Library;
use crate::speech::ulaw::{self, FRAME, SILENCE};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;

const FRAME_MS: u64 = 20;
/// Between two pressed keys.
const KEY_PAUSE_FRAMES: u64 = 5;

/// One thing to do, with its audio at hand.
enum Cue {
    Reply { quiet_ms: u64, within_ms: u64 },
    Quiet { quiet_ms: u64, within_ms: u64 },
    AgentSpeaking { for_ms: u64, within_ms: u64 },
    Say { text: String, audio: Arc<[u8]> },
    Clear { within_ms: u64 },
    Hold { frames: u64, with: Filling },
    Act(Action),
}

#[derive(Clone, Copy)]
enum Filling {
    Silence,
    Noise(i16),
    Nothing,
}

/// What the caller does besides being heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Key(char),
    Text { text: String, times: u32 },
    Binary { bytes: usize, times: u32 },
    Oversized { bytes: usize },
    Flood { frames: u32 },
    Vanish,
    HangUp,
}

/// Something for the timeline.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) event: &'static str,
    pub(crate) detail: Value,
}

/// The caller's next 20 ms.
pub(crate) struct Performed {
    /// `None` when no frame is to be sent at all.
    pub(crate) frame: Option<[u8; FRAME]>,
    pub(crate) actions: Vec<Action>,
    pub(crate) notes: Vec<Note>,
}

pub(crate) struct Performer {
    cues: VecDeque<Cue>,
    /// When the cue at the front began, and the frames of it that are done.
    since_ms: Option<u64>,
    frames_done: u64,
    /// When the caller last began to speak.
    spoke_ms: u64,
    noise: u32,
}

/// What a cue goes by: the time, when the cue began, what has been heard.
struct Moment<'a> {
    now_ms: u64,
    since_ms: u64,
    ear: &'a Ear,
}

enum Progress {
    Frame(Option<[u8; FRAME]>),
    Done,
    Failed(String),
}

impl Performer {
    /// Has every line spoken beforehand, so that nothing is waited for while on the line.
    pub(crate) async fn prepare(caller: &Caller, library: &Library) -> Performer {
        let mut cues = VecDeque::new();
        for step in &caller.steps {
            match step {
                Step::AwaitReply { quiet_ms, within_ms } => {
                    cues.push_back(Cue::Reply { quiet_ms: *quiet_ms, within_ms: *within_ms });
                }
                Step::AwaitQuiet { quiet_ms, within_ms } => {
                    cues.push_back(Cue::Quiet { quiet_ms: *quiet_ms, within_ms: *within_ms });
                }
                Step::Say { text, voice } => {
                    cues.push_back(say(library, text, voice.as_ref().unwrap_or(&caller.voice)).await);
                }
                Step::Interrupt { text, voice, after_ms, within_ms } => {
                    cues.push_back(Cue::AgentSpeaking { for_ms: *after_ms, within_ms: *within_ms });
                    cues.push_back(say(library, text, voice.as_ref().unwrap_or(&caller.voice)).await);
                }
                Step::ExpectClear { within_ms } => cues.push_back(Cue::Clear { within_ms: *within_ms }),
                Step::Dtmf { digits } => {
                    for digit in digits.chars() {
                        cues.push_back(Cue::Act(Action::Key(digit)));
                        cues.push_back(Cue::Hold { frames: KEY_PAUSE_FRAMES, with: Filling::Silence });
                    }
                }
                Step::Silence { ms } => cues.push_back(hold(*ms, Filling::Silence)),
                Step::Noise { ms, level } => cues.push_back(hold(*ms, Filling::Noise(*level))),
                Step::Gap { ms } => cues.push_back(hold(*ms, Filling::Nothing)),
                Step::Raw { text, times } => {
                    cues.push_back(Cue::Act(Action::Text { text: text.clone(), times: *times }));
                }
                Step::RawBinary { bytes, times } => {
                    cues.push_back(Cue::Act(Action::Binary { bytes: *bytes, times: *times }));
                }
                Step::Oversized { bytes } => cues.push_back(Cue::Act(Action::Oversized { bytes: *bytes })),
                Step::Flood { frames } => cues.push_back(Cue::Act(Action::Flood { frames: *frames })),
                Step::Vanish => cues.push_back(Cue::Act(Action::Vanish)),
                Step::HangUp => cues.push_back(Cue::Act(Action::HangUp)),
            }
        }
        Performer { cues, since_ms: None, frames_done: 0, spoke_ms: 0, noise: 1 }
    }

    pub(crate) fn perform(&mut self, now_ms: u64, ear: &Ear) -> Performed {
        let mut performed =
            Performed { frame: Some([SILENCE; FRAME]), actions: Vec::new(), notes: Vec::new() };
        while let Some(cue) = self.cues.pop_front() {
            let since_ms = *self.since_ms.get_or_insert(now_ms);
            match self.advance(&cue, &Moment { now_ms, since_ms, ear }, &mut performed) {
                Progress::Frame(frame) => {
                    self.cues.push_front(cue);
                    self.frames_done += 1;
                    performed.frame = frame;
                    return performed;
                }
                Progress::Done => {}
                Progress::Failed(problem) => {
                    performed
                        .notes
                        .push(Note { event: "step_failed", detail: json!({ "problem": problem }) });
                }
            }
            (self.since_ms, self.frames_done) = (None, 0);
        }
        performed
    }

    fn advance(&mut self, cue: &Cue, moment: &Moment<'_>, performed: &mut Performed) -> Progress {
        let Moment { now_ms, since_ms, ear } = *moment;
        let waited_ms = now_ms - since_ms;
        let silence = Progress::Frame(Some([SILENCE; FRAME]));
        match cue {
            Cue::Reply { quiet_ms, within_ms } => match ear.last_heard_ms() {
                Some(heard) if since_ms <= heard && heard + quiet_ms <= now_ms => Progress::Done,
                Some(_) | None if waited_ms < *within_ms => silence,
                Some(_) | None => Progress::Failed(format!("no whole reply within {within_ms} ms")),
            },
            Cue::Quiet { quiet_ms, within_ms } => match ear.last_heard_ms().unwrap_or(0) {
                heard if heard + quiet_ms <= now_ms => Progress::Done,
                _ if waited_ms < *within_ms => silence,
                _ => Progress::Failed(format!("the agent was not quiet within {within_ms} ms")),
            },
            Cue::AgentSpeaking { for_ms, within_ms } => match ear.speaking_since_ms() {
                Some(from) if from + for_ms <= now_ms => Progress::Done,
                Some(_) | None if waited_ms < *within_ms => silence,
                Some(_) | None => Progress::Failed(format!("the agent did not speak within {within_ms} ms")),
            },
            Cue::Clear { within_ms } => match ear.cleared_ms() {
                Some(cleared) if self.spoke_ms <= cleared && cleared <= self.spoke_ms + within_ms => {
                    Progress::Done
                }
                Some(_) | None if now_ms <= self.spoke_ms + within_ms => silence,
                Some(_) | None => {
                    Progress::Failed(format!("no clear within {within_ms} ms of the caller's words"))
                }
            },
            Cue::Say { text, audio } => self.say(text, audio, moment, performed),
            Cue::Hold { frames, .. } if *frames <= self.frames_done => Progress::Done,
            Cue::Hold { with: Filling::Silence, .. } => silence,
            Cue::Hold { with: Filling::Noise(level), .. } => Progress::Frame(Some(self.noise(*level))),
            Cue::Hold { with: Filling::Nothing, .. } => Progress::Frame(None),
            Cue::Act(action) => {
                performed.actions.push(action.clone());
                Progress::Done
            }
        }
    }

    fn say(&mut self, text: &str, audio: &[u8], moment: &Moment<'_>, performed: &mut Performed) -> Progress {
        let Moment { now_ms, since_ms, .. } = *moment;
        if self.frames_done == 0 {
            self.spoke_ms = now_ms;
            let detail = json!({ "from_ms": now_ms, "text": text });
            performed.notes.push(Note { event: "caller_starts", detail });
        }
        let from = usize::try_from(self.frames_done).unwrap_or(usize::MAX).saturating_mul(FRAME);
        let rest = audio.get(from..).unwrap_or_default();
        if rest.is_empty() {
            let detail = json!({ "from_ms": since_ms, "to_ms": now_ms, "text": text });
            performed.notes.push(Note { event: "caller", detail });
            return Progress::Done;
        }
        let mut frame = [SILENCE; FRAME];
        frame.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Progress::Frame(Some(frame))
    }

    /// White noise of about that level, the same in every run.
    fn noise(&mut self, level: i16) -> [u8; FRAME] {
        let level = i32::from(level.max(1));
        [0; FRAME].map(|_: u8| {
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sample = i32::try_from(self.noise >> 16).unwrap_or(0) % (2 * level) - level;
            ulaw::encode(i16::try_from(sample).unwrap_or(0))
        })
    }
}

async fn say(library: &Library, text: &str, voice: &str) -> Cue {
    Cue::Say { text: text.to_owned(), audio: library.speak(text, voice).await }
}

fn hold(ms: u64, with: Filling) -> Cue {
    Cue::Hold { frames: ms / FRAME_MS, with }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::playback::Played;

    /// Performs a caller against an agent that is loud in the given frames; what happened, by frame number.
    async fn perform(toml: &str, loud: fn(u64) -> bool, frames: u64) -> Vec<String> {
        let library = Library::open(&[], None).unwrap();
        let mut caller = Performer::prepare(&Caller::from_toml(toml).unwrap(), &library).await;
        let mut ear = Ear::default();
        let mut log = Vec::new();
        for n in 0..frames {
            let bytes = if loud(n) { 0x10 } else { SILENCE };
            ear.hear(n * 20, &Played { marks: Vec::new(), frame: [bytes; FRAME], bytes: FRAME });
            let performed = caller.perform(n * 20, &ear);
            log.extend(performed.actions.iter().map(|action| format!("{n} {action:?}")));
            log.extend(performed.notes.iter().map(|note| format!("{n} {} {}", note.event, note.detail)));
        }
        log
    }

    #[tokio::test]
    async fn waits_for_a_reply_and_its_end() {
        let steps = r#"steps = [{ do = "await_reply", quiet_ms = 200 }, { do = "hang_up" }]"#;
        assert_eq!(
            perform(steps, |n| (5..10).contains(&n) || (14..20).contains(&n), 60).await,
            ["30 HangUp"]
        );
    }

    #[tokio::test]
    async fn a_wait_in_vain_is_noted_and_the_caller_goes_on() {
        let steps = r#"steps = [{ do = "await_reply", within_ms = 400 }, { do = "dtmf", digits = "1#" }, { do = "hang_up" }]"#;
        let log = perform(steps, |_| false, 60).await;
        let failed = r#"20 step_failed {"problem":"no whole reply within 400 ms"}"#;
        assert_eq!(log, ["20 Key('1')", failed, "25 Key('#')", "30 HangUp"]);
    }

    #[tokio::test]
    async fn interrupts_and_expects_a_clear() {
        let steps = r#"steps = [{ do = "interrupt", text = "Wait.", after_ms = 100 }, { do = "expect_clear", within_ms = 600 }]"#;
        let log = perform(steps, |n| (10..60).contains(&n), 80).await;
        assert_eq!(
            log,
            [
                r#"15 caller_starts {"from_ms":300,"text":"Wait."}"#,
                r#"30 caller {"from_ms":300,"text":"Wait.","to_ms":600}"#,
                r#"46 step_failed {"problem":"no clear within 600 ms of the caller's words"}"#,
            ]
        );
    }

    #[tokio::test]
    async fn a_gap_sends_nothing_and_noise_is_heard() {
        let steps = r#"steps = [{ do = "gap", ms = 60 }, { do = "noise", ms = 40, level = 900 }]"#;
        let library = Library::open(&[], None).unwrap();
        let mut performer = Performer::prepare(&Caller::from_toml(steps).unwrap(), &library).await;
        let frames: Vec<_> = (0..7).map(|n| performer.perform(n * 20, &Ear::default()).frame).collect();
        assert!(frames[..3].iter().all(Option::is_none));
        assert!(frames[3..5].iter().all(|frame| 300 < ulaw::loudness(&frame.unwrap())));
        assert!(frames[5..].iter().all(|frame| *frame == Some([SILENCE; FRAME])));
    }
}
