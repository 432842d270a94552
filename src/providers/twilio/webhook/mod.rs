//! Twilio's webhooks: who signed them, and what the two that we take say. Nothing in a body may be trusted before
//! [`signature`] has accepted it, except the account, which only chooses the token that it is checked with.
//! Must never know tenants or calls.

pub mod signature;

use serde_json::Value;
use std::borrow::Cow;
use std::str::FromStr;

use super::{AccountSid, CallSid};
use crate::ids::PhoneNumber;

/// A form as received. Twilio adds fields without notice, so all are kept, known or not: the signature covers them.
#[derive(Debug)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Why a webhook's body cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// Above [`Form::BYTES_MAX`].
    #[error("the form is larger than {} bytes", Form::BYTES_MAX)]
    TooLarge,
    /// Above [`Form::FIELDS_MAX`].
    #[error("the form has more than {} fields", Form::FIELDS_MAX)]
    TooManyFields,
    /// Not a JSON object of texts.
    #[error("the body is not a JSON object of texts")]
    NotJson,
    /// A field that every such webhook has is absent or malformed.
    #[error("the form's field {0} is absent or malformed")]
    Field(&'static str),
}

impl<'a> Form<'a> {
    /// The largest body that is read; Twilio's are below 4 kB.
    pub const BYTES_MAX: usize = 64 * 1024;
    /// The most fields that are read; Twilio sends about forty.
    pub const FIELDS_MAX: usize = 256;

    /// Reads an `application/x-www-form-urlencoded` body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadForm> {
        if Self::BYTES_MAX < body.len() {
            return Err(BadForm::TooLarge);
        }
        let fields: Vec<_> = url::form_urlencoded::parse(body).take(Self::FIELDS_MAX + 1).collect();
        if Self::FIELDS_MAX < fields.len() {
            return Err(BadForm::TooManyFields);
        }
        Ok(Self(fields))
    }

    /// Reads a JSON body as fields: an object of texts and numbers.
    pub fn parse_json(body: &'a [u8]) -> Result<Self, BadForm> {
        if Self::BYTES_MAX < body.len() {
            return Err(BadForm::TooLarge);
        }
        let object: serde_json::Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| BadForm::NotJson)?;
        if Self::FIELDS_MAX < object.len() {
            return Err(BadForm::TooManyFields);
        }
        let field = |(name, value): (String, Value)| match value {
            Value::String(text) => Ok((Cow::Owned(name), Cow::Owned(text))),
            Value::Number(number) => Ok((Cow::Owned(name), Cow::Owned(number.to_string()))),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(BadForm::NotJson),
        };
        object.into_iter().map(field).collect::<Result<_, _>>().map(Self)
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Whose token the signature must be checked with. Still a stranger's word.
    pub fn account_sid(&self) -> Result<AccountSid, BadForm> {
        self.parsed("AccountSid")
    }

    /// Which call it is about.
    pub fn call_sid(&self) -> Result<CallSid, BadForm> {
        self.parsed("CallSid")
    }

    fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T, BadForm> {
        self.get(name).and_then(|text| text.parse().ok()).ok_or(BadForm::Field(name))
    }
}

/// A call that is ringing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingCall {
    /// The call.
    pub call_sid: CallSid,
    /// The account whose number was dialled.
    pub account_sid: AccountSid,
    /// Who calls; `None` when withheld, or not a telephone (`sip:`, `client:`).
    pub from: Option<PhoneNumber>,
    /// Which number was dialled.
    pub to: PhoneNumber,
}

impl IncomingCall {
    /// What networks put in place of a withheld number: RESTRICTED, BLOCKED, UNKNOWN, ANONYMOUS, UNAVAILABLE and
    /// "no caller id", spelled on a keypad. <https://help.twilio.com/articles/223179988>
    const WITHHELD: [&'static str; 6] =
        ["+7378742833", "+2562533", "+8566696", "+266696687", "+86282452253", "+464"];

    /// Reads the webhook of a ringing call; its signature must have been verified.
    pub fn read(form: &Form<'_>) -> Result<Self, BadForm> {
        let from = match form.get("From").unwrap_or_default() {
            withheld if !withheld.starts_with('+') || Self::WITHHELD.contains(&withheld) => None,
            number => Some(number.parse().map_err(|_| BadForm::Field("From"))?),
        };
        Ok(Self {
            call_sid: form.call_sid()?,
            account_sid: form.account_sid()?,
            from,
            to: form.parsed("To")?,
        })
    }
}

/// Where a call stands at Twilio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStatus {
    /// Not yet answered.
    Pending,
    /// Answered and up.
    InProgress,
    /// Over after it was answered.
    Completed,
    /// The line was busy.
    Busy,
    /// Could not be connected.
    Failed,
    /// Rang in vain.
    NoAnswer,
    /// Given up before it was answered.
    Canceled,
}

