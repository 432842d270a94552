//! What is sent by somebody who means no good: documents of every kind up to the limits cost little, their answers are short
//! and repeat nothing, and no way of naming a host leads to a tenant whose key one does not have.

use crate::api::Api;
use crate::world::World;
use neurosphere::tenants::life::{self, Exceptions, Terms};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::fs;

/// Documents made by chance; the same in every run.
const DOCUMENTS: u64 = 400;
/// Processor time that one request may take, without optimisation and with everything that runs beside it. What unfolds
/// exponentially or goes over a document again and again takes seconds.
const CPU_MS_MAX: f64 = 700.0;
const BODY_BYTES_MAX: usize = 64 * 1024;
const CANARY: &str = "zq7canary";
/// What is there, and what is not.
const NAMES: [&str; 14] = [
    "calls",
    "callers",
    "nodes",
    "edges",
    "node",
    "caller",
    "memories",
    "turns",
    "id",
    "name",
    "pageInfo",
    "__typename",
    "__schema",
    CANARY,
];

/// By what proxies, and those who pretend to be one, name another host.
const FORWARDING: [&str; 5] =
    ["x-forwarded-host", "forwarded", "x-host", "x-original-host", "x-http-host-override"];

/// A document by chance: names that exist and such that do not, in every construct of the language, some of it broken.
fn document(dice: &mut StdRng) -> String {
    let mut text = String::new();
    let fragments = dice.random_range(0..40);
    for n in 0..fragments {
        written(
            &mut text,
            format_args!(
                "fragment F{n} on {} ",
                ["Query", "Call", "Caller", CANARY][dice.random_range(0..4)]
            ),
        );
        selection(dice, &mut text, 3, fragments);
    }
    let operations = ["", "query", "mutation", "subscription", "query Q($a: Int = 3, $b: [ID!]!)"];
    for _ in 0..dice.random_range(1..3) {
        text.push_str(operations[dice.random_range(0..operations.len())]);
        let depth = [2, 4, 12, 60][dice.random_range(0..4)];
        selection(dice, &mut text, depth, fragments);
    }
    if dice.random_bool(0.2) {
        let places: Vec<_> = text.char_indices().map(|(place, _)| place).collect();
        let place = places[dice.random_range(0..places.len())];
        text.insert_str(
            place,
            ["{", "}", "\"", "\"\"\"", "...", "@", "$", "\u{0}", "é", "#"][dice.random_range(0..10)],
        );
    }
    text
}

fn written(text: &mut String, what: fmt::Arguments<'_>) {
    text.write_fmt(what).unwrap();
}

fn selection(dice: &mut StdRng, text: &mut String, depth: usize, fragments: usize) {
    text.push('{');
    let wide = if depth <= 3 && dice.random_bool(0.05) { 900 } else { dice.random_range(1..6) };
    for _ in 0..wide {
        if BODY_BYTES_MAX / 2 < text.len() {
            break;
        }
        match dice.random_range(0..10) {
            0 if 0 < fragments => written(text, format_args!("...F{} ", dice.random_range(0..fragments))),
            1 => {
                text.push_str("... on Call ");
                nested(dice, text, depth, fragments);
            }
            _ => field(dice, text, depth, fragments),
        }
    }
    text.push('}');
}

fn field(dice: &mut StdRng, text: &mut String, depth: usize, fragments: usize) {
    if dice.random_bool(0.1) {
        written(text, format_args!("a{}: ", dice.random_range(0..50)));
    }
    text.push_str(NAMES[dice.random_range(0..NAMES.len())]);
    if dice.random_bool(0.2) {
        let values = [
            "1",
            "-1e400",
            "\"x\"",
            "[[[[1]]]]",
            "{a: {b: $c}}",
            "$a",
            "ENUM",
            "999999999999999999999",
            CANARY,
        ];
        let value = values[dice.random_range(0..values.len())];
        written(
            text,
            format_args!("({}: {value})", ["first", "after", "search", CANARY][dice.random_range(0..4)]),
        );
    }
    for _ in 0..[0, 0, 0, 1, 8][dice.random_range(0..5)] {
        text.push_str([" @skip(if: true)", " @include(if: $a)", " @zq7canary"][dice.random_range(0..3)]);
    }
    if 0 < depth && dice.random_bool(0.5) { nested(dice, text, depth, fragments) } else { text.push(' ') }
}

fn nested(dice: &mut StdRng, text: &mut String, depth: usize, fragments: usize) {
    selection(dice, text, depth.saturating_sub(1), fragments);
}

/// Documents that were made to hurt, each in its own way.
fn corpus() -> Vec<String> {
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().concat();
    vec![
        format!("{{ calls {} }}", "{ nodes { caller { calls ".repeat(12) + &"} } }".repeat(12)),
        format!("{{ {} }}", many(1_000, &|n| format!("a{n}: calls(first: 100) {{ nodes {{ id }} }} "))),
        format!(
            "{{ ...F0 }} {}",
            many(600, &|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 2))
        ),
        format!(
            "{{ ...F0 }} {}",
            many(40, &|n| format!("fragment F{n} on Query {{ ...F{} ...F0 }} ", (n + 1) % 40))
        ),
        format!("{{ calls {{ nodes {{ {} }} }} }}", many(900, &|n| format!("id {CANARY}{n} "))),
        format!("query({}) {{ calls {{ nodes {{ id }} }} }}", many(2_000, &|n| format!("$v{n}: Int "))),
        format!("{{ callers(search: \"{}\") {{ nodes {{ id }} }} }}", CANARY.repeat(3_000)),
        format!("{{ callers(first: {}) {{ nodes {{ id }} }} }}", "[".repeat(20_000)),
        format!("{{ calls {} {{ nodes {{ id }} }} }}", format!("@{CANARY} ").repeat(2_000)),
        many(900, &|n| format!("query Q{n} {{ calls {{ nodes {{ id }} }} }} ")),
        "#".repeat(32_000),
        "{\u{feff}".repeat(8_000),
        format!("{{ calls {{ nodes {{ {} }} }} }}", "id ".repeat(10_000)),
        format!(
            "{{ __schema {{ {} }} }}",
            "types { fields { type { ofType { ofType { name } } } } } ".repeat(19)
        ),
    ]
}

