//! Through which server mail is sent, and from whom.

use super::Reader;
use crate::secret::Secret;

/// Through which server mail is sent, and from whom.
#[derive(Debug, Clone)]
pub struct Mail {
    /// `SMTP_URL`; the server's password is in it.
    pub url: Secret,
    /// `MAIL_FROM`, as it stands in the header.
    pub from: String,
}

impl Reader<'_> {
    /// Nothing where no server is given: then no mail is sent, and nobody can ask for a link.
    pub(super) fn mail(&mut self, base_domain: Option<&str>) -> Option<Mail> {
        let url = self.found("SMTP_URL")?;
        let known = ["smtp://", "smtps://"].iter().any(|scheme| url.starts_with(scheme));
        let mistake =
            "SMTP_URL should be smtps://USER:PASSWORD@HOST, smtp://…?tls=required, or smtp://HOST:PORT";
        self.must(known.then_some(()), mistake)?;
        let from = self.text("MAIL_FROM", &format!("no-reply@{}", base_domain.unwrap_or("localhost")));
        Some(Mail { url: Secret::new(url), from })
    }
}
