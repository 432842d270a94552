//! What staff read and change through GraphQL, and that another tenant's staff cannot.

use crate::api::{Api, call_from, hang_up, say};
use crate::world::World;
use serde_json::{Value, json};

const CALLERS: &str = "query($first: Int, $after: String, $search: String) {
    callers(first: $first, after: $after, search: $search) {
        pageInfo { hasNextPage endCursor }
        nodes { id phone name quickBio profile profileRevision lastCall { id state summary { text source } } }
    }
}";
const PATCH: &str = "mutation($input: UpdateCallerProfileInput!) {
    updateCallerProfile(input: $input) { caller { quickBio profile profileRevision } errors { code message field } }
}";
const REMEMBER: &str = "mutation($input: RememberInput!) {
    remember(input: $input) { memory { id kind text importance source } errors { code message field } }
}";
const FORGET: &str =
    "mutation($id: ID!) { forget(input: {memoryId: $id}) { memoryId errors { code message } } }";

#[tokio::test]
async fn the_business_and_its_agent_are_read_and_changed() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let query = "{ tenant { name slug numbers template { key version sha256 } }
                   agent { name voice timeZone revision sliders { key label group value instruction } vad { threshold } } }";
    let data = api.data(&tenant, query, json!({})).await;
    assert_eq!(data["tenant"]["name"], "Peterson Family Insurance");
    assert_eq!(data["tenant"]["slug"], *tenant.slug);
    assert_eq!(data["tenant"]["numbers"], json!([tenant.number.reveal()]));
    assert_eq!(data["tenant"]["template"]["key"], "insurance");
    assert_eq!(data["agent"]["name"], "Barbara");
    assert_eq!(data["agent"]["sliders"].as_array().unwrap().len(), 30);
    let warmth = &data["agent"]["sliders"][0];
    let neutral = json!({"key": "warmth", "label": "Warmth/Friendliness", "group": "CORE", "value": 50, "instruction": null});
    assert_eq!(*warmth, neutral);

    let update = "mutation($input: UpdateAgentInput!) { updateAgent(input: $input) {
        agent { voice sliders { key value instruction } revision } errors { code message field } } }";
    let input = json!({"voice": "cedar", "sliders": [{"key": "humor", "value": 90}]});
    let changed = api.data(&tenant, update, json!({"input": input})).await;
    let agent = &changed["updateAgent"]["agent"];
    assert_eq!((&agent["voice"], &agent["sliders"][2]["value"]), (&json!("cedar"), &json!(90)));
    assert_eq!(agent["sliders"][2]["instruction"], "Be very playful, with light humor where it fits.");
    assert_eq!(agent["sliders"][0]["value"], 50, "the others stay");

    let input = json!({"voice": "nova", "sliders": [{"key": "humor", "value": 101}], "timeZone": "Mars"});
    let refused = api.data(&tenant, update, json!({"input": input})).await;
    let errors = &refused["updateAgent"]["errors"];
    let fields: Vec<_> = errors.as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["timeZone", "sliders.humor", "voice"], "{errors}");
    assert_eq!((&refused["updateAgent"]["agent"], &errors[0]["code"]), (&Value::Null, &json!("INVALID")));
    let after = api.data(&tenant, "{ agent { voice } }", json!({})).await;
    assert_eq!(after["agent"]["voice"], "cedar", "a refused change changes nothing");
}

#[tokio::test]
async fn callers_come_in_pages_with_what_is_known_of_them() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    for n in 0..5 {
        let call = call_from(&world, &tenant, &format!("+1949555010{n}")).await;
        hang_up(&world, &tenant, call).await;
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    for expected in [2, 2, 1] {
        let page = api.data(&tenant, CALLERS, json!({"first": 2, "after": after})).await;
        let nodes = page["callers"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), expected);
        assert!(nodes.iter().all(|caller| caller["lastCall"]["state"] == "ENDED"), "{page}");
        seen.extend(nodes.iter().map(|caller| caller["phone"].as_str().unwrap().to_owned()));
        let info = &page["callers"]["pageInfo"];
        assert_eq!(info["hasNextPage"], expected == 2 && seen.len() < 5, "{page}");
        after = info["endCursor"].clone();
    }
    let newest_first: Vec<_> = (0..5).rev().map(|n| format!("+1949555010{n}")).collect();
    assert_eq!(seen, newest_first);
    let found = api.data(&tenant, CALLERS, json!({"search": "0103"})).await;
    assert_eq!(found["callers"]["nodes"].as_array().unwrap().len(), 1, "{found}");
    for (variables, why) in [
        (json!({"first": 0}), "first must be between 1 and 100"),
        (json!({"first": 101}), "first must be between 1 and 100"),
        (json!({"after": "bm90IG91cnM"}), "after is not a cursor of this list"),
    ] {
        let refused = api.answer(&tenant, CALLERS, variables).await;
        assert_eq!(refused["errors"][0]["message"], why);
        assert_eq!(refused["errors"][0]["extensions"]["code"], "INVALID");
    }
}

