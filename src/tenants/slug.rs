//! Slugs: the names that tenants have in hosts. Must never know which are taken.

use std::fmt;
use std::str::FromStr;

/// Names that we keep for ourselves, or that would look like us.
const RESERVED: [&str; 24] = [
    "admin",
    "api",
    "app",
    "auth",
    "billing",
    "blog",
    "dashboard",
    "docs",
    "ftp",
    "help",
    "internal",
    "login",
    "mail",
    "media",
    "neurosphere",
    "ns1",
    "platform",
    "root",
    "smtp",
    "static",
    "status",
    "support",
    "voice",
    "www",
];

/// The name that a tenant has in its host: `{slug}.BASE_DOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(String);

/// Why a text cannot be a slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSlug {
    /// The grammar of host labels, a little narrowed.
    #[error("a slug has 3 to 40 of a-z, 0-9 and single hyphens, and begins and ends with a letter or digit")]
    Form,
    /// Kept for the platform.
    #[error("this name is reserved")]
    Reserved,
}

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = BadSlug;

    fn from_str(text: &str) -> Result<Self, BadSlug> {
        let edges = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let well_formed = (3..=40).contains(&text.len())
            && text.chars().all(|c| edges(c) || c == '-')
            && text.starts_with(edges)
            && text.ends_with(edges)
            && !text.contains("--");
        if !well_formed {
            return Err(BadSlug::Form);
        }
        if RESERVED.contains(&text) {
            return Err(BadSlug::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_and_reserved_words() {
        for good in ["peterson", "smith-2", "a1b", "3com"] {
            assert_eq!(good.parse::<Slug>().map(|s| s.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "ab", "-abc", "abc-", "a--b", "Peter", "a.b", "a_b", "пример", &"x".repeat(41)]
        {
            assert_eq!(bad.parse::<Slug>(), Err(BadSlug::Form), "{bad}");
        }
        for kept in ["admin", "www", "api"] {
            assert_eq!(kept.parse::<Slug>(), Err(BadSlug::Reserved), "{kept}");
        }
    }
}
