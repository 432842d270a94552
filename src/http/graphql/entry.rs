//! Who may come in: the host names the tenant, or the platform itself, the key or the session proves the right, and both
//! must agree. A page of another origin is turned away. Must never know what is asked.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};

use super::Api;
use super::answer::Refusal;
use crate::access::{Actor, PlatformScope, TenantScope};
use crate::error::Fault;
use crate::graphql::trusted::Freedom;
use crate::http::origin::host_text;
use crate::http::{cookies, origin};
use crate::identity::sessions;
use crate::operators;
use crate::refusals::{self, Limit};
use crate::secret::Secret;
use crate::tenants::State;
use crate::tenants::reach::{self, Host};

/// Requests of an operator per second on average: enough for scripts, and the control plane stays free for everybody else.
const OPERATOR_REQUESTS_PER_S: u16 = 200;

/// Whose API a host is for.
pub(super) enum Site {
    /// A tenant's, if one lives there.
    Tenant(Host),
    /// The platform's own.
    Platform,
}

/// What somebody comes in with on a tenant's host.
pub(super) enum Credential {
    /// An API key.
    Key(Secret),
    /// The secret of a member's session.
    Session(Secret),
}

/// The right to act of a request.
pub(super) enum Right {
    /// Within a tenant.
    Tenant(TenantScope),
    /// On the platform.
    Platform(PlatformScope),
}

impl Right {
    /// Which documents it may have executed, where a browser's session may have `in_sessions`: what runs in a page may be
    /// somebody else's.
    pub(super) fn freedom(&self, in_sessions: Freedom) -> Freedom {
        let Self::Tenant(scope) = self else {
            // Operators come in by a key of their own.
            return Freedom::Free;
        };
        match scope.actor() {
            Actor::Member { .. } | Actor::SignIn(_) => in_sessions,
            Actor::ApiKey(_)
            | Actor::Carrier
            | Actor::Call(_)
            | Actor::Job(_)
            | Actor::Operator(_)
            | Actor::CommandLine => Freedom::Free,
        }
    }
}

/// The right to act that a request still gives which was let in before.
pub(super) async fn again(api: &Api, parts: &Parts) -> Result<Right, Refusal> {
    match site(api, parts)? {
        Site::Tenant(host) => tenants(api, &host, parts).await.map(Right::Tenant),
        Site::Platform => operators(api, parts).await.map(Right::Platform),
    }
}

/// The right to act of a request, by its host and its `Authorization` header or cookie, unless too many came in that right.
pub(super) async fn let_in(api: &Api, parts: &Parts) -> Result<Right, Refusal> {
    let site = site(api, parts)?;
    own_origin(&parts.headers, &parts.uri)?;
    match site {
        Site::Tenant(host) => {
            let scope = tenants(api, &host, parts).await?;
            within_rate(api, &scope)?;
            Ok(Right::Tenant(scope))
        }
        Site::Platform => operators(api, parts).await.map(Right::Platform),
    }
}

/// Refuses a request when its tenant has sent more than it may.
pub(super) fn within_rate(api: &Api, scope: &TenantScope) -> Result<(), Refusal> {
    api.rates.take(&scope.tenant(), scope.tenancy().limits.requests_per_s).map_err(|too_many| {
        refusals::note(Limit::Requests, scope.tenant());
        Refusal::too_many("this business", too_many)
    })
}

async fn tenants(api: &Api, host: &Host, parts: &Parts) -> Result<TenantScope, Refusal> {
    if let Some(credential) = credential(&parts.headers, &parts.uri)?
        && let Some(scope) = holder(api, host, &credential).await?
    {
        return Ok(scope);
    }
    resident(api, host, parts).await?;
    Err(Refusal::UNAUTHORIZED)
}

async fn operators(api: &Api, parts: &Parts) -> Result<PlatformScope, Refusal> {
    let key = key_of(&parts.headers).ok_or(Refusal::NO_OPERATOR)?;
    let (operator, scope) = operators::holder_of_key(&api.door.db, &key)
        .await
        .map_err(unavailable)?
        .ok_or(Refusal::NO_OPERATOR)?;
    api.operator_rates.take(&operator, OPERATOR_REQUESTS_PER_S).map_err(|too_many| {
        refusals::note(Limit::OperatorRequests, operator);
        Refusal::too_many("an operator", too_many)
    })?;
    Ok(scope)
}

/// The right to act that a credential gives on a tenant's host, if it gives any; it was used then.
pub(super) async fn holder(
    api: &Api,
    host: &Host,
    credential: &Credential,
) -> Result<Option<TenantScope>, Refusal> {
    let db = &api.door.db;
    let scope = match credential {
        Credential::Key(key) => reach::holder_of_key(db, host, key).await,
        Credential::Session(session) => sessions::holder(db, host, session).await,
    };
    let scope = scope.map_err(unavailable)?;
    if let Some(scope) = &scope {
        api.last_use.note(scope, db.clock().now());
    }
    Ok(scope)
}

