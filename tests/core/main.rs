//! Everything that needs no database and no socket, in one binary that stays below two seconds.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop, and says where")]

mod call_property;
mod call_script;
mod contract;
mod limits;
mod persona;
mod templates;
mod tidy;
mod trusted;
