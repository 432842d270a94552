//! `standin load`: many calls at once into one product, with both ends in this process, so that one clock times what is
//! under way. Writes a report as JSON. Owns the callers of the load and the report; the calls themselves are
//! [`crate::twilio`]'s, the times [`crate::tap`]'s.

use crate::openai::OpenAi;
use crate::openai::script::Script;
use crate::serve::{open, told_to_stop};
use crate::speech::Library;
use crate::tap::Tap;
use crate::twilio::{Call, Order, Twilio};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

const FRAME_MS: u64 = 20;
/// A question, an interruption and both answers take longer.
const ROUND_MS_MIN: u64 = 4_000;
/// How long a caller waits for the agent to speak and to end.
const PATIENCE_MS: u64 = 10_000;

/// Places many calls at once and reports how long everything took.
///
/// The product must be told beforehand where this process's OpenAI will be (`OPENAI_BASE_URL=http://127.0.0.1:PORT/v1`).
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many calls are held at once.
    #[arg(long)]
    calls: u32,
    /// Over how long they are placed.
    #[arg(long, default_value_t = 5_000)]
    ramp_ms: u64,
    /// How long each of them lasts.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The product's webhook, `http://127.0.0.1:8080/twilio/voice`.
    #[arg(long, value_name = "URL")]
    webhook: String,
    /// The product's status callback, if it is to be told.
    #[arg(long, value_name = "URL")]
    status_callback: Option<String>,
    /// The account whose calls these are.
    #[arg(long, value_name = "SID:TOKEN")]
    account: String,
    /// The number that is rung.
    #[arg(long)]
    to: String,
    /// The first caller's number; each further caller has the next.
    #[arg(long, default_value = "+19496000000")]
    from: String,
    /// Port of OpenAI's interface.
    #[arg(long)]
    openai_port: u16,
    /// Port of Twilio's REST interface.
    #[arg(long, default_value_t = 0)]
    twilio_port: u16,
    /// Folder of recorded lines; may be given several times.
    #[arg(long, value_name = "DIR")]
    speech: Vec<PathBuf>,
    /// What the stand-in model answers.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// What the callers say when the agent is quiet, again and again.
    #[arg(long, default_value = "Can you explain how your car policies work?")]
    text: String,
    /// What they say into the agent's answer.
    #[arg(long, default_value = "Sorry, let me stop you there. What time is it?")]
    interruption: String,
    /// Where the report is written, as one line; standard output when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep the ports open after the report, until standard input ends: a product has work left after its calls.
    #[arg(long)]
    stay: bool,
}

pub(crate) async fn load(arguments: Arguments) -> Result<(), String> {
    let tap = Tap::measuring();
    let speech = Library::open(&arguments.speech, None).map_err(|error| error.to_string())?;
    let script = Script::given(arguments.script.as_deref())?;
    let twilio = Twilio::measured(speech.clone(), tap.clone())?;
    let ports = TaskTracker::new();
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    open(&ports, at(arguments.openai_port), OpenAi::measured(speech, script, tap.clone()).router()).await?;
    open(&ports, at(arguments.twilio_port), twilio.router()).await?;
    let calls = place(&arguments, &twilio).await?;
    for call in &calls {
        Arc::clone(&call.timeline).follow().for_each(async |_| {}).await;
    }
    let mut report = tap.report();
    if let Some(fields) = report.as_object_mut() {
        fields.insert("calls".to_owned(), outcomes(&calls));
        fields.insert("seconds".to_owned(), json!(arguments.seconds));
    }
    let line = format!("{report}\n");
    match &arguments.out {
        Some(file) => std::fs::write(file, line).map_err(|error| format!("{}: {error}", file.display())),
        None => std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())
            .map_err(|error| error.to_string()),
    }?;
    if arguments.stay { told_to_stop(false).await } else { Ok(()) }
}

