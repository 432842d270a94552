//! The stand-in world beside the demo: a process that plays Twilio and OpenAI, for whichever of them is not real.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

pub(super) const ACCOUNT_SID: &str = "AC00000000000000000000000000000001";
pub(super) const AUTH_TOKEN: &str = "5e1fca11ed5e1fca11ed5e1fca11ed00";
const SCRIPT: &str = "tests/fixtures/scripts/insurance.toml";
const SPEECH: &str = "tests/fixtures/speech";
const SPEAKER: &str = "scripts/speech.py";

/// The process and what it stands in for.
pub(super) struct Standin {
    /// Ends when its standard input closes, and is killed with this value in any case.
    _process: Child,
    twilio: String,
    openai: String,
    pub(super) control: String,
    real_openai: bool,
    real_twilio: bool,
}

impl Standin {
    #[expect(
        clippy::disallowed_methods,
        reason = "which providers are real is read from the environment, once, here"
    )]
    pub(super) async fn start() -> Result<Self, String> {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        if !Path::new(SCRIPT).exists() {
            return Err(format!(
                "{SCRIPT} is not here: run the demo from the repository (scripts/demo does)"
            ));
        }
        let mut command = Command::new(beside_this_program()?);
        command.args(["serve", "--script", SCRIPT, "--speech", SPEECH, "--speaker", SPEAKER]);
        command.args(["--account", &format!("{ACCOUNT_SID}:{AUTH_TOKEN}")]);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut process = process.map_err(|error| format!("cannot start the stand-in world: {error}"))?;
        let out = process.stdout.take().ok_or("the stand-in world has no standard output")?;
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .await
            .map_err(|error| format!("the stand-in world: {error}"))?;
        let ready: HashMap<String, String> =
            serde_json::from_str(&line).map_err(|_| format!("the stand-in world did not start: {line}"))?;
        let url = |name: &str| ready.get(name).cloned().ok_or(format!("the stand-in world has no {name}"));
        Ok(Self {
            _process: process,
            twilio: url("twilio")?,
            openai: url("openai")?,
            control: url("control")?,
            real_openai: set("OPENAI_API_KEY"),
            real_twilio: set("TWILIO_ACCOUNT_SID") && set("TWILIO_AUTH_TOKEN"),
        })
    }

    pub(super) fn carrier_is_real(&self) -> bool {
        self.real_twilio
    }

    pub(super) fn what_is_real(&self) -> String {
        let word = |real| if real { "real" } else { "a stand-in" };
        format!("Twilio is {}, OpenAI is {}", word(self.real_twilio), word(self.real_openai))
    }

    /// What the configuration says of those that are not real.
    pub(super) fn variables(&self) -> HashMap<&'static str, String> {
        let mut variables = HashMap::new();
        if !self.real_openai {
            variables.insert("OPENAI_API_KEY", "sk-standin".to_owned());
            variables.insert("OPENAI_BASE_URL", format!("{}/v1", self.openai));
        }
        if !self.real_twilio {
            variables.insert("TWILIO_ACCOUNT_SID", ACCOUNT_SID.to_owned());
            variables.insert("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned());
            variables.insert("TWILIO_API_URL", self.twilio.clone());
        }
        variables
    }
}

fn beside_this_program() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let standin = here.with_file_name("standin");
    if standin.exists() {
        Ok(standin)
    } else {
        Err("the program `standin` is not beside this one: cargo build --bins".to_owned())
    }
}
