//! The operations of dashboards, as they stand in `graphql/operations/`: each is answered, and what it asks of Postgres is
//! in a table. A page costs one statement for each kind of thing on it, and one for the key, whether it has one row or
//! many.

use crate::api::{Api, concluded_call};
use crate::platform::office::Office;
use crate::witness::Witness;
use crate::world::{TestTenant, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What an operation asks of Postgres, each in one statement.
type Asks = (&'static str, &'static [&'static str]);

const OF_A_TENANT: [Asks; 16] = [
    ("agent", &["key", "business", "which template", "template", "numbers", "agent"]),
    ("call", &["key", "call", "caller", "turns", "summary"]),
    // Once for the host, once for the key on entering and once with the operation; then the call is over.
    ("call_turns", &["host", "key", "key", "call", "turns"]),
    (
        "caller",
        &["key", "caller", "profile", "template", "memories", "calls of memories", "calls", "summaries"],
    ),
    ("callers", &["key", "callers", "last calls", "summaries"]),
    ("calls", &["key", "calls", "callers", "summaries"]),
    (
        "create_api_key",
        &["key", "lock", "asked before", "good keys", "old keys", "add", "head of the log", "log"],
    ),
    ("create_role", &["key", "lock", "asked before", "roles", "add", "head of the log", "log"]),
    ("forget", &["key", "forget"]),
    (
        "invite_member",
        &[
            "key",
            "lock",
            "asked before",
            "member there",
            "invited before",
            "open ones",
            "members",
            "add",
            "mail later",
            "head of the log",
            "log",
        ],
    ),
    (
        "overview",
        &["key", "calls", "turns", "log", "callers", "memories", "recalled", "calls of callers", "summaries"],
    ),
    ("remember", &["key", "caller", "remember", "embed later"]),
    ("team", &["key", "members", "invitations", "roles", "keys"]),
    ("update_agent", &["key", "agent", "change"]),
    ("update_caller_profile", &["key", "lock", "profile", "template", "change", "caller", "profile"]),
    ("viewer", &["key", "business"]),
];
const OF_THE_PLATFORM: [Asks; 4] = [
    ("clusters", &["key", "tenants of clusters", "schemas of the one cluster", "plans"]),
    ("operators", &["key", "viewer", "operators", "log"]),
    (
        "tenant",
        &[
            "key",
            "tenant",
            "numbers",
            "domains",
            "plan",
            "limits",
            "tenants of clusters",
            "schemas of the one cluster",
            "log",
        ],
    ),
    ("tenants", &["key", "tenants", "numbers", "domains", "plans", "limits"]),
];

/// An operation's file, and how many statements it costs.
type Costs = BTreeMap<String, usize>;

fn table(asks: &[Asks]) -> Costs {
    asks.iter().map(|(name, statements)| ((*name).to_owned(), statements.len())).collect()
}

/// The operations that stand in a folder, by the names of their files.
fn operations(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("graphql/operations").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let documents = files.filter(|path: &PathBuf| path.extension().is_some_and(|ending| ending == "graphql"));
    let named = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    documents.map(|path| (named(&path), std::fs::read_to_string(&path).unwrap())).collect()
}

/// How many statements this thread has run.
fn statements(witness: &Witness) -> usize {
    let rendered = witness.metrics.render();
    let found = rendered.lines().find_map(|line| line.strip_prefix("neurosphere_statements_total "));
    found.map_or(0, |count| count.parse().unwrap())
}

/// What operations need to be told: the newest call, its caller, and the newest memory of theirs.
async fn variables(api: &Api, tenant: &TestTenant, operation: &str) -> Value {
    let newest = "{ calls(first: 1) { nodes { id caller { id memories(first: 1) { nodes { id } } } } } }";
    let call = api.data(tenant, newest, json!({})).await["calls"]["nodes"][0].take();
    let caller = &call["caller"];
    let asked = uuid::Uuid::new_v4().simple().to_string();
    match operation {
        "call" => json!({"id": call["id"]}),
        "caller" => json!({"id": caller["id"]}),
        "call_turns" => json!({"callId": call["id"], "afterSequence": 0}),
        "overview" => json!({"question": "Who called?"}),
        "create_api_key" => {
            json!({"input": {"idempotencyKey": asked, "name": "Website", "scopes": ["CALLS_READ"]}})
        }
        "create_role" => json!({"input": {"idempotencyKey": asked, "name": asked, "scopes": ["CALLS_READ"]}}),
        "invite_member" => {
            json!({"input": {"idempotencyKey": asked, "email": format!("{asked}@example.com"), "role": "MEMBER"}})
        }
        "forget" => json!({"input": {"memoryId": caller["memories"]["nodes"][0]["id"]}}),
        "remember" => json!({"input": {"callerId": caller["id"], "text": "Likes tea."}}),
        "update_agent" => json!({"input": {"voice": "cedar"}}),
        "update_caller_profile" => {
            json!({"input": {"callerId": caller["id"], "patch": {"client_since": 2021}}})
        }
        _ => json!({}),
    }
}

/// What every operation costs a tenant now; each must be answered, and with a summary where it asks for one.
async fn costs(witness: &Witness, api: &Api, tenant: &TestTenant) -> Costs {
    let mut costs = Costs::new();
    for (name, document) in operations("") {
        let variables = variables(api, tenant, &name).await;
        let before = statements(witness);
        let data = if document.contains("\nsubscription ") {
            let mut socket = api.entered(tenant).await;
            socket.subscribe("1", &document, variables).await;
            let first = socket.hear().await.unwrap();
            assert_eq!(socket.hear().await, Ok(json!({"type": "complete", "id": "1"})));
            first["payload"]["data"].clone()
        } else {
            api.data(tenant, &document, variables).await
        };
        costs.insert(name.clone(), statements(witness) - before);
        let text = data.to_string();
        assert!(!document.contains("summary") || text.contains("\"summary\":{"), "{name}: {text}");
        assert!(!document.contains("errors {") || text.contains("\"errors\":[]"), "{name}: {text}");
    }
    costs
}

#[test]
fn a_page_costs_a_tenant_one_statement_for_each_kind_of_thing() {
    Witness::watch(async |witness| {
        let world = World::new().await;
        let (api, tenant) = (Api::of(&world).await, world.tenant().await);
        concluded_call(&world, &tenant, "+19495550100").await;
        assert_eq!(costs(witness, &api, &tenant).await, table(&OF_A_TENANT), "one row");
        for number in ["+19495550101", "+19495550102", "+19495550103", "+19495550103", "+19495550103"] {
            concluded_call(&world, &tenant, number).await;
        }
        assert_eq!(costs(witness, &api, &tenant).await, table(&OF_A_TENANT), "many rows");
    });
}

#[test]
fn a_page_costs_the_platform_one_statement_for_each_kind_of_thing() {
    Witness::watch(async |witness| {
        let world = World::new().await;
        let (office, tenant) = (Office::of(&world).await, world.tenant().await);
        let measured = async || {
            let mut costs = Costs::new();
            for (name, document) in operations("platform") {
                let variables = if name == "tenant" { json!({"slug": tenant.slug}) } else { json!({}) };
                let before = statements(witness);
                let data = office.data(&document, variables).await;
                costs.insert(name.clone(), statements(witness) - before);
                assert!(name != "tenants" || data.to_string().contains(&tenant.slug), "{data}");
            }
            costs
        };
        assert_eq!(measured().await, table(&OF_THE_PLATFORM), "one row");
        for _ in 0..4 {
            world.tenant().await;
        }
        assert_eq!(measured().await, table(&OF_THE_PLATFORM), "many rows");
    });
}
