//! Calls as they should go.

use super::product::{Product, STREAM, all, find, mark, next, send, spoken, twilio, unused};
use crate::speech::Library;
use axum::extract::ws::{CloseFrame, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told from its beginning to its end")]
async fn a_call_from_the_first_ring_to_the_last_callback() {
    let product = Product::open(
        &[("voice", 200, STREAM), ("after", 200, "<Response><Say>Bye.</Say><Hangup/></Response>")],
        |mut socket| async move {
            let connected = next(&mut socket, "connected").await;
            assert_eq!(connected, json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }));
            let start = next(&mut socket, "start").await;
            assert_eq!(start["sequenceNumber"], "1");
            assert_eq!(
                start["start"]["mediaFormat"],
                json!({ "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 })
            );
            let sid = &start["streamSid"];
            let greeting = Library::open(&[], None).unwrap().speak("Hello.", "agent").await;
            // in uneven pieces: any size is allowed
            for piece in greeting.chunks(333) {
                send(&mut socket, spoken(sid, piece)).await;
            }
            send(&mut socket, mark(sid, "greeted")).await;
            assert_eq!(next(&mut socket, "mark").await["mark"]["name"], "greeted");
            assert_eq!(
                next(&mut socket, "dtmf").await["dtmf"],
                json!({ "track": "inbound_track", "digit": "7" })
            );
            socket
                .send(Message::Close(Some(CloseFrame { code: 1000, reason: "done".into() })))
                .await
                .unwrap();
        },
    )
    .await;
    let folder = std::env::temp_dir().join(format!("standin-call-{}", uuid::Uuid::new_v4()));
    let twilio = twilio();
    twilio.speech().speak("Hello.", "agent").await;
    let steps = json!([
        { "do": "await_reply", "quiet_ms": 200, "within_ms": 5000 }, { "do": "say", "text": "Yes." }, { "do": "dtmf", "digits": "7" },
    ]);
    let timeline = product.rung(&twilio, steps, json!({ "record_wav_dir": folder })).await;

    let order: Vec<&str> = timeline
        .iter()
        .filter_map(|line| line["event"].as_str())
        .filter(|event| *event != "callback")
        .collect();
    let expected = [
        "ringing",
        "document",
        "answered",
        "stream_starts",
        "first_media",
        "mark",
        "agent_starts",
        "mark_returned",
        "caller_starts",
        "agent",
        "caller",
        "caller_acts",
        "stream_ends",
        "closed_by_product",
        "document",
        "say",
        "agent_starts",
        "hung_up",
        "agent",
        "recorded",
        "ended",
    ];
    let mut sorted = (order.clone(), expected.to_vec());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "{order:?}");
    let agent: Vec<&Value> = all(&timeline, "agent").iter().map(|line| &line["text"]).collect();
    assert_eq!(agent, ["Hello.", "Bye."]);
    assert_eq!(find(&timeline, "caller")["text"], "Yes.");
    assert_eq!(find(&timeline, "closed_by_product")["code"], 1000);
    assert_eq!(
        (&timeline.last().unwrap()["reason"], &timeline.last().unwrap()["status"]),
        (&json!("hangup_verb"), &json!("completed"))
    );
    assert_eq!(find(&timeline, "stream_ends")["bytes_in"], 18 * 160, "six letters of 60 ms");

    assert!(product.asked.lock().unwrap().iter().all(|asked| asked.well_signed), "everything is signed");
    let voice = &product.asked("/voice")[0];
    assert_eq!(
        (voice.field("CallStatus"), voice.field("FromState"), voice.field("Called")),
        ("ringing", "CA", "+19495550100")
    );
    assert!(!voice.field("FutureField").is_empty());
    assert_eq!(product.asked("/after")[0].field("CallStatus"), "in-progress");
    let told: Vec<_> = product
        .asked("/status")
        .iter()
        .map(|asked| (asked.field("SequenceNumber").to_owned(), asked.field("CallStatus").to_owned()))
        .collect();
    let expected = [("0", "ringing"), ("1", "ringing"), ("2", "in-progress"), ("3", "completed")];
    assert_eq!(told, expected.map(|(number, status)| (number.to_owned(), status.to_owned())));
    assert!(["2", "3", "4"].contains(&product.asked("/status")[3].field("CallDuration")));
    let (mono, stereo) = (
        std::fs::metadata(folder.join("agent.wav")).unwrap().len(),
        std::fs::metadata(folder.join("both.wav")).unwrap().len(),
    );
    assert_eq!((mono - 44) * 2, stereo - 44);
    assert!(16_000 < mono, "more than a second at 16,000 bytes a second");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn clear_returns_the_waiting_marks_at_once_and_the_script_sees_it() {
    let product = Product::open(&[("voice", 200, STREAM)], |mut socket| async move {
        let start = next(&mut socket, "start").await;
        let sid = &start["streamSid"];
        for name in ["a", "b", "c"] {
            send(&mut socket, spoken(sid, &[0x10; 8_000])).await;
            send(&mut socket, mark(sid, name)).await;
        }
        assert_eq!(next(&mut socket, "mark").await["mark"]["name"], "a");
        // until the caller is heard
        let silence = STANDARD.encode([0xff; 160]);
        while next(&mut socket, "media").await["media"]["payload"] == silence.as_str() {}
        let cleared = Instant::now();
        send(&mut socket, json!({ "event": "clear", "streamSid": sid })).await;
        assert_eq!(next(&mut socket, "mark").await["mark"]["name"], "b");
        assert_eq!(next(&mut socket, "mark").await["mark"]["name"], "c");
        assert!(cleared.elapsed() < Duration::from_millis(300));
        next(&mut socket, "stop").await;
        while socket.recv().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let steps = json!([{ "do": "interrupt", "text": "Wait.", "after_ms": 1200 }, { "do": "expect_clear", "within_ms": 1000 }, { "do": "hang_up" }]);
    let timeline = product.rung(&twilio(), steps, json!({})).await;
    assert_eq!(find(&timeline, "clear")["marks"], 2);
    let how: Vec<&Value> = all(&timeline, "mark_returned").iter().map(|line| &line["how"]).collect();
    assert_eq!(how, ["played", "cleared", "cleared"]);
    assert_eq!(all(&timeline, "step_failed"), Vec::<&Value>::new());
    let agent = find(&timeline, "agent");
    let heard_ms = agent["to_ms"].as_u64().unwrap() - agent["from_ms"].as_u64().unwrap();
    assert!((1_200..1_500).contains(&heard_ms), "{heard_ms} ms of 3,000 were heard");
    assert_eq!(timeline.last().unwrap()["reason"], "caller_hung_up");
    assert!(product.asked("/after").is_empty(), "nobody is left to hear the action's document");
}

#[tokio::test]
async fn frames_arrive_in_real_time_and_a_gap_leaves_a_hole() {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&arrived);
    let product = Product::open(&[("voice", 200, STREAM)], move |mut socket| {
        let noted = Arc::clone(&noted);
        async move {
            let mut first = None;
            while let Some(Ok(message)) = socket.recv().await {
                let Message::Text(text) = message else { continue };
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["event"] == "media" {
                    let media = &message["media"];
                    let number = |name: &str| media[name].as_str().unwrap().parse::<u64>().unwrap();
                    let first = *first.get_or_insert_with(Instant::now);
                    noted.lock().unwrap().push((number("chunk"), number("timestamp"), first.elapsed()));
                }
            }
        }
    })
    .await;
    let steps = json!([{ "do": "silence", "ms": 1000 }, { "do": "gap", "ms": 500 }, { "do": "silence", "ms": 500 }, { "do": "hang_up" }]);
    product.rung(&twilio(), steps, json!({})).await;
    let arrived = arrived.lock().unwrap();
    assert_eq!(arrived.len(), 75);
    for (n, (chunk, timestamp_ms, at)) in arrived.iter().enumerate() {
        assert_eq!(*chunk, n as u64 + 1);
        assert_eq!(*timestamp_ms, if n < 50 { n as u64 * 20 } else { n as u64 * 20 + 500 });
        let late_ms = at.as_millis().abs_diff(u128::from(*timestamp_ms));
        assert!(late_ms < 250, "frame {n} of {timestamp_ms} ms came at {at:?}");
    }
}

#[tokio::test]
async fn callbacks_come_twice_late_or_swapped() {
    let numbers = |product: &Product| -> Vec<String> {
        product.asked("/status").iter().map(|asked| asked.field("SequenceNumber").to_owned()).collect()
    };
    for (fault, expected) in [
        ("duplicate_callbacks", "0 0 1 1 2 2 3 3"),
        ("swapped_callbacks", "1 0 3 2"),
        ("late_callbacks", "0 3"),
    ] {
        let product = Product::open(&[("voice", 200, "<Response><Hangup/></Response>")], unused).await;
        let events = if fault == "late_callbacks" {
            json!(["initiated", "completed"])
        } else {
            json!(["initiated", "ringing", "answered", "completed"])
        };
        let timeline =
            product.rung(&twilio(), json!([]), json!({ "faults": [fault], "status_events": events })).await;
        assert_eq!(numbers(&product).join(" "), expected, "{fault}");
        let (over, last) = (find(&timeline, "hung_up"), timeline.last().unwrap());
        let late_ms = last["at_ms"].as_u64().unwrap() - over["at_ms"].as_u64().unwrap();
        assert_eq!(3_500 < late_ms, fault == "late_callbacks", "{fault}: {late_ms}");
    }
}
