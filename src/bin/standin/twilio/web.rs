//! Twilio's requests to the product: signed form posts and gets, their time and size limits, its numbered errors. Knows
//! no TwiML and no call but its fields.

use super::order::{Fault, Order};
use super::signature::sign;
use super::twiml::{self, Method, Target};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

pub(crate) type Fields = Vec<(String, String)>;

/// A request that brought no document, with Twilio's number for it.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: u32,
    pub(crate) message: String,
}

/// What the product answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
    pub(crate) took_ms: u64,
}

impl Answer {
    pub(crate) fn told(&self, what: &str, url: &str) -> Value {
        json!({ "of": what, "url": url, "status": self.status, "took_ms": self.took_ms, "body": self.body })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    Well,
    Wrongly,
    Not,
}

impl Signed {
    pub(crate) fn webhook(order: &Order) -> Signed {
        match (order.has(Fault::ForgedWebhook), order.has(Fault::UnsignedWebhook)) {
            (true, _) => Signed::Wrongly,
            (false, true) => Signed::Not,
            (false, false) => Signed::Well,
        }
    }

    pub(crate) fn stream(order: &Order) -> Signed {
        match (order.has(Fault::ForgedStream), order.has(Fault::UnsignedStream)) {
            (true, _) => Signed::Wrongly,
            (false, true) => Signed::Not,
            (false, false) => Signed::Well,
        }
    }

    /// The signature to send, if one is.
    pub(crate) fn signature(self, order: &Order, url: &str, fields: &[(String, String)]) -> Option<String> {
        match self {
            Signed::Well => Some(sign(&order.auth_token, url, fields)),
            Signed::Wrongly => Some(sign("not the token of this account", url, fields)),
            Signed::Not => None,
        }
    }
}

/// One client for all calls; clones share its connections.
#[derive(Clone)]
pub(crate) struct Web(reqwest::Client);

impl Web {
    pub(crate) fn new() -> Result<Web, String> {
        let client = reqwest::Client::builder()
            .user_agent("TwilioProxy/1.1")
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .build();
        client.map(Web).map_err(|error| error.to_string())
    }

    /// Asks for a document or delivers a callback.
    pub(crate) async fn request(
        &self,
        order: &Order,
        target: &Target,
        fields: &Fields,
        signed: Signed,
    ) -> Result<Answer, Problem> {
        let limit = Duration::from_millis(order.options.webhook_timeout_ms);
        let began = Instant::now();
        let request = self.build(order, target, fields, signed)?;
        let answered = tokio::time::timeout(limit, receive(request)).await;
        let (status, content_type, body) = answered
            .map_err(|_| Problem { code: 11_200, message: format!("no answer within {limit:?}") })??;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Answer { status, content_type, body, took_ms })
    }

    fn build(
        &self,
        order: &Order,
        target: &Target,
        fields: &Fields,
        signed: Signed,
    ) -> Result<reqwest::RequestBuilder, Problem> {
        let bad_url = |error: String| Problem { code: 11_100, message: format!("{}: {error}", target.url) };
        let mut url = Url::parse(&target.url).map_err(|error| bad_url(error.to_string()))?;
        url.set_fragment(None);
        if target.method == Method::Get {
            url.query_pairs_mut().extend_pairs(fields);
        }
        // Twilio signs the URL as it was given, which may differ from its normal form.
        let written = match target.method {
            Method::Post => target.url.split('#').next().unwrap_or_default(),
            Method::Get => url.as_str(),
        };
        let signature = match target.method {
            Method::Post => signed.signature(order, written, fields),
            Method::Get => signed.signature(order, written, &[]),
        };
        let host = host_and_port(&url).ok_or_else(|| bad_url("no host".to_owned()))?;
        if let Some(there) = &order.options.media_host_override {
            url = Url::parse(&format!("http://{there}{}", &url[url::Position::BeforePath..]))
                .map_err(|error| bad_url(error.to_string()))?;
        }
        let mut request = match target.method {
            Method::Post => self.0.post(url).form(fields),
            Method::Get => self.0.get(url),
        };
        request = request
            .header("host", host)
            .header("i-twilio-idempotency-token", uuid::Uuid::new_v4().to_string());
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        Ok(request)
    }
}

/// `host` or, when it is not the scheme's own, `host:port`.
pub(crate) fn host_and_port(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

async fn receive(request: reqwest::RequestBuilder) -> Result<(u16, String, String), Problem> {
    let broken = |error: &reqwest::Error| {
        let code = if error.is_connect() { 11_205 } else { 11_200 };
        let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        Problem { code, message: format!("{error}{cause}") }
    };
    let mut response = request.send().await.map_err(|error| broken(&error))?;
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| broken(&error))? {
        body.extend_from_slice(&piece);
        if twiml::BYTES_MAX < body.len() {
            return Err(Problem {
                code: 11_750,
                message: format!("the answer has more than {} bytes", twiml::BYTES_MAX),
            });
        }
    }
    Ok((status, content_type, String::from_utf8_lossy(&body).into_owned()))
}
