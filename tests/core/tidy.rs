//! House rules that no compiler knows, as plain text searches over the sources. Each breach is one line that says
//! where, what and why. When a review says something twice, it becomes a rule here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const LINES_MAX: usize = 500;
/// Tables of cases may be longer than code.
const TEST_LINES_MAX: usize = 800;
const BANNED_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "misc", "types", "manager"];
const BANNED_NAMES_TOO: [&str; 2] = ["service", "services"];
/// Folders of rules and data; none of them may know how it is reached.
const SLICES: [&str; 9] =
    ["audit", "templates", "tenants", "identity", "operators", "callers", "memory", "calls", "jobs"];
const RIMS: [&str; 4] = ["graphql", "http", "app", "voice"];
/// A slice may use those before it, never those after it.
const SLICE_ORDER: [&str; 8] =
    ["audit", "templates", "tenants", "identity", "operators", "callers", "memory", "calls"];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The code before the unit tests.
    fn product(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or_default()
    }

    fn is_in(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// A slice's SQL: its `store.rs`, or the files of its folder `store/`.
    fn is_store(&self) -> bool {
        self.path.ends_with("/store.rs") || self.path.contains("/store/")
    }

    /// The first folder or file below `src`, without its ending.
    fn part(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split(['/', '.']).next().unwrap_or_default()
    }
}

fn read(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}

fn sources(folders: &[&str], ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    found.retain(|source| source.path.ends_with(ending));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The lines of code (no comment) that hold one of the words, as `path:line: why`.
fn lines_with(source: &Source, words: &[&str], why: &str) -> Vec<String> {
    let code = source.product().lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//"));
    code.filter(|(line, _)| words.iter().any(|word| line.contains(word)))
        .map(|(line, number)| format!("{}:{number}: {why}: {}", source.path, line.trim()))
        .collect()
}

fn none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

fn product() -> Vec<Source> {
    let mut all = sources(&["src"], ".rs");
    all.retain(|source| !source.is_in(&["src/bin/"]));
    assert!(5 < all.len(), "the search must see the sources");
    all
}

#[test]
fn sql_stands_only_in_stores() {
    let words = [
        "\"select ",
        "\"insert into",
        "\"update {",
        "\"delete from",
        "\"with ",
        "SELECT ",
        "INSERT INTO",
        "DELETE FROM",
        "{t}.",
        " platform.",
        "\"set local",
        "set_config(",
        "\"create schema",
        "\"grant ",
    ];
    let mut breaches = Vec::new();
    for source in product().iter().filter(|s| !s.is_in(&["src/db/"]) && !s.is_store()) {
        breaches.extend(lines_with(source, &words, "SQL belongs into a store, db/ or a .sql file"));
    }
    none(&breaches);
}

#[test]
fn libraries_stay_behind_their_walls() {
    let walls: [(&[&str], &[&str]); 6] = [
        (&["tokio_postgres::", "deadpool_postgres::", "deadpool::"], &["src/db/"]),
        (&["async_graphql::"], &["src/graphql/", "src/http/graphql", "src/main.rs", "src/app.rs"]),
        (&["axum::"], &["src/http/", "src/app.rs", "src/voice/driver", "src/graphql/"]),
        (&["tungstenite::"], &["src/providers/", "src/voice/", "src/http/"]),
        (&["async_openai::"], &["src/providers/openai"]),
        (&["jsonschema::"], &["src/templates/validate.rs"]),
    ];
    let mut breaches = Vec::new();
    for source in product() {
        for (crates, allowed) in &walls {
            if !source.is_in(allowed) {
                let why = format!("{} is known only to {}", crates.join(" "), allowed.join(", "));
                breaches.extend(lines_with(&source, crates, &why));
            }
        }
    }
    none(&breaches);
}

#[test]
fn slices_know_no_rim_and_keep_their_order() {
    let mut breaches = Vec::new();
    for source in product() {
        let part = source.part().to_owned();
        if SLICES.contains(&part.as_str()) {
            for rim in RIMS {
                let why = format!("a slice must not know the rim ({rim})");
                breaches.extend(lines_with(&source, &[&format!("crate::{rim}")], &why));
            }
        }
        if let Some(place) = SLICE_ORDER.iter().position(|slice| *slice == part) {
            for later in SLICE_ORDER.iter().skip(place + 1) {
                let why = format!("the order is {}", SLICE_ORDER.join(" <- "));
                breaches.extend(lines_with(&source, &[&format!("crate::{later}")], &why));
            }
        }
    }
    none(&breaches);
}

/// The head and the body of every function that begins with `start`.
fn functions<'a>(code: &'a str, start: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.split(start).skip(1).map(|rest| {
        let whole = rest.split("\n}\n").next().unwrap_or_default();
        whole.split_once('{').unwrap_or_default()
    })
}

