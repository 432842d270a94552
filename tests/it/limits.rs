//! What a tenant may take of what it shares: each limit is reached, refused in the right form, counted, and changed while
//! everything runs; and nobody else notices.

use crate::api::{Api, call_from, say};
use crate::world::{TestTenant, World};
use futures_util::future::join_all;
use neurosphere::access::{Role, TenantScope};
use neurosphere::ids::CallerId;
use neurosphere::tenants::life::{self, Exceptions, Terms};
use neurosphere::tenants::reach;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const POST: (Method, &str) = (Method::POST, "/graphql");
const NAME: &str = r#"{"query": "{ tenant { name } }"}"#;
const CALLERS: &str = r#"{"query": "{ callers(first: 5) { nodes { id } } }"}"#;
const TURNS: &str = "subscription($id: ID!) { callTurns(callId: $id) { sequence } }";

/// Changes what a tenant may take, as an operator does, and gives the right to act as it is read after that.
async fn limit(world: &World, tenant: &TestTenant, exceptions: Exceptions, role: Role) -> TenantScope {
    let terms = Terms { plan: "standard".to_owned(), exceptions, canary: false };
    world.operate(async |tx| life::set_terms(tx, tenant.id, &terms, "a test").await).await.unwrap();
    let tenancy = reach::tenancy(&world.app.db, tenant.id).await.unwrap().unwrap();
    TenantScope::mint(tenancy, tenant.scope(role).actor(), role)
}

fn transactions(most: u16) -> Exceptions {
    Exceptions { transactions_max: Some(most), ..Exceptions::default() }
}

fn requests(per_second: u16) -> Exceptions {
    Exceptions { requests_per_s: Some(per_second), ..Exceptions::default() }
}

