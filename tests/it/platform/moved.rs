//! A tenant that got another name is found from the old one for 30 days, and nobody is ever sent anywhere else.

use super::office::Office;
use crate::api::{Api, Headers};
use crate::world::{TestTenant, World};
use neurosphere::tenants::life;
use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const POST: (Method, &str) = (Method::POST, "/graphql");
const GET: (Method, &str) = (Method::GET, "/graphql?query=%7B%20tenant%20%7B%20slug%20%7D%20%7D");
const SLUG: &str = r#"{"query": "{ tenant { slug } }"}"#;
const UPGRADE: Headers<'_> = &[
    ("authorization", ""),
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "graphql-transport-ws"),
];

async fn rename(world: &World, tenant: &TestTenant, slug: &str) {
    let slug = slug.parse().unwrap();
    world.operate(async |tx| life::rename(tx, tenant.id, &slug, "a new brand").await).await.unwrap();
}

/// A tenant that has just got another name, and that name.
async fn renamed(world: &World) -> (TestTenant, String) {
    let tenant = world.tenant().await;
    let new = format!("new-{}", &tenant.slug[2..20]);
    rename(world, &tenant, &new).await;
    (tenant, new)
}

/// Status and `Location` of an answer.
fn told(response: &reqwest::Response) -> (StatusCode, Option<&str>) {
    (response.status(), response.headers().get(LOCATION).map(|value| value.to_str().unwrap()))
}

#[tokio::test]
async fn an_old_host_leads_to_the_new_one_with_path_and_query() {
    let world = World::new().await;
    let (tenant, new) = renamed(&world).await;
    let api = Api::of(&world).await;
    let there = format!("//{new}.localhost:{}", api.address().port());
    let asked = api.send(POST, &tenant, &[], SLUG).await;
    assert_eq!(told(&asked), (StatusCode::PERMANENT_REDIRECT, Some(&*format!("{there}/graphql"))));
    assert_eq!(asked.headers()["cache-control"], "no-store", "the name may come back");
    assert_eq!(asked.json::<Value>().await.unwrap()["errors"][0]["extensions"]["code"], "MOVED");
    let asked = api.send(GET, &tenant, &[("authorization", "")], "").await;
    assert_eq!(
        told(&asked),
        (StatusCode::PERMANENT_REDIRECT, Some(&*format!("{there}{}", GET.1))),
        "without a key"
    );
    let asked = api.send((Method::GET, "/graphql"), &tenant, &[("accept", "text/html")], "").await;
    assert_eq!(told(&asked).1, Some(&*format!("{there}/graphql")), "a browser");
    let asked = api.send((Method::GET, "/graphql/ws"), &tenant, UPGRADE, "").await;
    assert_eq!(told(&asked), (StatusCode::PERMANENT_REDIRECT, Some(&*format!("{there}/graphql/ws"))));

    let (old_host, new_host) = (format!("{}.localhost", tenant.slug), format!("{new}.localhost"));
    let follows =
        reqwest::Client::builder().resolve(&old_host, api.address()).resolve(&new_host, api.address());
    let url = format!("http://{old_host}:{}{}", api.address().port(), GET.1);
    let followed = follows.build().unwrap().get(url).send().await.unwrap();
    assert_eq!(followed.url().as_str(), format!("http://{new_host}:{}{}", api.address().port(), GET.1));
    assert_eq!(followed.status(), StatusCode::UNAUTHORIZED, "it was let in nowhere on the way");
    let key = &tenant.api_key;
    let served = api.request(POST, (&new, key), &[], SLUG).await.json::<Value>().await.unwrap();
    assert_eq!(served["data"]["tenant"]["slug"], *new);
}