#[tokio::test]
async fn a_profile_is_patched_within_its_template_or_not_at_all() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    call_from(&world, &tenant, "+19495550199").await;
    let page = api.data(&tenant, CALLERS, json!({})).await;
    let id = page["callers"]["nodes"][0]["id"].clone();
    let patch = json!({"personal": {"name": "John Smith", "county": "Orange County"}, "client_since": 2020,
        "policies": {"auto": [{"year": 2019, "make": "Toyota"}, {"make": "Honda"}], "home": [{"kind": "owner"}]}});
    let changed = api.data(&tenant, PATCH, json!({"input": {"callerId": id, "patch": patch}})).await;
    let caller = &changed["updateCallerProfile"]["caller"];
    assert_eq!(
        caller["quickBio"], "John Smith | Orange County | 2 Auto + 1 Home | Client since 2020",
        "{changed}"
    );

    let patch = json!({"personal": {"phone": "nonsense", "shoe": 44}, "policies": {"auto": [{}]}});
    let refused = api.data(&tenant, PATCH, json!({"input": {"callerId": id, "patch": patch}})).await;
    let errors = refused["updateCallerProfile"]["errors"].as_array().unwrap();
    let mut fields: Vec<_> = errors.iter().map(|e| e["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["/personal/phone", "/personal/shoe", "/policies/auto/0"], "{refused}");
    let input = json!({"callerId": id, "patch": {"client_since": 2021}, "expectedRevision": 0});
    let stale = api.data(&tenant, PATCH, json!({"input": input})).await;
    assert_eq!(stale["updateCallerProfile"]["errors"][0]["code"], "STALE_REVISION");

    let query = "query($id: ID!) { caller(id: $id) { profile profileRevision profileSchema profileUi } }";
    let read = api.data(&tenant, query, json!({"id": id})).await;
    assert_eq!(read["caller"]["profile"]["client_since"], 2020, "refused patches change nothing");
    assert_eq!(read["caller"]["profile"], caller["profile"]);
    assert_eq!(read["caller"]["profileSchema"]["additionalProperties"], false);
    assert_eq!(read["caller"]["profileUi"]["fields"]["/personal/name"]["label"], "Name");
}

#[tokio::test]
async fn memories_are_written_listed_and_forgotten() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    call_from(&world, &tenant, "+19495550199").await;
    let page = api.data(&tenant, CALLERS, json!({})).await;
    let caller = page["callers"]["nodes"][0]["id"].clone();
    let input = json!({"callerId": caller, "text": "Drives a 2019 Toyota Camry.", "kind": "VEHICLE", "importance": 4});
    let added = api.data(&tenant, REMEMBER, json!({"input": input})).await;
    let memory = &added["remember"]["memory"];
    let expected = json!({"id": memory["id"], "kind": "VEHICLE", "text": "Drives a 2019 Toyota Camry.",
        "importance": 4, "source": "STAFF"});
    assert_eq!(*memory, expected);
    for (input, field) in [
        (json!({"callerId": caller, "text": " "}), "text"),
        (json!({"callerId": caller, "text": "x", "importance": 70_000}), "importance"),
    ] {
        let refused = api.data(&tenant, REMEMBER, json!({"input": input})).await;
        assert_eq!(refused["remember"]["errors"][0]["field"], field, "{refused}");
    }
    let list = "query($id: ID!) { caller(id: $id) { memories(first: 5) { nodes { text call { id } } } } }";
    let listed = api.data(&tenant, list, json!({"id": caller})).await;
    assert_eq!(listed["caller"]["memories"]["nodes"].as_array().unwrap().len(), 1);
    let ask =
        "query($id: ID!, $question: String!) { caller(id: $id) { recall(question: $question) { text } } }";
    let asked = api.data(&tenant, ask, json!({"id": caller, "question": "Which car does he drive?"})).await;
    assert_eq!(asked["caller"]["recall"], json!([{"text": "Drives a 2019 Toyota Camry."}]));
    for unasked in ["x".repeat(1_001), "car\0".to_owned()] {
        let refused = api.answer(&tenant, ask, json!({"id": caller, "question": unasked})).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "INVALID", "{refused}");
    }
    let forgotten = api.data(&tenant, FORGET, json!({"id": memory["id"]})).await;
    assert_eq!(forgotten["forget"]["memoryId"], memory["id"]);
    let again = api.data(&tenant, FORGET, json!({"id": memory["id"]})).await;
    assert_eq!(again["forget"]["errors"][0]["code"], "NOT_FOUND");
    let listed = api.data(&tenant, list, json!({"id": caller})).await;
    assert_eq!(listed["caller"]["memories"]["nodes"], json!([]));
}

