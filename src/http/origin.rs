//! Which host a request names, and whether the page that sent it is of that very host: a sibling tenant's is not, though
//! browsers count the two as one site. Must never know who may do what.

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use std::net::{IpAddr, SocketAddr};
use url::{Position, Url};

/// The one host that a request names; what proxies say about others is not asked.
pub(super) fn host_text<'h>(headers: &'h HeaderMap, uri: &'h Uri) -> Option<&'h str> {
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

/// Whether nothing says that a page of another host sent it: programs that are no browsers say nothing.
pub(super) fn is_not_foreign(headers: &HeaderMap, uri: &Uri) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    host_text(headers, uri).is_some_and(|host| is_at(origin, host))
}

/// Whether the browser says that a page of this very host sent it: what comes with a cookie must say so, since browsers send
/// cookies along with what any page asks for.
pub(super) fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let says_so = headers.contains_key(header::ORIGIN) || site == Some(b"same-origin");
    says_so && is_not_foreign(headers, uri)
}

/// Whether an `Origin` is that host, port included, by http or https.
pub(super) fn is_at(origin: &HeaderValue, host: &str) -> bool {
    let Some(origin) = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()) else { return false };
    let Ok(there) = Url::parse(&format!("{}://{host}", origin.scheme())) else { return false };
    let place = |url: &Url| url[Position::BeforeHost..Position::BeforePath].to_owned();
    matches!(origin.scheme(), "http" | "https") && place(&origin) == place(&there)
}

/// Whose request it is: the network address that the outermost of so many proxies of ours was called from. What a client
/// itself writes into the header stands to the left of that, and is not asked.
pub(super) fn client(parts: &Parts, proxies: u8) -> Option<IpAddr> {
    let Some(from_right) = usize::from(proxies).checked_sub(1) else {
        return parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    };
    let lines = parts.headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let hops: Vec<_> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    hops.iter().rev().nth(from_right)?.parse().ok()
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
            is_not_foreign(&headers(&[("host", "peterson.localhost:8080"), ("origin", origin)]), &uri)
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
        assert!(is_not_foreign(&headers(&[("host", "a.b"), ("origin", "https://a.b")]), &uri));
        assert!(!is_not_foreign(&headers(&[("host", "a.b"), ("sec-fetch-site", "same-site")]), &uri));
        assert!(is_not_foreign(&headers(&[("host", "a.b"), ("sec-fetch-site", "same-origin")]), &uri));
        assert!(is_not_foreign(&headers(&[("host", "a.b")]), &uri));
    }

    #[test]
    fn what_comes_with_a_cookie_must_say_where_it_comes_from() {
        let uri = Uri::from_static("/graphql");
        for (name, value, expected) in [
            ("x-nothing", "x", false),
            ("origin", "https://a.b", true),
            ("origin", "https://c.b", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", false),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "cross-site", false),
        ] {
            assert_eq!(
                is_own(&headers(&[("host", "a.b"), (name, value)]), &uri),
                expected,
                "{name}: {value}"
            );
        }
        let both = [("host", "a.b"), ("origin", "https://a.b"), ("sec-fetch-site", "cross-site")];
        assert!(!is_own(&headers(&both), &uri));
    }

    #[test]
    fn a_client_is_where_the_outermost_of_our_proxies_saw_it() {
        let told = |lines: &[&str], proxies| {
            let mut parts = axum::http::Request::new(()).into_parts().0;
            parts.extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 5))));
            for line in lines {
                parts.headers.append("x-forwarded-for", line.parse().unwrap());
            }
            client(&parts, proxies).map(|address| address.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(&["6.6.6.6"], 0),
            some("10.0.0.1"),
            "no proxy stands in front: anybody may write that"
        );
        assert_eq!(told(&["6.6.6.6, 1.2.3.4"], 1), some("1.2.3.4"));
        assert_eq!(told(&["6.6.6.6", "1.2.3.4, 10.0.0.2"], 2), some("1.2.3.4"));
        assert_eq!(told(&["nonsense"], 1), None);
        assert_eq!(told(&[], 1), None);
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
}
