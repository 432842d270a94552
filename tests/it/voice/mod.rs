//! Calls on real sockets: webhooks, streams, troubles on every side, and whole conversations with the stand-in world.

mod records;
pub(crate) mod stage;
mod streams;
mod talks;
mod webhooks;