/// How often a limit has refused anybody something.
async fn refused(api: &Api, limit: &str) -> f64 {
    let metrics =
        reqwest::get(format!("http://{}/metrics", api.address())).await.unwrap().text().await.unwrap();
    let begin = format!("neurosphere_refused_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&*begin)).map_or(0.0, |count| count.parse().unwrap())
}

async fn asked(api: &Api, tenant: &TestTenant, body: &'static str) -> Response {
    api.send(POST, tenant, &[], body).await
}

/// The code of an answer's first error, and when it is worth another try.
fn told(answer: &Value) -> (&str, Option<u64>) {
    let extensions = &answer["errors"][0]["extensions"];
    (extensions["code"].as_str().unwrap_or_default(), extensions["retryAfterSeconds"].as_u64())
}

fn retry_after(response: &Response) -> Option<&str> {
    response.headers().get("retry-after").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_request_that_finds_no_place_is_told_when_to_come_again() {
    let world = World::new().await;
    let (api, tenant, other) = (Api::of(&world).await, world.tenant().await, world.tenant().await);
    let scope = limit(&world, &tenant, transactions(1), Role::Owner).await;
    let before = refused(&api, "transactions").await;
    let held = world.app.db.tenant(&scope).await.unwrap();

    let (answer, theirs) = tokio::join!(asked(&api, &tenant, CALLERS), asked(&api, &other, CALLERS));
    assert_eq!(theirs.status(), StatusCode::OK, "nobody else notices");
    assert_eq!((answer.status(), retry_after(&answer)), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    let answer: Value = answer.json().await.unwrap();
    assert_eq!((told(&answer), &answer["data"]), (("BUSY", Some(1)), &Value::Null));
    assert!(before < refused(&api, "transactions").await);

    for role in [Role::Carrier, Role::Call, Role::Job] {
        let lane = TenantScope::mint(*scope.tenancy(), scope.actor(), role);
        let session = world.app.db.tenant(&lane).await;
        assert!(session.is_ok(), "calls and jobs do not wait for requests: {role:?}");
    }
    limit(&world, &tenant, transactions(2), Role::Owner).await;
    assert_eq!(asked(&api, &tenant, CALLERS).await.status(), StatusCode::OK, "more is in force at once");
    limit(&world, &tenant, transactions(1), Role::Owner).await;
    assert_eq!(asked(&api, &tenant, CALLERS).await.status(), StatusCode::TOO_MANY_REQUESTS, "and so is less");
    let stranger = CallerId::from(uuid::Uuid::new_v4());
    let partly = format!("{{ __typename caller(id: \"{stranger}\") {{ id }} }}");
    let answer = api.answer(&tenant, &partly, json!({})).await;
    assert_eq!((&answer["data"]["__typename"], told(&answer)), (&json!("Query"), ("BUSY", Some(1))));
    drop(held);
    assert_eq!(asked(&api, &tenant, CALLERS).await.status(), StatusCode::OK);
    assert_eq!(world.app.db.crowd(), (0, 0));
}

#[tokio::test]
async fn a_tenant_never_holds_more_than_half_of_the_connections() {
    let world = World::new().await; // six connections for tenants
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let scope = limit(&world, &tenant, transactions(1_000), Role::Owner).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(world.app.db.tenant(&scope).await.unwrap());
    }
    let others = other.scope(Role::Owner);
    let (fourth, theirs) = tokio::join!(world.app.db.tenant(&scope), world.app.db.tenant(&others));
    assert!(fourth.is_err() && theirs.is_ok());
}

#[tokio::test]
async fn requests_that_are_broken_off_leave_no_place_taken() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    limit(&world, &tenant, requests(10_000), Role::Owner).await;
    let mut owner = world.as_owner().await;
    let lock = owner.transaction().await.unwrap();
    lock.batch_execute(&format!("lock table {}.callers in access exclusive mode", tenant.schema()))
        .await
        .unwrap();
    let clients = (0..60_u64).map(|number| {
        let (api, tenant) = (&api, &tenant);
        async move {
            // Some while they wait for a place, some while they wait for Postgres.
            let patience = Duration::from_millis(200 + 10 * number);
            tokio::time::timeout(patience, asked(api, tenant, CALLERS)).await.ok();
        }
    });
    join_all(clients).await;
    lock.rollback().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.app.db.crowd() != (0, 0) {
        assert!(Instant::now() < deadline, "{:?}", world.app.db.crowd());
        tokio::task::yield_now().await;
    }
    assert_eq!(asked(&api, &tenant, CALLERS).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_beyond_the_rate_are_told_so_and_others_are_served() {
    let world = World::new().await;
    let (api, tenant, other) = (Api::of(&world).await, world.tenant().await, world.tenant().await);
    limit(&world, &tenant, requests(1), Role::Owner).await;
    let (before, began) = (refused(&api, "requests").await, Instant::now());
    let answers = join_all((0..20).map(|_| asked(&api, &tenant, NAME))).await;
    let served = answers.iter().filter(|answer| answer.status() == StatusCode::OK).count();
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((1..=2 + seconds).contains(&served), "{served}");
    let late = answers.into_iter().find(|answer| answer.status() != StatusCode::OK).unwrap();
    assert_eq!((late.status(), retry_after(&late)), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    let late: Value = late.json().await.unwrap();
    assert_eq!(told(&late), ("TOO_MANY_REQUESTS", Some(1)));
    assert_eq!(
        late["errors"][0]["message"],
        "this business may send 1 request per second; send fewer, and this one again in 1 s"
    );
    assert_eq!(late.get("data"), None, "nothing was executed");
    assert!(before < refused(&api, "requests").await);
    let theirs = join_all((0..20).map(|_| asked(&api, &other, NAME))).await;
    assert!(theirs.iter().all(|answer| answer.status() == StatusCode::OK), "nobody else notices");

    limit(&world, &tenant, requests(1_000), Role::Owner).await;
    let answers = join_all((0..20).map(|_| asked(&api, &tenant, NAME))).await;
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK), "a change is in force at once");
}

#[tokio::test]
async fn an_operation_on_a_socket_counts_as_a_request() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let mut socket = api.entered(&tenant).await;
    limit(&world, &tenant, requests(1), Role::Owner).await;
    let mut codes = Vec::new();
    for number in 0..10 {
        socket.subscribe(&number.to_string(), "{ tenant { name } }", json!({})).await;
    }
    while codes.len() < 10 {
        let message = socket.hear().await.unwrap();
        match message["type"].as_str().unwrap() {
            "error" => codes.push(message["payload"][0]["extensions"]["code"].as_str().unwrap().to_owned()),
            "complete" => codes.push("served".to_owned()),
            _ => assert_eq!(message["payload"]["data"]["tenant"]["name"], "Peterson Family Insurance"),
        }
    }
    assert!(
        codes.contains(&"served".to_owned()) && codes.contains(&"TOO_MANY_REQUESTS".to_owned()),
        "{codes:?}"
    );
    let authorization = format!("Bearer {}", tenant.api_key.reveal());
    let init = json!({"type": "connection_init", "payload": {"authorization": authorization}});
    let mut closed = Vec::new();
    for _ in 0..10 {
        let mut another = api.socket(&tenant, &[]).await.unwrap();
        another.say(&init).await;
        closed.extend(another.hear().await.err());
    }
    assert!(!closed.is_empty() && closed.iter().all(|code| *code == 1013), "{closed:?}");
    limit(&world, &tenant, requests(1_000), Role::Owner).await;
    socket.subscribe("more", "{ tenant { name } }", json!({})).await;
    assert_eq!(socket.hear().await.unwrap()["type"], "next", "a change is in force at once");
}

#[tokio::test]
async fn a_tenant_has_so_many_sockets_and_another_has_its_own() {
    let world = World::new().await;
    let (api, tenant, other) = (Api::of(&world).await, world.tenant().await, world.tenant().await);
    limit(&world, &tenant, requests(10_000), Role::Owner).await;
    let before = refused(&api, "sockets").await;
    let mut sockets = join_all((0..100).map(|_| api.entered(&tenant))).await;
    let authorization = format!("Bearer {}", tenant.api_key.reveal());
    let init = json!({"type": "connection_init", "payload": {"authorization": authorization}});
    let mut late = api.socket(&tenant, &[]).await.unwrap();
    late.say(&init).await;
    assert_eq!(late.hear().await, Err(1013));
    assert!(before < refused(&api, "sockets").await);
    drop(api.entered(&other).await);
    drop(sockets.pop());
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut next = api.socket(&tenant, &[]).await.unwrap();
        next.say(&init).await;
        match next.hear().await {
            Ok(ack) => break assert_eq!(ack["type"], "connection_ack", "a place is free again"),
            Err(code) => assert_eq!((code, Instant::now() < deadline), (1013, true)),
        }
    }
}

