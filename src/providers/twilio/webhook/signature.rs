//! `X-Twilio-Signature`: base64 of HMAC-SHA1 under the account's token, over the URL as Twilio was given it and, for
//! forms, every field. Compared in constant time. Must never know which token is right; the caller chooses it by
//! account. The URL comes from configuration, never from a request's headers.
//!
//! <https://www.twilio.com/docs/usage/security#validating-requests>

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::Form;
use crate::secret::Secret;

/// The request was not signed by whoever holds the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not that of the account")]
pub struct Forged;

/// Accepts a form.
pub fn verify_form(token: &Secret, url: &str, form: &Form<'_>, signature: &str) -> Result<(), Forged> {
    let mut fields: Vec<_> = form.0.iter().collect();
    // Names by byte; of a repeated name its distinct values, in order.
    fields.sort_unstable();
    fields.dedup();
    verify(token, url, signature, |mac| {
        for (name, value) in &fields {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
    })
}

/// Accepts a JSON body, whose hash the URL carries as `bodySHA256`. Without that hash the body is anybody's, so it is
/// refused.
pub fn verify_json(token: &Secret, url: &str, body: &[u8], signature: &str) -> Result<(), Forged> {
    let parsed = Url::parse(url).map_err(|_| Forged)?;
    let claimed = parsed.query_pairs().find(|(name, _)| name == "bodySHA256").ok_or(Forged)?.1;
    let mut actual = String::with_capacity(64);
    for byte in Sha256::digest(body) {
        for digit in [byte >> 4, byte & 15] {
            actual.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    let same_body = claimed.to_ascii_lowercase().as_bytes().ct_eq(actual.as_bytes());
    verify(token, url, signature, |_| {})?;
    if bool::from(same_body) { Ok(()) } else { Err(Forged) }
}

/// Accepts the upgrade of a media stream; the URL is the `wss://` one of our document.
pub fn verify_upgrade(token: &Secret, url: &str, signature: &str) -> Result<(), Forged> {
    verify(token, url, signature, |_| {})
}

/// Twilio signs the URL with or without an explicit default port, depending on the product; both are accepted.
fn verify(token: &Secret, url: &str, signature: &str, rest: impl Fn(&mut Hmac<Sha1>)) -> Result<(), Forged> {
    let given = STANDARD.decode(signature).map_err(|_| Forged)?;
    let mut accepted = subtle::Choice::from(0);
    for url in [Cow::Borrowed(url), other_port_spelling(url)] {
        let mut mac = Hmac::<Sha1>::new_from_slice(token.reveal().as_bytes()).map_err(|_| Forged)?;
        mac.update(url.as_bytes());
        rest(&mut mac);
        accepted |= mac.finalize().into_bytes().as_slice().ct_eq(&given);
    }
    if bool::from(accepted) { Ok(()) } else { Err(Forged) }
}

/// The same URL with its default port written out, or left out where it was written; otherwise untouched, as no
/// parser's own spelling may change a signed text.
fn other_port_spelling(url: &str) -> Cow<'_, str> {
    let Some((scheme, after)) = url.split_once("://") else { return Cow::Borrowed(url) };
    let port = match scheme {
        "https" | "wss" => ":443",
        "http" | "ws" => ":80",
        _ => return Cow::Borrowed(url),
    };
    let authority_end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, path) = after.split_at(authority_end);
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let after_host = authority.rfind(']').unwrap_or(host_at);
    match authority.strip_suffix(port) {
        Some(bare) => Cow::Owned(format!("{scheme}://{bare}{path}")),
        None if authority.get(after_host..).is_some_and(|rest| rest.contains(':')) => Cow::Borrowed(url),
        None => Cow::Owned(format!("{scheme}://{authority}{port}{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with Twilio's own helper library (Python, 9.13.0).
    const FORM_URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const FORM: &str =
        "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    const FORM_SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    const JSON: &str = r#"{"property": "value", "boolean": true}"#;
    const JSON_URL: &str = "https://example.com/hook?bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    const JSON_SIGNATURE: &str = "8zP4BSOTLR1x1Op1u6j899rpPJU=";
    const UPGRADE_URL: &str = "wss://voice.example.com/twilio/stream/abc";
    const UPGRADE_SIGNATURE: &str = "phc5P34wpumGAIxdwyxJnyzmtsE=";

    fn form(token: &str, url: &str, body: &str, signature: &str) -> bool {
        verify_form(&Secret::new(token), url, &Form::parse(body.as_bytes()).unwrap(), signature).is_ok()
    }

    #[test]
    fn a_form_is_accepted_only_whole_and_as_sent() {
        let with_port = "https://mycompany.com:443/myapp.php?foo=1&bar=2";
        let reordered = "To=%2B18005551212&From=%2B14158675309&Digits=1234&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";
        let repeated = format!("{FORM}&Digits=1234");
        for (url, body) in [(FORM_URL, FORM), (with_port, FORM), (FORM_URL, reordered), (FORM_URL, &repeated)]
        {
            assert!(form("12345", url, body, FORM_SIGNATURE), "{url} {body}");
        }
        let other_port = "https://mycompany.com:444/myapp.php?foo=1&bar=2";
        let added = format!("{FORM}&Extra=");
        let added_value = format!("{FORM}&Digits=12345");
        let changed = FORM.replace("1234&", "1235&");
        let moved = FORM.replace("Digits=1234&From", "Digits1=234&From");
        let signature_bit = FORM_SIGNATURE.replace('R', "S");
        for (token, url, body, signature, why) in [
            ("12346", FORM_URL, FORM, FORM_SIGNATURE, "another token"),
            ("", FORM_URL, FORM, FORM_SIGNATURE, "no token"),
            ("12345", "http://mycompany.com/myapp.php?foo=1&bar=2", FORM, FORM_SIGNATURE, "another scheme"),
            ("12345", "https://mycompany.com/myapp.php?foo=1", FORM, FORM_SIGNATURE, "another query"),
            ("12345", "https://evil.com/myapp.php?foo=1&bar=2", FORM, FORM_SIGNATURE, "another host"),
            ("12345", other_port, FORM, FORM_SIGNATURE, "another port"),
            ("12345", FORM_URL, &added, FORM_SIGNATURE, "an empty field more"),
            ("12345", FORM_URL, &added_value, FORM_SIGNATURE, "another value of a field"),
            ("12345", FORM_URL, &changed, FORM_SIGNATURE, "a changed value"),
            ("12345", FORM_URL, "", FORM_SIGNATURE, "no fields"),
            ("12345", FORM_URL, FORM, &signature_bit, "a changed signature"),
            ("12345", FORM_URL, FORM, "", "an empty signature"),
            ("12345", FORM_URL, FORM, "RSOYDt4T1cUTdK1P", "a shortened signature"),
            ("12345", FORM_URL, FORM, "not base64!", "no signature"),
        ] {
            assert!(!form(token, url, body, signature), "{why}");
        }
        // Twilio's scheme puts no separator between name and value; such a form signs alike and always will.
        assert!(form("12345", FORM_URL, &moved, FORM_SIGNATURE));
    }

    #[test]
    fn a_json_body_is_accepted_only_with_its_hash() {
        let token = Secret::new("12345");
        let check = |url: &str, body: &str, signature: &str| {
            verify_json(&token, url, body.as_bytes(), signature).is_ok()
        };
        assert!(check(JSON_URL, JSON, JSON_SIGNATURE));
        assert!(!check(JSON_URL, &format!("{JSON} "), JSON_SIGNATURE), "a changed body");
        assert!(!check(JSON_URL, "", JSON_SIGNATURE), "no body");
        assert!(!check(&JSON_URL.replace("0a1f", "0a1e"), JSON, JSON_SIGNATURE), "a changed hash");
        // Properly signed, but without the hash: the body could be anybody's.
        let bare = "https://example.com/hook";
        let mut mac = Hmac::<Sha1>::new_from_slice(b"12345").unwrap();
        mac.update(bare.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        assert!(verify_upgrade(&token, bare, &signature).is_ok());
        assert!(!check(bare, JSON, &signature), "no hash");
    }

    #[test]
    fn an_upgrade_is_accepted_only_for_its_url() {
        let check = |url: &str| verify_upgrade(&Secret::new("12345"), url, UPGRADE_SIGNATURE).is_ok();
        assert!(check(UPGRADE_URL));
        assert!(check("wss://voice.example.com:443/twilio/stream/abc"));
        assert!(!check("https://voice.example.com/twilio/stream/abc"));
        assert!(!check("wss://voice.example.com/twilio/stream/abd"));
        assert!(!check("wss://voice.example.com/twilio/stream/abc?x=1"));
    }

    #[test]
    fn default_ports_come_and_go() {
        for (url, other) in [
            ("https://a/b", "https://a:443/b"),
            ("https://a:443/b", "https://a/b"),
            ("http://a:80?x=:80", "http://a?x=:80"),
            ("wss://a", "wss://a:443"),
            ("ws://u:p@a/", "ws://u:p@a:80/"),
            ("https://[::1]/b", "https://[::1]:443/b"),
            ("https://[::1]:443/b", "https://[::1]/b"),
            ("https://a:8443/b", "https://a:8443/b"),
            ("https://[::1]:8443/b", "https://[::1]:8443/b"),
            ("ftp://a/b", "ftp://a/b"),
            ("no url", "no url"),
        ] {
            assert_eq!(other_port_spelling(url), other, "{url}");
        }
    }
}
