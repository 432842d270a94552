//! The three calls that the stand-in Twilio places, printed as they happen.

use futures_util::StreamExt as _;
use neurosphere::app::Running;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

use super::Business;
use super::look::{Summary, Viewer};
use super::standin::{ACCOUNT_SID, AUTH_TOKEN, Standin};

const CALLER: &str = "+19495550199";
const CALL_MAX: Duration = Duration::from_mins(3);
const CONCLUDED_MAX: Duration = Duration::from_secs(20);
const FOLDER: &str = "tests/fixtures/callers";

/// Places the calls one after the other and waits until each is summed up.
pub(super) async fn calls(
    running: &Running,
    standin: &Standin,
    [peterson, smith]: &[Business; 2],
    [at_peterson, at_smith]: &[Viewer; 2],
    record: Option<&Path>,
) -> Result<Summary, String> {
    let mut summary = Summary::default();
    let scenes = [
        ("1. a stranger calls Peterson", "stranger", peterson, at_peterson),
        ("2. the same telephone calls Smith, where nobody knows it", "elsewhere", smith, at_smith),
        ("3. it calls Peterson again, and is known", "returning", peterson, at_peterson),
    ];
    for (title, script, business, viewer) in scenes {
        println!("\n── {title} ──");
        let scene = Scene { running, standin, business, script, record };
        scene.play(&mut summary).await?;
        let concluded = viewer.conclusion(summary.calls, CONCLUDED_MAX).await?;
        println!("   after the call: {concluded}");
    }
    Ok(summary)
}

struct Scene<'s> {
    running: &'s Running,
    standin: &'s Standin,
    business: &'s Business,
    script: &'s str,
    record: Option<&'s Path>,
}

impl Scene<'_> {
    async fn play(&self, summary: &mut Summary) -> Result<(), String> {
        let origin = format!("http://{}", self.running.address);
        let mut order = json!({
            "account_sid": ACCOUNT_SID,
            "auth_token": AUTH_TOKEN,
            "webhook_url": format!("{origin}/twilio/voice"),
            "status_callback_url": format!("{origin}/twilio/status"),
            "from": CALLER,
            "to": self.business.number.reveal(),
            "caller_file": format!("{FOLDER}/{}.toml", self.script),
            "options": {},
        });
        if let (Some(folder), Some(options)) = (self.record, order.get_mut("options")) {
            let folder = folder.join(self.script);
            std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            *options = json!({"record_wav_dir": folder});
        }
        let http = &self.running.app.http;
        let url = format!("{}/calls", self.standin.control);
        let placed: Value = answered(http.post(url).json(&order).send().await).await?;
        let sid =
            placed.get("call_sid").and_then(Value::as_str).ok_or("the stand-in Twilio placed no call")?;
        summary.calls += 1;
        tokio::time::timeout(CALL_MAX, self.follow(sid, summary))
            .await
            .map_err(|_| format!("the call did not end within {} s", CALL_MAX.as_secs()))?
    }

    /// Reads the call's timeline as it grows.
    async fn follow(&self, sid: &str, summary: &mut Summary) -> Result<(), String> {
        let url = format!("{}/calls/{sid}/events", self.standin.control);
        let asked = self.running.app.http.get(url).timeout(CALL_MAX).send().await;
        let mut chunks = asked.map_err(|error| format!("the stand-in Twilio: {error}"))?.bytes_stream();
        let mut buffer = Vec::new();
        let mut ear = Ear { agent: self.business.agent, caller_done_ms: None };
        while let Some(chunk) = chunks.next().await {
            buffer.extend_from_slice(&chunk.map_err(|error| format!("the stand-in Twilio: {error}"))?);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if let Ok(event) = serde_json::from_slice::<Value>(&line) {
                    ear.hear(&event, summary);
                }
            }
        }
        Ok(())
    }
}

/// Prints who said what, and measures how long answers take.
struct Ear<'e> {
    agent: &'e str,
    caller_done_ms: Option<u64>,
}

impl Ear<'_> {
    fn hear(&mut self, event: &Value, summary: &mut Summary) {
        let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let at = number("at_ms");
        match text("event").unwrap_or_default() {
            "document" if text("of") == Some("webhook") => {
                summary.webhook_ms.push(number("took_ms"));
                println!("   {at:>6} ms  [webhook answered in {} ms]", number("took_ms"));
            }
            "caller" => {
                self.caller_done_ms = Some(number("to_ms"));
                say(number("from_ms"), "Caller", text("text"));
            }
            "agent_starts" => {
                if let Some(done) = self.caller_done_ms.take() {
                    summary.answer_ms.push(at.saturating_sub(done));
                }
            }
            "agent" => say(number("from_ms"), self.agent, text("text")),
            "clear" => println!("   {at:>6} ms  [the caller cuts in: the rest is not played]"),
            "say" => say(at, "Twilio", text("text")),
            "step_failed" | "error" | "warning" => {
                summary.troubles += 1;
                println!("   {at:>6} ms  [trouble: {event}]");
            }
            "ended" => println!("   {at:>6} ms  [{}]", text("reason").unwrap_or("over")),
            _ => {}
        }
    }
}

fn say(at_ms: u64, who: &str, words: Option<&str>) {
    println!("   {at_ms:>6} ms  {who:<8} {}", words.unwrap_or("(cut off)"));
}

async fn answered(asked: Result<reqwest::Response, reqwest::Error>) -> Result<Value, String> {
    let answer = asked.map_err(|error| format!("the stand-in Twilio: {error}"))?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(|error| format!("the stand-in Twilio: {error}"))?;
    if status.is_success() { Ok(body) } else { Err(format!("the stand-in Twilio refused: {body}")) }
}