#[tokio::test]
async fn a_subscription_outlives_a_moment_without_a_place() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let call = call_from(&world, &tenant, "+19495550199").await;
    let scope = limit(&world, &tenant, transactions(1), Role::Owner).await;
    let mut socket = api.entered(&tenant).await;
    socket.subscribe("1", TURNS, json!({"id": call.to_string()})).await;
    say(&world, &tenant, call, 1..=1).await;
    assert_eq!(socket.hear().await.unwrap()["payload"]["data"]["callTurns"]["sequence"], 1);
    let before = refused(&api, "transactions").await;
    let held = world.app.db.tenant(&scope).await.unwrap();
    say(&world, &tenant, call, 2..=2).await;
    let deadline = Instant::now() + Duration::from_secs(8);
    while refused(&api, "transactions").await <= before {
        assert!(Instant::now() < deadline, "the subscription looked again and found no place");
    }
    drop(held);
    assert_eq!(socket.hear().await.unwrap()["payload"]["data"]["callTurns"]["sequence"], 2);
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_told_so_and_counted() {
    let world = World::new().await;
    let (api, tenant, other) = (Api::of(&world).await, world.tenant().await, world.tenant().await);
    let short = Exceptions { statement_ms_max: Some(100), ..Exceptions::default() };
    limit(&world, &tenant, short, Role::Owner).await;
    let before = refused(&api, "statement").await;
    let mut owner = world.as_owner().await;
    let lock = owner.transaction().await.unwrap();
    lock.batch_execute(&format!("lock table {}.callers in access exclusive mode", tenant.schema()))
        .await
        .unwrap();
    let answer = asked(&api, &tenant, CALLERS).await;
    assert_eq!(answer.status(), StatusCode::OK, "it was executed");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(told(&answer), ("TIMEOUT", None));
    assert_eq!(answer["errors"][0]["message"], "this takes longer than it may; ask for less at once");
    assert!(before < refused(&api, "statement").await);
    assert_eq!(asked(&api, &other, CALLERS).await.status(), StatusCode::OK, "nobody else notices");
    lock.rollback().await.unwrap();
    let answer: Value = asked(&api, &tenant, CALLERS).await.json().await.unwrap();
    assert_eq!(answer.get("errors"), None, "{answer}");
}

#[tokio::test]
async fn no_metric_names_a_tenant() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    limit(&world, &tenant, requests(1), Role::Owner).await;
    join_all((0..5).map(|_| asked(&api, &tenant, NAME))).await;
    let metrics =
        reqwest::get(format!("http://{}/metrics", api.address())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("neurosphere_refused_total{limit=\"requests\"}"), "{metrics}");
    for name in [tenant.id.to_string(), tenant.id.uuid().to_string(), tenant.schema(), tenant.slug.clone()] {
        assert!(!metrics.contains(&name), "{metrics}");
    }
}
