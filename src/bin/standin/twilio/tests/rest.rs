//! What the product can do to a call from outside.

use super::product::{ACCOUNT, Product, STREAM, TOKEN, ended, find, next, twilio};
use crate::twilio::Call;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told from its beginning to its end")]
async fn rest_ends_replaces_and_fails_as_told() {
    let stops = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&stops);
    let product = Product::open(
        &[("voice", 200, STREAM), ("other", 200, "<Response><Pause length=\"60\"/></Response>")],
        move |mut socket| {
            let counted = Arc::clone(&counted);
            async move {
                next(&mut socket, "stop").await;
                *counted.lock().unwrap() += 1;
                while socket.recv().await.is_some_and(|message| message.is_ok()) {}
            }
        },
    )
    .await;
    let twilio = twilio();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/2010-04-01/Accounts", listener.local_addr().unwrap());
    let router = twilio.router();
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = reqwest::Client::builder().build().unwrap();
    let update = async |sid: &str, token: &str, name: &str, value: &str| {
        let request = client
            .post(format!("{base}/{ACCOUNT}/Calls/{sid}.json"))
            .basic_auth(ACCOUNT, Some(token))
            .form(&[(name, value)]);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let until = async |call: &Call, event: &str, times: usize| {
        use futures_util::StreamExt as _;
        let mut lines = Box::pin(Arc::clone(&call.timeline).follow().filter(|line| {
            let found = line.contains(&format!("\"event\":\"{event}\""));
            async move { found }
        }));
        for _ in 0..times {
            timeout(Duration::from_secs(10), lines.next()).await.unwrap().unwrap();
        }
    };

    let call = twilio.place(product.order(&json!([]), &json!({}))).await.unwrap();
    until(&call, "stream_starts", 1).await;
    assert_eq!(update(&call.sid, "wrong", "Status", "completed").await.0, 401);
    assert_eq!(update("CA0", TOKEN, "Status", "completed").await.1["code"], 20_404);
    assert_eq!(update(&call.sid, TOKEN, "Status", "busy").await.1["code"], 21_218);
    assert_eq!(update(&call.sid, TOKEN, "Twiml", "<Dial/>").await.1["code"], 12_100);
    assert_eq!(
        update(
            &call.sid,
            TOKEN,
            "Twiml",
            "<Response><Say>One moment.</Say><Pause length=\"60\"/></Response>"
        )
        .await
        .0,
        200
    );
    until(&call, "say", 1).await;
    assert_eq!(*stops.lock().unwrap(), 1, "a replaced document stops the stream");
    assert_eq!(update(&call.sid, TOKEN, "Url", &format!("http://{}/other", product.host)).await.0, 200);
    until(&call, "document", 2).await;
    assert_eq!(update(&call.sid, TOKEN, "Status", "completed").await.1["status"], "in-progress");
    assert_eq!(ended(&call).await.last().unwrap()["reason"], "completed_by_rest");
    let (status, refused) = update(&call.sid, TOKEN, "Status", "completed").await;
    assert_eq!((status, &refused["code"], &refused["status"]), (404, &json!(20_404), &json!(404)));

    let call = twilio.place(product.order(&json!([]), &json!({}))).await.unwrap();
    until(&call, "stream_starts", 1).await;
    assert_eq!(update(&call.sid, TOKEN, "Status", "completed").await.0, 200);
    assert_eq!(find(&ended(&call).await, "hung_up")["reason"], "completed_by_rest");
    assert_eq!(*stops.lock().unwrap(), 2);

    let account = format!("{base}/{ACCOUNT}.json");
    let get = async || client.get(&account).basic_auth(ACCOUNT, Some(TOKEN)).send().await.unwrap();
    for (fault, code) in [(json!({ "status": 429 }), 20_429), (json!({ "status": 500 }), 20_500)] {
        twilio
            .fail(serde_json::from_value(json!({ "path": "Accounts", "times": 1, "fault": fault })).unwrap());
        assert_eq!(get().await.json::<Value>().await.unwrap()["code"], code);
    }
    twilio.fail(serde_json::from_value(json!({ "times": 1, "fault": "drop" })).unwrap());
    let broken = client.get(&account).basic_auth(ACCOUNT, Some(TOKEN)).send().await;
    assert!(broken.is_err() || broken.unwrap().bytes().await.is_err(), "the connection breaks");
    assert_eq!(get().await.json::<Value>().await.unwrap()["sid"], ACCOUNT);
    let numbers = client
        .get(format!("{base}/{ACCOUNT}/IncomingPhoneNumbers.json"))
        .basic_auth(ACCOUNT, Some(TOKEN))
        .send()
        .await
        .unwrap();
    assert_eq!(
        numbers.json::<Value>().await.unwrap()["incoming_phone_numbers"][0]["phone_number"],
        "+19495550100"
    );
}
