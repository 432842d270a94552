//! Live calls: who may come in, what is said, when, and what is kept of it.
//!
//! A webhook is received (`reception`), its stream admitted and held (`conversation`) by a shell (`driver`) that owns the
//! sockets and does what a pure machine ([`session`]) decides. What a call may do is its [`plan`], what it says first a
//! [`prompt`], what is kept of it a [`record`] (written by `recorder`), and how it ended an [`ending`]. The pure parts must
//! never know clocks, sockets or Postgres; none of it knows HTTP.

mod briefing;
mod conversation;
mod driver;
pub mod ending;
mod live;
pub mod plan;
pub mod prompt;
mod reception;
pub mod record;
pub mod recorder;
pub mod session;
mod tools;

use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::error::{Fault, OrFault as _};
use crate::providers::openai::realtime::socket::Endpoint;
use crate::providers::twilio::rest::{Account, Rest};
use crate::secret::Secret;
use live::Live;

pub use conversation::{Admitted, Refused};
pub use driver::{Frame, closed_by};
pub use reception::{Aftermath, Reception};

/// How long their records may then still be written: longer than an attempt and the patience after it.
const RECORDS_MAX: Duration = Duration::from_secs(10);

/// What calls may do, and how long what is kept of them may wait.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Within a call.
    pub call: plan::Limits,
    /// Of its records.
    pub records: recorder::Limits,
    /// How long calls may take to say goodbye when the process stops, and their records to be written in peace.
    pub drain_max: Duration,
}

impl Limits {
    /// What a telephone call with a person needs, with room.
    pub const STANDARD: Self = Self {
        call: plan::Limits::STANDARD,
        records: recorder::Limits::STANDARD,
        drain_max: Duration::from_secs(25),
    };
}

/// The door for calls. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    public_url: String,
    platform: Account,
    rest: Rest,
    endpoint: Endpoint,
    transcription_model: String,
    limits: Limits,
    live: Live,
    tasks: TaskTracker,
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Gateway {
    /// Joins what calls need; connects to nothing yet.
    pub fn new(
        config: &Config,
        db: &Db,
        clock: &Clock,
        http: &reqwest::Client,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let twilio = &config.twilio;
        Ok(Self(Arc::new(Inner {
            db: db.clone(),
            clock: clock.clone(),
            public_url: config.http.public_url.as_str().trim_end_matches('/').to_owned(),
            platform: Account {
                sid: twilio.account_sid.parse().or_fault("read TWILIO_ACCOUNT_SID")?,
                auth_token: twilio.auth_token.clone(),
            },
            rest: Rest::new(twilio.api_url.clone(), http.clone()),
            endpoint: Endpoint::new(&config.openai)?,
            transcription_model: config.openai.transcription_model.clone(),
            limits,
            live: Live::default(),
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
        })))
    }

    /// A path of ours as the carrier is given it, and signs it.
    pub fn public_url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.0.public_url)
    }

    /// Where a stream with this token goes: `wss` where the public URL is `https`.
    pub fn stream_url(&self, token: &Secret) -> String {
        let url = self.public_url("/twilio/media/");
        // `http…` becomes `ws…`, and with it `https…` `wss…`.
        let rest = url.strip_prefix("http").unwrap_or_default();
        format!("ws{rest}{}", token.reveal())
    }

    /// Takes in no more calls, lets those under way say goodbye, and returns when nothing is left of them.
    pub async fn drain(&self) {
        self.0.drain.cancel();
        self.0.tasks.close();
        if timeout(self.0.limits.drain_max, self.0.tasks.wait()).await.is_ok() {
            return;
        }
        self.0.stop.cancel();
        if timeout(RECORDS_MAX, self.0.tasks.wait()).await.is_err() {
            tracing::error!(tasks = self.0.tasks.len(), "calls are broken off");
        }
    }
}
