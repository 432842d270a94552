//! Cookies: host-only ones that scripts cannot read. Must never know what they open.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use chrono::TimeDelta;

use crate::identity::{sessions, sign_in};
use crate::secret::Secret;

/// A member's session, on its tenant's host.
pub(super) const SESSION: &str = "__Host-session";

/// What binds an attempt to sign in to a browser, on each of the two hosts.
pub(super) const SIGN_IN: &str = "__Host-signin";

/// A cookie as it is set.
pub(super) struct Cookie {
    name: &'static str,
    same_site: &'static str,
    life: TimeDelta,
}

impl Cookie {
    /// See [`SESSION`].
    pub(super) const SESSION: Self = Self { name: SESSION, same_site: "Lax", life: sessions::LIFE_MAX };
    /// On the tenant's host: the code is posted by a page of another site.
    pub(super) const SIGN_IN_HERE: Self = Self { name: SIGN_IN, same_site: "None", life: sign_in::LINK_LIFE };
    /// On the host where people prove who they are: links lead there from anywhere.
    pub(super) const SIGN_IN_THERE: Self = Self { name: SIGN_IN, same_site: "Lax", life: sign_in::LINK_LIFE };

    pub(super) fn set(&self, response: &mut Response, secret: &Secret) {
        self.put(response, secret.reveal(), self.life.num_seconds());
    }

    pub(super) fn clear(&self, response: &mut Response) {
        self.put(response, "", 0);
    }

    fn put(&self, response: &mut Response, value: &str, seconds: i64) {
        let (name, same_site) = (self.name, self.same_site);
        let text =
            format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={seconds}");
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
}

/// A secret of ours has 43 characters.
const VALUE_CHARS_MAX: usize = 200;

/// The secret of that cookie. One that is there twice is none: somebody else may have set one of the two.
pub(super) fn read(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut named = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    let value = named.next()?;
    let good = (1..=VALUE_CHARS_MAX).contains(&value.len()) && named.next().is_none();
    good.then(|| Secret::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_if_it_is_there_once() {
        let value = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            read(&headers, SESSION).map(|secret| secret.reveal().to_owned())
        };
        let told = Some("abc".to_owned());
        assert_eq!(value(&["__Host-session=abc"]), told);
        assert_eq!(value(&["a=b; __Host-session=abc; c=d"]), told);
        assert_eq!(value(&["a=b", "__Host-session=abc"]), told);
        let long = format!("__Host-session={}", "x".repeat(201));
        for none in [
            &["__Host-session="][..],
            &["session=abc"],
            &["x__Host-session=abc"],
            &["__host-session=abc"],
            &["__Host-session=abc; __Host-session=def"],
            &["__Host-session=abc", "__Host-session=abc"],
            &[&long],
            &[],
        ] {
            assert_eq!(value(none), None, "{none:?}");
        }
    }
}
