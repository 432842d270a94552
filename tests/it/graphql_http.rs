//! GraphQL over HTTP: who is let in, what is spoken, what is refused, and how much a small request may cost.

use crate::api::{Api, Headers};
use crate::world::{TestTenant, World};
use neurosphere::graphql::trusted::id;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const POST: (Method, &str) = (Method::POST, "/graphql");
const OWN: &str = "application/graphql-response+json";
const NAME: &str = r#"{"query": "{ tenant { name } }"}"#;
const RENAME: &str = "mutation { updateAgent(input: {name: \"Mallory\"}) { errors { code } } }";

async fn refused(api: &Api, tenant: &TestTenant, headers: Headers<'_>) -> (StatusCode, Value) {
    let response = api.send(POST, tenant, headers, NAME).await;
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn host_and_key_must_agree() {
    let world = World::new().await;
    let api = Api::of(&world).await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let (status, answer) = refused(&api, &a, &[]).await;
    assert_eq!(
        (status, &answer["data"]["tenant"]["name"]),
        (StatusCode::OK, &json!("Peterson Family Insurance"))
    );

    let code =
        |answer: &Value| answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    for host in
        ["nobody.localhost", "localhost", "www.localhost", "a.b.localhost", "evil.example", "127.0.0.1"]
    {
        let (status, answer) = refused(&api, &a, &[("host", host)]).await;
        assert_eq!((status, &*code(&answer)), (StatusCode::NOT_FOUND, "UNKNOWN_HOST"), "{host}");
    }
    let foreign = format!("Bearer {}", b.api_key.reveal());
    let mut answers = Vec::new();
    for authorization in ["", "Bearer ns_wrong", "Basic abc", &*foreign] {
        let (status, answer) = refused(&api, &a, &[("authorization", authorization)]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{authorization}");
        answers.push(answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "a foreign key is answered as a wrong one");
    let forwarded = format!("{}.localhost", b.slug);
    let (_, answer) = refused(&api, &a, &[("x-forwarded-host", &forwarded), ("forwarded", "host=x")]).await;
    assert_eq!(
        answer["data"]["tenant"]["name"], "Peterson Family Insurance",
        "proxies' headers decide nothing"
    );
}

#[tokio::test]
async fn no_foreign_page_can_make_a_browser_write() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let body = json!({"query": RENAME}).to_string();
    let port = api.address().port();
    let sibling = format!("http://smith.localhost:{port}");
    let attacks: [(Headers<'_>, StatusCode); 8] = [
        (&[("content-type", "text/plain")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", "application/x-www-form-urlencoded")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", "multipart/form-data; boundary=x")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", "")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("origin", &*sibling)], StatusCode::FORBIDDEN),
        (&[("origin", "null")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
    ];
    for (headers, status) in attacks {
        let response = api.send(POST, &tenant, headers, body.clone()).await;
        assert_eq!(response.status(), status, "{headers:?}");
    }
    let link = format!(
        "/graphql?{}",
        url::form_urlencoded::Serializer::new(String::new()).append_pair("query", RENAME).finish()
    );
    let by_link = api.send((Method::GET, &link), &tenant, &[], "").await;
    assert_eq!(by_link.status(), StatusCode::METHOD_NOT_ALLOWED);
    let after = api.data(&tenant, "{ agent { name } }", json!({})).await;
    assert_eq!(after["agent"]["name"], "Barbara", "nothing was written");

    let own = format!("http://{}.localhost:{port}", tenant.slug);
    let headers: Headers<'_> = &[("origin", &own), ("sec-fetch-site", "same-origin")];
    assert_eq!(api.send(POST, &tenant, headers, NAME).await.status(), StatusCode::OK);
    let read = "/graphql?query=%7B%20agent%20%7B%20name%20%7D%20%7D";
    assert_eq!(api.send((Method::GET, read), &tenant, &[], "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_malformed_or_too_much_is_refused_with_a_reason() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let batch = format!("[{NAME},{NAME}]");
    let large = json!({"query": "{ tenant { name } }", "variables": {"x": "y".repeat(300_000)}}).to_string();
    for (body, status) in [
        (String::new(), StatusCode::BAD_REQUEST),
        ("{ \"not JSON".to_owned(), StatusCode::BAD_REQUEST),
        (batch, StatusCode::BAD_REQUEST),
        (r#"{"query": 1}"#.to_owned(), StatusCode::BAD_REQUEST),
        (r#"{"query": "{ a }", "variables": []}"#.to_owned(), StatusCode::BAD_REQUEST),
        (r#"{"query": "{ a }", "operationName": {}}"#.to_owned(), StatusCode::BAD_REQUEST),
        (large, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let response = api.send(POST, &tenant, &[], body.clone()).await;
        let sent: String = body.chars().take(60).collect();
        assert_eq!(response.status(), status, "{sent}");
        let answer: Value = response.json().await.unwrap();
        assert!(answer["errors"][0]["extensions"]["code"].is_string(), "{sent}: {answer}");
    }
    let picky = api.send(POST, &tenant, &[("accept", "text/csv")], NAME).await;
    assert_eq!(picky.status(), StatusCode::NOT_ACCEPTABLE);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let response = api.send((method, "/graphql"), &tenant, &[], NAME).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let json = "application/json";
    for (accept, query, status) in [
        (OWN, "{ tenant { name } }", StatusCode::OK),
        (OWN, "{ nothing }", StatusCode::BAD_REQUEST),
        (OWN, "{", StatusCode::BAD_REQUEST),
        (json, "{ nothing }", StatusCode::OK),
        (json, "{", StatusCode::OK),
    ] {
        let body = json!({"query": query}).to_string();
        let response = api.send(POST, &tenant, &[("accept", accept)], body).await;
        assert_eq!(response.status(), status, "{accept} {query}");
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(accept));
    }
}

#[tokio::test]
async fn a_small_request_never_costs_much() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let aliases = (0..100).map(|n| format!("a{n}: tenant {{ name }} ")).collect::<Vec<_>>().concat();
    let deep = format!(
        "{{ callers {{ nodes {}{} }} }}",
        "{ lastCall { caller ".repeat(10),
        "{ id } }".to_owned() + &" } }".repeat(9)
    );
    let rows = "{ callers(first: 100) { nodes { calls(first: 100) { nodes { turns(first: 100) { nodes { text } } } } } } }";
    let directives = format!("{{ tenant {{ name {} }} }}", "@include(if: true) ".repeat(500));
    let unknown =
        format!("{{ {} }}", (0..300).map(|n| format!("secretSecret{n} ")).collect::<Vec<_>>().concat());
    let syntax = format!("{{ tenant(a: \"{}\" }}", "x".repeat(20_000));
    for query in
        [format!("{{ {aliases} }}"), deep, rows.to_owned(), directives, unknown, syntax, "{".repeat(30_000)]
    {
        let body = json!({"query": query}).to_string();
        let response = api.send(POST, &tenant, &[], body).await;
        let text = response.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let shown: String = query.chars().take(60).collect();
        let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("not refused: {shown}"));
        assert!((1..=10).contains(&errors.len()), "{shown}");
        assert_eq!(answer.get("data"), None, "{shown}");
        assert!(text.len() < 4_000, "{} bytes for {shown}", text.len());
    }
}

#[tokio::test]
async fn a_trusted_document_is_named_by_its_digest() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let (reads, writes) = (
        id(include_str!("../../graphql/operations/agent.graphql")),
        id(include_str!("../../graphql/operations/update_agent.graphql")),
    );
    let posted = async |body: Value| {
        let response = api.send(POST, &tenant, &[("accept", OWN)], body.to_string()).await;
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, answer) = posted(json!({"documentId": reads})).await;
    assert_eq!((status, &answer["data"]["agent"]["name"]), (StatusCode::OK, &json!("Barbara")));
    let input = json!({"input": {"voice": "cedar"}});
    let (_, answer) = posted(json!({"documentId": writes, "variables": input})).await;
    assert_eq!(answer["data"]["updateAgent"]["agent"]["voice"], "cedar");

    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].clone();
    let unknown = format!("sha256:{}", "0".repeat(64));
    for (body, expected) in [
        (json!({"documentId": unknown}), "DOCUMENT_UNKNOWN"),
        (json!({"documentId": reads, "query": "{ tenant { name } }"}), "BAD_PARAMETERS"),
        (json!({"documentId": 7}), "BAD_PARAMETERS"),
        (json!({}), "BAD_PARAMETERS"),
    ] {
        let (status, answer) = posted(body.clone()).await;
        assert_eq!((status, code(&answer)), (StatusCode::BAD_REQUEST, json!(expected)), "{body}");
    }

    let link = |id: &str| format!("/graphql?documentId={}", id.replace(':', "%3A"));
    let read = api.send((Method::GET, &link(&reads)), &tenant, &[], "").await;
    assert_eq!(read.json::<Value>().await.unwrap()["data"]["agent"]["voice"], "cedar");
    let written = api.send((Method::GET, &link(&writes)), &tenant, &[], "").await;
    assert_eq!(written.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn in_production_the_schema_is_not_told() {
    let world = World::with(&[
        ("ENVIRONMENT", "production".to_owned()),
        ("PUBLIC_URL", "https://voice.example.com".to_owned()),
    ])
    .await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let asked = api.answer(&tenant, "{ __schema { types { name } } }", json!({})).await;
    assert_eq!(asked["errors"][0]["extensions"]["code"], "INTROSPECTION_OFF");
    let guessed = api.answer(&tenant, "{ tenant { nam } }", json!({})).await;
    assert!(!guessed["errors"][0]["message"].as_str().unwrap().contains("Did you mean"), "{guessed}");
    let page = api.send((Method::GET, "/graphql"), &tenant, &[("accept", "text/html")], "").await;
    assert_eq!(page.status(), StatusCode::NOT_ACCEPTABLE, "no explorer");
}

#[tokio::test]
async fn in_development_a_browser_gets_an_explorer() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let headers: Headers<'_> = &[("accept", "text/html,*/*;q=0.8"), ("authorization", "")];
    let page = api.send((Method::GET, "/graphql"), &tenant, headers, "").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains("/graphql/ws"));
}
