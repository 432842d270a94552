//! The one HTTP client for providers, with its limits; and [`Trouble`], how a provider's failure is told. Must never
//! put a body, a key or a phone number into an error: providers echo them.

use std::time::Duration;

use crate::error::{Fault, OrFault as _};

const CONNECT_MAX: Duration = Duration::from_secs(3);
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// Makes the client.
pub fn client() -> Result<reqwest::Client, Fault> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_MAX)
        .timeout(ANSWER_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("NeuroSphere/Rust ", env!("CARGO_PKG_VERSION")))
        .build()
        .or_fault("make the HTTP client")
}

/// A provider did not do what was asked.
#[derive(Debug)]
pub struct Trouble {
    /// What went wrong, without anything private.
    pub fault: Fault,
    /// A later try can succeed: a time-out, a broken connection, 429 or 5xx.
    pub passing: bool,
}

impl Trouble {
    /// One that may pass.
    pub fn passing(doing: impl Into<String>) -> Self {
        Self { fault: Fault::new(doing), passing: true }
    }

    /// One that will not.
    pub fn lasting(doing: impl Into<String>) -> Self {
        Self { fault: Fault::new(doing), passing: false }
    }

    /// Judged by the status of the answer.
    pub fn of_status(doing: &str, status: u16) -> Self {
        let passing = matches!(status, 408 | 409 | 425 | 429 | 500..);
        Self { fault: Fault::new(format!("{doing}: HTTP {status}")), passing }
    }
}
