//! Who is let in at the platform's host, and that it and the tenants' hosts keep to themselves.

use super::office::Office;
use crate::api::{Api, Headers};
use crate::world::World;
use neurosphere::operators;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const POST: (Method, &str) = (Method::POST, "/graphql");
const VIEWER: &str = r#"{"query": "{ viewer { name } }"}"#;

#[tokio::test]
async fn only_the_key_of_an_operator_who_is_not_disabled_is_good_here() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    let response = office.send(POST, &[], VIEWER).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["data"]["viewer"]["name"], "Grace Hopper");

    let mut answers = Vec::new();
    let tenants = format!("Bearer {}", tenant.api_key.reveal());
    let own = format!("Bearer {}", office.key.reveal());
    for authorization in ["", "Bearer nsop_wrong", "Basic abc", &*tenants] {
        let refused = office.send(POST, &[("authorization", authorization)], VIEWER).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{authorization}");
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        answers.push(refused.json::<Value>().await.unwrap());
    }
    world.operate(async |tx| operators::disable(tx, "Grace Hopper", "left").await).await.unwrap();
    let refused = office.send(POST, &[("authorization", &own)], VIEWER).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "the next request of one who was disabled");
    answers.push(refused.json().await.unwrap());
    answers.dedup();
    assert_eq!(answers.len(), 1, "all are answered alike: {answers:?}");
    assert_eq!(answers[0]["errors"][0]["extensions"]["code"], "UNAUTHORIZED");
}

#[tokio::test]
async fn neither_host_lets_the_others_in_or_answers_its_questions() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    let operators = format!("Bearer {}", office.key.reveal());
    let refused = office.api.send(POST, &tenant, &[("authorization", &operators)], VIEWER).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "an operator at a tenant's host");
    for (field, at_home) in [("viewer { name }", "platform"), ("agent { name }", "tenant")] {
        let query = format!("{{ {field} }}");
        let answers =
            [office.answer(&query, json!({})).await, office.api.answer(&tenant, &query, json!({})).await];
        let [platform, own] = answers;
        let (known, unknown) = if at_home == "platform" { (platform, own) } else { (own, platform) };
        assert_eq!(known.get("errors"), None, "{field}");
        assert_eq!(
            (&unknown["errors"][0]["extensions"]["code"], unknown.get("data")),
            (&json!("VALIDATION"), None)
        );
    }
}

#[tokio::test]
async fn the_platform_is_named_once_and_exactly() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    for host in ["PLATFORM.LocalHost", "platform.localhost", "platform.localhost:1"] {
        assert_eq!(office.send(POST, &[("host", host)], VIEWER).await.status(), StatusCode::OK, "{host}");
    }
    for host in
        ["platform.localhost.", "a.platform.localhost", "xplatform.localhost", "platform.evil.example"]
    {
        let refused = office.send(POST, &[("host", host)], VIEWER).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{host}");
    }
    let own = format!("{}.localhost", tenant.slug);
    let forwarded: Headers<'_> = &[
        ("host", &own),
        ("x-forwarded-host", "platform.localhost"),
        ("forwarded", "host=platform.localhost"),
    ];
    assert_eq!(
        office.send(POST, forwarded, VIEWER).await.status(),
        StatusCode::UNAUTHORIZED,
        "proxies decide nothing"
    );

    let rest = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{VIEWER}",
        office.key.reveal(),
        VIEWER.len()
    );
    for (line, hosts, status) in [
        ("/graphql", "Host: platform.localhost\r\n".to_owned(), "200 OK"),
        ("http://platform.localhost/graphql", "Host: platform.localhost\r\n".to_owned(), "200 OK"),
        ("http://platform.localhost/graphql", format!("Host: {own}\r\n"), "404 Not Found"),
        (&*format!("http://{own}/graphql"), "Host: platform.localhost\r\n".to_owned(), "404 Not Found"),
        ("/graphql", format!("Host: {own}\r\nHost: platform.localhost\r\n"), "404 Not Found"),
        ("/graphql", format!("Host: platform.localhost\r\nHost: {own}\r\n"), "404 Not Found"),
        ("/graphql", "Host: platform.localhost@evil.example\r\n".to_owned(), "404 Not Found"),
    ] {
        let answer = office.api.raw(&format!("POST {line} HTTP/1.1\r\n{hosts}{rest}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line} {hosts}: {answer}");
    }
}

