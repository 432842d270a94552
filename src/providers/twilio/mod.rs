//! Twilio: signed webhooks ([`webhook`]), the documents that answer them ([`twiml`]), and the audio of a call
//! ([`media`]); and the deeds that we ask of it ([`rest`]). Must never know what a call is about.

pub mod media;
pub mod rest;
pub mod twiml;
pub mod webhook;

/// Why a text is not one of Twilio's identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Twilio identifier: 1 to 64 letters, digits, `-` or `_`")]
pub struct BadSid;

macro_rules! sids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text, which needs no escaping in JSON, XML or a URL path.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadSid;
            fn from_str(text: &str) -> Result<Self, BadSid> {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                if text.is_empty() || 64 < text.len() || !text.bytes().all(plain) {
                    return Err(BadSid);
                }
                Ok(Self(text.into()))
            }
        }
    )*};
}

sids! {
    /// One phone call at Twilio.
    CallSid;
    /// An account or sub-account at Twilio.
    AccountSid;
    /// One media stream of a call.
    StreamSid;
}
