//! What operators change: each step once, its refusals, its row in the log, and that its cluster learns of it.

use super::office::{Office, mutation};
use crate::witness::Witness;
use crate::world::{World, fresh_number};
use neurosphere::audit::{self, Chain};
use neurosphere::db::tx::Sql;
use neurosphere::graphql::platform;
use neurosphere::ids::TenantId;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const STATE: &str = "tenant { state closesAt }";

async fn actions(world: &World, tenant: TenantId) -> Vec<(String, String)> {
    let rows =
        world.operate(async |tx| audit::list(tx, Chain::Tenant(tenant), None, 100).await).await.unwrap();
    rows.into_iter().rev().skip(2).map(|row| (row.action, row.reason.unwrap_or_default())).collect()
}

fn not_found() -> (String, Option<String>) {
    ("NOT_FOUND".to_owned(), None)
}

fn invalid(field: &str) -> (String, Option<String>) {
    ("INVALID".to_owned(), Some(field.to_owned()))
}

#[tokio::test]
async fn every_step_of_a_tenants_life_is_taken_once_and_written_down() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    let id = tenant.id.to_string();
    let step = |reason: &str| json!({"tenantId": id, "reason": reason});
    let state_conflict = ("STATE".to_owned(), None);

    let suspended = office.done("suspendTenant", step("unpaid"), STATE).await;
    assert_eq!(suspended["tenant"], json!({"state": "SUSPENDED", "closesAt": null}));
    assert_eq!(office.refusal("suspendTenant", step("again")).await, state_conflict);
    assert_eq!(office.done("resumeTenant", step("paid"), STATE).await["tenant"]["state"], "ACTIVE");
    assert_eq!(office.refusal("resumeTenant", step("again")).await, state_conflict);
    assert_eq!(office.refusal("suspendTenant", step(" ")).await, invalid("reason"));

    let slug = format!("new-{}", &tenant.slug[2..20]);
    let renamed = json!({"tenantId": id, "slug": slug, "reason": "a new brand"});
    let renamed = office.done("renameTenant", renamed, "tenant { slug host }").await;
    assert_eq!(renamed["tenant"], json!({"slug": slug, "host": format!("{slug}.localhost")}));
    let wrong = json!({"tenantId": id, "slug": "Not a slug", "reason": "x"});
    assert_eq!(office.refusal("renameTenant", wrong).await, invalid("slug"));

    let terms = |plan: &str, exceptions: Value| json!({"tenantId": id, "plan": plan, "exceptions": exceptions, "canary": true, "reason": "grown"});
    let seen = "tenant { terms { plan { key } exceptions { callsMax } limits { callsMax jobsMax } canary } }";
    let set = office.done("setTenantTerms", terms("large", json!({"callsMax": 3})), seen).await;
    let expected = json!({"plan": {"key": "large"}, "exceptions": {"callsMax": 3},
        "limits": {"callsMax": 3, "jobsMax": 4}, "canary": true});
    assert_eq!(set["tenant"]["terms"], expected);
    assert_eq!(office.refusal("setTenantTerms", terms("gigantic", json!({}))).await, invalid("plan"));
    let slow = terms("large", json!({"statementMsMax": 1}));
    assert_eq!(office.refusal("setTenantTerms", slow).await, invalid("statementMsMax"));

    let days = |days: i64| json!({"tenantId": id, "reason": "left", "graceDays": days});
    for out_of_range in [-1, 366, i64::from(i32::MAX)] {
        assert_eq!(office.refusal("closeTenant", days(out_of_range)).await, invalid("graceDays"));
    }
    let closed = office.done("closeTenant", step("left"), "tenant { state closesAt createdAt }").await;
    let moment = |name: &str| {
        closed["tenant"][name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    assert_eq!((moment("closesAt") - moment("createdAt")).num_days(), 30);
    let reopened = office.done("reopenTenant", step("came back"), STATE).await;
    assert_eq!(reopened["tenant"], json!({"state": "ACTIVE", "closesAt": null}));
    assert_eq!(office.refusal("reopenTenant", step("again")).await, state_conflict);

    let expected = [
        ("tenant.suspend", "unpaid"),
        ("tenant.resume", "paid"),
        ("tenant.rename", "a new brand"),
        ("tenant.terms", "grown"),
        ("tenant.close", "left"),
        ("tenant.reopen", "came back"),
    ];
    let expected: Vec<_> = expected.map(|(action, why)| (action.to_owned(), why.to_owned())).into();
    assert_eq!(actions(&world, tenant.id).await, expected, "what was refused is no row");
}

#[tokio::test]
async fn numbers_are_given_handed_over_and_taken() {
    let world = World::new().await;
    let (office, a, b) = (Office::of(&world).await, world.tenant().await, world.tenant().await);
    let (number, seen) = (fresh_number(), "tenant { id numbers }");
    let (a_id, b_id) = (a.id.to_string(), b.id.to_string());
    let give = |to: &str| json!({"tenantId": to, "number": number.reveal()});
    let given = office.done("assignNumber", give(&a_id), seen).await;
    assert!(given["tenant"]["numbers"].as_array().unwrap().contains(&json!(number.reveal())), "{given}");
    assert_eq!(office.refusal("assignNumber", give(&b_id)).await, ("NUMBER_TAKEN".to_owned(), None));
    let wrong = json!({"tenantId": a_id, "number": "0800"});
    assert_eq!(office.refusal("assignNumber", wrong).await, invalid("number"));
    let foreign = json!({"tenantId": a_id, "number": number.reveal(), "account": "AC1"});
    assert_eq!(office.refusal("assignNumber", foreign).await, invalid("account"));

    let hand = |from: &str, to: &str| json!({"number": number.reveal(), "fromTenantId": from, "toTenantId": to, "reason": "sold"});
    assert_eq!(office.refusal("handOverNumber", hand(&b_id, &a_id)).await, not_found(), "b has not got it");
    let handed = office.done("handOverNumber", hand(&a_id, &b_id), seen).await;
    assert_eq!(handed["tenant"]["id"], *b_id);
    assert!(handed["tenant"]["numbers"].as_array().unwrap().contains(&json!(number.reveal())), "{handed}");
    let take = |from: &str| json!({"tenantId": from, "number": number.reveal(), "reason": "not needed"});
    assert_eq!(office.refusal("releaseNumber", take(&a_id)).await, not_found());
    let taken = office.done("releaseNumber", take(&b_id), seen).await;
    assert_eq!(taken["tenant"]["numbers"], json!([b.number.reveal()]));
    let expected = [("number.hand_over", "sold"), ("number.release", "not needed")];
    assert_eq!(
        actions(&world, b.id).await,
        expected.map(|(action, why)| (action.to_owned(), why.to_owned()))
    );
}

#[tokio::test]
async fn domains_are_asked_for_and_given_up() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    let host = format!("calls.{}.example", tenant.slug);
    let ask = |host: &str| json!({"tenantId": tenant.id.to_string(), "host": host});
    let asked =
        office.done("askForDomain", ask(&host), "domain { host verifiedAt record { name value } }").await;
    let domain = &asked["domain"];
    assert_eq!((&domain["host"], &domain["verifiedAt"]), (&json!(host), &Value::Null));
    assert_eq!(domain["record"]["name"], format!("_neurosphere.{host}"));
    assert!(domain["record"]["value"].as_str().unwrap().starts_with("neurosphere="), "{domain}");
    for wrong in ["no host", "x.localhost", "127.0.0.1"] {
        assert_eq!(office.refusal("askForDomain", ask(wrong)).await, invalid("host"), "{wrong}");
    }
    let release = json!({"tenantId": tenant.id.to_string(), "host": host, "reason": "another brand"});
    assert_eq!(office.done("releaseDomain", release.clone(), "host").await["host"], *host);
    assert_eq!(office.refusal("releaseDomain", release).await, not_found());
    let expected = [("domain.ask", ""), ("domain.release", "another brand")];
    assert_eq!(
        actions(&world, tenant.id).await,
        expected.map(|(action, why)| (action.to_owned(), why.to_owned()))
    );
}

