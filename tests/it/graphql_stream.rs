//! Subscriptions over server-sent events, and what both ways of following promise: nothing is left out and nothing comes
//! twice, wherever a connection breaks and whichever process answers the next one.

use crate::api::{Api, Headers, call_from, hang_up, say};
use crate::world::{TestTenant, World};
use neurosphere::access::Role;
use neurosphere::db::page::Page;
use neurosphere::ids::CallId;
use neurosphere::tenants::keys;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

const POST: (Method, &str) = (Method::POST, "/graphql/stream");
const EVENTS: Headers<'_> = &[("accept", "text/event-stream")];
const TURNS: &str = "subscription($id: ID!, $after: Int! = 0) {
    callTurns(callId: $id, afterSequence: $after) { sequence } }";
/// Sooner than a subscription looks again of its own accord: what comes within it came by notification.
const NOTICED: Duration = Duration::from_secs(3);
const TURNS_MAX: i32 = 120;

/// A client's end of a stream.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn of(api: &Api, tenant: &TestTenant, query: &str, variables: Value) -> Self {
        let body = json!({"query": query, "variables": variables}).to_string();
        let response = api.send(POST, tenant, EVENTS, body).await;
        assert_eq!(response.status(), StatusCode::OK);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self { response, text: String::new() }
    }

    async fn of_call(api: &Api, tenant: &TestTenant, call: CallId, after: i32) -> Self {
        Self::of(api, tenant, TURNS, json!({"id": call.to_string(), "after": after})).await
    }

    /// The next event and its data; nothing where the stream has ended.
    async fn hear(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let told = field("event:").map(|kind| {
                    let data = field("data:").unwrap_or_default();
                    (kind.to_owned(), serde_json::from_str(data).unwrap_or_default())
                });
                let read = self.text.len() - rest.len();
                self.text.drain(..read);
                match told {
                    Some(told) => return Some(told),
                    // Only a sign of life.
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(8), self.response.chunk()).await;
            let chunk = chunk.expect("nothing came for 8 s").ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn sequence(&mut self) -> i64 {
        let told = self.hear().await;
        let Some(("next", message)) = told.as_ref().map(|(kind, data)| (kind.as_str(), data)) else {
            panic!("no turn: {told:?}")
        };
        message["data"]["callTurns"]["sequence"].as_i64().unwrap_or_else(|| panic!("no turn: {message}"))
    }
}

#[tokio::test]
async fn a_live_call_is_followed_as_events_and_completes() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let call = call_from(&world, &tenant, "+19495550199").await;
    say(&world, &tenant, call, 1..=2).await;
    let mut events = Events::of_call(&api, &tenant, call, 0).await;
    assert_eq!((events.sequence().await, events.sequence().await), (1, 2));
    say(&world, &tenant, call, 3..=150).await;
    for expected in 3..=150 {
        assert_eq!(events.sequence().await, expected);
    }
    hang_up(&world, &tenant, call).await;
    assert_eq!(events.hear().await.map(|(kind, _)| kind).as_deref(), Some("complete"));
    assert_eq!(events.hear().await, None);

    let mut query = Events::of(&api, &tenant, "{ tenant { name } }", json!({})).await;
    let name = json!({"data": {"tenant": {"name": "Peterson Family Insurance"}}});
    let (kind, told) = query.hear().await.unwrap();
    assert_eq!((kind.as_str(), &told["data"]), ("next", &name["data"]));
    assert_eq!(query.hear().await.map(|(kind, _)| kind).as_deref(), Some("complete"));
    for (document, code) in [("{", "SYNTAX"), ("subscription { nothing }", "VALIDATION")] {
        let mut refused = Events::of(&api, &tenant, document, json!({})).await;
        let (kind, told) = refused.hear().await.unwrap();
        assert_eq!((kind.as_str(), &told["errors"][0]["extensions"]["code"]), ("next", &json!(code)));
        assert_eq!(refused.hear().await.map(|(kind, _)| kind).as_deref(), Some("complete"));
        assert_eq!(refused.hear().await, None);
    }
}