async fn place(arguments: &Arguments, twilio: &Twilio) -> Result<Vec<Arc<Call>>, String> {
    let began = Instant::now();
    let mut moments: Vec<_> = (0..arguments.calls).map(|n| (moment(arguments, n), n)).collect();
    moments.sort_unstable();
    let mut calls = Vec::new();
    for (moment, n) in moments {
        sleep_until(began + moment).await;
        calls.push(twilio.place(order(arguments, n)?).await?);
    }
    Ok(calls)
}

/// When a call is placed: evenly over the ramp, in whole frames, and anywhere within a frame, since callers know nothing
/// of each other and their frames are not due at the same moment.
fn moment(arguments: &Arguments, n: u32) -> Duration {
    let ramp_ms = arguments.ramp_ms * u64::from(n) / u64::from(arguments.calls) / FRAME_MS * FRAME_MS;
    let within_frame_us = u64::from(n.wrapping_mul(2_654_435_761) >> 16) % (FRAME_MS * 1_000);
    Duration::from_millis(ramp_ms) + Duration::from_micros(within_frame_us)
}

/// A caller who hears the agent out and asks, then interrupts the answer and hears that out, and so on until the time
/// is over.
fn order(arguments: &Arguments, n: u32) -> Result<Order, String> {
    let (account_sid, auth_token) = arguments.account.split_once(':').ok_or("--account takes SID:TOKEN")?;
    let first = arguments.from.strip_prefix('+').and_then(|digits| digits.parse::<u64>().ok());
    let from = first.ok_or("--from takes a number like +19496000000")? + u64::from(n);
    let lasts_ms = arguments.seconds * 1_000;
    // callers do not all speak at the same moment
    let mut steps = vec![
        json!({ "do": "silence", "ms": 1_000 + u64::from(n) * 137 % ROUND_MS_MIN }),
        json!({ "do": "await_quiet", "quiet_ms": 400, "within_ms": PATIENCE_MS }),
    ];
    for _ in 0..=lasts_ms / ROUND_MS_MIN {
        steps.push(json!({ "do": "say", "text": arguments.text }));
        steps.push(json!({
            "do": "interrupt", "text": arguments.interruption, "after_ms": 1_000, "within_ms": PATIENCE_MS,
        }));
        steps.push(json!({ "do": "await_reply", "quiet_ms": 400, "within_ms": PATIENCE_MS }));
    }
    let order = json!({
        "account_sid": account_sid, "auth_token": auth_token, "from": format!("+{from}"), "to": arguments.to,
        "webhook_url": arguments.webhook, "status_callback_url": arguments.status_callback,
        "caller": { "steps": steps }, "options": { "limit_ms": lasts_ms },
    });
    serde_json::from_value(order).map_err(|error| error.to_string())
}

