//! Industry templates: which fields a caller's profile has, how they are shown, and how a profile is summed up in one
//! line. Everything in this folder but its store is pure. Must never know a tenant, a caller or a transport.
//!
//! Start at [`version::TemplateVersion`]; a profile is judged by [`validate::profile`] and changed by [`merge::apply`].

pub mod bio;
pub mod catalog;
pub mod merge;
pub mod seed_language;
mod store;
pub mod validate;
pub mod version;
