//! NeuroSphere: a white-label, multi-tenant AI phone platform in one process. This page is the map; `docs/architecture.md`
//! follows one call file by file.
//!
//! # From above
//!
//! A business has a number, a host and a schema of its own in Postgres. When its number is called, a carrier's signed
//! webhook comes in, the dialled number names the tenant, a media stream is bridged to a realtime speech model, and what
//! was said ends in the tenant's schema, where only that tenant's staff see it over GraphQL. Carriers and models are
//! reached over their own wires only; in tests, demo and benchmarks the same wires lead to the `standin` program.
//!
//! # A GraphQL mutation, step by step
//!
//! `updateCallerProfile` on `peterson.BASE_DOMAIN`: [`http`] checks content type, origin and size, and
//! [`tenants::reach::holder_of_key`] turns host and bearer key, which must agree, into an [`access::TenantScope`], which
//! knows the tenant's place and limits ([`tenancy`]) and what the key may do. The resolver in
//! [`graphql`] begins a [`db::tx::TenantTx`] and calls [`callers::patch_profile`], which asks `tx.permit(…)`, locks the
//! row, merges the patch, has [`templates`] judge the result, and writes it. A refusal comes back as data in the payload;
//! a [`error::Fault`] is logged once and told as a code with the request's id. The resolver commits, once, at the rim.
//!
//! An operator's mutation on `platform.BASE_DOMAIN` takes the same way to another schema ([`graphql::platform`]): there
//! [`operators::holder_of_key`] gives an [`access::PlatformScope`], and the transaction is a [`db::tx::PlatformTx`], which
//! reaches the control plane and no tenant's schema.
//!
//! # Where things are
//!
//! | | |
//! |---|---|
//! | [`app`] | joins everything, starts and stops it |
//! | [`http`], [`graphql`] | transports: decode, call one operation, encode |
//! | [`voice`] | a live call: a pure machine and a thin shell |
//! | [`jobs`] | the queue, and the worker that runs it |
//! | [`audit`] ← [`templates`] ← [`tenants`] ← [`identity`] ← [`operators`] ← [`callers`] ← [`memory`] ← [`calls`] | slices, in the only order in which they may call each other |
//! | [`providers`] | Twilio's and OpenAI's wires and clients |
//! | [`db`] | the only place that speaks to Postgres |
//! | [`access`], [`clock`], [`config`], [`error`], [`ids`], [`refusals`], [`secret`], [`sentences`], [`telemetry`] | what everybody uses |
//!
//! # Invariants
//!
//! 1. No statement runs outside a tenant transaction or a platform transaction, and none names a schema but through
//!    the placeholder that a tenant transaction fills.
//! 2. The tenant comes from a credential, a verified number or a row, never from a parameter. There is no default.
//! 3. The tenant of a control-plane row is read from the role's own name, so that no setting can be forged.
//! 4. Nothing session-level is ever set on a pooled connection; a connection that was left in a transaction is rolled
//!    back before anybody gets it.
//! 5. No network call happens while a transaction is open, and the audio path never waits for Postgres.
//! 6. Slices know no transport, transports no SQL, the call machine no clock and no socket. `tests/core/tidy.rs` holds it.
//! 7. What people say, their numbers and all tokens are in types that print redacted, and in no log line.

pub mod access;
pub mod app;
pub mod audit;
pub mod callers;
pub mod calls;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod graphql;
pub mod http;
pub mod identity;
pub mod ids;
pub mod jobs;
pub mod memory;
pub mod operators;
pub mod providers;
pub mod refusals;
pub mod secret;
pub mod sentences;
pub mod telemetry;
pub mod templates;
pub mod tenancy;
pub mod tenants;
pub mod voice;
mod words;
