//! Plays a script against the machine and compares what it does, line by line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use neurosphere::providers::openai::realtime::client::{SessionSettings, Tool, Transcription, VoiceActivity};
use neurosphere::sentences::Language;
use neurosphere::voice::plan::{Limits, Plan};
use neurosphere::voice::record::{Record, Turn};
use neurosphere::voice::session::{Closed, Input, Output, Session};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn plan(limits: Limits) -> Plan {
    let parameters = RawValue::from_string("{}".to_owned()).unwrap();
    Plan {
        call_sid: "CA1".parse().unwrap(),
        session: SessionSettings {
            instructions: "You are Barbara.".to_owned(),
            voice: "marin".to_owned(),
            voice_activity: VoiceActivity {
                threshold: 0.5,
                prefix_padding_ms: 300,
                silence_duration_ms: 500,
            },
            transcription: Transcription { model: "t".to_owned(), language: "en".to_owned() },
            tools: vec![Tool { name: "remember", description: "Keeps a fact.", parameters }],
            output_tokens_max: 1024,
            retention_ratio: 0.8,
        },
        greeting: "Hello, this is Barbara.".to_owned(),
        language: Language::English,
        limits,
    }
}

/// Plays a script that begins when both legs are up and the greeting has been asked for.
pub(crate) fn check(script: &str) {
    check_with(|_| {}, script);
}

pub(crate) fn check_with(limit: impl Fn(&mut Limits), script: &str) {
    play(limit, script);
}

pub(crate) fn check_from_the_start(script: &str) {
    play_from_the_start(|_| {}, script);
}

pub(crate) fn play(limit: impl Fn(&mut Limits), script: &str) -> Call {
    let both_legs_up = "> start\n> session.created\n< model session.update\n> session.updated audio/pcmu\n\
         < model ask-1 says \"Hello, this is Barbara.\"";
    let mut call = play_from_the_start(limit, both_legs_up);
    call.run(script);
    call
}

pub(crate) fn play_from_the_start(limit: impl Fn(&mut Limits), script: &str) -> Call {
    let mut limits = Limits::STANDARD;
    limit(&mut limits);
    let mut call = Call::new(limits);
    call.run(script);
    call
}

pub(crate) struct Call {
    pub(crate) session: Session,
    pub(crate) events: u64,
    strangers: u64,
    now: Duration,
    did: Vec<String>,
}

impl Call {
    fn new(limits: Limits) -> Self {
        let session = Session::new(plan(limits));
        Self { session, events: 0, strangers: 0, now: Duration::ZERO, did: Vec::new() }
    }

    pub(crate) fn events_before_strangers(&self) -> u64 {
        self.events - self.strangers
    }

    fn run(&mut self, script: &str) {
        let mut lines = script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .peekable();
        while let Some(line) = lines.next() {
            match line.split_at(1) {
                (">", happened) => self.happen(happened.trim()),
                ("@", ms) => self.wait_until(Duration::from_millis(ms.trim().parse().unwrap())),
                _ => panic!("expected `>` or `@`: {line}"),
            }
            let mut expected = Vec::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('<')) {
                expected.push(line.trim_start_matches('<').trim());
            }
            assert_eq!(std::mem::take(&mut self.did), expected, "after `{line}` in\n{script}");
        }
    }

    fn wait_until(&mut self, then: Duration) {
        while let Some(due) = self.session.deadline().filter(|due| *due <= then) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
            assert!(
                self.session.deadline().is_none_or(|next| self.now < next),
                "a deadline that does not pass"
            );
        }
        self.now = then;
    }

    fn happen(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["carrier", "binary"] => self.input(Input::CarrierBinary),
            ["model", "binary"] => self.input(Input::ModelBinary),
            ["carrier", how @ ("closed" | "stalled" | "too_large")] => {
                self.input(Input::CarrierClosed(closed(how)));
            }
            ["model", how @ ("closed" | "stalled" | "too_large")] => {
                self.input(Input::ModelClosed(closed(how)));
            }
            ["over"] => self.input(Input::CallOver),
            ["drain"] => self.input(Input::Drain),
            ["tool_done", call_id, ..] => {
                let output = line.splitn(3, ' ').nth(2).unwrap();
                self.input(Input::ToolDone { call_id, output, account: &format!("Did {call_id}.") });
            }
            ["carrier", ..] => self.input(Input::CarrierText(line.trim_start_matches("carrier "))),
            ["model", ..] => self.input(Input::ModelText(line.trim_start_matches("model "))),
            _ => match carrier_frame(&words) {
                Some(frame) => self.input(Input::CarrierText(&frame.to_string())),
                None => self.input(Input::ModelText(&model_event(&words, line).to_string())),
            },
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll() {
            if let Output::Record(Record::Event(event)) = &output {
                self.events += u64::from(event.kind != "call.totals");
                self.strangers += u64::from(event.kind == "brand.new");
            }
            self.did.extend(describe(&output));
        }
    }
}

