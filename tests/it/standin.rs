//! The stand-in world as a process of its own: a Twilio and an OpenAI on loopback, and the port on which a test tells
//! them what to do. It ends with the value, and with the test process in any case.

use crate::world::{ACCOUNT_SID, AUTH_TOKEN};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct Standin {
    process: Child,
    pub(crate) twilio: String,
    pub(crate) openai: String,
    pub(crate) control: String,
}

/// A file below tests/fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Standin {
    /// The world in which the model keeps to the insurance agency's script.
    pub(crate) fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_standin"))
            .arg("serve")
            .arg("--script")
            .arg(fixture("scripts/insurance.toml"))
            .arg("--speech")
            .arg(fixture("speech"))
            .args(["--account", &format!("{ACCOUNT_SID}:{AUTH_TOKEN}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the stand-in world says where it is");
        let url = |name: &str| ready[name].as_str().expect(name).to_owned();
        Self { process, twilio: url("twilio"), openai: url("openai"), control: url("control") }
    }

    /// What makes the product use this world's providers.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        [("TWILIO_API_URL", self.twilio.clone()), ("OPENAI_BASE_URL", format!("{}/v1", self.openai))]
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
