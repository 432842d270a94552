//! Twilio's REST API, as far as we ask anything of it. Must never know why.

use serde::Deserialize;
use std::time::Duration;
use url::Url;

use super::{AccountSid, CallSid};
use crate::providers::http::Trouble;
use crate::secret::Secret;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The largest error that is read.
const ERROR_BYTES_MAX: usize = 16 * 1024;
/// "The requested resource was not found": the call is over already.
const CALL_IS_OVER: u32 = 20404;

/// The API at its URL. Cheap to clone.
#[derive(Clone)]
pub struct Rest {
    base: Url,
    http: reqwest::Client,
}

/// An account, and what proves that we may speak for it.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account.
    pub sid: AccountSid,
    /// Its token.
    pub auth_token: Secret,
}

#[derive(Deserialize)]
struct Refusal {
    code: Option<u32>,
}

impl Rest {
    /// The API at `base`.
    pub fn new(base: Url, http: reqwest::Client) -> Self {
        Self { base, http }
    }

    /// Ends a call. One that is over already is a success.
    pub async fn hang_up(&self, account: &Account, call: &CallSid) -> Result<(), Trouble> {
        let base = self.base.as_str().trim_end_matches('/');
        let (sid, call) = (account.sid.as_str(), call.as_str());
        let url = format!("{base}/2010-04-01/Accounts/{sid}/Calls/{call}.json");
        let request = self
            .http
            .post(url)
            .timeout(ANSWER_MAX)
            .basic_auth(sid, Some(account.auth_token.reveal()))
            .form(&[("Status", "completed")]);
        let answer = request.send().await.map_err(|_| Trouble::passing("hang up at Twilio: no answer"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        if status.as_u16() == 404
            && refusal(answer).await.is_some_and(|refusal| refusal.code == Some(CALL_IS_OVER))
        {
            return Ok(());
        }
        Err(Trouble::of_status("hang up at Twilio", status.as_u16()))
    }
}

async fn refusal(mut answer: reqwest::Response) -> Option<Refusal> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if ERROR_BYTES_MAX < body.len() + piece.len() {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).ok()
}
