//! The platform's own API: who is let in, what operators read and change, and that all of it is as on the command line.

mod births;
mod changes;
mod entry;
mod moved;
pub(crate) mod office;
mod rates;
mod reads;
