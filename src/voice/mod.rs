//! A live call: what is said, when, and what is kept of it. The decisions are pure ([`session`], [`prompt`]); what a call
//! may and must not do is its [`plan`], what is kept of it a [`record`], and how it ended an [`ending`]. The pure parts
//! must never know clocks, sockets or Postgres.

pub mod ending;
pub mod plan;
pub mod prompt;
pub mod record;
pub mod session;
