//! What tenancy costs with ten, a thousand, five thousand tenants in one Postgres: making and claiming a tenant, a call's
//! context, a page over GraphQL, a point query guarded and unguarded, migrating the fleet, memory. Run by
//! `scripts/bench tenants`, which gives it a database of its own and sets its figures beside those of django-tenants. With
//! the argument `neighbours` (`scripts/bench neighbours`): what one tenant that asks too much costs the others.
//!
//! Prints a line for each step and writes everything as JSON. Times are of this machine; what counts are the ratios.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made must stop")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a measurement that goes wrong must stop")]
#![expect(clippy::print_stdout, reason = "a person reads along")]
#![expect(
    clippy::disallowed_methods,
    reason = "what is measured is real time, and the environment says how much"
)]

mod ask;
mod figures;
mod fleet;
mod neighbours;
mod town;

use neighbours::Turns;
use serde_json::{Value, json};
use std::time::Duration;
use town::Town;

/// What is measured.
enum Part {
    Tenants(Plan),
    Neighbours(Turns),
}

impl Part {
    fn given() -> Self {
        let arguments: Vec<_> = std::env::args().collect();
        let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
        match (has("neighbours"), has("--quick")) {
            (true, true) => Self::Neighbours(Turns { rounds: 3, time: Duration::from_secs(4) }),
            (true, false) => Self::Neighbours(Turns { rounds: 6, time: Duration::from_secs(10) }),
            (false, true) => Self::Tenants(Plan { sizes: vec![10, 100], requests: 300 }),
            (false, false) => Self::Tenants(Plan { sizes: vec![10, 100, 1_000, 5_000], requests: 3_000 }),
        }
    }
}

/// How much is measured of many tenants.
struct Plan {
    /// Numbers of tenants, growing.
    sizes: Vec<usize>,
    /// Requests of each kind.
    requests: usize,
}

fn main() {
    neurosphere::app::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = match Part::given() {
        Part::Tenants(plan) => runtime.block_on(measure(&plan)),
        Part::Neighbours(turns) => runtime.block_on(neighbours::measure(turns)),
    };
    if let Ok(file) = std::env::var("BENCH_OUT") {
        std::fs::write(file, report.to_string()).unwrap();
    }
}

async fn measure(plan: &Plan) -> Value {
    let mut town = Town::found().await;
    let mut steps: Vec<Value> = Vec::new();
    for size in &plan.sizes {
        let made = town.grow_to(*size).await;
        let claimed = Box::pin(town.claim(plan.requests / 10)).await;
        let asked = ask::all(&town, plan.requests).await;
        let fleet = fleet::all(&town).await;
        let step = json!({
            "tenants": town.len(), "create": made, "claim": claimed, "ask": asked, "fleet": fleet,
            "server_mb": figures::server_mb(), "postgres_mb": figures::postgres_mb(),
        });
        println!("{}", line(&step));
        steps.push(step);
    }
    let visited = ask::visit_everybody(&town).await;
    println!("every tenant visited twice: {visited}");
    json!({ "steps": steps, "visited": visited, "sizes": plan.sizes })
}

/// The essentials of a step.
fn line(step: &Value) -> String {
    let ms = |path: &str| step.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    format!(
        "{:>5} tenants: made in {:.0} ms ({:.0} ms CPU), claimed p99 {:.1} ms; context warm p50/p99 {:.2}/{:.2} ms, cold {:.2}/{:.2} ms; \
         page p50/p99 {:.2}/{:.2} ms; nothing to migrate {:.0} ms, a column {:.1} s CPU, audit {:.1} s",
        step["tenants"],
        ms("/create/wall_ms"),
        ms("/create/cpu_ms"),
        ms("/claim/p99_ms"),
        ms("/ask/context_warm/p50_ms"),
        ms("/ask/context_warm/p99_ms"),
        ms("/ask/context_cold/p50_ms"),
        ms("/ask/context_cold/p99_ms"),
        ms("/ask/page/p50_ms"),
        ms("/ask/page/p99_ms"),
        ms("/fleet/nothing/wall_ms"),
        ms("/fleet/column/cpu_ms") / 1_000.0,
        ms("/fleet/audit/wall_ms") / 1_000.0
    )
}
