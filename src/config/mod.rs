//! The only reader of the environment: one struct per section, all mistakes reported at once. Must never know what the
//! values are used for.

mod database;
mod http;
mod mail;

use std::fmt::Write as _;
use std::net::SocketAddr;
use url::Url;

pub use database::{Cluster, Database, Pooler, login_role};
pub use http::Http;
pub use mail::Mail;

use crate::secret::{MasterKey, Secret};

/// Everything that can be configured. The README lists every variable.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Postgres is.
    pub database: Database,
    /// Where we listen and under which names we are reached.
    pub http: Http,
    /// Through which server mail is sent; none where none is given.
    pub mail: Option<Mail>,
    /// The telephone carrier.
    pub twilio: Twilio,
    /// The model provider.
    pub openai: OpenAi,
    /// What is logged, and how.
    pub telemetry: Telemetry,
    /// Seals tenants' credentials and signs cursors (`MASTER_KEY`).
    pub master_key: MasterKey,
    /// Development or production (`ENVIRONMENT`).
    pub environment: Environment,
    /// Schemas that wait for new tenants, in each cluster (`TENANTS_PREPARED`).
    pub tenants_prepared: usize,
    /// The name server that is asked for proofs of domains (`DNS_SERVER`); the machine's own where it is none.
    pub dns_server: Option<SocketAddr>,
}

/// Development shows `GraphiQL` and introspection; production does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On an engineer's machine.
    Development,
    /// Where customers are.
    Production,
}

/// The telephone carrier.
#[derive(Debug, Clone)]
pub struct Twilio {
    /// The platform's own account (`TWILIO_ACCOUNT_SID`).
    pub account_sid: String,
    /// Its auth token (`TWILIO_AUTH_TOKEN`).
    pub auth_token: Secret,
    /// `TWILIO_API_URL`.
    pub api_url: Url,
}

/// The model provider.
#[derive(Debug, Clone)]
pub struct OpenAi {
    /// `OPENAI_API_KEY`.
    pub api_key: Secret,
    /// `OPENAI_BASE_URL`, without a trailing slash; the Realtime URL follows from it.
    pub base_url: Url,
    /// The speech model (`OPENAI_REALTIME_MODEL`).
    pub realtime_model: String,
    /// Writes down what callers say (`OPENAI_TRANSCRIPTION_MODEL`).
    pub transcription_model: String,
    /// Summaries and extraction (`OPENAI_TEXT_MODEL`).
    pub text_model: String,
    /// `OPENAI_EMBEDDING_MODEL`; must offer 384 dimensions.
    pub embedding_model: String,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Filter directives (`LOG`), as of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// `LOG_FORMAT=json` for machines.
    pub json: bool,
}

/// Every mistake of the environment, each with what to do.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} mistake(s):{}", .0.len(), listed(.0))]
pub struct Mistakes(pub Vec<String>);

fn listed(mistakes: &[String]) -> String {
    mistakes.iter().fold(String::new(), |mut text, mistake| {
        write!(text, "\n  - {mistake}").ok();
        text
    })
}

impl Config {
    /// Reads the process's environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_env() -> Result<Self, Mistakes> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables through `get`; an empty value counts as unset.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let mut from = Reader { get: &get, mistakes: Vec::new() };
        let http = from.http();
        let mail = from.mail(http.as_ref().map(|http| http.base_domain.as_str()));
        let master_key = from.required("MASTER_KEY", "make one with: openssl rand -hex 32");
        let master_key = master_key.and_then(|hex| {
            from.must(
                MasterKey::parse(&hex),
                "MASTER_KEY must be 64 hexadecimal digits (openssl rand -hex 32)",
            )
        });
        let environment = match from.text("ENVIRONMENT", "production").as_str() {
            "development" => Some(Environment::Development),
            "production" => Some(Environment::Production),
            other => from.must(None, &format!("ENVIRONMENT is {other:?}; it is development or production")),
        };
        let database = from.database(master_key.as_ref());
        let twilio_url = from.url("TWILIO_API_URL", "https://api.twilio.com");
        let openai_url = from.url("OPENAI_BASE_URL", "https://api.openai.com/v1");
        let twilio_sid = from.required("TWILIO_ACCOUNT_SID", "the AC… of the Twilio console");
        let twilio_token = from.required("TWILIO_AUTH_TOKEN", "the primary auth token of the Twilio console");
        let openai_key = from.required("OPENAI_API_KEY", "a key of the OpenAI platform");
        let openai_names = from.openai_models();
        let tenants_prepared = from.parsed("TENANTS_PREPARED", "4", "a number of schemas");
        let dns_server = match from.found("DNS_SERVER") {
            None => Some(None),
            Some(text) => {
                let address = text.parse().ok().map(Some);
                from.must(
                    address,
                    &format!("DNS_SERVER is {text:?}; it should be an address such as 127.0.0.1:53"),
                )
            }
        };
        let telemetry =
            Telemetry { filter: from.text("LOG", "info"), json: from.text("LOG_FORMAT", "text") == "json" };
        let mistakes = std::mem::take(&mut from.mistakes);
        let whole = (|| {
            let [realtime_model, transcription_model, text_model, embedding_model] = openai_names;
            Some(Self {
                database: database?,
                http: http?,
                mail,
                twilio: Twilio {
                    account_sid: twilio_sid?,
                    auth_token: Secret::new(twilio_token?),
                    api_url: twilio_url?,
                },
                openai: OpenAi {
                    api_key: Secret::new(openai_key?),
                    base_url: openai_url?,
                    realtime_model,
                    transcription_model,
                    text_model,
                    embedding_model,
                },
                telemetry,
                master_key: master_key?,
                environment: environment?,
                tenants_prepared: tenants_prepared?,
                dns_server: dns_server?,
            })
        })();
        if mistakes.is_empty() { whole.ok_or(Mistakes(mistakes)) } else { Err(Mistakes(mistakes)) }
    }
}

