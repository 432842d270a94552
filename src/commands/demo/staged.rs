//! The three calls that the stand-in Twilio places, watched from the caller's side.

use futures_util::StreamExt as _;
use neurosphere::app::Running;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

use super::Business;
use super::look::Summary;
use super::standin::{ACCOUNT_SID, AUTH_TOKEN, Standin};
use super::telling::Telling;

const CALLER: &str = "+19495550199";
const CALL_MAX: Duration = Duration::from_mins(3);
const CONCLUDED_MAX: Duration = Duration::from_secs(20);
const FOLDER: &str = "tests/fixtures/callers";

/// Places the calls one after the other and waits until each is summed up.
pub(super) async fn calls(
    running: &Running,
    standin: &Standin,
    businesses: &[Business; 2],
    record: Option<&Path>,
) -> Result<Summary, String> {
    let mut summary = Summary::default();
    let mut telling = Telling::begin(running, businesses);
    let [peterson, smith] = businesses;
    let scenes = [
        ("1. a stranger calls Peterson", "stranger", peterson),
        ("2. the same telephone calls Smith, where nobody knows it", "elsewhere", smith),
        ("3. it calls Peterson again, and is known", "returning", peterson),
    ];
    for (title, script, business) in scenes {
        println!("\n── {title} ──");
        let scene = Scene { running, standin, business, script, record };
        let call = scene.place().await?;
        summary.calls += 1;
        let (followed, told) = tokio::join!(
            timeout(CALL_MAX, scene.follow(&call, &mut summary)),
            timeout(CALL_MAX + CONCLUDED_MAX, telling.calls(1)),
        );
        followed.map_err(|_| format!("the call did not end within {} s", CALL_MAX.as_secs()))??;
        told.map_err(|_| "the call was not summed up in time".to_owned())??;
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
    /// Has the stand-in Twilio ring the business; the call's SID.
    async fn place(&self) -> Result<String, String> {
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
        let sid = placed.get("call_sid").and_then(Value::as_str);
        sid.map(str::to_owned).ok_or_else(|| "the stand-in Twilio placed no call".to_owned())
    }

    /// Reads the call's timeline as it grows: how long the caller waits, and whatever goes wrong.
    async fn follow(&self, sid: &str, summary: &mut Summary) -> Result<(), String> {
        let url = format!("{}/calls/{sid}/events", self.standin.control);
        let asked = self.running.app.http.get(url).timeout(CALL_MAX).send().await;
        let mut chunks = asked.map_err(|error| format!("the stand-in Twilio: {error}"))?.bytes_stream();
        let mut buffer = Vec::new();
        let mut ear = Ear { caller_done_ms: None };
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

/// Measures how long the caller waits.
struct Ear {
    caller_done_ms: Option<u64>,
}

impl Ear {
    fn hear(&mut self, event: &Value, summary: &mut Summary) {
        let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("event") {
            "document" if text("of") == "webhook" => {
                summary.webhook_ms.push(number("took_ms"));
                println!("   [webhook answered in {} ms]", number("took_ms"));
            }
            "caller" => self.caller_done_ms = Some(number("to_ms")),
            "agent_starts" => {
                if let Some(done) = self.caller_done_ms.take() {
                    summary.answer_ms.push(number("at_ms").saturating_sub(done));
                }
            }
            "say" => println!("   [Twilio says: {}]", text("text")),
            "step_failed" | "error" | "warning" => {
                summary.troubles += 1;
                println!("   [trouble: {event}]");
            }
            _ => {}
        }
    }
}

async fn answered(asked: Result<reqwest::Response, reqwest::Error>) -> Result<Value, String> {
    let answer = asked.map_err(|error| format!("the stand-in Twilio: {error}"))?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(|error| format!("the stand-in Twilio: {error}"))?;
    if status.is_success() { Ok(body) } else { Err(format!("the stand-in Twilio refused: {body}")) }
}
