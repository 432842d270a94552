//! Mail to people who come in. Each letter's secret is made when it is sent, so that none stands in the queue: sent twice
//! after a crash, the later letter is the one whose link works.

use chrono::TimeDelta;

use super::{Address, invitations, store};
use crate::access::Action;
use crate::db::Db;
use crate::db::tx::PlatformTx;
use crate::error::Fault;
use crate::ids::{InvitationId, SignInId};
use crate::jobs::{self, Attempt, Failed, KeeperAttempt, Kind};
use crate::providers::mail::{Letter, Mailer};
use crate::secret::{self, Secret};
use crate::tenants::reach;

/// Mails the link of an attempt to sign in; the key is its id and what tells the address. Given up soon: nobody waits longer.
pub const MAIL_LINK: Kind = Kind { name: "sign_in.mail_link", attempts_max: 4 };
/// Mails an invitation; the key is its id and the how-manieth mail it is.
pub const MAIL_INVITATION: Kind = Kind { name: "members.mail_invitation", attempts_max: 20 };

/// Deletes attempts to sign in and sessions that are long over, and is run again tomorrow; the key is the day.
pub const SWEEP: Kind = Kind { name: "sign_in.sweep", attempts_max: 5 };

/// How long an attempt that is over can still be looked at.
const ATTEMPTS_KEPT: TimeDelta = TimeDelta::days(1);
/// How long a session that is over can still be looked at.
const SESSIONS_KEPT: TimeDelta = TimeDelta::days(30);

/// By which names and through which server people are written to.
#[derive(Clone)]
pub struct Post {
    /// The server; without one nobody can be written to.
    pub mailer: Option<Mailer>,
    /// Where people prove who they are.
    pub auth_host: String,
    /// Where the pages of tenants are.
    pub sites: Sites,
}

impl Post {
    /// The link of an attempt to sign in that began at that host, by the port that was used there.
    fn link(&self, host: &str, token: &Secret) -> String {
        let port = host.rsplit_once(':').map_or_else(String::new, |(_, port)| format!(":{port}"));
        format!("{}/link/{}", reach::origin_of(&format!("{}{port}", self.auth_host)), token.reveal())
    }
}

/// Where the pages of tenants are.
#[derive(Debug, Clone)]
pub struct Sites {
    /// Tenants are `{slug}.{base_domain}`.
    pub base_domain: String,
    /// The port, where browsers must be told.
    pub port: Option<u16>,
}

impl Sites {
    /// The link of an invitation.
    pub fn invitation(&self, slug: &str, token: &Secret) -> String {
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        let origin = reach::origin_of(&format!("{slug}.{}{port}", self.base_domain));
        format!("{origin}/signin?invitation={}", token.reveal())
    }
}

pub(super) async fn mail_link(tx: &mut PlatformTx, id: SignInId, address: &Address) -> Result<(), Fault> {
    let now = tx.now();
    let digest = secret::hex(&secret::digest(address.reveal()));
    let key = format!("{id} {}", digest.get(..16).unwrap_or_default());
    jobs::enqueue_keeper(tx, &MAIL_LINK, &key, now).await
}

/// Runs [`MAIL_LINK`]. An address that is nobody's here gets nothing.
pub async fn send_link(db: &Db, post: &Post, attempt: &KeeperAttempt) -> Result<(), Failed> {
    let id = attempt.key.split(' ').next().and_then(|id| id.parse::<SignInId>().ok());
    let id = id.ok_or_else(|| Failed::for_good("read whom to mail a link"))?;
    let mailer = mailer(post)?;
    let mut tx = db.operate(&attempt.scope).await?;
    tx.permit(Action::MailSend)?;
    let Some(to) = store::sign_in::addressee(&mut tx, id).await? else { return Ok(()) };
    let token = Secret::new(secret::random_token());
    store::sign_in::set_link(&mut tx, id, &secret::digest(token.reveal())).await?;
    tx.commit().await?;
    let link = post.link(&to.host, &token);
    let business = &to.business;
    let text = format!(
        "Somebody, probably you, wants to sign in to {business}. This link lets you in:\n\n{link}\n\n\
         It works once, within 15 minutes, and only in the browser in which you asked for it.\n\
         If it was not you, do nothing: nobody gets in without this link.\n"
    );
    let subject = format!("Sign in to {business}");
    Ok(mailer.send(Letter { to: to.address.reveal(), subject: &subject, text }).await?)
}

/// Runs [`MAIL_INVITATION`]. One that is not open any more is not sent.
pub async fn send_invitation(db: &Db, post: &Post, attempt: &Attempt) -> Result<(), Failed> {
    let id = attempt.key.split(' ').next().and_then(|id| id.parse::<InvitationId>().ok());
    let id = id.ok_or_else(|| Failed::for_good("read which invitation to mail"))?;
    let mailer = mailer(post)?;
    let mut session = db.registry(&attempt.scope).await?;
    let mut tx = session.begin().await?;
    let Some(made) = invitations::mailed(&mut tx, id).await? else { return Ok(()) };
    tx.commit().await?;
    drop(session);
    let link = post.sites.invitation(&made.slug, &made.token);
    let (business, until) = (&made.business, made.expires_at.format("%-d %B %Y"));
    let text = format!(
        "You are invited to join {business} as {}. To accept, open this link:\n\n{link}\n\n\
         It works until {until}. If you do not know {business}, do nothing.\n",
        made.role
    );
    let subject = format!("You are invited to join {business}");
    Ok(mailer.send(Letter { to: made.address.reveal(), subject: &subject, text }).await?)
}

/// Runs [`SWEEP`].
pub async fn sweep(db: &Db) -> Result<(), Failed> {
    let now = db.clock().now();
    store::sign_in::sweep(db, now - ATTEMPTS_KEPT).await?;
    store::sessions::sweep(db, now - SESSIONS_KEPT).await?;
    let mut tx = db.platform().await?;
    jobs::enqueue_daily(&mut tx, &SWEEP, now + TimeDelta::days(1)).await?;
    Ok(tx.commit().await?)
}

fn mailer(post: &Post) -> Result<&Mailer, Failed> {
    post.mailer.as_ref().ok_or_else(|| Failed::for_good("send a letter: SMTP_URL is not set"))
}
