//! Who is let in, and what a session is told first.

use super::*;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn only_with_a_key() {
    let world = World::fast().await;
    for headers in [vec![], vec![("authorization", "Basic abc")], vec![("authorization", "Bearer ")]] {
        let Err(Error::Http(response)) = world.knock(&headers).await else {
            panic!("{headers:?} was let in")
        };
        assert_eq!(response.status(), 401, "{headers:?}");
    }
}

#[tokio::test]
async fn the_beta_is_gone() {
    let world = World::fast().await;
    let headers = [("authorization", "Bearer sk-test"), ("openai-beta", "realtime=v1")];
    let mut client = world.knock(&headers).await.unwrap();
    let event = client.next().await;
    assert_eq!(event["error"]["code"], "beta_api_shape_disabled");
    assert_eq!(client.close_code().await, 4_000);
}

#[tokio::test]
async fn a_session_is_told_its_settings() {
    let world = World::fast().await;
    let mut client =
        world.knock(&[("authorization", "Bearer sk-test"), ("user-agent", "Neuro/1")]).await.unwrap();
    let created = client.next().await;
    assert_eq!(created["type"], "session.created");
    assert!(created["session"]["expires_at"].as_u64().is_some_and(|at| 1_700_000_000 < at));
    let error = client.refused(json!({ "type": "session.update", "event_id": "mine", "session": {} })).await;
    assert_eq!((&error["param"], &error["event_id"]), (&json!("session.type"), &json!("mine")));
    client.send(telephone()).await;
    let updated = client.first("session.updated").await;
    assert_eq!(updated["session"]["audio"]["input"]["format"], json!({ "type": "audio/pcmu" }));
    let journal = world.openai.0.journal.to_json();
    assert_eq!(journal["open_sockets"], 1);
    assert_eq!(journal["sessions"][0]["headers"]["user-agent"], "Neuro/1");
    assert_eq!(journal["sessions"][0]["headers"]["authorization"], "Bearer (hidden)");
}

#[tokio::test]
async fn events_that_are_not_understood_are_refused_and_the_session_goes_on() {
    let world = World::fast().await;
    let mut client = world.client().await;
    for (event, code) in [
        (json!({ "type": "response.make" }), "invalid_value"),
        (json!({ "kind": "response.create" }), "missing_required_parameter"),
        (json!({ "type": "response.create", "now": true }), "unknown_parameter"),
        (json!({ "type": "response.create", "response": { "modalities": ["audio"] } }), "unknown_parameter"),
        (json!({ "type": "input_audio_buffer.append" }), "missing_required_parameter"),
        (json!({ "type": "input_audio_buffer.append", "audio": "!" }), "invalid_value"),
        (json!({ "type": "input_audio_buffer.commit" }), "input_audio_buffer_commit_empty"),
        (json!({ "type": "response.cancel" }), "response_cancel_not_active"),
        (json!({ "type": "conversation.item.retrieve", "item_id": "item_0" }), "item_not_found"),
        (json!({ "type": "conversation.item.delete", "item_id": "item_0" }), "item_not_found"),
        (json!({ "type": "output_audio_buffer.clear" }), "invalid_value"),
    ] {
        let error = client.refused(event.clone()).await;
        assert_eq!(error["code"], code, "{event}");
    }
    client.0.send(Message::text("{")).await.unwrap();
    assert_eq!(client.first("error").await["error"]["code"], "invalid_json");
    client.0.send(Message::binary(vec![0; 160])).await.unwrap();
    assert_eq!(client.first("error").await["error"]["code"], "invalid_event");
    client.send(telephone()).await;
    client.until("session.updated").await;
}

#[tokio::test]
async fn nothing_of_a_session_survives_its_socket() {
    let world = World::fast().await;
    let mut client = world.client().await;
    client.send(json!({ "type": "response.create" })).await;
    client.until("response.created").await;
    client.0.close(None).await.unwrap();
    let gone = async {
        while world.openai.0.journal.to_json()["open_sockets"] != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(world.openai.0.journal.to_json()["sessions"][0]["ended_by"], "closed by the client");
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_session() {
    let world = World::fast().await;
    let mut client = world.client().await;
    // the head of a masked text frame of 17 MiB; nothing of its content needs to follow
    let length = (17_u64 * 1024 * 1024).to_be_bytes();
    let head = [&[0x81, 0xff], length.as_slice(), &[0; 4]].concat();
    client.0.get_mut().write_all(&head).await.unwrap();
    let ended = loop {
        match timeout(PATIENCE, client.0.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => panic!("{text}"),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break true,
        }
    };
    assert!(ended);
}