/// Processor time that this process has used, all its threads together, in milliseconds.
fn cpu_ms() -> f64 {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let times = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    times.filter_map(|times| times.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e6
}

#[tokio::test]
async fn no_document_of_64_kb_costs_much_or_is_repeated() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    let exceptions = Exceptions { requests_per_s: Some(10_000), ..Exceptions::default() };
    let terms = Terms { plan: "large".to_owned(), exceptions, canary: false };
    world.operate(async |tx| life::set_terms(tx, tenant.id, &terms, "a test").await).await.unwrap();
    let made = (0..DOCUMENTS).map(|seed| document(&mut StdRng::seed_from_u64(seed)));
    let (mut refused, mut answered) = (0, 0);
    for (number, document) in corpus().into_iter().chain(made).enumerate() {
        let body = json!({"query": document}).to_string();
        let before = cpu_ms();
        let response = api.send((Method::POST, "/graphql"), &tenant, &[], body).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        let used = cpu_ms() - before;
        let shown: String = document.chars().take(200).collect();
        assert!(used < CPU_MS_MAX, "{used:.0} ms for document {number}: {shown}");
        assert!(status.is_success(), "{status} for document {number}: {shown}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let errors = answer["errors"].as_array().map_or(0, Vec::len);
        assert!(errors <= 10, "{errors} errors for document {number}: {shown}");
        assert!(text.len() < 16 * 1024, "{} bytes for document {number}: {shown}", text.len());
        assert!(!text.contains(&CANARY.repeat(2)), "document {number} is repeated: {text}");
        if errors == 0 { answered += 1 } else { refused += 1 }
    }
    assert!(0 < answered && 100 < refused, "{answered} answered, {refused} refused: all ways must be taken");
}

#[tokio::test]
async fn no_way_of_naming_a_host_leads_to_another_tenant() {
    let world = World::new().await;
    let api = Api::of(&world).await;
    let (a, b) = (world.tenant_named("Alpha", "Ann").await, world.tenant_named("Beta", "Bob").await);
    let body = r#"{"query": "{ tenant { name } }"}"#;
    let ask = async |target: &str, headers: &str| {
        let request = format!(
            "POST {target} HTTP/1.1\r\n{headers}authorization: Bearer {}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            a.api_key.reveal(),
            body.len()
        );
        let answer = api.raw(&request).await;
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    };
    let (own, other) = (format!("{}.localhost", a.slug), format!("{}.localhost", b.slug));
    let host = |name: &str| format!("host: {name}\r\n");
    for (target, headers) in [
        ("/graphql", host(&own)),
        ("/graphql", host(&own.to_uppercase())),
        ("/graphql", host(&format!("{own}:8080"))),
        (&*format!("http://{own}/graphql"), host(&own)),
        ("/graphql", host(&own) + &FORWARDING.map(|name| format!("{name}: {other}\r\n")).concat()),
    ] {
        let (status, answer) = ask(target, &headers).await;
        assert!(status == 200 && answer.contains("Alpha"), "{target} {headers}: {answer}");
    }
    let misdirected = [
        ("/graphql", String::new()),
        ("/graphql", host("")),
        ("/graphql", host(&own) + &host(&other)),
        ("/graphql", host(&own) + &host(&own)),
        ("/graphql", host(&format!("{own}, {other}"))),
        ("/graphql", host(&format!("{own}."))),
        ("/graphql", host(&format!("{own}:80:80"))),
        ("/graphql", host(&format!("x@{own}"))),
        ("/graphql", host(&format!("{own}/{other}"))),
        ("/graphql", host(&format!("{own}#{other}"))),
        ("/graphql", host(&format!("{own}%00.{other}"))),
        ("/graphql", host(&format!("{own}\t{other}"))),
        ("/graphql", host(&format!("a.{own}"))),
        ("/graphql", host(&format!("{}.localhost.evil.example", a.slug))),
        ("/graphql", host("[::1]")),
        ("/graphql", host("localhost")),
        ("/graphql", host("127.0.0.1")),
        ("/graphql", format!("x-forwarded-host: {own}\r\n")),
        (&*format!("http://{other}/graphql"), host(&own)),
        (&*format!("http://{own}/graphql"), host(&other)),
        (&*format!("http://x@{own}/graphql"), host(&own)),
        (&*format!("http://{own}/graphql"), host(&own) + &host(&other)),
        (&*format!("http://{own}:80/graphql"), host(&other)),
    ];
    for (target, headers) in misdirected {
        let (status, answer) = ask(target, &headers).await;
        assert!(matches!(status, 404 | 421), "{status} for {target} {headers}: {answer}");
        assert!(!answer.contains("Alpha") && !answer.contains("Beta"), "{answer}");
    }
    let (status, answer) = ask("/graphql", &host(&other)).await;
    assert!(status == 401 && !answer.contains("Beta"), "a key opens its own tenant only: {answer}");
    // What is not HTTP is not answered as if it were.
    for headers in
        [format!("host : {own}\r\n"), format!("host: {own}\r\n {other}\r\n"), host(&format!("{own}\u{0}"))]
    {
        let (status, answer) = ask("/graphql", &headers).await;
        assert!(status == 400 && !answer.contains("Alpha"), "{headers:?}: {answer}");
    }
}
