//! Subscriptions: a call that is followed live, and the protocol graphql-transport-ws to the letter.

use crate::api::{Api, Headers, call_from, hang_up, say};
use crate::world::World;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const TURNS: &str = "subscription($id: ID!, $after: Int! = 0) {
    callTurns(callId: $id, afterSequence: $after) { sequence speaker text } }";

fn sequence(message: &Value) -> i64 {
    message["payload"]["data"]["callTurns"]["sequence"]
        .as_i64()
        .unwrap_or_else(|| panic!("no turn: {message}"))
}

#[tokio::test]
async fn a_live_call_is_followed_without_gap_or_repeat_and_completes() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let call = call_from(&world, &tenant, "+19495550199").await;
    say(&world, &tenant, call, 1..=2).await;
    let mut socket = api.entered(&tenant).await;
    socket.subscribe("1", TURNS, json!({"id": call.to_string()})).await;
    for expected in 1..=2 {
        let message = socket.hear().await.unwrap();
        assert_eq!(
            (&message["type"], &message["id"], sequence(&message)),
            (&json!("next"), &json!("1"), expected)
        );
    }
    assert_eq!(socket.stray().await, None, "nothing is repeated");
    say(&world, &tenant, call, 3..=3).await;
    assert_eq!(sequence(&socket.hear().await.unwrap()), 3);
    say(&world, &tenant, call, 4..=250).await;
    for expected in 4..=250 {
        assert_eq!(sequence(&socket.hear().await.unwrap()), expected);
    }
    let mut later = api.entered(&tenant).await;
    later.subscribe("again", TURNS, json!({"id": call.to_string(), "after": 248})).await;
    assert_eq!(sequence(&later.hear().await.unwrap()), 249);
    assert_eq!(sequence(&later.hear().await.unwrap()), 250);
    hang_up(&world, &tenant, call).await;
    for (socket, id) in [(&mut socket, "1"), (&mut later, "again")] {
        assert_eq!(socket.hear().await, Ok(json!({"type": "complete", "id": id})));
    }
    socket.subscribe("1", TURNS, json!({"id": call.to_string(), "after": 249})).await;
    assert_eq!(
        sequence(&socket.hear().await.unwrap()),
        250,
        "an id is free again, and a past call is replayed"
    );
    assert_eq!(socket.hear().await, Ok(json!({"type": "complete", "id": "1"})));
}

#[tokio::test]
async fn another_tenants_call_cannot_be_followed() {
    let world = World::new().await;
    let api = Api::of(&world).await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let call = call_from(&world, &a, "+19495550199").await;
    say(&world, &a, call, 1..=1).await;
    let mut socket = api.entered(&b).await;
    let mut answers = Vec::new();
    for (id, named) in [("foreign", call.to_string()), ("unknown", "call_nonsense".to_owned())] {
        socket.subscribe(id, TURNS, json!({"id": named})).await;
        let mut answer = socket.hear().await.unwrap();
        assert_eq!(answer["id"], id);
        answer.as_object_mut().unwrap().remove("id");
        assert!(!answer.to_string().contains("turn 1"), "{answer}");
        if answer["type"] == "next" {
            assert_eq!(socket.hear().await.unwrap()["type"], "complete");
        }
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1], "another's call is answered as none");
}

#[tokio::test]
async fn queries_errors_pings_and_completes_follow_the_protocol() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let mut socket = api.entered(&tenant).await;
    socket.say(&json!({"type": "ping", "payload": {"a": 1}})).await;
    assert_eq!(socket.hear().await.unwrap()["type"], "pong");
    socket.subscribe("q", "{ tenant { name } }", json!({})).await;
    let next = socket.hear().await.unwrap();
    assert_eq!(next["payload"]["data"]["tenant"]["name"], "Peterson Family Insurance");
    assert_eq!(socket.hear().await, Ok(json!({"type": "complete", "id": "q"})));
    for document in ["{ nothing }", "{", "subscription { callTurns { text } }"] {
        socket.subscribe("e", document, json!({})).await;
        let error = socket.hear().await.unwrap();
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("e")), "{document}");
        assert!(error["payload"][0]["message"].is_string(), "{error}");
    }
    assert_eq!(socket.stray().await, None, "an error is not followed by a complete");
    let call = call_from(&world, &tenant, "+19495550199").await;
    socket.subscribe("s", TURNS, json!({"id": call.to_string()})).await;
    socket.say(&json!({"type": "complete", "id": "s"})).await;
    socket.say(&json!({"type": "ping"})).await;
    assert_eq!(socket.hear().await.unwrap()["type"], "pong", "what was said before the ping is done");
    say(&world, &tenant, call, 1..=1).await;
    assert_eq!(socket.stray().await, None, "a completed subscription brings nothing");
    api.running.stop().await;
    assert_eq!(socket.hear().await, Err(1001), "a stop says goodbye");
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_close_code() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let call = call_from(&world, &tenant, "+19495550199").await;
    let subscribe = json!({"type": "subscribe", "id": "1",
        "payload": {"query": TURNS, "variables": {"id": call.to_string()}}});
    let init = json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {}", tenant.api_key.reveal())}});
    let wrong = json!({"type": "connection_init", "payload": {"authorization": "Bearer ns_wrong"}});
    let text = |value: &Value| Message::text(value.to_string());
    let cases = [
        ("subscribe before init", vec![text(&subscribe)], 4401),
        ("a wrong key", vec![text(&wrong)], 4403),
        ("no key", vec![Message::text(r#"{"type": "connection_init"}"#)], 4403),
        ("init twice", vec![text(&init), text(&init)], 4429),
        ("an id twice", vec![text(&init), text(&subscribe), text(&subscribe)], 4409),
        ("garbage", vec![Message::text("nope")], 4400),
        ("an unknown type", vec![Message::text(r#"{"type": "start"}"#)], 4400),
        ("a binary message", vec![Message::binary(vec![1, 2])], 4400),
        (
            "a payload of another form",
            vec![text(&init), Message::text(r#"{"type":"subscribe","id":"1","payload":[]}"#)],
            4400,
        ),
        ("nothing for 3 s", vec![], 4408),
    ];
    for (what, messages, code) in cases {
        let mut socket = api.socket(&tenant, &[]).await.unwrap();
        for message in messages {
            socket.say_raw(message).await;
        }
        let mut heard = socket.hear().await;
        while heard.is_ok() {
            heard = socket.hear().await;
        }
        assert_eq!(heard, Err(code), "{what}");
    }
}

#[tokio::test]
async fn sockets_are_opened_only_for_own_pages_on_known_hosts() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let refusals: [(Headers<'_>, u16); 4] = [
        (&[("host", "nobody.localhost")], 404),
        (&[("origin", "http://evil.localhost")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-websocket-protocol", "soap")], 400),
    ];
    for (headers, status) in refusals {
        let refused = api.socket(&tenant, headers).await.err().unwrap();
        assert_eq!(refused.as_u16(), status, "{headers:?}");
    }
    let bearer = format!("Bearer {}", tenant.api_key.reveal());
    let mut socket = api.socket(&tenant, &[("authorization", &bearer)]).await.unwrap();
    socket.say(&json!({"type": "connection_init"})).await;
    assert_eq!(socket.hear().await, Ok(json!({"type": "connection_ack"})), "the key may come as a header");
}
