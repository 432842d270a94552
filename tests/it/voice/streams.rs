//! Media streams: who is let in, and what becomes of a call whose carrier, model or database misbehaves.

use super::stage::{Stage, fresh_sid, sign, upgrade};
use crate::world::AUTH_TOKEN;
use futures_util::SinkExt as _;
use serde_json::json;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_let_in_once_and_only_signed() {
    let stage = Stage::open().await;
    let url = stage.ring(&fresh_sid()).await;
    let signed = sign(AUTH_TOKEN, &url);
    assert_eq!(upgrade(&url, "bm8=").await.err(), Some(403), "forged");
    assert_eq!(upgrade(&url, "").await.err(), Some(403), "unsigned");
    let other = format!("{}x", url.strip_suffix(|_: char| true).unwrap());
    assert_eq!(upgrade(&other, &sign(AUTH_TOKEN, &other)).await.err(), Some(404), "unknown");
    let short = url.rsplit_once('/').unwrap().0.to_owned() + "/short";
    assert_eq!(upgrade(&short, &sign(AUTH_TOKEN, &short)).await.err(), Some(404), "malformed");
    let socket = upgrade(&url, &signed).await.unwrap();
    assert_eq!(upgrade(&url, &signed).await.err(), Some(404), "used");
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_changes_nothing_and_nobody_else_notices() {
    let stage = Stage::open().await;
    let (mut rude, mut polite) = (stage.call().await, stage.call().await);
    rude.socket.send(Message::binary(vec![0; 100])).await.unwrap();
    rude.socket.send(Message::text("{")).await.unwrap();
    rude.send(json!({"event": "media", "streamSid": "MZ2", "media": {"timestamp": "0", "payload": "////"}}))
        .await;
    rude.until("media").await;
    // A megabyte in one frame is too much.
    rude.socket.send(Message::text("x".repeat(1 << 20))).await.ok();
    rude.until_closed().await;
    assert_eq!(stage.ended(&rude.sid).await.0, "carrier_misbehaved");
    polite.until("media").await;
    polite.send(json!({"event": "stop", "streamSid": "MZ1", "stop": {}})).await;
    polite.until_closed().await;
    assert_eq!(stage.ended(&polite.sid).await.0, "caller_hung_up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_ends_the_call() {
    let stage = Stage::open().await;
    let mut carrier = stage.call().await;
    carrier.until("media").await;
    let frame = json!({"event": "media", "streamSid": "MZ1",
        "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": "////"}});
    for _ in 0..600 {
        if carrier.socket.send(Message::text(frame.to_string())).await.is_err() {
            break;
        }
    }
    carrier.until_closed().await;
    assert_eq!(stage.ended(&carrier.sid).await.0, "carrier_flood");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_caller_hears_an_apology() {
    let stage = Stage::with(|config| config.openai.base_url = "http://127.0.0.1:1/v1".parse().unwrap()).await;
    let mut carrier = stage.call().await;
    carrier.until_closed().await;
    let (status, twiml) = stage.webhook("/twilio/after", &stage.fields(&carrier.sid, "in-progress")).await;
    assert_eq!(status, 200);
    assert!(twiml.contains("technical difficulties") && twiml.contains("<Hangup/>"), "{twiml}");
    assert_eq!(stage.ended(&carrier.sid).await.0, "model_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_callback_alone_ends_the_call() {
    let stage = Stage::open().await;
    let mut carrier = stage.call().await;
    carrier.until("media").await;
    let (status, _) = stage.webhook("/twilio/status", &stage.fields(&carrier.sid, "completed")).await;
    assert_eq!(status, 204);
    carrier.until_closed().await;
    assert_eq!(stage.ended(&carrier.sid).await.0, "caller_hung_up");
    let (_, twiml) = stage.webhook("/twilio/after", &stage.fields(&carrier.sid, "completed")).await;
    assert!(twiml.ends_with("<Response><Hangup/></Response>"), "{twiml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_says_goodbye_and_leaves_nothing() {
    let stage = Stage::open().await;
    let mut carrier = stage.call().await;
    carrier.until("media").await;
    let (sid, world, tenant) = (carrier.sid.clone(), stage.world, stage.tenant);
    let (stopped, ()) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(20), stage.running.stop()),
        carrier.until_closed(),
    );
    stopped.expect("the process stops");
    let mut session = world.app.db.tenant(&tenant.scope(neurosphere::access::Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let reason = neurosphere::calls::end_reason(&mut tx, &sid).await.unwrap();
    assert_eq!(reason.as_deref(), Some("shutting_down"));
}
