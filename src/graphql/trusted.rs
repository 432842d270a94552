//! Trusted documents: the operations of our own dashboards, as they stand in `graphql/operations/`, built into the program.
//! Each is known by the digest of its text, and a browser's session may send nothing else. Must never know how a request
//! reached it, nor who may come in.

use std::borrow::Cow;
use std::collections::HashMap;

use super::limits::Refused;
use crate::secret;

/// The operations of a folder, by the names of their files.
macro_rules! operations {
    ($folder:literal: $($name:literal),+) => {
        &[$(($name, include_str!(concat!("../../graphql/operations/", $folder, $name, ".graphql")))),+]
    };
}

const OF_TENANTS: &[(&str, &str)] = operations!("":
    "agent", "call", "call_turns", "caller", "callers", "calls", "create_api_key", "create_role", "forget", "invite_member",
    "overview", "remember", "team", "update_agent", "update_caller_profile", "viewer");
const OF_THE_PLATFORM: &[(&str, &str)] =
    operations!("platform/": "clusters", "operators", "tenant", "tenants");

/// How the identifier of a document begins that is a digest of its text (GraphQL over HTTP, persisted documents).
const PREFIX: &str = "sha256:";

/// Which documents a credential may have executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freedom {
    /// Any: whoever wrote it has a key of their own.
    Free,
    /// Trusted ones: a page that was broken into asks for what the page asks for, and for nothing else.
    Trusted,
}

/// By what a request names its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// By its text.
    Text(String),
    /// By its identifier: `sha256:` and the digest of its text in hexadecimal.
    Id(String),
}

/// The trusted documents of one schema, by their digests.
pub struct Documents(HashMap<String, &'static str>);

impl Documents {
    /// Those of tenants' dashboards.
    pub fn of_tenants() -> Self {
        Self::of(OF_TENANTS)
    }

    /// Those of the platform's.
    pub fn of_the_platform() -> Self {
        Self::of(OF_THE_PLATFORM)
    }

    fn of(operations: &[(&str, &'static str)]) -> Self {
        Self(operations.iter().map(|(_, text)| (digest(text), *text)).collect())
    }

    /// The text of a request's document, if that may be executed.
    pub fn text(&self, source: Source, freedom: Freedom) -> Result<Cow<'static, str>, Refused> {
        match (source, freedom) {
            (Source::Id(id), Freedom::Free | Freedom::Trusted) => {
                let known = id.strip_prefix(PREFIX).and_then(|digest| self.0.get(digest));
                known.map(|text| Cow::Borrowed(*text)).ok_or(Refused::Unknown)
            }
            (Source::Text(text), Freedom::Free) => Ok(Cow::Owned(text)),
            (Source::Text(text), Freedom::Trusted) => {
                self.0.get(&digest(&text)).map(|text| Cow::Borrowed(*text)).ok_or(Refused::Untrusted)
            }
        }
    }
}

/// The identifier of a document.
pub fn id(text: &str) -> String {
    format!("{PREFIX}{}", digest(text))
}

fn digest(text: &str) -> String {
    secret::hex(&secret::digest(text))
}
