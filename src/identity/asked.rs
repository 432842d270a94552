//! Requests that make something, under an idempotency key: the same request again makes nothing more and gets the same
//! answer. Of key and request only digests are kept.

use serde_json::Value;

use super::conflict;
use crate::error::Error;
use crate::secret;

/// A request that makes something, as digests.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Of the idempotency key.
    pub(super) key: Vec<u8>,
    /// Of what was asked for under it.
    pub(super) what: Vec<u8>,
}

impl Asked {
    pub(super) fn new(idempotency_key: Option<&str>, what: &Value) -> Result<Option<Self>, Error> {
        let Some(key) = idempotency_key else { return Ok(None) };
        if !(8..=100).contains(&key.chars().count()) {
            return Err(Error::invalid("idempotencyKey", "must have 8 to 100 characters"));
        }
        Ok(Some(Self { key: secret::digest(key), what: secret::digest(&what.to_string()) }))
    }

    /// Refuses what was asked for under a key that was used for something else.
    pub(super) fn must_be(&self, what: &[u8]) -> Result<(), Error> {
        if self.what == what {
            return Ok(());
        }
        Err(conflict(
            "idempotency_mismatch",
            "this idempotency key was used for another request; use a new one",
        ))
    }
}
