//! Tests on real parts: Postgres, sockets, the stand-in world as its own process. Each test has a world of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot set up must stop")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod api;
mod api_examples;
mod audit;
mod calls;
mod clusters;
mod demo;
mod fleet;
mod graphql;
mod graphql_hostile;
mod graphql_http;
mod graphql_scanners;
mod graphql_socket;
mod graphql_stream;
mod guards;
mod identity;
mod jobs;
mod keys;
mod limits;
mod memory;
mod mutants;
mod operations;
mod platform;
mod pooler;
mod standin;
mod statements;
mod storm;
mod tenant_audit;
mod tenants;
mod tls;
mod voice;
mod walker;
mod wire;
mod witness;
mod world;
