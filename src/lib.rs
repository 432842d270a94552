//! NeuroSphere: a white-label, multi-tenant AI phone platform in one process.

pub mod access;
pub mod app;
pub mod callers;
pub mod calls;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod graphql;
pub mod http;
pub mod ids;
pub mod jobs;
pub mod memory;
pub mod providers;
pub mod secret;
pub mod telemetry;
pub mod templates;
pub mod tenants;
pub mod voice;
mod words;
