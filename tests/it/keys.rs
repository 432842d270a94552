//! API keys: what each may do, how it is made once, takes another's place, and opens nothing any more; and that all of it
//! stays within its tenant.

use crate::api::{Api, call_from, say};
use crate::world::{TestTenant, World, environment};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use neurosphere::access::{Actor, KeyScope, Role, TenantScope};
use neurosphere::audit::{self, Chain};
use neurosphere::clock::Clock;
use neurosphere::db::page::Page;
use neurosphere::db::tx::TenantTx;
use neurosphere::error::Error;
use neurosphere::identity::last_use::LastUse;
use neurosphere::secret::Secret;
use neurosphere::tenants::keys::{self, Key, Made, NewKey};
use neurosphere::tenants::reach::{self, Host};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::process::Command;

const CREATE: &str = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
    apiKey { id name prefix scopes expiresAt lastUsedAt } secret errors { code field } } }";
const ROTATE: &str = "mutation($input: RotateApiKeyInput!) { rotateApiKey(input: $input) {
    apiKey { id name scopes expiresAt } secret errors { code field } } }";
const REVOKE: &str = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) {
    apiKey { id revokedAt } errors { code field } } }";

/// A business and its running API.
struct Stage {
    world: World,
    api: Api,
    tenant: TestTenant,
}

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let (api, tenant) = (Api::of(&world).await, world.tenant().await);
        Self { world, api, tenant }
    }

    /// The payload of a mutation that is sent with this key.
    async fn with(&self, key: &Secret, mutation: &str, input: Value) -> Value {
        let answer = self.answer(key, mutation, json!({"input": input})).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        answer["data"].as_object().unwrap().values().next().unwrap().clone()
    }

    async fn answer(&self, key: &Secret, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables}).to_string();
        let at = (&*self.tenant.slug, key);
        let response = self.api.request((Method::POST, "/graphql"), at, &[], body).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    async fn opens(&self, key: &Secret) -> bool {
        let host = Host::parse(&format!("{}.localhost", self.tenant.slug), "localhost").unwrap();
        reach::holder_of_key(&self.world.app.db, &host, key).await.unwrap().is_some()
    }

    /// Does something to the tenant's keys as whoever is at the command line.
    async fn at_desk<T>(
        &self,
        deed: impl AsyncFnOnce(&mut TenantTx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let scope = TenantScope::mint(self.tenant.tenancy, Actor::CommandLine, Role::Operator);
        let mut session = self.world.app.db.registry(&scope).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        let done = deed(&mut tx).await?;
        tx.commit().await.unwrap();
        Ok(done)
    }

    async fn made(&self, scopes: &[KeyScope]) -> (Key, Secret) {
        let new = NewKey { name: "A key".to_owned(), scopes: scopes.to_vec(), expires_at: None };
        let Made { key, secret } = self.at_desk(async |tx| keys::create(tx, new, None).await).await.unwrap();
        (key, secret.unwrap())
    }

    async fn listed(&self) -> Vec<Key> {
        let page = Page { first: 100, after: None };
        self.at_desk(async |tx| keys::list(tx, page).await).await.unwrap()
    }

    /// Changes rows as only the owner of the database could.
    async fn as_platform(&self, sql: &str) {
        let sql = sql.replace("{id}", &format!("'{}'", self.tenant.id.uuid()));
        let sql = format!("begin; set local role neurosphere_platform; {sql}; commit");
        self.world.as_owner().await.batch_execute(&sql).await.unwrap();
    }
}

fn code(payload: &Value) -> &str {
    payload["errors"][0]["code"].as_str().unwrap_or_default()
}

fn secret(payload: &Value) -> Secret {
    assert_eq!(payload["errors"], json!([]), "{payload}");
    Secret::new(payload["secret"].as_str().unwrap())
}

fn from_now(delta: TimeDelta) -> DateTime<Utc> {
    Clock::system().now() + delta
}

fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_key_may_what_its_scopes_hold_and_nothing_else() {
    let stage = Stage::set().await;
    stage.as_platform("update platform.tenants set plan = 'large' where id = {id}").await;
    let remember = "mutation { remember(input: {callerId: \"caller_00000000000000000000000000\", text: \"x\"}) \
                    { errors { code } } }";
    let update = "mutation { updateAgent(input: {voice: \"cedar\"}) { errors { code } } }";
    let deeds = [
        ("{ tenant { name } }", "cCaAwkmMe"),
        ("{ calls { nodes { id } } }", "ce"),
        ("{ callers { nodes { id } } }", "CAe"),
        ("{ agent { voice } }", "awe"),
        ("{ apiKeys { nodes { id } } }", "ke"),
        (remember, "Ae"),
        (update, "we"),
    ];
    let scopes = KeyScope::ALL.iter().copied().zip("cCAawkmMe".chars());
    for (scope, letter) in scopes {
        let (_, key) = stage.made(&[scope]).await;
        for (deed, may) in deeds {
            let answer = stage.answer(&key, deed, json!({})).await.to_string();
            let refused = answer.contains("\"FORBIDDEN\"");
            assert_eq!(refused, !may.contains(letter), "{} and {deed}: {answer}", scope.name());
        }
    }
    let (_, both) = stage.made(&[KeyScope::CallsRead, KeyScope::AgentRead]).await;
    let query = "{ calls { nodes { id } } agent { voice } }";
    assert_eq!(stage.answer(&both, query, json!({})).await.get("errors"), None, "scopes add up");
}

#[tokio::test]
async fn no_key_makes_one_that_may_more_than_itself() {
    let stage = Stage::set().await;
    let (_, clerk) = stage.made(&[KeyScope::KeysWrite, KeyScope::CallsRead]).await;
    let (stronger, _) = stage.made(&[KeyScope::Everything]).await;
    let create = async |key: &Secret, scopes: Value| {
        let input = json!({"idempotencyKey": scopes.to_string(), "name": "New", "scopes": scopes});
        stage.with(key, CREATE, input).await
    };
    let equal = create(&clerk, json!(["CALLS_READ", "KEYS_WRITE"])).await;
    assert!(stage.opens(&secret(&equal)).await);
    for more in [json!(["CALLERS_READ"]), json!(["CALLS_READ", "AGENT_WRITE"]), json!(["EVERYTHING"])] {
        let refused = create(&clerk, more).await;
        assert_eq!((code(&refused), &refused["apiKey"]), ("EXCEEDS_OWN_RIGHTS", &Value::Null));
    }
    let input = json!({"idempotencyKey": "take its place", "keyId": stronger.id.to_string()});
    assert_eq!(code(&stage.with(&clerk, ROTATE, input).await), "EXCEEDS_OWN_RIGHTS");
    let (_, reader) = stage.made(&[KeyScope::CallsRead]).await;
    assert_eq!(code(&create(&reader, json!(["CALLS_READ"])).await), "FORBIDDEN");
    // whoever repeats the request of somebody who may more is not shown what that one was
    let own = json!(["EVERYTHING"]);
    secret(&create(&stage.tenant.api_key, own.clone()).await);
    assert_eq!(code(&create(&clerk, own).await), "EXCEEDS_OWN_RIGHTS");
}

#[tokio::test]
async fn the_same_request_makes_one_key_and_shows_it_for_a_day() {
    let stage = Stage::set().await;
    let input = json!({"idempotencyKey": "request-1", "name": " Website ", "scopes": ["CALLS_READ", "CALLS_READ"],
        "expiresAt": from_now(TimeDelta::days(30))});
    let asked = (0..6).map(|_| stage.with(&stage.tenant.api_key, CREATE, input.clone()));
    let answers = join_all(asked).await;
    let first = &answers[0];
    assert!(answers.iter().all(|answer| answer == first), "{answers:?}");
    let (key, text) = (&first["apiKey"], secret(first));
    assert_eq!((&key["name"], &key["scopes"]), (&json!("Website"), &json!(["CALLS_READ"])));
    assert!(text.reveal().starts_with("ns_") && text.reveal().starts_with(key["prefix"].as_str().unwrap()));
    assert!(stage.opens(&text).await);
    assert_eq!(stage.listed().await.len(), 2, "beside the first key of all");

    let mut other = input.clone();
    other["name"] = json!("Intranet");
    let refused = stage.with(&stage.tenant.api_key, CREATE, other).await;
    assert_eq!(code(&refused), "IDEMPOTENCY_MISMATCH");
    let day_later =
        "update platform.api_keys set created_at = created_at - interval '25 hours' where tenant_id = {id}";
    stage.as_platform(day_later).await;
    let later = stage.with(&stage.tenant.api_key, CREATE, input).await;
    assert_eq!((&later["apiKey"]["id"], &later["secret"]), (&key["id"], &Value::Null));
    let wrong = [
        ("name", json!(" ")),
        ("name", json!("x".repeat(101))),
        ("scopes", json!([])),
        ("idempotencyKey", json!("short")),
        ("expiresAt", json!("2001-01-01T00:00:00Z")),
        ("expiresAt", json!("9001-01-01T00:00:00Z")),
    ];
    for (field, value) in wrong {
        let mut input = json!({"idempotencyKey": "request-2", "name": "x", "scopes": ["CALLS_READ"]});
        input[field] = value;
        let refused = stage.with(&stage.tenant.api_key, CREATE, input).await;
        assert_eq!((code(&refused), &refused["errors"][0]["field"]), ("INVALID", &json!(field)));
    }
}

