//! What every page has: its frame, and headers that let it do nothing but what it is for. Text from outside is escaped as it
//! is put in ([`escaped`]). Must never know what a page is about.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use std::fmt::Write as _;

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    title: String,
    /// HTML.
    body: String,
    /// Where its forms may be sent besides its own host: an origin.
    sends_to: Option<String>,
    sends_itself: bool,
}

impl Page {
    /// `title` is text, `body` HTML.
    pub(super) fn new(title: &str, body: String) -> Self {
        let title = escaped(title);
        Self { status: StatusCode::OK, title, body, sends_to: None, sends_itself: false }
    }

    /// Something did not work: says so in words, and by which number it can be found in the log.
    pub(super) fn problem(status: StatusCode, title: &str, text: &str, headers: &HeaderMap) -> Self {
        let mut body = format!("<p>{}</p>", escaped(text));
        if let Some(id) = headers.get(crate::http::REQUEST_ID).and_then(|id| id.to_str().ok()) {
            write!(body, "<p class=\"small\">Request {}</p>", escaped(id)).ok();
        }
        Self { status, ..Self::new(title, body) }
    }

    /// The same with a form that is sent to another origin, at once where scripts run.
    pub(super) fn sent_to(self, origin: String) -> Self {
        Self { sends_to: Some(origin), sends_itself: true, ..self }
    }

    pub(super) fn response(self) -> Response {
        let script =
            if self.sends_itself { "<script src=\"/pages/hand-over.js\" defer></script>" } else { "" };
        let title = &self.title;
        let text = format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <link rel=\"stylesheet\" href=\"/pages/style.css\">{script}</head>\
             <body><main><h1>{title}</h1>{}</main></body></html>",
            self.body
        );
        let more = self.sends_to.as_deref().unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self' {more}; frame-ancestors 'none'; \
             base-uri 'none'"
        );
        let mut response = (self.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Links carry tokens: of an address only the origin is told, which the host that takes the code must see.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// A form with one button; `fields` are names and values that it carries.
pub(super) fn form(action: &str, fields: &[(&str, &str)], button: &str) -> String {
    let mut html = format!("<form method=\"post\" action=\"{}\">", escaped(action));
    for (name, value) in fields {
        let (name, value) = (escaped(name), escaped(value));
        write!(html, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">").ok();
    }
    write!(html, "<button>{}</button></form>", escaped(button)).ok();
    html
}

/// Sends the browser on; it asks there by GET.
pub(super) fn see_other(address: &str) -> Response {
    let location = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    let headers =
        [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// A text as HTML, in and outside of attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        let evil = "\"><script>alert('x')</script>&";
        let safe = "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;";
        assert_eq!(escaped(evil), safe);
        let html = form(evil, &[(evil, evil)], evil);
        assert!(html.matches(safe).count() == 4 && !html.contains("<script>"), "{html}");
    }

    #[test]
    fn a_page_may_do_nothing_but_what_it_is_for() {
        let page = Page::new("a <b>", String::new()).sent_to("https://a.example".to_owned()).response();
        let header = |name: &str| page.headers().get(name).unwrap().to_str().unwrap();
        let policy = header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("form-action 'self' https://a.example;")
        );
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "strict-origin");
    }
}