#[test]
fn operations_ask_for_permission_before_they_touch_a_store() {
    let mut breaches = Vec::new();
    let mut seen = 0;
    // Jobs are enqueued by operations, which have asked already.
    let asks = |s: &&Source| SLICES.contains(&s.part()) && s.part() != "jobs" && !s.is_store();
    for source in product().iter().filter(asks) {
        for (head, body) in functions(source.product(), "\npub async fn ") {
            let before = body.split("store::").next().unwrap_or_default();
            let acts = head.contains("TenantTx") || head.contains("PlatformTx");
            // Who is handed a scope was handed it by somebody who asked.
            if !acts || before.len() == body.len() || head.contains("PlatformScope") {
                continue;
            }
            seen += 1;
            if !before.contains("tx.permit(") {
                let name = head.split('(').next().unwrap_or_default();
                breaches.push(format!("{}: {name} must ask tx.permit(…) before the store", source.path));
            }
        }
    }
    none(&breaches);
    assert!(
        !product().iter().any(|s| s.path == "src/calls/mod.rs") || 0 < seen,
        "the search must see operations"
    );
}

#[test]
fn the_stand_in_world_shares_no_code_with_the_product() {
    let mut breaches = Vec::new();
    for source in sources(&["src/bin/standin"], ".rs") {
        let words = ["neurosphere::", "use neurosphere", "extern crate neurosphere"];
        breaches.extend(lines_with(
            &source,
            &words,
            "the stand-ins must not share code with what they judge",
        ));
    }
    none(&breaches);
}

#[test]
fn files_are_short_named_for_what_they_hold_and_introduced() {
    let mut breaches = Vec::new();
    for source in sources(&["src", "tests"], ".rs") {
        let lines = source.text.lines().count();
        let lines_max = if source.is_in(&["tests/"]) { TEST_LINES_MAX } else { LINES_MAX };
        if lines_max < lines {
            breaches.push(format!("{}: {lines} lines, at most {lines_max}", source.path));
        }
        for step in source.path.trim_end_matches(".rs").split('/') {
            if BANNED_NAMES.contains(&step) || BANNED_NAMES_TOO.contains(&step) {
                breaches
                    .push(format!("{}: \"{step}\" hides a missing idea; name what it holds", source.path));
            }
        }
        if 5 < lines && !source.text.starts_with("//!") {
            breaches.push(format!(
                "{}: begins without //! that says what it owns and must not know",
                source.path
            ));
        }
    }
    none(&breaches);
}

#[test]
fn text_is_clean() {
    let mut breaches = Vec::new();
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X ")];
    let folders =
        ["src", "tests", "migrations", "tenant_migrations", "policies", "scripts", "docs", "graphql"];
    for source in sources(&folders, "") {
        let is_text = [".rs", ".sql", ".toml", ".md", ".sh", ".json", ".graphql", ".py", ".mjs"];
        if !is_text.iter().any(|ending| source.path.ends_with(ending)) || source.path.contains("node_modules")
        {
            continue;
        }
        for (line, number) in source.text.split('\n').zip(1..) {
            let place = format!("{}:{number}", source.path);
            let wrong = [
                (line.ends_with('\r'), "CRLF line end"),
                (line.contains('\t') && !source.path.contains("fixtures"), "tab"),
                (line.ends_with(' '), "trailing space"),
                (unfinished.iter().any(|word| line.contains(word)), "unfinished work belongs into an issue"),
            ];
            breaches.extend(wrong.iter().filter(|(is, _)| *is).map(|(_, why)| format!("{place}: {why}")));
        }
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            breaches.push(format!("{}: no line end at the end", source.path));
        }
    }
    none(&breaches);
}

#[test]
fn migrations_name_their_constraints_and_add_no_types() {
    let mut breaches = Vec::new();
    let mut numbers: BTreeMap<String, String> = BTreeMap::new();
    for source in sources(&["migrations", "tenant_migrations"], ".sql") {
        let is_tenants = source.is_in(&["tenant_migrations/"]);
        let (number, _) = source.path.split_once("__").unwrap_or_default();
        if let Some(other) = numbers.insert(number.to_owned(), source.path.clone()) {
            breaches.push(format!("{}: has the same number as {other}", source.path));
        }
        for (line, number) in source.text.lines().zip(1..) {
            let code = line.split("--").next().unwrap_or_default().trim().to_lowercase();
            let place = format!("{}:{number}", source.path);
            let named = code.contains("constraint ");
            let constrains = ["primary key", "references ", " unique", "unique (", "check ("]
                .iter()
                .any(|word| code.contains(word) && !code.starts_with("create unique index"));
            let wrong = [
                (
                    is_tenants && (code.contains("create type") || code.contains("create domain")),
                    "no type per schema",
                ),
                (
                    is_tenants && (code.contains("serial") || code.contains("create sequence")),
                    "no sequences: UUIDv7",
                ),
                (code.contains("select *"), "list the columns"),
                (constrains && !named && !continues(&source.text, number), "name the constraint"),
                (
                    code.contains("drop column") || code.contains("drop table"),
                    "expand first, contract in a later one",
                ),
            ];
            breaches
                .extend(wrong.iter().filter(|(is, _)| *is).map(|(_, why)| format!("{place}: {why}: {line}")));
        }
    }
    none(&breaches);
}

/// Whether the line carries on a `constraint …`, `create policy …` or function that began on a line before it.
fn continues(text: &str, number: usize) -> bool {
    let before: Vec<_> = text.lines().take(number - 1).collect();
    let last = before.iter().rev().find(|line| !line.trim().is_empty());
    last.is_some_and(|line| {
        let line = line.split("--").next().unwrap_or_default().trim_end();
        !line.ends_with(',') && !line.ends_with('(') && !line.ends_with(';')
    })
}
