//! What scanners of GraphQL servers try, on a tenant's host and on the platform's, in production: the checks of graphql-cop
//! and its kin, each as a table's line. What is refused is refused with one of our codes, in a small answer of few errors
//! that repeats nothing of what was sent and tells nothing of how we are made.

use crate::api::{Api, Headers};
use crate::platform::office::Office;
use crate::world::World;
use neurosphere::secret::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// In texts, names and comments of what is sent; must be in no answer.
const CANARY: &str = "canary0000000000000000000000000000000000000000";
const ERRORS_MAX: usize = 10;
const ANSWER_BYTES_MAX: usize = 4_000;
/// Far more than any of these takes, far less than one that gets through would.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);
const POST: (Method, &str) = (Method::POST, "/graphql");
/// With it, the status says whether anything was executed.
const STRICT: (&str, &str) = ("accept", "application/graphql-response+json");

/// A host, and a key for it.
struct Site<'w> {
    api: &'w Api,
    label: &'w str,
    key: &'w Secret,
    /// A mutation that would be executed by POST.
    mutation: &'static str,
    /// Pages of pages.
    rows: &'static str,
}

impl Site<'_> {
    async fn send(&self, to: (Method, &str), headers: Headers<'_>, body: String) -> (StatusCode, String) {
        let began = Instant::now();
        let response = self.api.request(to, (self.label, self.key), headers, body).await;
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(began.elapsed() < ANSWER_TIME_MAX, "{:?} for {status} {text}", began.elapsed());
        (status, text)
    }

    async fn ask(&self, query: &str) -> (StatusCode, String) {
        self.send(POST, &[STRICT], json!({"query": query}).to_string()).await
    }

    /// What was sent is refused with this code.
    fn refused(&self, what: &str, answer: &(StatusCode, String), code: &str) {
        let (status, text) = answer;
        let what = format!("{what} at {}: {status} {text}", self.label);
        assert!(status.is_client_error(), "{what}");
        let answer: Value = serde_json::from_str(text).unwrap();
        let errors = answer["errors"].as_array().unwrap();
        assert!((1..=ERRORS_MAX).contains(&errors.len()) && text.len() <= ANSWER_BYTES_MAX, "{what}");
        assert!(errors.iter().all(|error| error["extensions"]["code"] == code), "{what}");
        assert_eq!(answer.get("data"), None, "{what}");
        self.tells_nothing(text);
    }

    /// Neither what was sent, nor names that were not asked for, nor anything of the program.
    fn tells_nothing(&self, text: &str) {
        for word in
            [CANARY, "Did you mean", "panicked", ".rs:", "postgres", "async_graphql", "tracing", "stack"]
        {
            assert!(!text.contains(word), "{word} at {}: {text}", self.label);
        }
    }
}

fn many(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect::<Vec<_>>().join(" ")
}

/// What is tried, the document, and the code that it is refused with.
fn documents(site: &Site<'_>) -> Vec<(&'static str, String, &'static str)> {
    let introspects = |depth: usize| {
        let inside = "fields { type { ".repeat(depth) + "name" + &" } }".repeat(depth);
        format!("{{ __schema {{ types {{ {inside} }} }} }}")
    };
    let twice = many(25, |n| format!("fragment F{n} on Query {{ ...F{m} ...F{m} }}", m = n + 1));
    vec![
        ("aliases", format!("{{ {} }}", many(101, |n| format!("a{n}: __typename"))), "TOO_COMPLEX"),
        ("the same field again", format!("{{ {} }}", "__typename ".repeat(500)), "TOO_COMPLEX"),
        ("unknown directives", format!("{{ __typename {} }}", "@aa".repeat(10)), "VALIDATION"),
        ("known directives", format!("{{ __typename {} }}", "@include(if: true) ".repeat(100)), "VALIDATION"),
        ("introspection", introspects(0), "INTROSPECTION_OFF"),
        ("introspection of introspection", introspects(10), "INTROSPECTION_OFF"),
        ("a type by its name", "{ __type(name: \"Query\") { name } }".to_owned(), "INTROSPECTION_OFF"),
        ("a name that is nearly right", "{ tenan { nam } }".to_owned(), "VALIDATION"),
        (
            "fragments in a circle",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(),
            "VALIDATION",
        ),
        (
            "fragments that unfold",
            format!("{{ ...F0 }} {twice} fragment F25 on Query {{ __typename }}"),
            "TOO_COMPLEX",
        ),
        ("braces", "{a".repeat(5_000), "TOO_COMPLEX"),
        ("lists in lists", format!("{{ a(b: {}) }}", "[".repeat(5_000)), "TOO_COMPLEX"),
        ("pages of pages", site.rows.to_owned(), "TOO_COMPLEX"),
        ("a long document", format!("{{ __typename }} #{}", "x".repeat(40_000)), "TOO_COMPLEX"),
        ("a syntax error", format!("{{ a(b: \"{CANARY}\" }}"), "SYNTAX"),
        ("a text without end", format!("{{ a(b: \"{CANARY}"), "SYNTAX"),
        ("many errors", format!("{{ {} }}", many(300, |n| format!("unknown{n}"))), "VALIDATION"),
        (
            "a wrong argument",
            format!(
                "{{ __typename ...F }} fragment F on Query {{ tenant(id: [{{a: \"{CANARY}\"}}]) {{ id }} }}"
            ),
            "VALIDATION",
        ),
        ("a subscription without a socket", "subscription { __typename }".to_owned(), "VALIDATION"),
        ("which operation", "query A { __typename } query B { __typename }".to_owned(), "VALIDATION"),
        ("no operation", "fragment A on Query { __typename }".to_owned(), "SYNTAX"),
        ("nothing", String::new(), "SYNTAX"),
    ]
}

