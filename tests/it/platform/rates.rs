//! How much operators may ask, and that it has nothing to do with what tenants may: changes of terms through the
//! platform's API, in force at once on a tenant's host.

use super::office::Office;
use crate::api::Api;
use crate::world::World;
use futures_util::future::join_all;
use neurosphere::access::{Role, TenantScope};
use neurosphere::operators;
use neurosphere::tenants::reach;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const POST: (Method, &str) = (Method::POST, "/graphql");
const VIEWER: &str = r#"{"query": "{ viewer { name } }"}"#;
const NAME: &str = r#"{"query": "{ tenant { name } }"}"#;

fn served(answers: &[Response]) -> usize {
    answers.iter().filter(|answer| answer.status() == StatusCode::OK).count()
}

async fn metrics(api: &Api) -> String {
    reqwest::get(format!("http://{}/metrics", api.address())).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn an_operator_sets_what_a_tenant_may_and_is_not_bound_by_it() {
    let world = World::new().await;
    let (office, tenant, other) = (Office::of(&world).await, world.tenant().await, world.tenant().await);
    let ask =
        async |many: usize| join_all((0..many).map(|_| office.api.send(POST, &tenant, &[], NAME))).await;
    assert_eq!(served(&ask(20).await), 20);
    let terms = |exceptions: Value| json!({"tenantId": tenant.id.to_string(), "plan": "trial", "exceptions": exceptions, "canary": false, "reason": "a test"});
    let seen = "tenant { terms { limits { requestsPerS callsMax } } }";
    let set =
        office.done("setTenantTerms", terms(json!({"requestsPerS": 1, "transactionsMax": 1})), seen).await;
    let limits = json!({"requestsPerS": 1, "callsMax": 2});
    assert_eq!(set["tenant"]["terms"]["limits"], limits, "the rest is as the plan says");
    let refused = 20 - served(&ask(20).await);
    assert!(10 < refused, "the next request finds the new limit: {refused}");
    // All that the tenant may have under way is under way: that is no matter of the platform's.
    let tenancy = reach::tenancy(&world.app.db, tenant.id).await.unwrap().unwrap();
    let scope = TenantScope::mint(tenancy, tenant.scope(Role::Owner).actor(), Role::Owner);
    let held = world.app.db.tenant(&scope).await.unwrap();
    let answers = join_all((0..20).map(|_| office.send(POST, &[], VIEWER))).await;
    assert_eq!(served(&answers), 20, "an operator is not bound by a tenant's limits");
    let theirs = join_all((0..20).map(|_| office.api.send(POST, &other, &[], NAME))).await;
    assert_eq!(served(&theirs), 20, "nor is another tenant");
    drop(held);
    office.done("setTenantTerms", terms(json!({"requestsPerS": 1_000})), seen).await;
    assert_eq!(served(&ask(20).await), 20, "and more is in force at once, too");
}

#[tokio::test]
async fn an_operator_has_a_rate_of_its_own_and_a_colleague_has_another() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    let made = world.operate(async |tx| operators::create(tx, "Ada Lovelace").await).await;
    let colleague = made.unwrap().1;
    // What is not acceptable is cheap to send, and counts like everything else.
    let (mut passed, mut refused, deadline) = (0, Vec::new(), Instant::now() + Duration::from_secs(20));
    while refused.is_empty() {
        assert!(Instant::now() < deadline, "{passed} of an operator's requests passed");
        let wave = (0..200).map(|_| office.send(POST, &[("accept", "text/csv")], VIEWER));
        let (good, late): (Vec<_>, Vec<_>) =
            join_all(wave).await.into_iter().partition(|one| one.status() == StatusCode::NOT_ACCEPTABLE);
        passed += good.len();
        refused = late;
    }
    assert!(200 <= passed, "{passed}");
    let count = refused.len();
    let late = refused.swap_remove(0);
    assert_eq!(late.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(late.headers()["retry-after"], "1");
    let late: Value = late.json().await.unwrap();
    assert_eq!(
        late,
        json!({"errors": [{
            "message": "an operator may send 200 requests per second; send fewer, and this one again in 1 s",
            "extensions": {"code": "TOO_MANY_REQUESTS", "retryAfterSeconds": 1}
        }]})
    );
    let hers = office.api.request(POST, ("platform", &colleague), &[], VIEWER).await;
    assert_eq!(hers.status(), StatusCode::OK, "a colleague's are not touched");
    assert_eq!(office.api.send(POST, &tenant, &[], NAME).await.status(), StatusCode::OK, "nor a tenant's");
    let metrics = metrics(&office.api).await;
    let counted = metrics.lines().find(|line| line.starts_with("neurosphere_refused_total"));
    assert_eq!(counted, Some(&*format!("neurosphere_refused_total{{limit=\"operator_requests\"}} {count}")));
    assert!(!metrics.contains(&office.operator.id.to_string()), "no metric names an operator");
}