fn closed(how: &str) -> Closed {
    match how {
        "closed" => Closed::Gone,
        "stalled" => Closed::Stalled,
        _ => Closed::TooLarge,
    }
}

pub(crate) fn audio(bytes: &str) -> String {
    STANDARD.encode(vec![0x2A; bytes.parse().unwrap()])
}

pub(crate) fn carrier_frame(words: &[&str]) -> Option<Value> {
    Some(match words {
        ["connected"] => json!({"event":"connected","protocol":"Call","version":"1.0.0"}),
        ["start"] => return carrier_frame(&["start", "MZ1", "CA1"]),
        ["start", stream, call] => json!({"event":"start","sequenceNumber":"1","streamSid":stream,"start":{
            "accountSid":"AC1","streamSid":stream,"callSid":call,"tracks":["inbound"],
            "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{}}}),
        ["media", at, bytes] => json!({"event":"media","sequenceNumber":"3","streamSid":"MZ1","media":{
            "track":"inbound","chunk":"1","timestamp":at,"payload":audio(bytes)}}),
        ["mark", name] => json!({"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":name}}),
        ["dtmf", key] => {
            json!({"event":"dtmf","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":key}})
        }
        ["stop"] => json!({"event":"stop","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}),
        _ => return None,
    })
}

pub(crate) fn model_event(words: &[&str], line: &str) -> Value {
    let rest = |skip: usize| line.splitn(skip + 1, ' ').nth(skip).unwrap_or_default();
    match words {
        ["session.created"] => json!({"type":"session.created","session":{}}),
        ["session.updated", format] => json!({"type":"session.updated","session":{"audio":{
            "input":{"format":{"type":format}},"output":{"format":{"type":format}}}}}),
        ["response", id] => json!({"type":"response.created","response":{"id":id,"status":"in_progress"}}),
        ["audio", response, item, bytes] => {
            json!({"type":"response.output_audio.delta","response_id":response,
            "item_id":item,"output_index":0,"content_index":0,"delta":audio(bytes)})
        }
        ["words", item, ..] => {
            json!({"type":"response.output_audio_transcript.delta","item_id":item,"delta":rest(2)})
        }
        ["item_done", response, item] => json!({"type":"response.output_item.done","response_id":response,
            "item":{"id":item,"type":"message","role":"assistant","status":"completed"}}),
        [kind @ ("tool" | "tool_incomplete"), response, call, name, ..] => {
            let status = if *kind == "tool" { "completed" } else { "incomplete" };
            json!({"type":"response.output_item.done","response_id":response,"item":{"id":format!("item-{call}"),
                "type":"function_call","status":status,"call_id":call,"name":name,"arguments":rest(4)}})
        }
        ["done", id, "failed", code] => json!({"type":"response.done","response":{"id":id,"status":"failed",
            "status_details":{"type":"failed","error":{"code":code}}}}),
        ["done", id, status] => json!({"type":"response.done","response":{"id":id,"status":status,
            "status_details":null,"usage":{"input_tokens":1,"output_tokens":1}}}),
        ["speech", item] => {
            json!({"type":"input_audio_buffer.speech_started","audio_start_ms":0,"item_id":item})
        }
        ["stopped", item] => {
            json!({"type":"input_audio_buffer.speech_stopped","audio_end_ms":0,"item_id":item})
        }
        ["committed", item] => {
            json!({"type":"input_audio_buffer.committed","item_id":item,"previous_item_id":null})
        }
        ["committed", item, previous] => {
            json!({"type":"input_audio_buffer.committed","item_id":item,"previous_item_id":previous})
        }
        ["heard", item, ..] => json!({"type":"conversation.item.input_audio_transcription.completed",
            "item_id":item,"content_index":0,"transcript":rest(2)}),
        ["not_heard", item] => json!({"type":"conversation.item.input_audio_transcription.failed",
            "item_id":item,"error":{"code":"audio_unintelligible"}}),
        ["error", code] => json!({"type":"error","error":{"type":"x","code":code,"message":"…"}}),
        ["error", code, event] => json!({"type":"error","error":{"code":code,"event_id":event}}),
        _ => panic!("unknown line: {line}"),
    }
}

fn describe(output: &Output) -> Option<String> {
    Some(match output {
        Output::ToCarrier(frame) => {
            let frame: Value = serde_json::from_str(frame).unwrap();
            assert_eq!(frame["streamSid"], "MZ1");
            match frame["event"].as_str().unwrap() {
                "media" => format!("carrier media {}", bytes_of(&frame["media"]["payload"]).len()),
                "mark" => format!("carrier mark {}", text(&frame["mark"]["name"])),
                event => format!("carrier {event}"),
            }
        }
        Output::ToModel(event) => format!("model {}", describe_event(&serde_json::from_str(event).unwrap())),
        Output::RunTool { call_id, name, arguments } => format!("run {call_id} {name} {arguments}"),
        Output::Record(Record::Turn(turn)) => describe_turn(turn),
        Output::Record(Record::Event(_)) => return None,
        Output::HangUp => "hang up".to_owned(),
        Output::CloseCarrier(_) => "close carrier".to_owned(),
        Output::CloseModel => "close model".to_owned(),
        Output::Finished(reason) => format!("finished {}", reason.code()),
    })
}

fn describe_event(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap();
    match kind {
        "session.update" if event["event_id"] == "initiative" => {
            let told = json!({"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                "silence_duration_ms": 500, "create_response": true, "interrupt_response": true});
            let session = json!({"type": "realtime", "audio": {"input": {"turn_detection": told}}});
            assert_eq!(event["session"], session, "nothing else changes");
            "is granted the initiative".to_owned()
        }
        "session.update" => {
            let rule = &event["session"]["audio"]["input"]["turn_detection"];
            assert_eq!(
                (&rule["create_response"], &rule["interrupt_response"]),
                (&json!(false), &json!(false))
            );
            "session.update".to_owned()
        }
        "input_audio_buffer.append" => {
            let audio = bytes_of(&event["audio"]);
            let silent = !audio.is_empty() && audio.iter().all(|byte| *byte == 0xFF);
            format!("{} {}", if silent { "silence" } else { "append" }, audio.len())
        }
        "response.create" => match event["response"]["instructions"].as_str() {
            Some(told) => {
                assert_eq!(event["response"]["tool_choice"], "none");
                let (session, sentence) = told.split_once("\n\nSay exactly: ").unwrap();
                assert_eq!(session, "You are Barbara.", "the session's instructions are repeated");
                format!("{} says {sentence}", text(&event["event_id"]))
            }
            None => format!("{} answers", text(&event["event_id"])),
        },
        "response.cancel" => format!("cancel {}", text(&event["response_id"])),
        "conversation.item.truncate" => {
            assert_eq!(event["content_index"], 0);
            format!("truncate {} at {}", text(&event["item_id"]), event["audio_end_ms"].as_u64().unwrap())
        }
        "conversation.item.delete" => format!("delete {}", text(&event["item_id"])),
        "conversation.item.create" => match text(&event["item"]["type"]) {
            "function_call_output" => {
                format!("tool_output {} {}", text(&event["item"]["call_id"]), text(&event["item"]["output"]))
            }
            _ => format!("caller_text {}", event["item"]["content"][0]["text"]),
        },
        other => other.to_owned(),
    }
}

fn describe_turn(turn: &Turn) -> String {
    let heard = turn.heard.map_or(String::new(), |heard| {
        let interrupted = if heard.interrupted { " interrupted" } else { "" };
        format!(" heard {} of {}{interrupted}", heard.heard_ms, heard.sent_ms)
    });
    format!("turn {} {}-{} {:?}{heard}", turn.speaker.code(), turn.started_ms, turn.ended_ms, turn.text)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes_of(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).unwrap()
}