async fn scanned(site: &Site<'_>) {
    for (what, document, code) in documents(site) {
        site.refused(what, &site.ask(&document).await, code);
    }
    let batch = json!(vec![json!({"query": "{ __typename }"}); 10]).to_string();
    site.refused("a batch", &site.send(POST, &[STRICT], batch).await, "BAD_PARAMETERS");
    let variables =
        json!({"query": "query($a: Int!) { __typename @skip(if: $a) }", "variables": {"a": CANARY}});
    site.refused("wrong variables", &site.send(POST, &[STRICT], variables.to_string()).await, "VALIDATION");

    let form =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("query", site.mutation).finish();
    let link = format!("/graphql?{form}");
    site.refused(
        "a mutation by link",
        &site.send((Method::GET, &link), &[STRICT], String::new()).await,
        "ONLY_QUERIES",
    );
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", form.clone()),
        (
            "multipart/form-data; boundary=x",
            format!(
                "--x\r\ncontent-disposition: form-data; name=\"query\"\r\n\r\n{}\r\n--x--",
                site.mutation
            ),
        ),
        ("text/plain", json!({"query": site.mutation}).to_string()),
    ] {
        let answer = site.send(POST, &[STRICT, ("content-type", content_type)], body).await;
        site.refused(content_type, &answer, "UNSUPPORTED_MEDIA");
    }
    for page in ["/graphql", "/graphql/ws"] {
        let (status, text) = site.send((Method::GET, page), &[("accept", "text/html")], String::new()).await;
        assert!(
            status.is_client_error() && !text.contains("<html"),
            "no explorer at {page}: {status} {text}"
        );
    }
    for page in ["/graphiql", "/playground", "/console", "/altair", "/voyager", "/v1/graphql", "/api/graphql"]
    {
        let (status, _) = site.send((Method::GET, page), &[("accept", "text/html")], String::new()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{page}");
    }

    let asked =
        json!({"query": "{ __typename }", "extensions": {"tracing": true, "debug": true}}).to_string();
    let headers: Headers<'_> = &[("apollo-tracing", "1"), ("x-apollo-tracing", "1"), ("debug", "1")];
    let (status, text) = site.send(POST, headers, asked).await;
    let told =
        json!({"data": {"__typename": "Query"}, "extensions": {"cost": {"requested": 0, "max": 10_000}}});
    assert_eq!((status, serde_json::from_str::<Value>(&text).unwrap()), (StatusCode::OK, told), "no traces");
}

#[tokio::test]
async fn scanners_find_nothing() {
    let production =
        [("ENVIRONMENT", "production".to_owned()), ("PUBLIC_URL", "https://voice.example.com".to_owned())];
    let world = World::with(&production).await;
    let (office, tenant) = (Office::of(&world).await, world.tenant().await);
    scanned(&Site {
        api: &office.api,
        label: &tenant.slug,
        key: &tenant.api_key,
        mutation: "mutation { updateAgent(input: {name: \"Mallory\"}) { errors { code } } }",
        rows: "{ callers(first: 100) { nodes { calls(first: 100) { nodes { turns(first: 100) { nodes { text } } } } } } }",
    })
    .await;
    scanned(&Site {
        api: &office.api,
        label: "platform",
        key: &office.key,
        mutation: "mutation { createOperator(input: {name: \"Mallory\"}) { errors { code } } }",
        rows: "{ tenants(first: 100) { nodes { auditLog(first: 100) { nodes { sequence action } } } } }",
    })
    .await;
    let agent = office.api.data(&tenant, "{ agent { name } }", json!({})).await;
    assert_eq!(agent["agent"]["name"], "Barbara", "nothing was written");
    let team = office.data("{ operators { name } }", json!({})).await;
    assert_eq!(team["operators"], json!([{"name": "Grace Hopper"}]), "nor here");
}

#[tokio::test]
async fn what_a_document_costs_is_told_whether_it_is_answered_or_not() {
    let world = World::new().await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    for (query, cost, code) in [
        ("{ tenant { name } }", 2, None),
        ("{ callers(first: 10) { nodes { id name } } }", 31, None),
        ("{ callers { nodes { id name } } }", 61, None),
        ("query($n: Int) { callers(first: $n) { nodes { id } } }", 11, None),
        (
            "{ callers(first: 100) { nodes { calls(first: 99) { nodes { id } } } } }",
            20_001,
            Some("TOO_COMPLEX"),
        ),
    ] {
        let answer = api.answer(&tenant, query, json!({"n": 5})).await;
        assert_eq!(
            answer["extensions"]["cost"],
            json!({"requested": cost, "max": 10_000}),
            "{query}: {answer}"
        );
        assert_eq!(answer["errors"][0]["extensions"]["code"].as_str(), code, "{query}: {answer}");
    }
}
