//! Responses, embeddings, models and the control routes, over HTTP.

use super::*;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request};
use tower::ServiceExt;

/// Sends one request to the stand-in or, below `/openai`, to its controls.
async fn ask(world: &World, method: Method, path: &str, body: String) -> (u16, HeaderMap, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let key = if path == "/v1/models" { "" } else { "Bearer sk-test" };
    let request = request.header("authorization", key).body(Body::from(body)).unwrap();
    let router = world.openai.router().nest("/openai", world.openai.control());
    let response = router.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (head.status.as_u16(), head.headers, serde_json::from_slice(&body).unwrap_or_default())
}

async fn post(world: &World, path: &str, body: &Value) -> (u16, Value) {
    let (status, _, answer) = ask(world, Method::POST, path, body.to_string()).await;
    (status, answer)
}

fn analysis() -> Value {
    json!({ "model": "gpt-5-mini", "input": [
            { "role": "developer", "content": "Summarise. Caller: my name is Nobody Else." },
            { "role": "user", "content": [{ "type": "input_text", "text": format!("Agent: Hi.\nCaller: {INTRODUCTION}") }] },
        ],
        "text": { "format": { "type": "json_schema", "name": "call", "strict": true, "schema": {
            "type": "object", "additionalProperties": false, "required": ["summary", "caller_name", "mood"],
            "properties": { "summary": { "type": "string" }, "caller_name": { "type": ["string", "null"] },
                "mood": { "type": "string", "enum": ["sunny", "unknown"] } } } } } })
}

#[tokio::test]
async fn a_call_is_analysed_in_the_shape_asked_for() {
    let world = World::fast().await;
    let (status, response) = post(&world, "/v1/responses", &analysis()).await;
    assert_eq!(
        (status, &response["object"], &response["status"]),
        (200, &json!("response"), &json!("completed"))
    );
    let text = response["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(text).unwrap(),
        json!({ "summary": "John Smith introduced himself. He would like to insure a 2019 Toyota Camry.",
            "caller_name": "John Smith", "mood": "unknown" })
    );
}

#[tokio::test]
async fn bad_requests_are_refused_in_openais_words() {
    let world = World::fast().await;
    let mut lax = analysis();
    lax["text"]["format"]["schema"]["required"] = json!(["summary"]);
    let mut unknown = analysis();
    unknown["temprature"] = json!(1);
    let mut foreign = analysis();
    foreign["model"] = json!("claude");
    for (path, body, status, code) in [
        ("/v1/responses", lax, 400, json!("invalid_json_schema")),
        ("/v1/responses", unknown, 400, json!("unknown_parameter")),
        ("/v1/responses", foreign, 404, json!("model_not_found")),
        ("/v1/responses", json!({ "model": "gpt-5-mini" }), 400, json!("missing_required_parameter")),
        (
            "/v1/embeddings",
            json!({ "model": "text-embedding-3-small", "input": "" }),
            400,
            json!("invalid_value"),
        ),
        (
            "/v1/embeddings",
            json!({ "model": "text-embedding-3-small", "input": "a", "dimensions": 0 }),
            400,
            json!("invalid_value"),
        ),
        (
            "/v1/embeddings",
            json!({ "model": "text-embedding-3-small", "input": "a", "encoding_format": "hex" }),
            400,
            json!("invalid_value"),
        ),
        ("/v1/chat/completions", json!({}), 404, json!("model_not_found")),
        ("/v1/responses", json!("x".repeat(11 * 1024 * 1024)), 413, json!("request_too_large")),
    ] {
        let (got, response) = post(&world, path, &body).await;
        assert_eq!((got, &response["error"]["code"]), (status, &code), "{path}");
    }
    let (status, _, answer) = ask(&world, Method::GET, "/v1/models", String::new()).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &Value::Null), "no key");
}

#[tokio::test]
async fn planned_failures_carry_a_retry_time() {
    let world = World::fast().await;
    world.plan(
        json!([{ "fault": "responses", "status": 429, "request": 1 }, { "fault": "responses_nonsense" }]),
    );
    let (status, headers, _) = ask(&world, Method::POST, "/v1/responses", analysis().to_string()).await;
    assert_eq!((status, headers.contains_key("retry-after")), (429, true));
    let (status, response) = post(&world, "/v1/responses", &analysis()).await;
    let text = response["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!((status, serde_json::from_str::<Value>(text).is_err()), (200, true));
}

#[tokio::test]
async fn embeddings_come_as_numbers_or_as_base64() {
    let world = World::fast().await;
    let wanted = |format: &str| json!({ "model": "text-embedding-3-small", "input": ["a car", "a house"], "dimensions": 8, "encoding_format": format });
    let (_, numbers) = post(&world, "/v1/embeddings", &wanted("float")).await;
    let (_, text) = post(&world, "/v1/embeddings", &wanted("base64")).await;
    for index in 0..2 {
        let numbers: Vec<f32> = serde_json::from_value(numbers["data"][index]["embedding"].clone()).unwrap();
        let bytes = STANDARD.decode(text["data"][index]["embedding"].as_str().unwrap()).unwrap();
        let decoded: Vec<f32> =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(numbers, decoded);
        assert_eq!(numbers.len(), 8);
    }
}

#[tokio::test]
async fn the_controls() {
    let world = World::fast().await;
    for (path, body, expected) in [
        ("/openai/script", "[[rule]]\nheard = '('", 422),
        ("/openai/script", "opening = 'Hey.'\n[pace]\nthink_ms = 0\nspeed = 100.0", 204),
        ("/openai/faults", r#"[{"fault":"gremlins"}]"#, 422),
        ("/openai/faults", r#"[{"fault":"unknown_events","session":7}]"#, 204),
    ] {
        let (status, ..) = ask(&world, Method::PUT, path, body.to_owned()).await;
        assert_eq!(status, expected, "{body}");
    }
    let mut client = world.client().await;
    client.send(json!({ "type": "response.create" })).await;
    let said = client.first("response.output_audio_transcript.done").await;
    assert_eq!(said["transcript"], "Hey.");
    client.until("response.done").await;
    let (_, _, journal) = ask(&world, Method::GET, "/openai/journal", String::new()).await;
    let events = journal["sessions"][0]["events"].as_array().unwrap();
    assert!(
        events.iter().any(|entry| entry["from"] == "client" && entry["event"]["type"] == "session.update")
    );
    assert!(0 < journal["sessions"][0]["audio_out_bytes"].as_u64().unwrap());
    let (status, ..) = ask(&world, Method::DELETE, "/openai/journal", String::new()).await;
    let (_, _, journal) = ask(&world, Method::GET, "/openai/journal", String::new()).await;
    assert_eq!((status, &journal["sessions"], &journal["open_sockets"]), (204, &json!([]), &json!(1)));
}