#[tokio::test]
async fn calls_show_what_was_said_page_by_page() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let call = call_from(&world, &tenant, "+19495550199").await;
    say(&world, &tenant, call, 1..=5).await;
    let query = "query($id: ID!, $after: String) { call(id: $id) {
        state from to endReason durationSeconds caller { phone callsCount } summary { text }
        turns(first: 3, after: $after) { pageInfo { hasNextPage endCursor } nodes { sequence speaker text startedMs } }
        events { nodes { sequence kind leg data } } } }";
    let id = call.to_string();
    let first = api.data(&tenant, query, json!({"id": id})).await;
    assert_eq!(first["call"]["state"], "IN_PROGRESS");
    assert_eq!(
        (&first["call"]["from"], &first["call"]["to"]),
        (&json!("+19495550199"), &json!(tenant.number.reveal()))
    );
    let turns = &first["call"]["turns"];
    assert_eq!(
        turns["nodes"][0],
        json!({"sequence": 1, "speaker": "AGENT", "text": "turn 1", "startedMs": 1000})
    );
    assert_eq!(turns["pageInfo"]["hasNextPage"], true);
    hang_up(&world, &tenant, call).await;
    let rest = api.data(&tenant, query, json!({"id": id, "after": turns["pageInfo"]["endCursor"]})).await;
    let sequences: Vec<_> = rest["call"]["turns"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["sequence"].as_i64().unwrap())
        .collect();
    assert_eq!(sequences, [4, 5]);
    assert_eq!(
        (&rest["call"]["state"], &rest["call"]["endReason"]),
        (&json!("ENDED"), &json!("caller_hung_up"))
    );
    let newest = api.data(&tenant, "{ calls(first: 1) { edges { cursor node { id } } } }", json!({})).await;
    assert_eq!(newest["calls"]["edges"][0]["node"]["id"], *id);
}

#[tokio::test]
async fn another_tenants_things_do_not_exist() {
    let world = World::new().await;
    let api = Api::of(&world).await;
    let (a, b) = (world.tenant().await, world.tenant_named("Smith Insurance Agency", "Alex").await);
    let call = call_from(&world, &a, "+19495550199").await;
    say(&world, &a, call, 1..=2).await;
    let page = api.data(&a, CALLERS, json!({"first": 1})).await;
    let caller = page["callers"]["nodes"][0]["id"].clone();
    let input = json!({"callerId": caller, "text": "Only Peterson knows this."});
    let added = api.data(&a, REMEMBER, json!({"input": input})).await;
    let memory = added["remember"]["memory"]["id"].clone();
    let before = api.data(&a, CALLERS, json!({})).await;

    let nothing = "{ callers { nodes { id } } calls { nodes { id } } }";
    let empty = api.data(&b, nothing, json!({})).await;
    assert_eq!(empty, json!({"callers": {"nodes": []}, "calls": {"nodes": []}}));
    let by_id = "query($caller: ID!, $call: ID!) { caller(id: $caller) { id } call(id: $call) { id } }";
    let foreign = api.data(&b, by_id, json!({"caller": caller, "call": call.to_string()})).await;
    let unknown = api.data(&b, by_id, json!({"caller": "caller_nonsense", "call": "x"})).await;
    assert_eq!(foreign, unknown, "another's id is answered as no id at all");
    let input = json!({"callerId": caller, "patch": {"client_since": 1999}});
    let patched = api.data(&b, PATCH, json!({"input": input})).await;
    assert_eq!(patched["updateCallerProfile"]["errors"][0]["code"], "NOT_FOUND");
    let input = json!({"callerId": caller, "text": "Planted."});
    let planted = api.data(&b, REMEMBER, json!({"input": input})).await;
    assert_eq!(planted["remember"]["errors"][0]["code"], "NOT_FOUND");
    let forgotten = api.data(&b, FORGET, json!({"id": memory})).await;
    assert_eq!(forgotten["forget"]["errors"][0]["code"], "NOT_FOUND");
    let cursor = api.data(&a, "{ calls(first: 1) { edges { cursor } } }", json!({})).await;
    let cursor = cursor["calls"]["edges"][0]["cursor"].clone();
    let used =
        api.answer(&b, "query($c: String) { calls(after: $c) { nodes { id } } }", json!({"c": cursor})).await;
    assert_eq!(used["errors"][0]["extensions"]["code"], "INVALID", "a cursor is bound to its tenant");
    assert_eq!(api.data(&a, CALLERS, json!({})).await, before, "nothing of A has changed");
}
