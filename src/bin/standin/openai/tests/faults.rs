//! What goes wrong on demand does, for whom it is planned and for nobody else.

use super::*;

const KEY: [(&str, &str); 1] = [("authorization", "Bearer sk-test")];

async fn greeted(client: &mut Client) {
    client.send(json!({ "type": "response.create" })).await;
}

#[tokio::test]
async fn refused_by_status_and_session() {
    let world = World::fast().await;
    world.plan(json!([{ "fault": "refuse", "status": 503, "session": 2 }]));
    assert!(world.knock(&KEY).await.is_ok());
    let Err(Error::Http(response)) = world.knock(&KEY).await else { panic!("let in") };
    assert_eq!(response.status(), 503);
    assert!(world.knock(&KEY).await.is_ok());
}

#[tokio::test]
async fn refused_at_the_start() {
    let world = World::fast().await;
    for code in ["insufficient_quota", "invalid_api_key"] {
        world.plan(json!([{ "fault": "error_at_start", "code": code }]));
        let mut client = world.knock(&KEY).await.unwrap();
        let first = client.next().await;
        assert_eq!((&first["type"], &first["error"]["code"]), (&json!("error"), &json!(code)));
        assert_eq!(client.close_code().await, 3_000);
    }
}

#[tokio::test]
async fn sessions_end() {
    let world = World::fast().await;
    world.plan(json!([{ "fault": "expire", "after_ms": 50 }]));
    let mut client = world.knock(&KEY).await.unwrap();
    assert_eq!(client.first("error").await["error"]["code"], "session_expired");
    assert_eq!(client.close_code().await, 1_001);
    world.plan(json!([{ "fault": "close", "code": 1_011 }]));
    let mut client = world.knock(&KEY).await.unwrap();
    assert_eq!(client.close_code().await, 1_011);
    world.plan(json!([{ "fault": "drop", "after_audio_ms": 400 }]));
    let mut client = world.client().await;
    greeted(&mut client).await;
    let mut deltas = 0;
    let broken = loop {
        match timeout(PATIENCE, client.0.next()).await.unwrap() {
            Some(Ok(Message::Close(_))) => panic!("a close frame"),
            Some(Ok(message)) => {
                deltas += usize::from(message.to_text().unwrap().contains("output_audio.delta"));
            }
            Some(Err(_)) | None => break true,
        }
    };
    assert!(broken && deltas == 2, "{deltas}");
}

#[tokio::test]
async fn responses_fail_or_never_come() {
    let world = World::fast().await;
    world.plan(json!([{ "fault": "rate_limit" }]));
    let mut client = world.client().await;
    greeted(&mut client).await;
    let response = client.first("response.done").await["response"].take();
    assert_eq!(response["status"], "failed");
    assert_eq!(response["status_details"]["error"]["code"], "rate_limit_exceeded");
    world.plan(json!([{ "fault": "never_answer" }]));
    let mut client = world.client().await;
    greeted(&mut client).await;
    client.send(telephone()).await;
    assert_eq!(client.next().await["type"], "session.updated", "nothing came before it");
}

#[tokio::test]
async fn transcripts_fail_or_come_late() {
    let world = World::fast().await;
    world.plan(json!([{ "fault": "transcription_fails" }]));
    let mut client = world.client().await;
    world.say(&mut client, HELLO).await;
    client.until("conversation.item.input_audio_transcription.failed").await;
    world.plan(json!([{ "fault": "late_transcription", "delay_ms": 300 }]));
    let mut client = world.client().await;
    world.say(&mut client, HELLO).await;
    let before = client.until("response.done").await;
    assert!(!kinds(&before).iter().any(|kind| kind.contains("transcription")));
    client.until("conversation.item.input_audio_transcription.completed").await;
}

#[tokio::test]
async fn strange_frames_come_amid_a_response_that_goes_on() {
    let world = World::fast().await;
    for (fault, strange) in [
        (json!([{ "fault": "malformed_json" }]), "not JSON"),
        (json!([{ "fault": "unknown_events" }]), "response.mood.delta"),
        (json!([{ "fault": "huge_frame", "bytes": 1_000_000 }]), "response.padding.delta"),
        (json!([{ "fault": "binary_frame" }]), "binary"),
    ] {
        world.plan(fault);
        let mut client = world.client().await;
        greeted(&mut client).await;
        let mut seen = Vec::new();
        while seen.last().is_none_or(|kind| kind != "response.done") {
            let kind = match client.frame().await {
                Message::Binary(_) => "binary".to_owned(),
                Message::Text(text) => serde_json::from_str::<Value>(&text).map_or_else(
                    |_| "not JSON".to_owned(),
                    |event| event["type"].as_str().unwrap().to_owned(),
                ),
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) | Message::Frame(_) => panic!("the session ended"),
            };
            seen.push(kind);
        }
        assert!(seen.iter().any(|kind| kind == strange), "{strange}");
    }
}

#[tokio::test]
async fn slow_deltas() {
    let world = World::fast().await;
    world.plan(json!([{ "fault": "slow_deltas", "delay_ms": 60 }]));
    let mut client = world.client().await;
    let asked = tokio::time::Instant::now();
    greeted(&mut client).await;
    let events = client.until("response.done").await;
    let deltas = u32::try_from(audio(&events).len() / 1_600).unwrap();
    assert!(5 < deltas && Duration::from_millis(60) * (deltas - 1) <= asked.elapsed());
}
