//! Tenants that are made over the API: once, whoever repeats it, and finished by a worker where their schema must be made.

use super::office::Office;
use crate::world::{World, fresh_number};
use neurosphere::audit::{self, Chain};
use neurosphere::operators;
use neurosphere::tenancy::ClusterIndex;
use neurosphere::tenants::birth;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const MADE: &str =
    "tenant { id slug name state numbers terms { plan { key } } cluster { name } schemaVersion } apiKey";

fn new_tenant() -> Value {
    let slug = format!("t-{}", uuid::Uuid::new_v4().simple());
    json!({
        "idempotencyKey": format!("request for {slug}"), "slug": slug, "name": "Smith Insurance Agency",
        "agentName": "Alex", "timeZone": "America/New_York", "template": "insurance",
    })
}

/// The same with some fields replaced.
fn with(input: &Value, fields: &[(&str, Value)]) -> Value {
    let mut input = input.clone();
    for (name, value) in fields {
        input[*name] = value.clone();
    }
    input
}

/// The status of a request to the tenant's own API with its key.
async fn own_api(office: &Office, made: &Value) -> StatusCode {
    let slug = made["tenant"]["slug"].as_str().unwrap();
    let key = neurosphere::secret::Secret::new(made["apiKey"].as_str().unwrap());
    let body = json!({"query": "{ agent { name } }"}).to_string();
    office.api.request((Method::POST, "/graphql"), (slug, &key), &[], body).await.status()
}

#[tokio::test]
async fn a_tenant_is_made_with_all_that_it_was_asked_to_have() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    birth::fill_pool(&world.app.db, world.owners(), ClusterIndex::MAIN, 1).await.unwrap();
    let number = fresh_number();
    let input = with(&new_tenant(), &[("number", json!(number.reveal())), ("plan", json!("trial"))]);
    let made = office.done("createTenant", input.clone(), MADE).await;
    let expected = json!({
        "id": made["tenant"]["id"], "slug": input["slug"], "name": "Smith Insurance Agency", "state": "ACTIVE",
        "numbers": [number.reveal()], "terms": {"plan": {"key": "trial"}}, "cluster": {"name": "main"},
        "schemaVersion": world.app.db.schema_version(),
    });
    assert_eq!(made["tenant"], expected);
    assert_eq!(own_api(&office, &made).await, StatusCode::OK, "its key is good at once");
    let id = made["tenant"]["id"].as_str().unwrap().parse().unwrap();
    let log = world.operate(async |tx| audit::list(tx, Chain::Tenant(id), None, 9).await).await.unwrap();
    let actors: Vec<_> = log.iter().map(|row| (row.action.as_str(), row.actor.clone())).collect();
    let operator = office.operator.id.to_string();
    assert_eq!(actors, [("tenant.activate", operator.clone()), ("tenant.create", operator)]);
}

