//! What operators read: tenants from outside, clusters, plans, the team, and what was done.

use super::office::Office;
use crate::world::{World, fresh_number};
use neurosphere::tenants::life::{self, Exceptions, Terms};
use neurosphere::tenants::{domains, numbers};
use serde_json::{Value, json};

const TENANT: &str = "query($id: ID, $slug: String) { tenant(id: $id, slug: $slug) {
    id slug name host state numbers schemaVersion closesAt createdAt
    domains { host record { name value } verifiedAt checkedAt failure }
    terms { plan { key name limits { callsMax } } exceptions { callsMax jobsMax } limits { callsMax jobsMax statementMsMax } canary }
    cluster { name tenantsCount schemas { prepared pending failed } }
    auditLog(first: 1) { pageInfo { hasNextPage } nodes { sequence actor action subject reason before after } }
} }";

#[tokio::test]
async fn a_tenant_is_seen_from_outside_with_all_that_was_decided_about_it() {
    let world = World::new().await;
    let (office, tenant, other) = (Office::of(&world).await, world.tenant().await, world.tenant().await);
    let host = format!("calls.{}.example", tenant.slug).parse().unwrap();
    let asked =
        world.operate(async |tx| domains::ask(tx, tenant.id, &host, "localhost").await).await.unwrap();
    let exceptions = Exceptions { calls_max: Some(7), ..Exceptions::default() };
    let terms = Terms { plan: "large".to_owned(), exceptions, canary: true };
    world.operate(async |tx| life::set_terms(tx, tenant.id, &terms, "grown").await).await.unwrap();

    let by_slug = office.data(TENANT, json!({"slug": tenant.slug})).await;
    let id = tenant.id.to_string();
    assert_eq!(by_slug, office.data(TENANT, json!({"id": id})).await);
    let mut seen = by_slug["tenant"].clone();
    assert!(seen["createdAt"].as_str().unwrap().contains('T'), "{seen}");
    seen.as_object_mut().unwrap().remove("createdAt");
    let expected = json!({
        "id": id, "slug": tenant.slug, "name": "Peterson Family Insurance", "state": "ACTIVE", "closesAt": null,
        "host": format!("{}.localhost", tenant.slug), "numbers": [tenant.number.reveal()],
        "schemaVersion": world.app.db.schema_version(),
        "domains": [{
            "host": host.as_str(), "verifiedAt": null, "checkedAt": null, "failure": null,
            "record": {"name": asked.record_name(), "value": asked.record_value()},
        }],
        "terms": {
            "plan": {"key": "large", "name": "Large", "limits": {"callsMax": 50}}, "canary": true,
            "exceptions": {"callsMax": 7, "jobsMax": null},
            "limits": {"callsMax": 7, "jobsMax": 4, "statementMsMax": 5000},
        },
        "cluster": {"name": "main", "tenantsCount": 2, "schemas": {"prepared": 0, "pending": 0, "failed": 0}},
        "auditLog": {"pageInfo": {"hasNextPage": true}, "nodes": [{
            "sequence": 4, "actor": "command line", "action": "tenant.terms", "subject": tenant.slug, "reason": "grown",
            "before": {"plan": "standard", "limits": {}, "canary": false},
            "after": {"plan": "large", "limits": {"calls_max": 7}, "canary": true},
        }]},
    });
    assert_eq!(seen, expected);
    let plain = office.data(TENANT, json!({"id": other.id.to_string()})).await;
    assert_eq!(
        (&plain["tenant"]["domains"], &plain["tenant"]["terms"]["limits"]["callsMax"]),
        (&json!([]), &json!(10))
    );
}

#[tokio::test]
async fn what_names_no_tenant_is_answered_with_none() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    for nobody in
        [json!({"slug": "nobody"}), json!({"id": "tenant_00000000000000000000000000"}), json!({"id": "x"})]
    {
        assert_eq!(office.data(TENANT, nobody).await, json!({"tenant": null}));
    }
    for wrong in
        [json!({}), json!({"id": tenant.id.to_string(), "slug": tenant.slug}), json!({"slug": "No\u{0}"})]
    {
        let refused = office.answer(TENANT, wrong).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "INVALID", "{refused}");
    }
}