#[tokio::test]
async fn a_rotated_key_works_beside_its_successor_until_its_time() {
    let stage = Stage::set().await;
    let owner = &stage.tenant.api_key;
    let new = NewKey {
        name: "Website".to_owned(),
        scopes: vec![KeyScope::CallsRead],
        expires_at: Some(from_now(TimeDelta::days(30))),
    };
    let Made { key: old, secret: text } =
        stage.at_desk(async |tx| keys::create(tx, new, None).await).await.unwrap();
    let text = text.unwrap();
    let rotate = async |name: &str, id: &str, until: Value| {
        stage.with(owner, ROTATE, json!({"idempotencyKey": name, "keyId": id, "oldWorksUntil": until})).await
    };
    let old_id = old.id.to_string();
    for until in [TimeDelta::days(8), TimeDelta::days(-1)] {
        let refused = rotate("too far away", &old_id, json!(from_now(until))).await;
        assert_eq!((code(&refused), &refused["errors"][0]["field"]), ("INVALID", &json!("oldWorksUntil")));
    }
    let until = from_now(TimeDelta::hours(24));
    let rotated = rotate("rotation-1", &old_id, json!(until)).await;
    let next = secret(&rotated);
    assert_eq!(
        rotated,
        rotate("rotation-1", &old_id, json!(until)).await,
        "the same request, the same answer"
    );
    let key = &rotated["apiKey"];
    assert_eq!((&key["name"], &key["scopes"]), (&json!("Website"), &json!(["CALLS_READ"])));
    let life = moment(&key["expiresAt"]) - from_now(TimeDelta::zero());
    assert!(
        TimeDelta::days(29) < life && life <= TimeDelta::days(30),
        "as long a life as the old one had: {life}"
    );
    assert!(stage.opens(&text).await && stage.opens(&next).await, "both work");
    let listed = stage.listed().await;
    let kept = listed.iter().find(|key| key.id == old.id).unwrap();
    let at = kept.expires_at.unwrap() - until;
    assert!(at.abs() < TimeDelta::milliseconds(1), "until then: {at}");
    assert_eq!(kept.successor.unwrap().to_string(), key["id"].as_str().unwrap());
    assert_eq!(code(&rotate("rotation-2", &old_id, json!(until)).await), "KEY_ROTATED");

    let passed =
        "update platform.api_keys set expires_at = now() where tenant_id = {id} and successor is not null";
    stage.as_platform(passed).await;
    assert!(!stage.opens(&text).await && stage.opens(&next).await, "its time is over");
    let last = rotate("rotation-3", key["id"].as_str().unwrap(), Value::Null).await;
    assert!(
        stage.opens(&secret(&last)).await && !stage.opens(&next).await,
        "without overlap it stops at once"
    );
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_and_the_log_says_who_did_it() {
    let stage = Stage::set().await;
    let (key, text) = stage.made(&[KeyScope::Everything]).await;
    let input = json!({"keyId": key.id.to_string(), "reason": "left on a train"});
    let revoked = stage.with(&text, REVOKE, input.clone()).await;
    assert_eq!(revoked["errors"], json!([]));
    assert!(!stage.opens(&text).await, "its own request was the last");
    let again = stage.with(&stage.tenant.api_key, REVOKE, input.clone()).await;
    assert_eq!(again, revoked, "repeated, it changes nothing");
    let rotate = json!({"idempotencyKey": "rotation-1", "keyId": key.id.to_string()});
    assert_eq!(code(&stage.with(&stage.tenant.api_key, ROTATE, rotate).await), "KEY_DEAD");

    let chain = Chain::Tenant(stage.tenant.id);
    let log = stage.world.operate(async |tx| audit::list(tx, chain, None, 2).await).await.unwrap();
    let told: Vec<_> =
        log.iter().map(|row| (row.action.as_str(), row.actor.as_str(), row.reason.as_deref())).collect();
    let by = key.id.to_string();
    let expected =
        [("key.revoke", by.as_str(), Some("left on a train")), ("key.create", "command line", None)];
    assert_eq!(told, expected);
    assert_eq!(log[1].after["scopes"], json!(["everything"]));
    assert!(log.iter().all(|row| !format!("{row:?}").contains(text.reveal())), "the key itself is nowhere");
    audit::verify(&stage.world.app.db, chain, None).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_revoked_key_closes_what_it_had_opened() {
    let stage = Stage::set().await;
    let (doomed, text) = stage.made(&[KeyScope::CallsRead]).await;
    let (_, other) = stage.made(&[KeyScope::CallsRead]).await;
    let call = call_from(&stage.world, &stage.tenant, "+19495550199").await;
    let turns = "subscription($id: ID!) { callTurns(callId: $id) { sequence } }";
    let mut sockets = Vec::new();
    for key in [&text, &other] {
        let mut socket = stage.api.socket(&stage.tenant, &[]).await.unwrap();
        let bearer = format!("Bearer {}", key.reveal());
        socket.say(&json!({"type": "connection_init", "payload": {"authorization": bearer}})).await;
        assert_eq!(socket.hear().await, Ok(json!({"type": "connection_ack"})));
        socket.subscribe("1", turns, json!({"id": call.to_string()})).await;
        sockets.push(socket);
    }
    stage.at_desk(async |tx| keys::revoke(tx, doomed.id, None).await).await.unwrap();
    assert_eq!(sockets[0].hear().await, Err(4403), "long before it is looked at again");
    say(&stage.world, &stage.tenant, call, 1..=1).await;
    let heard = sockets[1].hear().await.unwrap();
    assert_eq!(heard["payload"]["data"]["callTurns"]["sequence"], 1, "the other key's goes on: {heard}");
}

#[tokio::test]
async fn another_tenants_key_does_not_exist() {
    let stage = Stage::set().await;
    let other = stage.world.tenant().await;
    let theirs = Stage { tenant: other, world: stage.world.through(&[]), api: Api::of(&stage.world).await };
    let (key, text) = theirs.made(&[KeyScope::Everything]).await;
    let id = key.id.to_string();
    let rotate = json!({"idempotencyKey": "rotation-1", "keyId": id});
    assert_eq!(code(&stage.with(&stage.tenant.api_key, ROTATE, rotate).await), "NOT_FOUND");
    assert_eq!(code(&stage.with(&stage.tenant.api_key, REVOKE, json!({"keyId": id})).await), "NOT_FOUND");
    assert!(theirs.opens(&text).await && !stage.opens(&text).await);
    assert!(stage.listed().await.iter().all(|listed| listed.id != key.id));
}

#[tokio::test]
async fn the_last_use_is_written_once_a_minute() {
    let stage = Stage::set().await;
    let (key, text) = stage.made(&[KeyScope::CallsRead]).await;
    let host = Host::parse(&format!("{}.localhost", stage.tenant.slug), "localhost").unwrap();
    let db = &stage.world.app.db;
    let scope = reach::holder_of_key(db, &host, &text).await.unwrap().unwrap();
    let begin: DateTime<Utc> = "2026-01-31T16:00:00Z".parse().unwrap();
    let seen = async || stage.listed().await.into_iter().find(|one| one.id == key.id).unwrap().last_used_at;
    assert_eq!(seen().await, None);
    let last_use = LastUse::default();
    for (seconds, written) in [(0, 0), (59, 0), (60, 60), (200, 200), (130, 200)] {
        last_use.note(&scope, begin + TimeDelta::seconds(seconds));
        last_use.write(db).await.unwrap();
        assert_eq!(seen().await, Some(begin + TimeDelta::seconds(written)), "used after {seconds} s");
    }
    stage.answer(&text, "{ tenant { name } }", json!({})).await;
    stage.world.app.last_use.write(db).await.unwrap();
    assert!(begin + TimeDelta::seconds(200) < seen().await.unwrap(), "a request is a use");
}

#[tokio::test]
async fn keys_are_limited_whether_they_work_or_not() {
    let stage = Stage::set().await;
    let many = |count: u32, revoked: &str| {
        format!(
            "insert into platform.api_keys (id, tenant_id, name, prefix, secret_sha256, revoked_at)
             select gen_random_uuid(), {{id}}, 'x', 'x', decode(md5(random()::text), 'hex'), {revoked}
               from generate_series(1, {count})"
        )
    };
    stage.as_platform(&many(99, "null")).await;
    stage.as_platform(&many(1_200, "now()")).await;
    let new = || NewKey { name: "x".to_owned(), scopes: vec![KeyScope::CallsRead], expires_at: None };
    let refused = stage.at_desk(async |tx| keys::create(tx, new(), None).await).await.err();
    assert!(matches!(refused, Some(Error::Conflict { code: "too_many_keys", .. })), "{refused:?}");
    let one = "update platform.api_keys set revoked_at = now()
                where id = (select id from platform.api_keys where tenant_id = {id} and revoked_at is null limit 1)";
    stage.as_platform(one).await;
    stage.at_desk(async |tx| keys::create(tx, new(), None).await).await.unwrap();
    let count = "select count(*) from platform.api_keys where tenant_id = $1";
    let login = stage.world.as_login().await;
    login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let left: i64 = login.query_one(count, &[&stage.tenant.id.uuid()]).await.unwrap().get(0);
    assert_eq!(left, 100 + 900, "the oldest of those that open nothing are gone");
}

#[tokio::test]
async fn keys_are_kept_at_the_command_line_too() {
    let stage = Stage::set().await;
    let slug = &*stage.tenant.slug;
    let run = |arguments: &[&str]| {
        let url = stage.world.app.config.database.main.owner_url.as_ref().unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_neurosphere"))
            .args(["tenant", "key"])
            .args(arguments)
            .env_remove("DATABASE_APP_URL")
            .env("DATABASE_URL", url.reveal())
            .env("MASTER_KEY", environment("MASTER_KEY").unwrap())
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).unwrap())
    };
    let printed =
        |said: &str| Secret::new(said.split("API key  ").nth(1).unwrap().split(' ').next().unwrap());
    let (good, said) =
        run(&["create", slug, "--name", "Website", "--scope", "calls:read", "--expires-in-days", "9"]);
    assert!(good && said.contains("scopes   calls:read\nexpires  "), "{said}");
    let old = printed(&said);
    assert!(stage.opens(&old).await);
    let id = said.split_whitespace().nth(1).unwrap().to_owned();
    let (good, said) = run(&["rotate", slug, &id, "--overlap-hours", "2"]);
    assert!(good && said.contains(&format!("{id} works until ")), "{said}");
    let next = printed(&said);
    assert!(stage.opens(&old).await && stage.opens(&next).await);
    let (good, said) = run(&["revoke", slug, &id, "--reason", "found in a repository"]);
    assert!(good && said.contains("opens nothing any more"), "{said}");
    assert!(!stage.opens(&old).await && stage.opens(&next).await);
    let (good, said) = run(&["list", slug]);
    let states: Vec<_> = said.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!((good, states), (true, vec!["works", "revoked", "works"]), "{said}");
    for (arguments, words) in [
        (vec!["create", slug, "--name", "x", "--scope", "calls"], "the scopes are calls:read, "),
        (vec!["rotate", slug, &id], "was rotated before"),
        (vec!["rotate", slug, "key_00000000000000000000000000"], "no such key"),
        (vec!["list", "nobody-at-all"], "no such tenant"),
    ] {
        let (good, said) = run(&arguments);
        assert!(!good && said.contains(words), "{arguments:?}: {said}");
    }
}