/// The part of the configuration that needs only the database, for `migrate`, `tenant` and `template`.
#[derive(Debug, Clone)]
pub struct Operations {
    /// Where Postgres is.
    pub database: Database,
    /// Under which names we are reached.
    pub http: Http,
    /// Whether `SMTP_URL` is set, so that workers send mail.
    pub sends_mail: bool,
    /// Seals tenants' credentials.
    pub master_key: MasterKey,
}

impl Operations {
    /// Reads the process's environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_env() -> Result<Self, Mistakes> {
        let get = |name: &str| std::env::var(name).ok();
        let mut from = Reader { get: &get, mistakes: Vec::new() };
        let master_key = from.required("MASTER_KEY", "make one with: openssl rand -hex 32");
        let master_key = master_key.and_then(|hex| {
            from.must(
                MasterKey::parse(&hex),
                "MASTER_KEY must be 64 hexadecimal digits (openssl rand -hex 32)",
            )
        });
        let database = from.database(master_key.as_ref());
        if database.as_ref().is_some_and(|found| found.main.owner_url.is_none()) {
            from.mistakes
                .push("DATABASE_URL is not set: this command needs the owner's connection".to_owned());
        }
        let http = from.http();
        let sends_mail = from.found("SMTP_URL").is_some();
        match (database, http, master_key) {
            (Some(database), Some(http), Some(master_key)) if from.mistakes.is_empty() => {
                Ok(Self { database, http, sends_mail, master_key })
            }
            _ => Err(Mistakes(from.mistakes)),
        }
    }
}

struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn found(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.found(name).unwrap_or_else(|| default.to_owned())
    }

    fn required(&mut self, name: &str, advice: &str) -> Option<String> {
        let found = self.found(name);
        self.must(found, &format!("{name} is not set: {advice}"))
    }

    fn must<T>(&mut self, value: Option<T>, mistake: &str) -> Option<T> {
        if value.is_none() {
            self.mistakes.push(mistake.to_owned());
        }
        value
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, default: &str, form: &str) -> Option<T> {
        let text = self.text(name, default);
        self.must(text.parse().ok(), &format!("{name} is {text:?}; it should be {form}"))
    }

    fn url(&mut self, name: &str, default: &str) -> Option<Url> {
        let text = self.text(name, default);
        let url = Url::parse(text.trim_end_matches('/')).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        self.must(url, &format!("{name} is not an http(s) URL"))
    }

    fn openai_models(&self) -> [String; 4] {
        [
            self.text("OPENAI_REALTIME_MODEL", "gpt-realtime-2.1"),
            self.text("OPENAI_TRANSCRIPTION_MODEL", "gpt-4o-mini-transcribe"),
            self.text("OPENAI_TEXT_MODEL", "gpt-4.1-mini"),
            self.text("OPENAI_EMBEDDING_MODEL", "text-embedding-3-small"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let map: HashMap<String, String> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::read(|name| map.get(name).cloned())
    }

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let text = read(&[("LISTEN_ADDR", "nowhere"), ("PUBLIC_URL", "ftp://x"), ("ENVIRONMENT", "test")]);
        let text = text.unwrap_err().to_string();
        for name in [
            "LISTEN_ADDR",
            "PUBLIC_URL",
            "ENVIRONMENT",
            "MASTER_KEY",
            "DATABASE_URL",
            "TWILIO_AUTH_TOKEN",
            "OPENAI_API_KEY",
        ] {
            assert!(text.contains(name), "{name} is missing from: {text}");
        }
    }

    #[test]
    fn the_login_role_follows_from_the_owner() {
        let config = read(&[
            ("MASTER_KEY", KEY),
            ("DATABASE_URL", "postgres://owner:pw@db.example:5432/neuro"),
            ("TWILIO_ACCOUNT_SID", "AC1"),
            ("TWILIO_AUTH_TOKEN", "t"),
            ("OPENAI_API_KEY", "k"),
            ("PUBLIC_URL", "https://voice.example.com/"),
        ])
        .unwrap();
        let main = &config.database.main;
        let app = main.app_url.reveal();
        assert!(app.starts_with("postgres://neurosphere_app:") && app.ends_with("@db.example:5432/neuro"));
        assert!(app.contains(main.login_password(0).reveal()));
        assert_eq!(config.environment, Environment::Production);
        assert!(!format!("{config:?}").contains(main.login_password(0).reveal()));
        let second = main.login_url(1);
        assert!(second.reveal().starts_with("postgres://neurosphere_app_1:"));
        assert!(second.reveal().contains(main.login_password(1).reveal()));
        assert_ne!(main.login_password(1).reveal(), main.login_password(0).reveal());
    }

    /// What must be set, and these.
    fn given(more: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let base = [
            ("MASTER_KEY", KEY),
            ("DATABASE_URL", "postgres://owner:pw@db.example/neuro"),
            ("TWILIO_ACCOUNT_SID", "AC1"),
            ("TWILIO_AUTH_TOKEN", "t"),
            ("OPENAI_API_KEY", "k"),
        ];
        read(&[base.as_slice(), more].concat())
    }

    #[test]
    fn the_platforms_host_is_none_that_a_tenant_can_have() {
        let host = |more: &[(&str, &str)]| given(more).map(|config| config.http.platform_host).ok();
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(host(&[]), told("platform.localhost"));
        let base = ("BASE_DOMAIN", "NeuroSphere.ai");
        assert_eq!(host(&[base]), told("platform.neurosphere.ai"));
        for good in ["platform.neurosphere.ai", "operators.example.net", "xneurosphere.ai", "neurosphere.ai"]
        {
            assert_eq!(host(&[base, ("PLATFORM_HOST", good)]), told(good));
        }
        for bad in
            ["peterson.neurosphere.ai", "a.platform.neurosphere.ai", "a..b", "a.b:80", "https://a.b", "a b"]
        {
            assert_eq!(host(&[base, ("PLATFORM_HOST", bad)]), None, "{bad}");
        }
        assert_eq!(host(&[("BASE_DOMAIN", "neurosphere.ai:8080")]), None);
        let auth = |more: &[(&str, &str)]| given(more).map(|config| config.http.auth_host).ok();
        assert_eq!(auth(&[base]), told("auth.neurosphere.ai"));
        assert_eq!(auth(&[base, ("AUTH_HOST", "signin.example.net")]), told("signin.example.net"));
        assert_eq!(auth(&[base, ("AUTH_HOST", "peterson.neurosphere.ai")]), None);
        let one = [("AUTH_HOST", "a.example.net"), ("PLATFORM_HOST", "a.example.net")];
        assert_eq!(auth(&one), None, "an operator's cookies are nobody else's");
    }

    #[test]
    fn further_clusters_are_named_and_each_needs_its_url() {
        let west = ("DATABASE_URL_WEST", "postgres://owner:pw@west.example/neuro");
        let config = given(&[("DATABASE_CLUSTERS", "west"), west]).unwrap();
        let names: Vec<_> = config.database.others.iter().map(|cluster| cluster.name.to_string()).collect();
        assert_eq!(names, ["west"]);
        assert!(config.database.others[0].app_url.reveal().contains("@west.example/"));
        for bad in [
            &[("DATABASE_CLUSTERS", "west")][..],
            &[("DATABASE_CLUSTERS", "main")],
            &[("DATABASE_CLUSTERS", "We st"), west],
            &[("DATABASE_POOLER", "session")],
            &[("DATABASE_POOLER", "transaction")],
            &[("DATABASE_POOL_MAX", "3")],
        ] {
            assert!(given(bad).is_err(), "{bad:?}");
        }
    }
}
