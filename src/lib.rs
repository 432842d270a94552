//! NeuroSphere: a white-label, multi-tenant AI phone platform in one process.

pub mod clock;
pub mod error;
pub mod ids;
pub mod providers;
pub mod secret;
pub mod templates;
pub mod tenants;