impl CallStatus {
    /// Whether no other status can follow.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
        }
    }
}

impl FromStr for CallStatus {
    type Err = BadForm;

    fn from_str(text: &str) -> Result<Self, BadForm> {
        Ok(match text {
            "queued" | "initiated" | "ringing" => Self::Pending,
            "answered" | "in-progress" => Self::InProgress,
            "completed" => Self::Completed,
            "busy" => Self::Busy,
            "failed" => Self::Failed,
            "no-answer" => Self::NoAnswer,
            "canceled" => Self::Canceled,
            _ => return Err(BadForm::Field("CallStatus")),
        })
    }
}

/// News of a call; may come late, twice and out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCallback {
    /// The call.
    pub call_sid: CallSid,
    /// Its account.
    pub account_sid: AccountSid,
    /// Where it stands.
    pub status: CallStatus,
    /// Which news this is, counted from 0, where Twilio says so.
    pub sequence_number: Option<u32>,
    /// How long the call was, once it is over.
    pub duration_s: Option<u32>,
}

impl StatusCallback {
    /// Reads a status callback; its signature must have been verified.
    pub fn read(form: &Form<'_>) -> Result<Self, BadForm> {
        Ok(Self {
            call_sid: form.call_sid()?,
            account_sid: form.account_sid()?,
            status: form.parsed("CallStatus")?,
            sequence_number: form.parsed("SequenceNumber").ok(),
            duration_s: form.parsed("CallDuration").ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "CallSid=CA1&AccountSid=AC1&To=%2B19495550100&CallStatus=ringing&New=thing&New=again";

    fn incoming(more: &str) -> Result<IncomingCall, BadForm> {
        IncomingCall::read(&Form::parse(format!("{CALL}&{more}").as_bytes()).unwrap())
    }

    #[test]
    fn callers_are_numbers_or_withheld() {
        let number = incoming("From=%2B19495550199").unwrap();
        assert_eq!(number.from.unwrap().reveal(), "+19495550199");
        assert_eq!(number.to.reveal(), "+19495550100");
        for withheld in
            ["", "From=", "From=anonymous", "From=%2B266696687", "From=client%3Aalice", "From=sip%3Aa%40b"]
        {
            assert_eq!(incoming(withheld).map(|call| call.from), Ok(None), "{withheld}");
        }
        for malformed in ["From=%2B", "From=%2B0949", "From=%2B1949x", "From=%2B19495550199199199"] {
            assert_eq!(incoming(malformed), Err(BadForm::Field("From")), "{malformed}");
        }
    }

    #[test]
    fn missing_and_malformed_fields_are_named() {
        for (body, field) in [
            ("AccountSid=AC1&To=%2B19495550100", "CallSid"),
            ("CallSid=CA1/../x&AccountSid=AC1&To=%2B19495550100", "CallSid"),
            ("CallSid=CA1&To=%2B19495550100", "AccountSid"),
            ("CallSid=CA1&AccountSid=AC1", "To"),
            ("CallSid=CA1&AccountSid=AC1&To=19495550100", "To"),
        ] {
            let form = Form::parse(body.as_bytes()).unwrap();
            assert_eq!(IncomingCall::read(&form), Err(BadForm::Field(field)), "{body}");
        }
    }

    #[test]
    fn forms_have_limits() {
        assert_eq!(Form::parse(&vec![b'a'; Form::BYTES_MAX + 1]).err(), Some(BadForm::TooLarge));
        assert_eq!(
            Form::parse("a=1&".repeat(Form::FIELDS_MAX + 1).as_bytes()).err(),
            Some(BadForm::TooManyFields)
        );
        assert!(
            Form::parse(&[0xFF, b'=', 0, b'&', b'&', b'%']).is_ok(),
            "rubbish is a form of strange fields"
        );
    }

    #[test]
    fn status_callbacks_tolerate_what_is_absent_but_not_an_unknown_status() {
        let read = |body: &str| StatusCallback::read(&Form::parse(body.as_bytes()).unwrap());
        let over =
            read("CallSid=CA1&AccountSid=AC1&CallStatus=completed&SequenceNumber=3&CallDuration=61").unwrap();
        assert_eq!((over.sequence_number, over.duration_s), (Some(3), Some(61)));
        assert!(over.status.is_final());
        let up = read("CallSid=CA1&AccountSid=AC1&CallStatus=in-progress&SequenceNumber=x").unwrap();
        assert_eq!((up.sequence_number, up.status.is_final()), (None, false));
        assert_eq!(read("CallSid=CA1&AccountSid=AC1&CallStatus=exploded"), Err(BadForm::Field("CallStatus")));
    }
}
