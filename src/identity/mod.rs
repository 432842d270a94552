//! Identity: the people who come in. A person ([`people`]) proves who it is in one attempt to sign in ([`sign_in`]), is in
//! a tenant what its member says ([`Standing`]), and acts there through a session ([`sessions`]). Owns who somebody is;
//! must never know what one may do (`policies/access.toml` says it), nor any transport.
//!
//! A person belongs to no tenant, and no tenant sees one: what it sees are its own members, whose rows have copies of name
//! and address. Start at [`sign_in`].

mod asked;
pub mod invitations;
pub mod jobs;
pub mod last_use;
pub mod members;
pub mod people;
pub mod roles;
pub mod sessions;
pub mod sign_in;
mod store;

use std::fmt;
use std::str::FromStr;

use crate::access::Role;
use crate::error::Error;
use crate::ids::RoleId;
use crate::words::words;

/// An e-mail address in lower case. Prints redacted; [`Address::reveal`] gives the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Box<str>);

/// Why a text is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address, e.g. ann@example.com")]
pub struct BadAddress;

impl Address {
    const CHARS_MAX: usize = 254;
    const LOCAL_CHARS_MAX: usize = 64;

    /// The address itself, for the wire, the database and the people it belongs to.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What comes after the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    /// Reads the form that people use: no quotes, no comments, no address literals. Letters beyond ASCII are refused: two of
    /// them may look alike and be two people.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let text = text.trim().to_ascii_lowercase();
        let (local, domain) = text.split_once('@').ok_or(BadAddress)?;
        let of_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
        let good_local = (1..=Self::LOCAL_CHARS_MAX).contains(&local.len())
            && local.chars().all(of_local)
            && local.split('.').all(|part| !part.is_empty());
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let good = text.len() <= Self::CHARS_MAX && good_local && domain.split('.').all(label);
        if good { Ok(Self(text.into())) } else { Err(BadAddress) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[address]")
    }
}

/// What somebody is in a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Owns the business.
    Owner,
    /// Looks after everything, but not after who owns the business.
    Admin,
    /// Works with callers and their calls.
    Member,
    /// Reads.
    Viewer,
    /// In a role of the tenant's own.
    Custom(RoleId),
}

impl Standing {
    /// The word in columns.
    pub const fn name(self) -> &'static str {
        self.role().name()
    }

    /// The line of `policies/access.toml`.
    pub const fn role(self) -> Role {
        match self {
            Self::Owner => Role::Owner,
            Self::Admin => Role::Admin,
            Self::Member => Role::Member,
            Self::Viewer => Role::Viewer,
            Self::Custom(_) => Role::Custom,
        }
    }

    /// The role of the tenant's own, if it is one.
    pub const fn custom(self) -> Option<RoleId> {
        match self {
            Self::Custom(role) => Some(role),
            Self::Owner | Self::Admin | Self::Member | Self::Viewer => None,
        }
    }
}

words! {
    /// How somebody proved who they are.
    Method {
        /// Opened a link that was mailed to them.
        Mail = "mail",
        /// Opened the link of an invitation that was mailed to them.
        Invitation = "invitation",
        /// A provider that the platform trusts said so.
        Provider = "provider",
        /// The tenant's own issuer said so; what it says counts in that tenant alone.
        Sso = "sso",
    }
}

fn conflict(code: &'static str, message: &str) -> Error {
    Error::Conflict { code, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_one_form_and_print_redacted() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.reveal().to_owned());
        assert_eq!(read(" Ann.Lee+x@Example.COM "), Ok("ann.lee+x@example.com".to_owned()));
        assert_eq!(read("a@localhost"), Ok("a@localhost".to_owned()));
        assert_eq!("a@example.com".parse::<Address>().unwrap().domain(), "example.com");
        assert_eq!(format!("{:?}", "a@example.com".parse::<Address>().unwrap()), "[address]");
        let long = format!("{}@example.com", "x".repeat(65));
        let longer = format!("a@{}", ["x".repeat(63).as_str(); 4].join("."));
        for bad in [
            "",
            "a",
            "@example.com",
            "a@",
            "a@b@c",
            "a b@c",
            "\"a\"@c",
            "a@c\r\nBcc: x@y",
            ".a@c",
            "a..b@c",
            "a@-c",
            "a@c..d",
            "a@[127.0.0.1]",
            "ä@c",
            "a,b@c",
            "<a@c>",
            &long,
            &longer,
        ] {
            assert_eq!(read(bad), Err(BadAddress), "{bad}");
        }
    }
}