/// A call is well when it lasted until its time was over, heard the agent, and nothing was reported wrong.
fn outcomes(calls: &[Arc<Call>]) -> Value {
    let (mut ok, mut reasons, mut failed_steps) = (0, BTreeMap::<&str, u32>::new(), 0);
    for call in calls {
        let lines = call.timeline.lines();
        let count = |event: &str| {
            lines.iter().filter(|line| line.contains(&format!("\"event\":\"{event}\""))).count()
        };
        let reason = call.state().end.unwrap_or("unknown");
        failed_steps += count("step_failed");
        *reasons.entry(reason).or_default() += 1;
        if reason == "limit" && 0 < count("first_media") && count("error") + count("warning") == 0 {
            ok += 1;
        }
    }
    json!({ "placed": calls.len(), "ok": ok, "failed": calls.len() - ok, "reasons": reasons, "failed_steps": failed_steps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::State;
    use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
    use axum::routing::{any, post};
    use futures_util::SinkExt as _;
    use tokio::net::TcpListener;
    use tokio_tungstenite::connect_async;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

    /// The least product there can be: passes audio on in both directions, and clears when the caller speaks.
    async fn bridge(mut caller: WebSocket, openai_port: u16) {
        let url = format!("ws://127.0.0.1:{openai_port}/v1/realtime?model=gpt-realtime-2.1");
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", "Bearer key".parse().unwrap());
        let (mut model, _) = connect_async(request).await.unwrap();
        let format = json!({ "type": "audio/pcmu" });
        let vad = json!({ "type": "server_vad", "create_response": true, "interrupt_response": true });
        let audio =
            json!({ "input": { "format": format, "turn_detection": vad }, "output": { "format": format } });
        let update = json!({ "type": "session.update", "session": { "type": "realtime", "audio": audio } });
        model.send(update.to_string().into()).await.unwrap();
        let mut stream_sid = Value::Null;
        loop {
            tokio::select! {
                message = caller.recv() => {
                    let Some(Ok(Message::Text(text))) = message else { break };
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["event"] == "start" {
                        stream_sid = message["streamSid"].clone();
                    }
                    if message["event"] == "media" {
                        let append = json!({ "type": "input_audio_buffer.append", "audio": message["media"]["payload"] });
                        model.send(append.to_string().into()).await.unwrap();
                    }
                }
                event = model.next() => {
                    let Some(Ok(event)) = event else { break };
                    let event: Value = serde_json::from_str(event.to_text().unwrap()).unwrap();
                    assert_ne!(event["type"], "error", "{event}");
                    let answer = match event["type"].as_str() {
                        Some("response.output_audio.delta") => {
                            json!({ "event": "media", "streamSid": stream_sid, "media": { "payload": event["delta"] } })
                        }
                        Some("input_audio_buffer.speech_started") => json!({ "event": "clear", "streamSid": stream_sid }),
                        _ => continue,
                    };
                    if caller.send(Message::text(answer.to_string())).await.is_err() {
                        break;
                    }
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_load_on_the_least_product_loses_nothing_and_times_each_way() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let openai_port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let host = listener.local_addr().unwrap();
        let document =
            format!(r#"<Response><Connect><Stream url="ws://{host}/media"/></Connect></Response>"#);
        let media = async |State(port): State<u16>, upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(move |socket| bridge(socket, port))
        };
        let router = Router::new()
            .route("/voice", post(async || ([("content-type", "text/xml")], document)))
            .route("/media", any(media))
            .with_state(openai_port);
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });

        let out = std::env::temp_dir().join(format!("standin-load-{}.json", uuid::Uuid::new_v4()));
        let arguments = Arguments {
            calls: 3,
            ramp_ms: 300,
            seconds: 12,
            webhook: format!("http://{host}/voice"),
            status_callback: None,
            account: "AC1:token".to_owned(),
            to: "+19495550100".to_owned(),
            from: "+19496000000".to_owned(),
            openai_port,
            twilio_port: 0,
            speech: Vec::new(),
            script: None,
            text: "Hello there.".to_owned(),
            interruption: "Wait a moment.".to_owned(),
            out: Some(out.clone()),
            stay: false,
        };
        load(arguments).await.unwrap();
        let report: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
        std::fs::remove_file(out).unwrap();
        let number = |pointer: &str| {
            report
                .pointer(pointer)
                .and_then(Value::as_f64)
                .unwrap_or_else(|| panic!("{pointer} in {report:#}"))
        };
        assert_eq!(report["calls"]["ok"], 3, "{report:#}");
        // nine seconds of each call are measured; a frame may still be under way when a call ends
        assert!(1_000.0 < number("/frames/sent") && number("/frames/lost") <= 6.0, "{report:#}");
        assert!(0.0 < number("/deltas/received") && number("/deltas/lost") <= 6.0, "{report:#}");
        assert!(0.0 < number("/speech_started_to_clear_ms/count"), "{report:#}");
        assert_eq!(report.pointer("/webhook_to_twiml_ms/count"), Some(&json!(3)));
        for way in ["carrier_to_model_ms", "model_to_carrier_ms", "speech_started_to_clear_ms"] {
            let p50 = number(&format!("/{way}/p50"));
            assert!(0.0 < p50 && p50 < 100.0, "{way}: {p50} ms");
        }
    }
}
