//! `neurosphere audit`: the log, and the proof that nobody has changed it.

use clap::{Args, Subcommand};
use neurosphere::audit::{self, Chain, Head};
use neurosphere::tenants::{life, slug::Slug};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Desk, refused, told};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Check every chain of the log; names the first altered, missing or reordered row of each that is broken
    Verify(Verify),
    /// Print the newest rows of a tenant's log, or of the platform's own
    List {
        /// The tenant; the platform's own log when not given
        slug: Option<Slug>,
        /// How many rows
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1000))]
        limit: i64,
    },
}

#[derive(Args)]
pub(crate) struct Verify {
    /// Heads that an earlier run wrote and that were kept elsewhere: the log must still contain them
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Write the heads to a file, to be kept where nobody who can write the database can write
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl Audit {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let desk = Desk::open()?;
        match self {
            Self::Verify(verify) => verify.run(&desk).await,
            Self::List { slug, limit } => {
                list(&desk, slug, limit).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Verify {
    async fn run(self, desk: &Desk) -> Result<ExitCode, String> {
        let kept = match &self.against {
            Some(file) => read_heads(file)?,
            None => HashMap::new(),
        };
        let chains = audit::chains(&desk.db).await.map_err(told)?;
        let (mut heads, mut broken, mut rows) = (Vec::new(), 0, 0);
        for chain in &chains {
            match audit::verify(&desk.db, *chain, kept.get(&chain.to_string())).await.map_err(told)? {
                Ok(head) => {
                    rows += head.sequence;
                    heads.push(head);
                }
                Err(fault) => {
                    broken += 1;
                    println!("BROKEN {chain}: {fault}");
                }
            }
        }
        for missing in kept.keys().filter(|name| !chains.iter().any(|chain| chain.to_string() == **name)) {
            broken += 1;
            println!("BROKEN {missing}: the whole log is missing");
        }
        println!("{} chain(s), {rows} row(s) hold, {broken} broken", heads.len());
        if let Some(file) = &self.write {
            write_heads(file, &heads)?;
        }
        Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn read_heads(file: &PathBuf) -> Result<HashMap<String, Head>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    text.lines()
        .map(|line| head(line).ok_or_else(|| format!("{}: not a head: {line}", file.display())))
        .collect()
}

/// `chain sequence hash`.
fn head(line: &str) -> Option<(String, Head)> {
    let mut words = line.split_whitespace();
    let (name, sequence, hash) = (words.next()?, words.next()?.parse().ok()?, words.next()?.to_owned());
    let chain = if name == "platform" { Chain::Platform } else { Chain::Tenant(name.parse().ok()?) };
    Some((name.to_owned(), Head { chain, sequence, hash }))
}

fn write_heads(file: &PathBuf, heads: &[Head]) -> Result<(), String> {
    let line = |head: &Head| format!("{} {} {}", head.chain, head.sequence, head.hash);
    let lines: Vec<_> = heads.iter().map(line).collect();
    std::fs::write(file, lines.join("\n") + "\n").map_err(|error| format!("{}: {error}", file.display()))
}

async fn list(desk: &Desk, slug: Option<Slug>, limit: i64) -> Result<(), String> {
    let mut tx = desk.begin().await?;
    let chain = match slug {
        Some(slug) => Chain::Tenant(life::named(&mut tx, &slug).await.map_err(refused)?.id),
        None => Chain::Platform,
    };
    let mut rows = audit::list(&mut tx, chain, None, limit).await.map_err(refused)?;
    rows.reverse();
    for row in rows {
        let reason = row.reason.map_or_else(String::new, |reason| format!("  ({reason})"));
        println!(
            "{:>4}  {}  {:<24} {:<18} {}  {} -> {}{reason}",
            row.sequence,
            row.at.format("%Y-%m-%d %H:%M:%S"),
            row.actor,
            row.action,
            row.subject,
            brief(&row.before),
            brief(&row.after)
        );
    }
    Ok(())
}

fn brief(value: &Value) -> String {
    if value.is_null() { "-".to_owned() } else { value.to_string() }
}