#[tokio::test]
async fn only_who_may_come_in_gets_a_stream() {
    let world = World::new().await;
    let (api, tenant, other) = (Api::of(&world).await, world.tenant().await, world.tenant().await);
    let call = call_from(&world, &tenant, "+19495550199").await;
    let foreign = format!("Bearer {}", other.api_key.reveal());
    let (accept, page) = (("accept", "text/event-stream"), ("origin", "http://evil.localhost"));
    let refusals: [(Headers<'_>, u16); 7] = [
        (&[], 406),
        (&[("accept", "*/*")], 406),
        (&[accept, ("authorization", "")], 401),
        (&[accept, ("authorization", &foreign)], 401),
        (&[accept, ("host", "nobody.localhost")], 404),
        (&[accept, page], 403),
        (&[accept, ("content-type", "text/plain")], 415),
    ];
    let body = json!({"query": TURNS, "variables": {"id": call.to_string()}}).to_string();
    for (headers, status) in refusals {
        assert_eq!(api.send(POST, &tenant, headers, body.clone()).await.status(), status, "{headers:?}");
    }
    let link = api.send((Method::GET, "/graphql/stream"), &tenant, EVENTS, "").await;
    assert_eq!(link.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut elsewhere = Events::of_call(&api, &other, call, 0).await;
    let (_, told) = elsewhere.hear().await.unwrap();
    assert_eq!(told["errors"][0]["extensions"]["code"], "NOT_FOUND", "what is not yours does not exist");
}

#[tokio::test]
async fn a_stream_ends_with_the_right_to_it() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let call = call_from(&world, &tenant, "+19495550199").await;
    say(&world, &tenant, call, 1..=1).await;
    let mut events = Events::of_call(&api, &tenant, call, 0).await;
    assert_eq!(events.sequence().await, 1);
    let mut session = world.app.db.registry(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let key = keys::list(&mut tx, Page { first: 1, after: None }).await.unwrap().pop().unwrap();
    keys::revoke(&mut tx, key.id, None).await.unwrap();
    tx.commit().await.unwrap();
    let ended = tokio::time::timeout(NOTICED, events.hear()).await.expect("it goes on");
    assert_eq!(ended, None, "not completed: whoever begins again is told why");
}

#[tokio::test]
async fn what_one_process_writes_is_followed_at_another() {
    let world = World::new().await;
    let (tenant, elsewhere) = (world.tenant().await, world.through(&[]));
    let api = Api::of(&elsewhere).await;
    let call = call_from(&world, &tenant, "+19495550199").await;
    let mut socket = api.entered(&tenant).await;
    socket.subscribe("1", TURNS, json!({"id": call.to_string()})).await;
    let mut events = Events::of_call(&api, &tenant, call, 0).await;
    // The first may be seen when they look for what is there; those after it are told of.
    for expected in 1..=5 {
        say(&world, &tenant, call, expected..=expected).await;
        let both = async {
            let message = socket.hear().await.unwrap();
            assert_eq!(message["payload"]["data"]["callTurns"]["sequence"], expected);
            assert_eq!(events.sequence().await, i64::from(expected));
        };
        tokio::time::timeout(NOTICED, both).await.expect("nobody was told");
    }
}

/// Follows a call to its end through both processes and both protocols in turn, and leaves wherever the dice say.
async fn followed(apis: &[Api; 2], tenant: &TestTenant, call: CallId, dice: &mut StdRng) -> Vec<i64> {
    let mut seen: Vec<i64> = Vec::new();
    loop {
        let after = i32::try_from(seen.last().copied().unwrap_or(0)).unwrap();
        let (api, patience) = (&apis[dice.random_range(0..2)], dice.random_range(0..12));
        if dice.random_bool(0.5) {
            let mut events = Events::of_call(api, tenant, call, after).await;
            for _ in 0..patience {
                match events.hear().await {
                    Some((kind, data)) if kind == "next" => {
                        seen.push(data["data"]["callTurns"]["sequence"].as_i64().unwrap());
                    }
                    _ => return seen,
                }
            }
        } else {
            let mut socket = api.entered(tenant).await;
            socket.subscribe("1", TURNS, json!({"id": call.to_string(), "after": after})).await;
            for _ in 0..patience {
                let message = socket.hear().await.unwrap();
                if message["type"] == "complete" {
                    return seen;
                }
                seen.push(message["payload"]["data"]["callTurns"]["sequence"].as_i64().unwrap());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_anywhere_misses_nothing_and_hears_nothing_twice() {
    let world = World::new().await;
    let (tenant, elsewhere) = (world.tenant().await, world.through(&[]));
    let apis = [Api::of(&world).await, Api::of(&elsewhere).await];
    for seed in 0..4 {
        let call = call_from(&world, &tenant, "+19495550199").await;
        let writes = async {
            let mut dice = StdRng::seed_from_u64(1_000 + seed);
            let mut written = 0;
            while written < TURNS_MAX {
                let last = (written + dice.random_range(1..=9)).min(TURNS_MAX);
                say(&world, &tenant, call, written + 1..=last).await;
                written = last;
            }
            hang_up(&world, &tenant, call).await;
        };
        let mut dice = StdRng::seed_from_u64(seed);
        let ((), seen) = tokio::join!(writes, followed(&apis, &tenant, call, &mut dice));
        assert_eq!(seen, (1..=i64::from(TURNS_MAX)).collect::<Vec<_>>(), "seed {seed}");
    }
}
