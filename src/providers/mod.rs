//! The outside world's wire formats and clients, one folder per provider. Owns our own, tolerant wire types: what a
//! provider adds without notice is ignored, what arithmetic rests on is parsed strictly. Must never know tenants,
//! callers or what a call is about.

pub mod dns;
pub mod http;
pub mod mail;
pub mod openai;
pub mod pcmu;
pub mod twilio;
