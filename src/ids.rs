//! Identifiers: one newtype per kind of thing, written `prefix_` + 26 Crockford base-32 digits on the wire and `uuid`
//! in Postgres; and [`PhoneNumber`], which prints redacted. Must never know where ids come from (`clock`) or go.

use chrono::{DateTime, Utc};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: usize = 26;

/// Why a text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct BadId {
    /// The kind that was expected.
    pub kind: &'static str,
}

/// The least id that was made at that moment or after it: ids are ordered by their time.
pub fn since(moment: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(moment.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

fn encode(prefix: &str, id: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(prefix)?;
    f.write_str("_")?;
    let value = id.as_u128();
    for place in (0..DIGITS).rev() {
        let digit = usize::try_from((value >> (place * 5)) & 31).unwrap_or(0);
        let letter = CROCKFORD.get(digit).copied().unwrap_or(b'0');
        f.write_str(char::from(letter).encode_utf8(&mut [0; 4]))?;
    }
    Ok(())
}

fn decode(kind: &'static str, prefix: &str, text: &str) -> Result<Uuid, BadId> {
    let bad = BadId { kind };
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(bad)?;
    if digits.len() != DIGITS || digits.as_bytes().first().is_none_or(|d| b'7' < *d) {
        return Err(bad);
    }
    let mut value = 0u128;
    for byte in digits.bytes() {
        let digit = CROCKFORD.iter().position(|d| *d == byte).ok_or(bad)?;
        value = (value << 5) | digit as u128;
    }
    Ok(Uuid::from_u128(value))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the wire form.
            pub const PREFIX: &'static str = $prefix;

            /// The column value.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                decode(stringify!($name), $prefix, text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A business that uses the platform.
    TenantId = "tenant";
    /// A person, known by phone number, who calls a tenant.
    CallerId = "caller";
    /// One phone call.
    CallId = "call";
    /// Something remembered about a caller.
    MemoryId = "memory";
    /// An industry template.
    TemplateId = "template";
    /// An immutable version of an industry template.
    TemplateVersionId = "tplver";
    /// An API key (not its secret).
    ApiKeyId = "key";
    /// A stored provider credential.
    CredentialId = "cred";
    /// A queued job.
    JobId = "job";
    /// Somebody of the platform's own team.
    OperatorId = "operator";
    /// A human who signs in.
    PersonId = "person";
    /// A person in a tenant.
    MemberId = "member";
    /// A role of a tenant's own.
    RoleId = "role";
    /// An invitation to become a member.
    InvitationId = "invitation";
    /// A member's session in a browser (not its secret).
    SessionId = "session";
    /// One attempt to sign in.
    SignInId = "signin";
}

/// The name of a Postgres cluster in the registry; the control plane's is `main`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterName(Box<str>);

/// Why a text is not a cluster's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster's name has 2 to 30 of a-z and 0-9 and begins with a letter")]
pub struct BadClusterName;

impl ClusterName {
    /// The name of the control plane's cluster.
    pub const MAIN: &'static str = "main";

    /// The cluster of the control plane.
    pub fn main() -> Self {
        Self(Self::MAIN.into())
    }

    /// Whether it is the control plane's.
    pub fn is_main(&self) -> bool {
        self.as_str() == Self::MAIN
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = BadClusterName;

    fn from_str(text: &str) -> Result<Self, BadClusterName> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = (2..=30).contains(&text.len())
            && text.bytes().all(known)
            && text.starts_with(|c: char| c.is_ascii_lowercase());
        if good { Ok(Self(text.into())) } else { Err(BadClusterName) }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A phone number in E.164 form. Prints redacted; [`PhoneNumber::reveal`] gives the digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber(Box<str>);

/// Why a text is not a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a phone number in E.164 form, e.g. +19495550123")]
pub struct BadPhoneNumber;

impl PhoneNumber {
    const DIGITS_MIN: usize = 7;
    const DIGITS_MAX: usize = 15;

    /// The number itself, for the wire, the database and the people it belongs to.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNumber {
    type Err = BadPhoneNumber;

    fn from_str(text: &str) -> Result<Self, BadPhoneNumber> {
        let digits = text.strip_prefix('+').ok_or(BadPhoneNumber)?;
        let long_enough = (Self::DIGITS_MIN..=Self::DIGITS_MAX).contains(&digits.len());
        if !long_enough || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadPhoneNumber);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.len().saturating_sub(2);
        write!(f, "+…{}", self.0.get(end..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_refuse_other_kinds() {
        let id = CallId::from(Uuid::from_u128(0x0192_5bd4_8a2e_7000_8000_1234_5678_9abc));
        let text = id.to_string();
        assert_eq!(text, "call_01J9DX92HEE008000J6HB7H6NW");
        assert_eq!(text.parse::<CallId>(), Ok(id));
        assert!(text.parse::<CallerId>().is_err());
        for bad in [
            "",
            "call_",
            "call_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "call_01J9DX92HE7000800028T5CY4",
            "call_01j9dx92he70008000296hk6ny",
        ] {
            assert!(bad.parse::<CallId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn phone_numbers_are_strict_and_print_redacted() {
        let number: PhoneNumber = "+19495550123".parse().unwrap();
        assert_eq!(format!("{number:?}"), "+…23");
        assert_eq!(number.reveal(), "+19495550123");
        for bad in [
            "",
            "+",
            "19495550123",
            "+0949555",
            "+1949555012345678",
            "+1 949 555",
            "+1949555012a",
            "anonymous",
        ] {
            assert!(bad.parse::<PhoneNumber>().is_err(), "{bad}");
        }
    }
}