/// Refuses a host where no tenant is in service; of one that had this name until a short while ago it says where it is.
/// That is asked whether the host is unknown or its tenant suspended: the two take the same time.
pub(super) async fn resident(api: &Api, host: &Host, parts: &Parts) -> Result<(), Refusal> {
    let db = &api.door.db;
    let found = reach::at_host(db, host).await.map_err(unavailable)?;
    if found.is_some_and(|tenant| tenant.state == State::Active) {
        return Ok(());
    }
    match reach::moved_from(db, host).await.map_err(unavailable)? {
        Some(slug) => Err(Refusal::moved(address(&slug, &api.base_domain, parts))),
        None => Err(Refusal::UNKNOWN_HOST),
    }
}

/// Where the same path and query are on the host that a tenant has now. Of the host that was asked for only the port is
/// taken. The scheme is left to whoever follows (RFC 9110, 10.2.2): behind a proxy that ends TLS only they know it.
fn address(slug: &str, base_domain: &str, parts: &Parts) -> String {
    let port = host_text(&parts.headers, &parts.uri).and_then(|host| host.rsplit_once(':'));
    let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    format!("//{slug}.{base_domain}{port}{path}")
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn unavailable(fault: Fault) -> Refusal {
    tracing::error!(fault = fault.chain(), "nobody can be let in");
    Refusal::UNAVAILABLE
}

/// The one host that a request names; what proxies say about others is not asked.
pub(super) fn site(api: &Api, parts: &Parts) -> Result<Site, Refusal> {
    let text = host_text(&parts.headers, &parts.uri).ok_or(Refusal::UNKNOWN_HOST)?;
    let host = Host::parse(text, &api.base_domain).ok_or(Refusal::UNKNOWN_HOST)?;
    if host.name() == &*api.platform_host { Ok(Site::Platform) } else { Ok(Site::Tenant(host)) }
}

/// A request with an `Origin` must come from a page of this very host.
pub(super) fn own_origin(headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    if origin::is_not_foreign(headers, uri) { Ok(()) } else { Err(Refusal::FOREIGN_ORIGIN) }
}

/// What a request comes in with. A cookie counts only in what a page of this very host sent.
pub(super) fn credential(headers: &HeaderMap, uri: &Uri) -> Result<Option<Credential>, Refusal> {
    if let Some(key) = key_of(headers) {
        return Ok(Some(Credential::Key(key)));
    }
    let Some(session) = cookies::read(headers, cookies::SESSION) else { return Ok(None) };
    if origin::is_own(headers, uri) {
        Ok(Some(Credential::Session(session)))
    } else {
        Err(Refusal::FOREIGN_ORIGIN)
    }
}

/// The bearer key of the `Authorization` header.
pub(super) fn key_of(headers: &HeaderMap) -> Option<Secret> {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer)
}

/// The key in `Bearer …`.
pub(super) fn bearer(text: &str) -> Option<Secret> {
    let (scheme, key) = text.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && key.len() <= 200).then(|| Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    #[test]
    fn who_moved_is_sent_to_a_host_of_ours_by_the_scheme_and_port_that_were_used() {
        let sent = |host: &str, path: &str| {
            let request = axum::http::Request::builder().uri(path).header("host", host).body(()).unwrap();
            address("new", "neurosphere.ai", &request.into_parts().0)
        };
        let old = "old.neurosphere.ai";
        assert_eq!(sent(old, "/graphql"), "//new.neurosphere.ai/graphql");
        assert_eq!(sent("old.neurosphere.ai:8080", "/graphql/ws"), "//new.neurosphere.ai:8080/graphql/ws");
        let query = "/graphql?query=%7B%20a%20%7D&next=//evil.example";
        assert_eq!(sent(old, query), format!("//new.neurosphere.ai{query}"));
        for forged in
            ["old.neurosphere.ai:80@evil.example", "old.neurosphere.ai:", "old.neurosphere.ai:99999"]
        {
            assert_eq!(sent(forged, "/graphql"), "//new.neurosphere.ai/graphql", "{forged}");
        }
        for (used, expected) in [
            ("https://old.neurosphere.ai/graphql", "https://new.neurosphere.ai/graphql"),
            ("wss://old.neurosphere.ai/graphql/ws", "wss://new.neurosphere.ai/graphql"),
            ("http://old.neurosphere.ai/graphql", "http://new.neurosphere.ai/graphql"),
        ] {
            let followed = Url::parse(used).unwrap().join(&sent(old, "/graphql")).unwrap();
            assert_eq!(followed.as_str(), expected);
        }
    }

    #[test]
    fn a_bearer_key_is_read_and_nothing_else() {
        assert_eq!(bearer("Bearer ns_x").map(|key| key.reveal().to_owned()), Some("ns_x".to_owned()));
        assert!(bearer("bearer  ns_x").is_some());
        for other in ["", "Bearer", "Bearer ", "Basic ns_x", "ns_x"] {
            assert!(bearer(other).is_none(), "{other}");
        }
        assert!(bearer(&format!("Bearer {}", "x".repeat(201))).is_none());
    }
}
