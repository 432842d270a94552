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
    /// Kept for the platform, or looks like a name that is.
    #[error("this name is reserved, or looks like one that is")]
    Reserved,
}

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same for all names that look alike; nobody may have a name that looks like another tenant's.
    pub fn skeleton(&self) -> String {
        skeleton(&self.0)
    }

    /// Names like this one, for somebody who cannot have it.
    pub fn alternatives(&self) -> Vec<Self> {
        let name = &self.0;
        let numbered = (2..=9).map(|n| format!("{name}-{n}"));
        let others = [format!("{name}-office"), format!("{name}-team"), format!("the-{name}")];
        others.into_iter().chain(numbered).filter_map(|text| text.parse().ok()).collect()
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
        if RESERVED.iter().any(|kept| skeleton(kept) == skeleton(text)) {
            return Err(BadSlug::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

/// What is left of a name when everything goes that people overlook: hyphens, 0 for o, 1 for l, rn for m, vv for w.
fn skeleton(name: &str) -> String {
    let plain: String = name
        .chars()
        .filter(|c| *c != '-')
        .map(|c| match c {
            '0' => 'o',
            '1' => 'l',
            other => other,
        })
        .collect();
    plain.replace("rn", "m").replace("vv", "w")
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
        for kept in ["admin", "www", "api", "a-pi", "adrnin", "logln"] {
            let expected = if kept == "logln" { Ok(()) } else { Err(BadSlug::Reserved) };
            assert_eq!(kept.parse::<Slug>().map(drop), expected, "{kept}: i and l are told apart");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        let skeleton = |text: &str| text.parse::<Slug>().unwrap().skeleton();
        for alike in ["modern-home", "modernhome", "modem-home", "m0dern-h0me"] {
            assert_eq!(skeleton(alike), "modemhome", "{alike}");
        }
        assert_eq!(skeleton("wi11ow"), skeleton("vvillow"));
        assert_ne!(skeleton("peterson"), skeleton("petersen"));
    }

    #[test]
    fn alternatives_are_names_too() {
        let names: Vec<_> =
            "peterson".parse::<Slug>().unwrap().alternatives().iter().map(ToString::to_string).collect();
        assert_eq!(names[..4], ["peterson-office", "peterson-team", "the-peterson", "peterson-2"]);
        assert!("x".repeat(39).parse::<Slug>().unwrap().alternatives().is_empty());
    }
}
