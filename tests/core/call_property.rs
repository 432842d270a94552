//! Any interleaving of carrier, model, tools and time, garbage included, against what must always hold.

use crate::call_script::stage::{carrier_frame, model_event, plan};
use neurosphere::voice::plan::Limits;
use neurosphere::voice::record::{Record, Speaker};
use neurosphere::voice::session::{Closed, Input, Output, Session};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const GUARD: Duration = Duration::from_millis(Limits::STANDARD.greeting_guard_ms_max);
const GREETINGS_MAX: u32 = Limits::STANDARD.greeting_attempts_max;

#[derive(Debug, Clone)]
enum Step {
    /// Lets time pass, ticking when asked to, or too late.
    Wait {
        ms: u64,
        punctual: bool,
    },
    /// A line of the script language, from either leg.
    Say(String),
    /// The mark that came `0`th, `1`st, … after the last that came back.
    Mark(usize),
    Raw {
        carrier: bool,
        text: String,
    },
    ToolDone(u8),
    Closed {
        carrier: bool,
    },
    Drain,
    CallOver,
}

fn say(words: &'static str, items: u8) -> impl Strategy<Value = Step> {
    (0..items, 0..items).prop_map(move |(a, b)| {
        Step::Say(words.replace("{a}", &a.to_string()).replace("{b}", &b.to_string()))
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..1500u64, any::<bool>()).prop_map(|(ms, punctual)| Step::Wait { ms, punctual }),
        1 => (0..40_000u64, any::<bool>()).prop_map(|(ms, punctual)| Step::Wait { ms, punctual }),
        6 => (0..20_000u32, 0..400u32).prop_map(|(at, bytes)| Step::Say(format!("media {at} {bytes}"))),
        12 => (0..4usize).prop_map(Step::Mark),
        6 => say("speech u{a}", 6),
        6 => say("stopped u{a}", 6),
        4 => say("committed u{a} u{b}", 6),
        4 => say("heard u{a} Some words of mine.", 6),
        6 => say("response r{a}", 8),
        // Items belong to one answer each.
        24 => (0..8u8, 0..2u8, 1..2000u32).prop_map(|(r, i, b)| Step::Say(format!("audio r{r} a{r}{i} {b}"))),
        6 => (0..8u8, 0..2u8).prop_map(|(r, i)| Step::Say(format!("words a{r}{i} More words."))),
        3 => (0..8u8, 0..2u8).prop_map(|(r, i)| Step::Say(format!("item_done r{r} a{r}{i}"))),
        8 => say("done r{a} completed", 8),
        3 => say("done r{a} cancelled", 8),
        1 => say("done r{a} failed server_error", 8),
        4 => say("tool r{a} c{b} remember {}", 8),
        4 => (0..8u8).prop_map(Step::ToolDone),
        2 => Just(Step::Say("session.updated audio/pcmu".to_owned())),
        2 => say("dtmf {a}", 10),
        2 => say("error conversation_already_has_active_response ask-{a}", 10),
        1 => say("error odd ask-{a}", 10),
        1 => Just(Step::Say("error odd initiative".to_owned())),
        1 => (any::<bool>(), ".{0,40}").prop_map(|(carrier, text)| Step::Raw { carrier, text }),
        1 => Just(Step::Drain),
        1 => prop_oneof![
            Just(Step::CallOver),
            any::<bool>().prop_map(|carrier| Step::Closed { carrier }),
            Just(Step::Say("stop".to_owned())),
        ],
    ]
}

/// The call, and what an onlooker knows of it.
struct Watched {
    session: Session,
    now: Duration,
    /// Sent bytes, and heard by the marks that came back, by item.
    sent: BTreeMap<String, u64>,
    heard: BTreeMap<String, u64>,
    /// Marks on their way: name, item, sent bytes by then.
    marks: Vec<(String, String, u64)>,
    /// Answers of which something was cut off.
    cut: BTreeSet<String>,
    asking: bool,
    answering: Option<String>,
    answered: BTreeSet<String>,
    run: BTreeSet<String>,
    /// Turns that tell of a tool.
    tool_turns: usize,
    grants: u32,
    /// The caller's frames that came before the line was cut.
    frames: u64,
    cut_off: bool,
    finished: bool,
    greetings_asked: u32,
    /// When the first sound of the agent's went out.
    first_sound: Option<Duration>,
    /// The piece of speech that is being handled: answer, item.
    piece: Option<(String, String)>,
}

