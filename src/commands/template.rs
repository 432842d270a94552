//! `neurosphere template`.

use clap::Subcommand;
use neurosphere::error::Violation;
use neurosphere::templates::{catalog, seed_language};
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Desk, told};

#[derive(Subcommand)]
pub(crate) enum Template {
    /// List published templates: key, version, tenants that follow it, name
    List,
    /// Compile a file of the old mini-language ("year": "int", "children": "array[text]") to a JSON Schema, and print it
    Import {
        /// The file, JSON
        file: PathBuf,
        /// The schema's title
        #[arg(long, default_value = "Caller profile")]
        title: String,
    },
}

impl Template {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        match self {
            Self::List => {
                let desk = Desk::open()?;
                for one in catalog::list(&desk.db).await.map_err(told)? {
                    println!("{:<16} v{:<3} {:>5} tenant(s)  {}", one.key, one.number, one.tenants, one.name);
                }
            }
            Self::Import { file, title } => {
                let text =
                    std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
                let seed =
                    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
                let schema = seed_language::import(&title, &seed).map_err(|broken| listed(&broken))?;
                println!("{schema:#}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(violations: &[Violation]) -> String {
    let lines: Vec<_> =
        violations.iter().map(|broken| format!("  {}: {}", broken.path, broken.message)).collect();
    format!("the file cannot be compiled:\n{}", lines.join("\n"))
}
