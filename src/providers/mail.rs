//! Mail over SMTP: one plain text to one address. Must never put an address or a text into an error: servers echo them.

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use std::time::Duration;

use super::http::Trouble;
use crate::config::Mail;
use crate::error::{Fault, OrFault as _};

const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A server that takes mail. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// What is sent.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The address.
    pub to: &'a str,
    /// On one line.
    pub subject: &'a str,
    /// Plain text.
    pub text: String,
}

impl Mailer {
    /// Prepares the way to the server; connects to nothing yet.
    pub fn new(config: &Mail) -> Result<Self, Fault> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(config.url.reveal())
            .map_err(|_| Fault::new("read SMTP_URL"))?;
        let from = config.from.parse().or_fault("read MAIL_FROM")?;
        Ok(Self { transport: transport.timeout(Some(ANSWER_MAX)).build(), from })
    }

    /// Sends a letter; once the server has taken it, it is the server's to deliver.
    pub async fn send(&self, letter: Letter<'_>) -> Result<(), Trouble> {
        let to = letter.to.parse().map_err(|_| Trouble::lasting("read the address of a letter"))?;
        let subject: String = letter.subject.chars().filter(|c| !c.is_control()).collect();
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text)
            .map_err(|_| Trouble::lasting("write a letter"))?;
        self.transport.send(message).await.map(drop).map_err(|error| refused(&error))
    }
}

fn refused(error: &smtp::Error) -> Trouble {
    let status = error.status().map_or_else(String::new, |status| format!(" with {status}"));
    let doing = format!("send a letter: the mail server refused or was not reached{status}");
    if error.is_permanent() { Trouble::lasting(doing) } else { Trouble::passing(doing) }
}