impl Watched {
    fn new() -> Self {
        Self {
            session: Session::new(plan(Limits {
                call_ms_max: 120_000,
                tool_calls_max: 4,
                ..Limits::STANDARD
            })),
            now: Duration::ZERO,
            sent: BTreeMap::new(),
            heard: BTreeMap::new(),
            marks: Vec::new(),
            cut: BTreeSet::new(),
            asking: false,
            answering: None,
            answered: BTreeSet::new(),
            run: BTreeSet::new(),
            tool_turns: 0,
            grants: 0,
            frames: 0,
            cut_off: false,
            finished: false,
            greetings_asked: 0,
            first_sound: None,
            piece: None,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait { ms, punctual: true } => {
                let then = self.now + Duration::from_millis(*ms);
                while let Some(due) = self.session.deadline().filter(|due| *due <= then) {
                    self.now = self.now.max(due);
                    self.tick();
                }
                self.now = then;
            }
            Step::Wait { ms, punctual: false } => {
                self.now += Duration::from_millis(*ms);
                self.tick();
            }
            Step::Say(line) => self.say(line),
            Step::Mark(nth) => {
                let name = self.marks.get(*nth).map_or("0.999".to_owned(), |mark| mark.0.clone());
                self.mark(&name);
            }
            Step::Raw { carrier: true, text } => self.input(Input::CarrierText(text)),
            Step::Raw { carrier: false, text } => self.input(Input::ModelText(text)),
            Step::ToolDone(id) => {
                let (call_id, account) = (&format!("c{id}"), &format!("Did c{id}."));
                self.input(Input::ToolDone { call_id, output: "{}", account });
            }
            Step::Closed { carrier: true } => self.input(Input::CarrierClosed(Closed::Gone)),
            Step::Closed { carrier: false } => self.input(Input::ModelClosed(Closed::Gone)),
            Step::Drain => self.input(Input::Drain),
            Step::CallOver => self.input(Input::CallOver),
        }
    }

    fn tick(&mut self) {
        self.input(Input::Tick);
        assert!(self.session.deadline().is_none_or(|next| self.now < next), "a deadline that does not pass");
    }

    fn mark(&mut self, name: &str) {
        if let Some(place) = self.marks.iter().position(|mark| mark.0 == name) {
            for (_, item, bytes) in self.marks.drain(..=place) {
                self.heard.insert(item, bytes);
            }
        }
        let frame = carrier_frame(&["mark", name]).unwrap();
        self.input(Input::CarrierText(&frame.to_string()));
    }

    fn say(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        if let Some(frame) = carrier_frame(&words) {
            self.input(Input::CarrierText(&frame.to_string()));
            // A frame that floods the line cuts it.
            self.frames += u64::from(words[0] == "media" && !self.cut_off);
            return;
        }
        match words.as_slice() {
            ["audio", response, item, _] => self.piece = Some(((*response).to_owned(), (*item).to_owned())),
            ["response", id] => {
                self.asking = false;
                self.answering = Some((*id).to_owned());
            }
            ["error", ..] => self.asking = false,
            ["done", id, ..] if self.answering.as_deref() == Some(id) => self.answering = None,
            _ => {}
        }
        self.input(Input::ModelText(&model_event(&words, line).to_string()));
        self.piece = None;
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.session.poll() {
            outputs += 1;
            assert!(outputs < 500, "a flood of outputs");
            assert!(!self.finished, "{output:?} after the end");
            self.watch(&output);
        }
        if self.finished {
            assert_eq!(self.session.deadline(), None);
        }
    }

