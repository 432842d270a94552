//! Which media type is spoken: the negotiation of the GraphQL-over-HTTP specification. Pure.

use axum::http::{HeaderMap, header};

/// A form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: a well-formed request is always answered with 200.
    Json,
    /// `application/graphql-response+json`: the status says whether the request was executed.
    GraphQl,
}

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

impl Media {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
        }
    }

    /// The form that a client accepts; nothing when it accepts neither.
    pub(super) fn negotiated(headers: &HeaderMap) -> Option<Self> {
        let listed: Vec<_> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        Self::accepted(&listed.join(","))
    }

    fn accepted(accept: &str) -> Option<Self> {
        if accept.trim().is_empty() {
            return Some(Self::Json);
        }
        let graphql = quality(accept, GRAPHQL);
        let any = quality(accept, "application/*").or_else(|| quality(accept, "*/*"));
        let json = quality(accept, JSON).or(any).unwrap_or(0.0);
        match graphql {
            Some(graphql) if 0.0 < graphql && json <= graphql => Some(Self::GraphQl),
            _ if 0.0 < json => Some(Self::Json),
            Some(graphql) if 0.0 < graphql => Some(Self::GraphQl),
            Some(_) | None => None,
        }
    }
}

/// The `q` that an `Accept` header gives to a media range, if it lists it.
fn quality(accept: &str, range: &str) -> Option<f32> {
    accept.split(',').find_map(|listed| {
        let mut parts = listed.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(range) {
            return None;
        }
        let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(q.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
    })
}

/// Whether the body is declared to be JSON in UTF-8. Anything else could be a simple request of a foreign page.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let Ok(text) = one.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(JSON)
        && parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
            !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// Whether a stream of events is accepted, by its name.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    listed.into_iter().any(|accept| quality(accept, "text/event-stream").is_some_and(|q| 0.0 < q))
}

/// Whether a browser asks for a page.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    quality(accept, "text/html").is_some_and(|q| 0.0 < q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_and_json_is_the_fallback() {
        for (accept, expected) in [
            ("", Some(Media::Json)),
            ("*/*", Some(Media::Json)),
            ("application/*", Some(Media::Json)),
            ("application/json", Some(Media::Json)),
            ("APPLICATION/JSON; charset=utf-8", Some(Media::Json)),
            ("application/graphql-response+json", Some(Media::GraphQl)),
            ("application/graphql-response+json, application/json;q=0.9", Some(Media::GraphQl)),
            ("application/json, application/graphql-response+json;q=0.5", Some(Media::Json)),
            ("application/json;q=0, application/graphql-response+json;q=0.1", Some(Media::GraphQl)),
            ("application/graphql-response+json;q=0, */*", Some(Media::Json)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("application/json;q=x", None),
        ] {
            assert_eq!(Media::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn only_json_in_utf8_is_read() {
        let json = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(json("application/json") && json("Application/JSON; charset=\"UTF-8\""));
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "application/json; charset=latin1",
            "",
        ] {
            assert!(!json(other), "{other}");
        }
        assert!(!is_json(&HeaderMap::new()));
        let mut twice = HeaderMap::new();
        twice.append(header::CONTENT_TYPE, "application/json".parse().unwrap());
        twice.append(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(!is_json(&twice));
    }
}
