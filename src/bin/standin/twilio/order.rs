//! What the control interface may ask of a call: who rings whom, where the product is, what goes wrong. Owns the JSON of
//! `POST /calls`, and reads the caller's file.

use super::caller::Caller;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) account_sid: String,
    pub(crate) auth_token: String,
    pub(crate) webhook_url: String,
    /// Asked when the webhook fails.
    pub(crate) fallback_url: Option<String>,
    pub(crate) status_callback_url: Option<String>,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) caller: Option<Caller>,
    pub(crate) caller_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) options: Options,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// Where `caller.wav`, `agent.wav` and `both.wav` are written at the end.
    pub(crate) record_wav_dir: Option<PathBuf>,
    /// `host:port` to which this call's requests and stream really go, in plain HTTP, whatever their URLs say; the URLs
    /// are signed as written.
    pub(crate) media_host_override: Option<String>,
    pub(crate) webhook_timeout_ms: u64,
    /// After so long the caller hangs up, whatever the script says.
    pub(crate) limit_ms: u64,
    /// Which status callbacks are sent: `initiated`, `ringing`, `answered`, `completed`.
    pub(crate) status_events: Vec<String>,
    /// Form fields of the webhook to add or to replace.
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            record_wav_dir: None,
            media_host_override: None,
            webhook_timeout_ms: 15_000,
            limit_ms: 600_000,
            status_events: ["initiated", "ringing", "answered", "completed"].map(str::to_owned).to_vec(),
            fields: BTreeMap::new(),
            faults: Vec::new(),
        }
    }
}

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Signed with another token.
    ForgedWebhook,
    UnsignedWebhook,
    /// The webhook is delivered again while it is being answered; the second answer is noted and not followed.
    DuplicateWebhook,
    ForgedStream,
    UnsignedStream,
    /// Once the stream is up, its URL is opened a second time; what comes of it is noted.
    SecondStream,
    /// Marks never come back.
    WithheldMarks,
    DuplicateCallbacks,
    /// Each status callback is two seconds late.
    LateCallbacks,
    /// Of each two status callbacks the second is sent first.
    SwappedCallbacks,
}

impl Order {
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.options.faults.contains(&fault)
    }

    /// The order with its caller read, when it can be carried out.
    pub(crate) async fn checked(mut self) -> Result<(Order, Caller), String> {
        let mut urls = vec![("webhook_url", &self.webhook_url)];
        urls.extend(self.fallback_url.iter().map(|url| ("fallback_url", url)));
        urls.extend(self.status_callback_url.iter().map(|url| ("status_callback_url", url)));
        for (name, url) in urls {
            url::Url::parse(url).map_err(|error| format!("{name}: {error}"))?;
        }
        let caller = match (self.caller.take(), &self.caller_file) {
            (Some(caller), None) => caller.checked()?,
            (None, Some(file)) => {
                let text = tokio::fs::read_to_string(file).await;
                let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
                Caller::from_toml(&text).map_err(|error| format!("{}: {error}", file.display()))?
            }
            (None, None) | (Some(_), Some(_)) => return Err("give either caller or caller_file".to_owned()),
        };
        Ok((self, caller))
    }
}