#[tokio::test]
async fn no_foreign_page_can_make_an_operators_browser_write() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    let write = "mutation { createOperator(input: {name: \"Mallory\"}) { key } }";
    let body = json!({"query": write}).to_string();
    let port = office.api.address().port();
    let sibling = format!("http://peterson.localhost:{port}");
    let attacks: [(Headers<'_>, StatusCode); 9] = [
        (&[("content-type", "text/plain")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", "application/x-www-form-urlencoded")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", "multipart/form-data; boundary=x")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", "")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("origin", &*sibling)], StatusCode::FORBIDDEN),
        (&[("origin", "http://platform.localhost.evil.example")], StatusCode::FORBIDDEN),
        (&[("origin", "null")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
    ];
    for (headers, status) in attacks {
        assert_eq!(office.send(POST, headers, body.clone()).await.status(), status, "{headers:?}");
    }
    let link = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", write).finish();
    let by_link = office.send((Method::GET, &format!("/graphql?{link}")), &[], "").await;
    assert_eq!(by_link.status(), StatusCode::METHOD_NOT_ALLOWED);
    let team = office.data("{ operators { name } }", json!({})).await;
    assert_eq!(team["operators"], json!([{"name": "Grace Hopper"}]), "nothing was written");

    let own = format!("http://platform.localhost:{port}");
    let headers: Headers<'_> = &[("origin", &own), ("sec-fetch-site", "same-origin")];
    assert_eq!(office.send(POST, headers, VIEWER).await.status(), StatusCode::OK);
    let read = "/graphql?query=%7B%20viewer%20%7B%20name%20%7D%20%7D";
    assert_eq!(office.send((Method::GET, read), &[], "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_malformed_or_too_much_is_refused_as_at_a_tenants_host() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    let large = json!({"query": "{ viewer { name } }", "variables": {"x": "y".repeat(300_000)}}).to_string();
    for (body, status) in [
        (String::new(), StatusCode::BAD_REQUEST),
        (format!("[{VIEWER},{VIEWER}]"), StatusCode::BAD_REQUEST),
        (large, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(office.send(POST, &[], body).await.status(), status);
    }
    assert_eq!(
        office.send(POST, &[("accept", "text/csv")], VIEWER).await.status(),
        StatusCode::NOT_ACCEPTABLE
    );
    let aliases = (0..100).map(|n| format!("a{n}: viewer {{ name }} ")).collect::<Vec<_>>().concat();
    let rows = "{ tenants(first: 100) { nodes { auditLog(first: 100) { nodes { action } } } } }";
    for query in [format!("{{ {aliases} }}"), rows.to_owned(), "{".repeat(30_000)] {
        let answer = office.answer(&query, json!({})).await;
        assert!(answer.get("data").is_none() && answer["errors"].is_array(), "{answer}");
    }
}

#[tokio::test]
async fn there_is_no_socket_here_and_the_explorer_knows_it() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    let upgrade: Headers<'_> = &[
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "graphql-transport-ws"),
    ];
    let refused = office.send((Method::GET, "/graphql/ws"), upgrade, "").await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let browser: Headers<'_> = &[("accept", "text/html,*/*;q=0.8"), ("authorization", "")];
    let page = office.send((Method::GET, "/graphql"), browser, "").await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(page.contains("NeuroSphere platform") && !page.contains("/graphql/ws"), "{page}");
    let nobody: Headers<'_> = &[("accept", "text/html"), ("host", "nobody.localhost")];
    let refused = office.send((Method::GET, "/graphql"), nobody, "").await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND, "where nobody lives there is nothing to explore");
}

#[tokio::test]
async fn in_production_under_another_name_the_schema_is_not_told() {
    let world = World::with(&[
        ("ENVIRONMENT", "production".to_owned()),
        ("PUBLIC_URL", "https://voice.example.com".to_owned()),
        ("PLATFORM_HOST", "operators.example.net".to_owned()),
    ])
    .await;
    let office = Office::of(&world).await;
    assert_eq!(
        office.send(POST, &[], VIEWER).await.status(),
        StatusCode::NOT_FOUND,
        "the usual name is nobody's"
    );
    let here = ("host", "operators.example.net");
    assert_eq!(office.send(POST, &[here], VIEWER).await.status(), StatusCode::OK);
    let schema = json!({"query": "{ __schema { types { name } } }"}).to_string();
    let refused: Value = office.send(POST, &[here], schema).await.json().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "INTROSPECTION_OFF");
    let page = office.send((Method::GET, "/graphql"), &[here, ("accept", "text/html")], "").await;
    assert_eq!(page.status(), StatusCode::NOT_ACCEPTABLE, "no explorer");
    let api: &Api = &office.api;
    let key = &office.key;
    let tenant = world.tenant().await;
    let refused = api.request(POST, (&tenant.slug, key), &[], VIEWER).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}
