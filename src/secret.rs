//! Secrets: [`Secret`], which prints redacted and is wiped from memory, and [`MasterKey`], which seals tenants' own
//! credentials. Must never know where secrets are kept.

use aes_gcm::aead::{Aead, Generate, KeyInit, Nonce, Payload};
use aes_gcm::{Aes256Gcm, Key};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};

use crate::error::Fault;

/// A text that must never be printed.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself; each use must be defended in review.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// SHA-256 of a token, which is all of it that is stored.
pub fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// A fresh token of 256 random bits, as 43 URL-safe characters.
pub fn random_token() -> String {
    token(rand::random())
}

/// 256 bits as 43 URL-safe characters.
pub fn token(bits: [u8; 32]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bits)
}

/// The key that seals tenants' provider credentials (AES-256-GCM, a fresh nonce each, bound to its place by `aad`).
#[derive(Clone)]
pub struct MasterKey(Key<Aes256Gcm>);

impl MasterKey {
    const NONCE_BYTES: usize = 12;

    /// Reads 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut bytes = [0u8; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(place * 2..place * 2 + 2)?, 16).ok()?;
        }
        Some(Self(Key::<Aes256Gcm>::from(bytes)))
    }

    /// Seals `plain`; only `open` with the same `aad` (tenant, kind, version) gives it back.
    pub fn seal(&self, aad: &str, plain: &Secret) -> Result<Vec<u8>, Fault> {
        let nonce = Nonce::<Aes256Gcm>::generate();
        let payload = Payload { msg: plain.reveal().as_bytes(), aad: aad.as_bytes() };
        let sealed =
            Aes256Gcm::new(&self.0).encrypt(&nonce, payload).map_err(|_| Fault::new("seal a credential"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what `seal` made; refuses what was altered or belongs elsewhere.
    pub fn open(&self, aad: &str, sealed: &[u8]) -> Result<Secret, Fault> {
        let refused = || Fault::new("open a sealed credential: wrong key, or moved from another place");
        let (nonce, body) = sealed.split_at_checked(Self::NONCE_BYTES).ok_or_else(refused)?;
        let nonce = Nonce::<Aes256Gcm>::try_from(nonce).map_err(|_| refused())?;
        let plain = Aes256Gcm::new(&self.0)
            .decrypt(&nonce, Payload { msg: body, aad: aad.as_bytes() })
            .map_err(|_| refused())?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| refused())
    }

    /// HMAC-SHA-256 of `message` under a key derived for `purpose`; for cursors and derived passwords.
    pub fn tag(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (place, byte) in block.iter_mut().zip(self.0.as_slice()) {
            *place = *byte;
        }
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new(&block);
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[master key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_credentials_open_only_in_their_place() {
        let key = MasterKey::parse(&"0f".repeat(32)).unwrap();
        let sealed = key.seal("tenant a|twilio|1", &Secret::new("token")).unwrap();
        assert_eq!(key.open("tenant a|twilio|1", &sealed).unwrap().reveal(), "token");
        assert!(key.open("tenant b|twilio|1", &sealed).is_err());
        let mut altered = sealed.clone();
        altered[20] ^= 1;
        assert!(key.open("tenant a|twilio|1", &altered).is_err());
        assert!(key.open("tenant a|twilio|1", &[]).is_err());
        assert_eq!(format!("{:?} {key:?}", Secret::new("x")), "[secret] [master key]");
        assert!(MasterKey::parse("0f").is_none());
    }
}