/// A good input of every mutation, for one tenant.
fn every_mutation(tenant: &str) -> [(&'static str, Value); 14] {
    let step = json!({"tenantId": tenant, "reason": "a reason"});
    let number = json!({"tenantId": tenant, "number": "+19495550123", "reason": "a reason"});
    let host = json!({"tenantId": tenant, "host": "calls.peterson.example", "reason": "a reason"});
    let without_reason = |input: &Value| {
        let mut input = input.clone();
        input.as_object_mut().unwrap().remove("reason");
        input
    };
    [
        (
            "createTenant",
            json!({
                "idempotencyKey": "a request", "slug": "smith", "name": "Smith", "agentName": "Alex", "timeZone": "UTC",
                "template": "insurance", "plan": "standard", "cluster": "main", "number": "+19495550124",
            }),
        ),
        ("suspendTenant", step.clone()),
        ("resumeTenant", step.clone()),
        ("renameTenant", json!({"tenantId": tenant, "slug": "peterson-2", "reason": "a reason"})),
        (
            "setTenantTerms",
            json!({"tenantId": tenant, "plan": "large", "exceptions": {}, "canary": false, "reason": "a reason"}),
        ),
        ("closeTenant", step.clone()),
        ("reopenTenant", step),
        ("assignNumber", without_reason(&number)),
        (
            "handOverNumber",
            json!({"fromTenantId": tenant, "toTenantId": tenant, "number": "+19495550123", "reason": "a reason"}),
        ),
        ("releaseNumber", number),
        ("askForDomain", without_reason(&host)),
        ("releaseDomain", host),
        ("createOperator", json!({"name": "Ada"})),
        (
            "disableOperator",
            json!({"operatorId": "operator_00000000000000000000000000", "reason": "a reason"}),
        ),
    ]
}

#[tokio::test]
async fn no_text_makes_a_fault_of_a_refusal() {
    let world = World::new().await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    let sdl = platform::sdl();
    let fields = sdl.split("type Mutation {").nth(1).unwrap().split("\n}").next().unwrap();
    let known: BTreeSet<_> =
        fields.split("\n  ").filter_map(|line| line.strip_suffix('(')).map(str::to_owned).collect();
    let tried: BTreeSet<_> = every_mutation("x").iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(tried, known, "every mutation is tried");
    for (name, input) in every_mutation(&tenant.id.to_string()) {
        let texts = input.as_object().unwrap().iter().filter(|(_, value)| value.is_string());
        for (field, _) in texts {
            for text in ["\u{0}", "%00'; --\u{0}\u{202e}", &"x".repeat(10_000)] {
                let mut input = input.clone();
                input[field] = json!(text);
                let document = mutation(name, "__typename");
                let answer = office.answer(&document, json!({"input": input})).await;
                assert_eq!(answer.get("errors"), None, "{name}.{field}: {answer}");
                let refused = &answer["data"][name]["errors"][0];
                let code =
                    refused["code"].as_str().unwrap_or_else(|| panic!("{name}.{field} is taken: {answer}"));
                assert!(["INVALID", "NOT_FOUND", "STATE"].contains(&code), "{name}.{field}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn another_cluster_learns_of_a_change_at_once_or_when_it_is_back() {
    let (world, wire) = World::of_two_clusters().await;
    let office = Office::of(&world).await;
    let there = world.tenant_in("west").await;
    let west = there.tenancy.placement.cluster;
    let copy = async || {
        let copy = Sql::new("select plan, state from platform.tenants", &[]);
        let rows = world.app.db.lookup_at(west, &copy, &[]).await.unwrap();
        (rows[0].get::<_, String>(0), rows[0].get::<_, String>(1))
    };
    let id = there.id.to_string();
    let terms =
        json!({"tenantId": id, "plan": "large", "exceptions": {}, "canary": false, "reason": "grown"});
    office.done("setTenantTerms", terms, "tenant { cluster { name } }").await;
    assert_eq!(copy().await, ("large".to_owned(), "active".to_owned()), "no job was needed");
    wire.cut();
    let suspended = office.done("suspendTenant", json!({"tenantId": id, "reason": "unpaid"}), STATE).await;
    assert_eq!(suspended["tenant"]["state"], "SUSPENDED", "the change holds all the same");
    wire.mend();
    assert_eq!(copy().await.1, "active");
    world.app.runner().run_due().await.unwrap();
    assert_eq!(copy().await.1, "suspended", "a job has told it");
}

#[test]
fn nothing_private_is_logged_of_what_operators_do() {
    Witness::watch(async |witness| {
        let (world, wire) = World::of_two_clusters().await;
        let office = Office::of(&world).await;
        let there = world.tenant_in("west").await;
        let id = there.id.to_string();
        let number = fresh_number();
        let account = json!({"sid": format!("AC{}", "ab".repeat(16)), "authToken": "token-of-the-carrier"});
        let made = json!({
            "idempotencyKey": "a-key-of-a-request", "slug": format!("t-{}", uuid::Uuid::new_v4().simple()),
            "name": "Zebulon Insurance", "agentName": "Quintessa", "timeZone": "UTC", "template": "insurance",
            "number": number.reveal(), "account": account,
        });
        let made = office.done("createTenant", made, "tenant { id } apiKey").await;
        let joined = office.done("createOperator", json!({"name": "Ada Lovelace"}), "key").await;
        wire.cut();
        let assigned = json!({"tenantId": id, "number": fresh_number().reveal()});
        office.done("assignNumber", assigned, "tenant { numbers }").await;
        let ended = json!({"tenantId": id, "reason": "they never paid Xanthippe"});
        office.done("suspendTenant", ended, "tenant { name numbers cluster { schemas { failed } } }").await;
        for (name, input) in every_mutation(&id) {
            office.mutate(name, input, "__typename").await;
        }
        let told = witness.lines.that_say("a cluster is told later of a change");
        assert!(told.iter().any(|line| line.contains(&id) && line.contains("cluster=west")), "{told:?}");
        assert!(!witness.lines.that_say("a cluster was not reached").is_empty());
        let (api_key, key) = (made["apiKey"].as_str().unwrap(), joined["key"].as_str().unwrap());
        let secrets =
            [api_key, key, office.key.reveal(), there.api_key.reveal(), "token-of-the-carrier", "a-key-of-a"];
        let people =
            ["Zebulon", "Quintessa", "Ada", "Hopper", "Xanthippe", "A business", "+1949", number.reveal()];
        for private in secrets.into_iter().chain(people).chain([there.number.reveal()]) {
            assert!(witness.lines.that_say(private).is_empty(), "{private} in the log");
        }
    });
}