    fn watch(&mut self, output: &Output) {
        match output {
            Output::ToCarrier(frame) => self.watch_carrier(&serde_json::from_str(frame).unwrap()),
            Output::ToModel(event) => self.watch_model(&serde_json::from_str(event).unwrap()),
            Output::CloseCarrier(_) => self.cut_off = true,
            Output::Finished(_) => self.finished = true,
            Output::RunTool { call_id, .. } => {
                assert!(self.run.insert(call_id.clone()), "a tool call run twice");
            }
            Output::Record(Record::Turn(turn)) => {
                self.tool_turns += usize::from(turn.speaker == Speaker::Tool);
            }
            Output::Record(Record::Event(_)) | Output::HangUp | Output::CloseModel => {}
        }
    }

    fn watch_carrier(&mut self, frame: &Value) {
        match frame["event"].as_str().unwrap() {
            "media" => {
                let (response, item) = self.piece.clone().expect("speech out of nothing");
                assert!(!self.cut.contains(&response), "speech of {response} after it was cut off");
                let base64 = frame["media"]["payload"].as_str().unwrap();
                let bytes = base64.len() / 4 * 3 - base64.matches('=').count();
                *self.sent.entry(item).or_default() += bytes as u64;
                self.first_sound.get_or_insert(self.now);
            }
            "mark" => {
                let name = frame["mark"]["name"].as_str().unwrap().to_owned();
                let item = self.piece.clone().unwrap().1;
                let bytes = self.sent[&item];
                assert!(self.marks.iter().all(|mark| mark.0 != name), "a name twice");
                self.marks.push((name, item, bytes));
            }
            "clear" => {
                assert!(!self.marks.is_empty(), "a clear with nothing to clear");
                let guarded = self.heard.is_empty() && self.now < self.first_sound.unwrap() + GUARD;
                assert!(!guarded || GREETINGS_MAX <= self.greetings_asked, "the greeting is cut off");
                for (_, item, _) in self.marks.drain(..) {
                    self.cut.insert(format!("r{}", &item[1..2]));
                }
            }
            other => panic!("{other}"),
        }
    }

    fn watch_model(&mut self, event: &Value) {
        let item = || event["item_id"].as_str().unwrap().to_owned();
        match event["type"].as_str().unwrap() {
            "response.create" => {
                assert!(!self.asking, "asked twice");
                assert_eq!(self.answering, None, "asked while answering");
                self.asking = true;
                let told = event["response"]["instructions"].as_str().unwrap_or_default();
                self.greetings_asked += u32::from(told.ends_with("Say exactly: \"Hello, this is Barbara.\""));
            }
            "session.update" if event["event_id"] == "initiative" => {
                assert_eq!(self.grants, 0, "granted twice");
                self.grants += 1;
            }
            "conversation.item.truncate" => {
                let bytes = event["audio_end_ms"].as_u64().unwrap() * 8;
                assert!(0 < bytes && bytes <= self.sent[&item()], "truncated beyond what was sent");
                let heard = self.heard[&item()];
                assert!(bytes <= heard && heard < bytes + 8, "truncated elsewhere than at what was heard");
            }
            "conversation.item.delete" => {
                assert!(self.heard.get(&item()).is_none_or(|heard| *heard < 8), "deleted although heard");
            }
            "conversation.item.create" if event["item"]["type"] == "function_call_output" => {
                let call = event["item"]["call_id"].as_str().unwrap().to_owned();
                assert!(self.answered.insert(call), "a tool call answered twice");
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_a_call(connected in 0..10u8, steps in prop::collection::vec(step(), 0..150)) {
        let mut call = Watched::new();
        if 0 < connected {
            for line in ["start", "session.created", "session.updated audio/pcmu", "response r0"] {
                call.say(line);
            }
        }
        for step in &steps {
            call.step(step);
        }
        call.step(&Step::Closed { carrier: true });
        call.step(&Step::Closed { carrier: false });
        prop_assert!(call.finished, "a call that outlives both its legs");
        let used = call.answered.union(&call.run).count();
        prop_assert_eq!(call.tool_turns, used, "each use of a tool is a turn");
        let totals = call.session.totals();
        prop_assert_eq!(totals.frames_in + totals.frames_unheard, call.frames, "frames that nobody counted");
        call.step(&Step::Wait { ms: 9_000_000, punctual: true });
    }
}
