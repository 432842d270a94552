//! Looking at what came of the calls as a member of staff does, over GraphQL on the tenant's own host; and the proof
//! that one business sees nothing of the other.

use serde_json::{Value, json};
use std::net::SocketAddr;

use super::Business;

/// Everything that a business knows of its callers.
const EVERYTHING: &str = "query Everything { tenant { slug name } callers(first: 5) { nodes { id phone name quickBio callsCount \
profile memories(first: 20) { nodes { text } } calls(first: 5) { nodes { id state summary { text source } \
turns(first: 30) { nodes { speaker text } } } } } } }";

/// What the calls added up to.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) calls: usize,
    pub(super) turns: usize,
    pub(super) memories: usize,
    pub(super) troubles: usize,
    pub(super) webhook_ms: Vec<u64>,
    pub(super) answer_ms: Vec<u64>,
}

impl Summary {
    pub(super) fn complete(&self) -> bool {
        self.troubles == 0 && 0 < self.turns && 0 < self.memories
    }

    pub(super) fn to_json(&self, proof: &Proof) -> Value {
        json!({
            "calls": self.calls,
            "tenants": 2,
            "turns": self.turns,
            "memories": self.memories,
            "isolation": if proof.holds() { "holds" } else { "broken" },
            "latency_ms": {"webhook": spread(&self.webhook_ms), "answer": spread(&self.answer_ms)},
        })
    }
}

fn spread(times: &[u64]) -> Value {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    json!({"median": sorted.get(sorted.len() / 2), "max": sorted.last()})
}

/// Looks at one business with its own key.
pub(super) struct Viewer {
    address: SocketAddr,
    host: String,
    key: String,
    http: reqwest::Client,
}

impl Viewer {
    pub(super) fn new(address: SocketAddr, business: &Business) -> Self {
        let http = neurosphere::providers::http::client().unwrap_or_default();
        let host = format!("{}.localhost:{}", business.slug, address.port());
        Self { address, host, key: business.api_key.reveal().to_owned(), http }
    }

    /// Asks with the business's own key, which must be answered.
    async fn see(&self, query: &str) -> Result<Value, String> {
        let seen = self.ask(query, &self.key).await?;
        match seen.get("errors") {
            None => Ok(seen),
            Some(errors) => Err(format!("GraphQL: {errors}")),
        }
    }

    async fn ask(&self, query: &str, key: &str) -> Result<Value, String> {
        let asked = self
            .http
            .post(format!("http://{}/graphql", self.address))
            .header("host", &self.host)
            .header("accept", "application/json")
            .bearer_auth(key)
            .json(&json!({"query": query}))
            .send()
            .await;
        asked
            .map_err(|error| format!("GraphQL: {error}"))?
            .json()
            .await
            .map_err(|error| format!("GraphQL: {error}"))
    }
}

/// What each business saw, and whether either saw anything of the other's.
pub(super) struct Proof {
    findings: Vec<(bool, String)>,
}

impl Proof {
    pub(super) fn holds(&self) -> bool {
        self.findings.iter().all(|(good, _)| *good)
    }
}

/// Reads everything of both businesses and compares.
pub(super) async fn proof([peterson, smith]: &[Viewer; 2], summary: &mut Summary) -> Result<Proof, String> {
    let ours = peterson.see(EVERYTHING).await?;
    let theirs = smith.see(EVERYTHING).await?;
    let foreign_key = smith.ask(EVERYTHING, &peterson.key).await?;
    for seen in [&ours, &theirs] {
        summary.turns += texts(seen, "/turns/nodes").len();
        summary.memories += texts(seen, "/memories/nodes").len();
    }
    println!("\n── what each business sees of that telephone number ──");
    for (name, seen) in [("Peterson", &ours), ("Smith", &theirs)] {
        let caller = seen.pointer("/data/callers/nodes/0").cloned().unwrap_or_default();
        println!(
            "   {name}: {}",
            caller
                .get("quickBio")
                .and_then(Value::as_str)
                .filter(|bio| !bio.is_empty())
                .unwrap_or("(no bio)")
        );
        for text in texts(seen, "/memories/nodes") {
            println!("      remembers: {text}");
        }
    }
    let (known, seen) = (texts(&ours, "/memories/nodes"), theirs.to_string());
    let leaked = known.iter().filter(|text| seen.contains(text.as_str())).count();
    let ids = ["caller", "call"].iter().any(|kind| shared_ids(&ours, &theirs, kind));
    let refused = foreign_key.get("data").is_none_or(Value::is_null);
    let proof = Proof {
        findings: vec![
            (!known.is_empty(), format!("Peterson remembers {} thing(s)", known.len())),
            (leaked == 0, format!("{leaked} of them are to be seen at Smith's")),
            (
                !seen.contains("Toyota") && !seen.contains("Oak Street"),
                "no word of them is in anything Smith sees".to_owned(),
            ),
            (!ids, "the two share no caller and no call".to_owned()),
            (refused, "Peterson's key opens nothing on Smith's host".to_owned()),
        ],
    };
    println!("\n── isolation ──");
    for (good, finding) in &proof.findings {
        println!("   {} {finding}", if *good { "ok " } else { "BAD" });
    }
    Ok(proof)
}

/// Every `text` below a path that ends like this, at any depth.
fn texts(value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, "", path, &mut found);
    found
}

fn collect(value: &Value, at: &str, path: &str, found: &mut Vec<String>) {
    if at.ends_with(path) {
        let nodes = value.as_array().into_iter().flatten();
        found.extend(nodes.filter_map(|node| node.get("text")?.as_str().map(str::to_owned)));
    }
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, one)| collect(one, &format!("{at}/{name}"), path, found));
        }
        Value::Array(items) => items.iter().for_each(|one| collect(one, "", path, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn shared_ids(ours: &Value, theirs: &Value, kind: &str) -> bool {
    let prefix = format!("\"{kind}_");
    let (ours, theirs) = (ours.to_string(), theirs.to_string());
    ours.match_indices(&prefix)
        .filter_map(|(place, _)| ours.get(place..place + prefix.len() + 26))
        .any(|id| theirs.contains(id))
}

/// Where to look for oneself.
pub(super) fn urls(address: SocketAddr, businesses: &[Business; 2]) {
    println!("\n── look for yourself ──");
    for business in businesses {
        let url = format!("http://{}.localhost:{}/graphql", business.slug, address.port());
        println!("   {url}   (in a browser: GraphiQL)   key {}", business.api_key.reveal());
    }
    if let Some(first) = businesses.first() {
        println!(
            "   curl http://{}.localhost:{}/graphql -H 'authorization: Bearer {}' -H 'content-type: application/json' \\\n        -d '{{\"query\":\"{{ callers {{ nodes {{ name quickBio }} }} }}\"}}'",
            first.slug,
            address.port(),
            first.api_key.reveal()
        );
    }
}
