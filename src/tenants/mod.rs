//! Tenants: the businesses that use the platform. Must never know a transport.

pub mod persona;
