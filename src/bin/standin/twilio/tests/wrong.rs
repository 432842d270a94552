//! Calls in which somebody does what they should not.

use super::product::{Product, STREAM, all, find, mark, next, send, twilio, unused};
use axum::extract::ws::Message;
use serde_json::{Value, json};

#[tokio::test]
async fn the_product_s_bad_messages_are_warned_of_once_and_ignored() {
    let product = Product::open(&[("voice", 200, STREAM)], |mut socket| async move {
        let start = next(&mut socket, "start").await;
        for bad in ["{", r#"{"event":"clear","streamSid":"MZ0"}"#, r#"{"event":"stop"}"#] {
            socket.send(Message::text(bad)).await.unwrap();
        }
        socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        send(&mut socket, mark(&start["streamSid"], "still here")).await;
        assert_eq!(next(&mut socket, "mark").await["mark"]["name"], "still here");
    })
    .await;
    let timeline = product.rung(&twilio(), json!([]), json!({})).await;
    let warnings = all(&timeline, "warning");
    assert_eq!((warnings.len(), &warnings[0]["code"]), (1, &json!(31_951)));
    assert_eq!(find(&timeline, "mark_returned")["name"], "still here");
}

#[tokio::test]
async fn a_caller_can_send_what_no_carrier_sends() {
    let product = Product::open(&[("voice", 200, STREAM)], |mut socket| async move {
        let start = next(&mut socket, "start").await;
        let (mut media, mut other, mut largest) = (0, Vec::new(), 0);
        while let Some(Ok(message)) = socket.recv().await {
            match message {
                Message::Text(text) if text.contains("\"media\"") => {
                    (media, largest) = (media + 1, largest.max(text.len()));
                }
                Message::Text(text) => other.push(text.replace(start["streamSid"].as_str().unwrap(), "SID")),
                Message::Binary(bytes) => other.push(format!("{} bytes", bytes.len())),
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
            }
        }
        assert!(300 <= media, "{media} media messages");
        assert!(13_000 < largest, "{largest}");
        assert_eq!(other, ["{bad", "{bad", "SID!", "7 bytes"]);
    })
    .await;
    let steps = json!([
        { "do": "raw", "text": "{bad", "times": 2 }, { "do": "raw", "text": "{stream_sid}!" }, { "do": "raw_binary", "bytes": 7 },
        { "do": "oversized", "bytes": 10_000 }, { "do": "flood", "frames": 300 }, { "do": "vanish" },
    ]);
    let timeline = product.rung(&twilio(), steps, json!({})).await;
    assert_eq!(all(&timeline, "stop"), Vec::<&Value>::new());
    assert_eq!(all(&timeline, "document").len(), 2, "after a broken stream the action is asked");
}

#[tokio::test]
async fn what_the_product_answers_wrongly_has_twilio_s_number() {
    let query = r#"<Response><Connect><Stream url="WS/media/t?token=1"/></Connect></Response>"#;
    let scheme = r#"<Response><Connect><Stream url="http://127.0.0.1/media"/></Connect></Response>"#;
    for (status, document, faults, code, said) in [
        (500, "<Response/>", json!([]), 11_200, true),
        (200, "<Response><Dial/></Response>", json!([]), 12_100, true),
        (200, query, json!([]), 31_920, false),
        (200, scheme, json!([]), 31_922, false),
        (200, STREAM, json!(["forged_stream"]), 31_920, false),
        (200, STREAM, json!(["unsigned_stream"]), 31_920, false),
    ] {
        let product =
            Product::open(&[("voice", status, document), ("after", 200, "<Response/>")], unused).await;
        let timeline = product
            .rung(
                &twilio(),
                json!([{ "do": "silence", "ms": 100 }, { "do": "hang_up" }]),
                json!({ "faults": faults }),
            )
            .await;
        assert_eq!(find(&timeline, "error")["code"], code, "{document}");
        assert_eq!(all(&timeline, "say").len() == 1, said, "{document}");
    }
}

#[tokio::test]
async fn forged_and_unsigned_webhooks_are_what_they_say() {
    for (fault, well_signed) in
        [(json!([]), true), (json!(["forged_webhook"]), false), (json!(["unsigned_webhook"]), false)]
    {
        let product =
            Product::open(&[("voice", 200, "<Response><Reject reason=\"busy\"/></Response>")], unused).await;
        let timeline = product
            .rung(
                &twilio(),
                json!([]),
                json!({ "faults": fault, "fields": { "From": "nonsense", "X": "1" } }),
            )
            .await;
        let voice = &product.asked("/voice")[0];
        assert_eq!(voice.well_signed, well_signed, "{fault}");
        assert_eq!((voice.field("From"), voice.field("X")), ("nonsense", "1"));
        assert_eq!(timeline.last().unwrap()["status"], "busy");
        assert_eq!(product.asked("/status").last().unwrap().field("CallStatus"), "busy");
    }
}

#[tokio::test]
async fn a_second_socket_and_a_second_webhook_are_tried_and_noted() {
    let product = Product::open(&[("voice", 200, STREAM)], |mut socket| async move {
        while socket.recv().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let steps = json!([{ "do": "silence", "ms": 400 }, { "do": "hang_up" }]);
    let timeline =
        product.rung(&twilio(), steps, json!({ "faults": ["second_stream", "duplicate_webhook"] })).await;
    assert_eq!(find(&timeline, "second_stream")["status"], 101);
    let mut of: Vec<&str> =
        all(&timeline, "document").iter().filter_map(|line| line["of"].as_str()).collect();
    of.sort_unstable();
    assert_eq!(of, ["duplicate_webhook", "webhook"]);
}