#[tokio::test]
async fn nothing_else_is_redirected() {
    let world = World::new().await;
    let (tenant, _) = renamed(&world).await;
    let office = Office::of(&world).await;
    for (method, path, status) in [
        (Method::PUT, "/graphql", StatusCode::METHOD_NOT_ALLOWED),
        (Method::DELETE, "/graphql", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/graphql/", StatusCode::NOT_FOUND),
        (Method::POST, "/graphql/ws", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/", StatusCode::NOT_FOUND),
        (Method::GET, "/healthz", StatusCode::OK),
        (Method::GET, "/metrics", StatusCode::OK),
        (Method::POST, "/twilio/voice", StatusCode::NOT_FOUND),
    ] {
        let asked = office.api.send((method.clone(), path), &tenant, &[], SLUG).await;
        assert_eq!(told(&asked), (status, None), "{method} {path}");
    }
    let foreign: Headers<'_> = &[("origin", "http://evil.example")];
    assert_eq!(told(&office.api.send(POST, &tenant, foreign, SLUG).await), (StatusCode::FORBIDDEN, None));
    assert_eq!(told(&office.send(POST, &[], SLUG).await).1, None, "the platform's host");
}

#[tokio::test]
async fn no_forged_host_decides_where_to() {
    let world = World::new().await;
    let (tenant, new) = renamed(&world).await;
    let other = world.tenant().await;
    let api = Api::of(&world).await;
    let (old, there) = (format!("{}.localhost", tenant.slug), format!("location: //{new}.localhost"));
    let others = format!("{}.localhost", other.slug);
    let request = |line: &str, hosts: &[&str]| {
        format!("GET {line} HTTP/1.1\r\n{}\r\nConnection: close\r\n\r\n", hosts.join("\r\n"))
    };
    let host = |name: &str| format!("Host: {name}");
    let path = "/graphql?query=x";
    for (line, hosts, location) in [
        (path.to_owned(), vec![host(&old)], Some("")),
        (path.to_owned(), vec![host(&old), "X-Forwarded-Host: evil.example".to_owned()], Some("")),
        (path.to_owned(), vec![host(&old), "X-Forwarded-Proto: gopher".to_owned()], Some("")),
        (path.to_owned(), vec![host(&format!("{old}:8443"))], Some(":8443")),
        (path.to_owned(), vec![host(&format!("{old}:80@evil.example"))], Some("")),
        (path.to_owned(), vec![host(&format!("{old}:evil.example"))], Some("")),
        (format!("http://{old}{path}"), vec![host(&old)], Some("")),
        (format!("http://{old}{path}"), vec![host(&others)], None),
        (format!("http://evil.example{path}"), vec![host(&old)], None),
        (path.to_owned(), vec![host(&old), host("evil.example")], None),
        (path.to_owned(), vec![host("evil.example"), host(&old)], None),
        (path.to_owned(), vec![host("evil.example"), format!("X-Forwarded-Host: {old}")], None),
        (path.to_owned(), vec![host(&format!("{old}.evil.example"))], None),
        (path.to_owned(), vec![host(&format!("evil.example/{old}"))], None),
    ] {
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        let answer = api.raw(&request(&line, &hosts)).await;
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        let found = head.lines().find(|line| line.starts_with("location:"));
        let expected = location.map(|port| format!("{there}{port}{path}"));
        assert_eq!(found, expected.as_deref(), "{line} {hosts:?}: {head}");
        let status = if location.is_some() { "HTTP/1.1 308" } else { "HTTP/1.1 404" };
        assert!(head.starts_with(status), "{line} {hosts:?}: {head}");
    }
}

#[tokio::test]
async fn where_nobody_is_in_service_all_hosts_are_answered_alike() {
    let world = World::new().await;
    let (tenant, new) = renamed(&world).await;
    let api = Api::of(&world).await;
    let ask = async |slug: &str| {
        let response = api.request(POST, (slug, &tenant.api_key), &[], SLUG).await;
        let status = response.status();
        (status, response.headers().get(LOCATION).cloned(), response.text().await.unwrap())
    };
    let unknown = ask("nobody").await;
    assert_eq!((unknown.0, &unknown.1), (StatusCode::NOT_FOUND, &None));
    world.operate(async |tx| life::suspend(tx, tenant.id, "unpaid").await).await.unwrap();
    assert_eq!(ask(&new).await, unknown, "suspended");
    assert_eq!(ask(&tenant.slug).await, unknown, "the old name of one that is suspended");
    let refused = api.send((Method::GET, "/graphql/ws"), &tenant, UPGRADE, "").await;
    assert_eq!(told(&refused), (StatusCode::NOT_FOUND, None));
    world.operate(async |tx| life::close(tx, tenant.id, "left", life::GRACE).await).await.unwrap();
    assert_eq!(ask(&tenant.slug).await, unknown, "the old name of one that is closed");
    world.operate(async |tx| life::reopen(tx, tenant.id, "came back").await).await.unwrap();
    assert_eq!(ask(&tenant.slug).await.0, StatusCode::PERMANENT_REDIRECT);
    let later = "begin; set local role neurosphere_platform;
                 update platform.slugs set retired_at = retired_at - interval '31 days' where retired_at is not null; commit";
    world.as_owner().await.batch_execute(later).await.unwrap();
    assert_eq!(ask(&tenant.slug).await, unknown, "a month later");
}

#[tokio::test]
async fn every_name_leads_to_the_last_one_and_a_name_that_comes_back_is_home() {
    let world = World::new().await;
    let (tenant, second) = renamed(&world).await;
    let api = Api::of(&world).await;
    let third = format!("{second}-x");
    rename(&world, &tenant, &third).await;
    for old in [&tenant.slug, &second] {
        let asked = api.request(POST, (old, &tenant.api_key), &[], SLUG).await;
        let there = format!("//{third}.localhost:{}/graphql", api.address().port());
        assert_eq!(told(&asked), (StatusCode::PERMANENT_REDIRECT, Some(&*there)), "in one step");
    }
    rename(&world, &tenant, &tenant.slug).await;
    let home = api.data(&tenant, "{ tenant { slug } }", json!({})).await;
    assert_eq!(home["tenant"]["slug"], *tenant.slug);
    for old in [&second, &third] {
        let asked = api.request(POST, (old, &tenant.api_key), &[], SLUG).await;
        let there = format!("//{}.localhost:{}/graphql", tenant.slug, api.address().port());
        assert_eq!(told(&asked).1, Some(&*there));
    }
}
