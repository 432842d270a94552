//! Who may come in: the host names the tenant, or the platform itself, the key proves the right, and both must agree. A
//! page of another origin is turned away, a sibling tenant's too: browsers count them as the same site. Must never know
//! what is asked.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use url::{Position, Url};

use super::Api;
use super::answer::Refusal;
use crate::access::{PlatformScope, TenantScope};
use crate::error::Fault;
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

/// The right to act of a request.
pub(super) enum Right {
    /// Within a tenant.
    Tenant(TenantScope),
    /// On the platform.
    Platform(PlatformScope),
}

/// The right to act of a request, by its host and its `Authorization` header, unless too many came in that right.
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
    if let Some(key) = key_of(&parts.headers)
        && let Some(scope) = by_key(api, host, &key).await?
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

/// The right to act that a key gives on a tenant's host, if it gives any; the key was used then.
pub(super) async fn by_key(api: &Api, host: &Host, key: &Secret) -> Result<Option<TenantScope>, Refusal> {
    let db = &api.door.db;
    let scope = reach::holder_of_key(db, host, key).await.map_err(unavailable)?;
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

fn host_text<'h>(headers: &'h HeaderMap, uri: &'h Uri) -> Option<&'h str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let named = first.and_then(|host| host.to_str().ok());
    let asked = uri.authority().map(axum::http::uri::Authority::as_str);
    match (named, asked, second) {
        (Some(named), Some(asked), None) if named == asked => Some(named),
        (Some(one), None, None) | (None, Some(one), None) => Some(one),
        (Some(_) | None, Some(_) | None, Some(_) | None) => None,
    }
}

/// A request with an `Origin` must come from a page of this very host.
pub(super) fn own_origin(headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(Refusal::FOREIGN_ORIGIN);
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin =
        origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()).ok_or(Refusal::FOREIGN_ORIGIN)?;
    let host = host_text(headers, uri).ok_or(Refusal::FOREIGN_ORIGIN)?;
    let here = Url::parse(&format!("{}://{host}", origin.scheme())).map_err(|_| Refusal::FOREIGN_ORIGIN)?;
    let is_web = matches!(origin.scheme(), "http" | "https");
    let place = |url: &Url| url[Position::BeforeHost..Position::BeforePath].to_owned();
    if is_web && place(&origin) == place(&here) { Ok(()) } else { Err(Refusal::FOREIGN_ORIGIN) }
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

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_pages_of_this_very_host_may_call() {
        let uri = Uri::from_static("/graphql");
        let may = |origin: &str| {
            own_origin(&headers(&[("host", "peterson.localhost:8080"), ("origin", origin)]), &uri).is_ok()
        };
        assert!(may("http://peterson.localhost:8080") && may("https://peterson.localhost:8080"));
        for foreign in [
            "http://smith.localhost:8080",
            "http://peterson.localhost",
            "http://peterson.localhost:8081",
            "http://peterson.localhost.evil.com:8080",
            "null",
            "file://peterson.localhost:8080",
        ] {
            assert!(!may(foreign), "{foreign}");
        }
        assert!(own_origin(&headers(&[("host", "a.b"), ("origin", "https://a.b")]), &uri).is_ok());
        assert!(own_origin(&headers(&[("host", "a.b"), ("sec-fetch-site", "same-site")]), &uri).is_err());
        assert!(own_origin(&headers(&[("host", "a.b"), ("sec-fetch-site", "same-origin")]), &uri).is_ok());
        assert!(own_origin(&headers(&[("host", "a.b")]), &uri).is_ok());
    }

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
    fn two_hosts_are_none() {
        let uri = Uri::from_static("/graphql");
        let spoofed = headers(&[("host", "a.localhost"), ("host", "b.localhost")]);
        assert_eq!(host_text(&spoofed, &uri), None);
        let absolute = Uri::from_static("http://b.localhost/graphql");
        assert_eq!(host_text(&headers(&[("host", "a.localhost")]), &absolute), None);
        let forwarded = headers(&[("host", "a.localhost"), ("x-forwarded-host", "b.localhost")]);
        assert_eq!(host_text(&forwarded, &uri), Some("a.localhost"));
        assert_eq!(host_text(&HeaderMap::new(), &absolute), Some("b.localhost"));
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