#[tokio::test]
async fn tenants_come_in_pages_each_with_its_own_things() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    let mut made = Vec::new();
    for name in ["Anchor & Sons", "Bridge_100%", "Anchor Bakery", "Delta", "Echo"] {
        made.push(world.tenant_named(name, "Alex").await);
    }
    let second = fresh_number();
    world.operate(async |tx| numbers::assign(tx, made[1].id, &second, None).await).await.unwrap();
    world.operate(async |tx| life::suspend(tx, made[3].id, "unpaid").await).await.unwrap();
    let query = "query($first: Int, $after: String, $filter: TenantFilter) {
        tenants(first: $first, after: $after, filter: $filter) {
            pageInfo { hasNextPage endCursor } nodes { name numbers terms { limits { callsMax } } } } }";
    let mut seen = Vec::new();
    let mut after = Value::Null;
    for expected in [2, 2, 1] {
        let page = office.data(query, json!({"first": 2, "after": after})).await;
        let nodes = page["tenants"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), expected);
        seen.extend(nodes.iter().map(|node| node["numbers"].clone()));
        assert_eq!(page["tenants"]["pageInfo"]["hasNextPage"], seen.len() < 5, "{page}");
        after = page["tenants"]["pageInfo"]["endCursor"].clone();
    }
    let mut both = vec![made[1].number.reveal(), second.reveal()];
    both.sort_unstable();
    let own = |n: usize| json!([made[n].number.reveal()]);
    assert_eq!(
        seen,
        [own(4), own(3), own(2), json!(both), own(0)],
        "newest first, each with its own numbers"
    );

    let names = async |filter: Value| {
        let page = office.data(query, json!({"filter": filter})).await;
        page["tenants"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(json!({"search": "ANCHOR"})).await, ["Anchor Bakery", "Anchor & Sons"]);
    assert_eq!(names(json!({"search": "_100%"})).await, ["Bridge_100%"], "no wildcards");
    assert_eq!(names(json!({"search": made[4].slug})).await, ["Echo"]);
    assert_eq!(names(json!({"state": "SUSPENDED"})).await, ["Delta"]);
    assert_eq!(names(json!({"state": "SUSPENDED", "search": "anchor"})).await, [""; 0]);
    for variables in [
        json!({"first": 0}),
        json!({"first": 101}),
        json!({"after": "bm90IG91cnM"}),
        json!({"filter": {"search": "x".repeat(201)}}),
        json!({"filter": {"search": "\u{0}"}}),
    ] {
        let refused = office.answer(query, variables).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "INVALID", "{refused}");
    }
}

#[tokio::test]
async fn logs_come_in_pages_and_a_cursor_is_good_for_its_own_log_only() {
    let world = World::new().await;
    let (office, a, b) = (Office::of(&world).await, world.tenant().await, world.tenant().await);
    for tenant in [&a, &b] {
        world.operate(async |tx| life::suspend(tx, tenant.id, "unpaid").await).await.unwrap();
    }
    let query = "query($id: ID, $after: String) { tenant(id: $id) { auditLog(first: 2, after: $after) {
        pageInfo { hasNextPage endCursor } nodes { sequence action } } } }";
    let page = async |tenant: &crate::world::TestTenant, after: &Value| {
        office.answer(query, json!({"id": tenant.id.to_string(), "after": after})).await
    };
    let first = page(&a, &Value::Null).await["data"]["tenant"]["auditLog"].take();
    assert_eq!(
        first["nodes"],
        json!([{"sequence": 3, "action": "tenant.suspend"}, {"sequence": 2, "action": "tenant.activate"}])
    );
    let cursor = &first["pageInfo"]["endCursor"];
    let rest = page(&a, cursor).await["data"]["tenant"]["auditLog"].take();
    assert_eq!(rest["nodes"], json!([{"sequence": 1, "action": "tenant.create"}]));
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
    let foreign = page(&b, cursor).await;
    assert_eq!(foreign["errors"][0]["extensions"]["code"], "INVALID", "{foreign}");

    let own = "query($after: String) { auditLog(first: 1, after: $after) {
        pageInfo { hasNextPage } nodes { at actor action subject before after } } }";
    let log = office.data(own, json!({})).await["auditLog"].take();
    let entry = &log["nodes"][0];
    assert_eq!((&entry["action"], &entry["subject"]), (&json!("operator.create"), &json!("Grace Hopper")));
    assert_eq!((&entry["before"], log["pageInfo"]["hasNextPage"].as_bool()), (&Value::Null, Some(false)));
    let foreign = office.answer(own, json!({"after": cursor})).await;
    assert_eq!(foreign["errors"][0]["extensions"]["code"], "INVALID", "{foreign}");
}

#[tokio::test]
async fn plans_clusters_and_the_team_are_listed() {
    let world = World::new().await;
    let office = Office::of(&world).await;
    world.tenant_behind().await;
    let seen = office
        .data(
            "{ viewer { id name disabledAt } operators { id name createdAt }
               plans { key name limits { transactionsMax requestsPerS statementMsMax callsMax jobsMax } }
               clusters { name tenantsCount schemas { prepared pending failed } } again: clusters { name } }",
            json!({}),
        )
        .await;
    let id = office.operator.id.to_string();
    assert_eq!(seen["viewer"], json!({"id": id, "name": "Grace Hopper", "disabledAt": null}));
    assert_eq!(seen["operators"][0]["id"], *id);
    let keys: Vec<_> = seen["plans"].as_array().unwrap().iter().map(|plan| plan["key"].clone()).collect();
    assert_eq!(keys, ["large", "standard", "trial"]);
    let trial = json!({"transactionsMax": 4, "requestsPerS": 10, "statementMsMax": 5000, "callsMax": 2, "jobsMax": 1});
    assert_eq!(seen["plans"][2]["limits"], trial);
    let main =
        json!({"name": "main", "tenantsCount": 1, "schemas": {"prepared": 0, "pending": 1, "failed": 0}});
    assert_eq!((&seen["clusters"], &seen["again"]), (&json!([main]), &json!([{"name": "main"}])));
}
