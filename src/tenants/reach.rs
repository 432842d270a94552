//! By what a tenant is reached: a dialled number, a host, a key, a carrier account. Each names exactly one tenant or none;
//! there is no default. Must never know a transport.

use chrono::TimeDelta;
use std::str::FromStr;

use super::slug::Slug;
use super::{State, Tenant, store};
use crate::access::{Actor, Role, TenantScope};
use crate::db::Db;
use crate::error::Fault;
use crate::ids::{ApiKeyId, PhoneNumber, TenantId};
use crate::secret::{self, Secret};
use crate::tenancy::Tenancy;

/// How long a slug that a tenant gave up still leads to it.
const FORMER_SLUG_LEADS: TimeDelta = TimeDelta::days(30);

/// Whom a dialled number reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The tenant.
    pub tenancy: Tenancy,
    /// Whether it is in service.
    pub state: State,
    /// The carrier account that owns the number; the platform's where it is none.
    pub account_sid: Option<String>,
}

/// Finds the tenant of a number, exactly; there is no default.
pub async fn line(db: &Db, number: &PhoneNumber) -> Result<Option<Line>, Fault> {
    let Some((tenancy, state, account_sid)) = store::reach::line(db, number.reveal()).await? else {
        return Ok(None);
    };
    Ok(Some(Line { tenancy, state: State::read(&state)?, account_sid }))
}

/// The auth token of a tenant's own carrier account, and the tenant.
pub async fn carrier_token(db: &Db, account_sid: &str) -> Result<Option<(TenantId, Secret)>, Fault> {
    let Some((tenant, sealed)) = store::reach::credential(db, account_sid).await? else { return Ok(None) };
    let tenant = TenantId::from(tenant);
    Ok(Some((tenant, db.master_key().open(&credential_place(tenant, account_sid), &sealed)?)))
}

/// Binds a sealed auth token to its tenant and account.
pub(super) fn credential_place(tenant: TenantId, account_sid: &str) -> String {
    format!("{tenant}|twilio|{account_sid}")
}

/// Which tenant a host names: `{slug}.{base_domain}` or a verified domain of its own. Ports are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    slug: Option<Slug>,
    name: String,
}

/// The origin of the pages of a host, which may have a port: https, but for names of this very machine, which browsers take
/// for secure as they are.
pub fn origin_of(host: &str) -> String {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_here = name == "localhost" || name.ends_with(".localhost");
    format!("{}://{host}", if is_here { "http" } else { "https" })
}

/// Why a text is no host of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a host")]
pub struct BadHost;

impl Host {
    /// Reads a `Host` header.
    pub fn parse(header: &str, base_domain: &str) -> Option<Self> {
        let name = header.rsplit_once(':').map_or(header, |(name, _)| name).to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if name.is_empty() || 253 < name.len() || !name.chars().all(plain) {
            return None;
        }
        let label = name.strip_suffix(base_domain).and_then(|label| label.strip_suffix('.'));
        Some(Self { slug: label.and_then(|label| label.parse().ok()), name })
    }

    /// The host in lower case, without its port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The slug; empty where the host is none below the base domain.
    pub fn slug(&self) -> &str {
        self.slug.as_ref().map_or("", Slug::as_str)
    }
}

/// A host of a tenant's own: a full name of at least two labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainName(String);

impl DomainName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the domain or lies below it.
    pub fn is_within(&self, domain: &str) -> bool {
        self.0 == domain || self.0.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl FromStr for DomainName {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last_is_a_word =
            name.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()));
        let good =
            name.len() <= 253 && 2 <= name.split('.').count() && name.split('.').all(label) && last_is_a_word;
        if good { Ok(Self(name)) } else { Err(BadHost) }
    }
}

/// The tenant of a host, whatever its state.
pub async fn at_host(db: &Db, host: &Host) -> Result<Option<Tenant>, Fault> {
    store::reach::at_host(db, host.slug(), &host.name).await?.map(Tenant::try_from).transpose()
}

/// The slug that an active tenant has now which was reached at this host until a short while ago.
pub async fn moved_from(db: &Db, host: &Host) -> Result<Option<String>, Fault> {
    let Some(slug) = &host.slug else { return Ok(None) };
    store::reach::formerly(db, slug.as_str(), db.clock().now() - FORMER_SLUG_LEADS).await
}

/// The right to act that an API key gives on a host: both must name the same active tenant. It reaches as far as the key's
/// scopes.
pub async fn holder_of_key(db: &Db, host: &Host, key: &Secret) -> Result<Option<TenantScope>, Fault> {
    let digest = secret::digest(key.reveal());
    let found = store::reach::key_owner(db, &digest, (host.slug(), &host.name), db.clock().now()).await?;
    Ok(found.map(|(key, scopes, tenancy)| {
        TenantScope::mint(tenancy, Actor::ApiKey(ApiKeyId::from(key)), Role::Owner).narrowed(&scopes)
    }))
}

/// The tenant's place and limits, for whoever has its id from a row of ours.
pub async fn tenancy(db: &Db, tenant: TenantId) -> Result<Option<Tenancy>, Fault> {
    store::reach::tenancy(db, tenant.uuid()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_a_slug_or_a_domain() {
        let slug =
            |header: &str| Host::parse(header, "neurosphere.ai").map(|h| h.slug.map(|s| s.to_string()));
        assert_eq!(slug("peterson.neurosphere.ai:443"), Some(Some("peterson".to_owned())));
        assert_eq!(slug("Peterson.NeuroSphere.ai"), Some(Some("peterson".to_owned())));
        assert_eq!(slug("calls.peterson.com"), Some(None));
        for nobody in
            ["neurosphere.ai", "www.neurosphere.ai", "a.peterson.neurosphere.ai", "petersonneurosphere.ai"]
        {
            assert_eq!(slug(nobody), Some(None), "{nobody}");
        }
        for bad in ["", ":80", "a b", "x/y", "[::1]:80", &"x".repeat(300)] {
            assert_eq!(slug(bad), None, "{bad}");
        }
    }

    #[test]
    fn pages_are_secure_where_they_are_not_on_this_machine() {
        assert_eq!(origin_of("peterson.localhost:8080"), "http://peterson.localhost:8080");
        assert_eq!(origin_of("localhost"), "http://localhost");
        assert_eq!(origin_of("peterson.neurosphere.ai"), "https://peterson.neurosphere.ai");
        assert_eq!(origin_of("notlocalhost:80"), "https://notlocalhost:80");
    }

    #[test]
    fn domains_are_full_names() {
        let parsed = |text: &str| text.parse::<DomainName>().map(|name| name.0);
        assert_eq!(parsed("Calls.Peterson.COM."), Ok("calls.peterson.com".to_owned()));
        for bad in
            ["", "localhost", "a..b", "-a.com", "a-.com", "a_b.com", "127.0.0.1", "a.com/x", "пример.рф"]
        {
            assert_eq!(parsed(bad), Err(BadHost), "{bad}");
        }
        let within = |text: &str| text.parse::<DomainName>().unwrap().is_within("neurosphere.ai");
        assert!(within("neurosphere.ai") && within("x.neurosphere.ai") && !within("xneurosphere.ai"));
    }
}