#[tokio::test]
async fn what_the_warm_pool_lacks_a_worker_makes() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    let input = new_tenant();
    let begun = office.done("createTenant", input.clone(), MADE).await;
    assert_eq!(
        (&begun["tenant"]["state"], &begun["tenant"]["schemaVersion"]),
        (&json!("PROVISIONING"), &json!(0))
    );
    assert_eq!(own_api(&office, &begun).await, StatusCode::NOT_FOUND, "nobody reaches it yet");
    world.app.runner().run_due().await.unwrap();
    assert_eq!(own_api(&office, &begun).await, StatusCode::OK, "with the key that was given before");
    let again = office.done("createTenant", input, MADE).await;
    assert_eq!(again["tenant"]["state"], "ACTIVE", "who asks again sees how it is now");
    assert_eq!((&again["tenant"]["id"], &again["apiKey"]), (&begun["tenant"]["id"], &begun["apiKey"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_that_meet_make_one_tenant_and_get_one_answer() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    birth::fill_pool(&world.app.db, world.owners(), ClusterIndex::MAIN, 8).await.unwrap();
    let input = new_tenant();
    let asked = (0..8).map(|_| office.done("createTenant", input.clone(), "tenant { id slug } apiKey"));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let all = office.data("{ tenants { nodes { id } } }", json!({})).await;
    assert_eq!(all["tenants"]["nodes"].as_array().unwrap().len(), 1);
    let other = with(&input, &[("name", json!("Another"))]);
    assert_eq!(office.refusal("createTenant", other).await, ("IDEMPOTENCY_MISMATCH".to_owned(), None));
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_by_field_and_leaves_nothing() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    let input = new_tenant();
    let account = json!({"sid": "AC1", "authToken": "secret"});
    for (fields, code, named) in [
        (vec![("slug", json!("No Slug"))], "INVALID", Some("slug")),
        (vec![("slug", json!("platform"))], "INVALID", Some("slug")),
        (vec![("slug", json!(tenant.slug))], "SLUG_TAKEN", None),
        (vec![("name", json!(""))], "INVALID", Some("name")),
        (vec![("agentName", json!(""))], "INVALID", Some("agentName")),
        (vec![("timeZone", json!("Mars"))], "INVALID", Some("timeZone")),
        (vec![("template", json!("astrology"))], "INVALID", Some("template")),
        (vec![("plan", json!("gigantic"))], "INVALID", Some("plan")),
        (vec![("cluster", json!("nowhere"))], "INVALID", Some("cluster")),
        (vec![("number", json!("949 555"))], "INVALID", Some("number")),
        (vec![("number", json!(tenant.number.reveal()))], "NUMBER_TAKEN", None),
        (vec![("account", account)], "INVALID", Some("account")),
        (vec![("idempotencyKey", json!("short"))], "INVALID", Some("idempotencyKey")),
    ] {
        let refused = office.refusal("createTenant", with(&input, &fields)).await;
        assert_eq!(refused, (code.to_owned(), named.map(str::to_owned)), "{fields:?}");
    }
    let many = with(&input, &[("slug", json!("-")), ("timeZone", json!("Mars")), ("cluster", json!("?"))]);
    let refused = office.mutate("createTenant", many, "tenant { id } apiKey").await;
    let fields: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["slug", "timeZone", "cluster"], "all are named at once");
    assert_eq!((&refused["tenant"], &refused["apiKey"]), (&Value::Null, &Value::Null));
    office.done("createTenant", input, "tenant { id }").await;
}

#[tokio::test]
async fn an_operator_joins_works_and_leaves() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    let joined = office.done("createOperator", json!({"name": " Ada "}), "operator { id name } key").await;
    assert_eq!(joined["operator"]["name"], "Ada");
    let key = neurosphere::secret::Secret::new(joined["key"].as_str().unwrap());
    let (_, held) = operators::holder_of_key(&world.app.db, &key).await.unwrap().unwrap();
    assert_eq!(held.actor().to_string(), joined["operator"]["id"].as_str().unwrap());
    let invalid = ("INVALID".to_owned(), Some("name".to_owned()));
    assert_eq!(office.refusal("createOperator", json!({"name": " "})).await, invalid);
    assert_eq!(
        office.refusal("createOperator", json!({"name": "Ada"})).await,
        ("OPERATOR_EXISTS".to_owned(), None)
    );

    let leaves = json!({"operatorId": joined["operator"]["id"], "reason": "retired"});
    let left = office.done("disableOperator", leaves.clone(), "operator { name disabledAt }").await;
    assert!(left["operator"]["disabledAt"].is_string(), "{left}");
    assert!(operators::holder_of_key(&world.app.db, &key).await.unwrap().is_none());
    assert_eq!(office.refusal("disableOperator", leaves).await, ("NOT_FOUND".to_owned(), None), "once");
    let log =
        office.data("{ auditLog(first: 1) { nodes { actor action subject reason } } }", json!({})).await;
    let expected = json!({"actor": office.operator.id.to_string(), "action": "operator.disable", "subject": "Ada", "reason": "retired"});
    assert_eq!(log["auditLog"]["nodes"][0], expected);
}
