//! Invitations: how somebody becomes a member. One goes to an address, and whoever proves to read it may accept. Must never
//! know how mail is sent.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::asked::Asked;
use super::{Address, Standing, conflict, jobs, members, roles, store};
use crate::access::Action;
use crate::audit::{self, Deed};
use crate::db::page::Page;
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::ids::{InvitationId, MemberId};
use crate::jobs as queue;
use crate::secret::{self, Secret};

/// How long one may be accepted.
pub const LIFE: TimeDelta = TimeDelta::days(7);
/// Invitations of a tenant that are open at once.
const OPEN_MAX: i64 = 200;
/// How often one is mailed at most.
const MAILS_MAX: i32 = 10;

/// An invitation, without what accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// To whom it goes.
    pub address: Address,
    /// What who accepts it will be.
    pub standing: Standing,
    /// The member who invited; nobody where a key or the command line did.
    pub invited_by: Option<MemberId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it may be accepted.
    pub expires_at: DateTime<Utc>,
    /// How many mails there are of it.
    pub mails: i32,
    /// When it was mailed last.
    pub sent_at: Option<DateTime<Utc>>,
    /// When somebody accepted it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Invitation {
    /// Whether it may be accepted at that moment.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// How an invitation comes to whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// By mail.
    Mail,
    /// By whoever invites, who is given the link.
    ByHand,
}

/// What is said in the mail of an invitation, and the token of its link.
#[derive(Debug)]
pub struct Made {
    /// The business.
    pub business: String,
    /// Its name in hosts.
    pub slug: String,
    /// To whom.
    pub address: Address,
    /// As what.
    pub role: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// What the link carries.
    pub token: Secret,
}

/// A page of them, those that are not open any more included, newest first.
pub async fn list(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Invitation>, Error> {
    tx.permit(Action::MembersRead)?;
    Ok(store::invitations::page(tx, page).await?)
}

/// Invites somebody to be no more than whoever invites. The same request under the same idempotency key, repeated, invites
/// once.
pub async fn invite(
    tx: &mut TenantTx<'_>,
    address: &Address,
    standing: Standing,
    delivery: Delivery,
    idempotency_key: Option<&str>,
) -> Result<Invitation, Error> {
    tx.permit(Action::MembersWrite)?;
    let what = json!([address.reveal(), standing.name(), standing.custom().map(|role| role.to_string())]);
    let asked = Asked::new(idempotency_key, &what)?;
    store::members::lock(tx).await?;
    roles::must_not_exceed(tx, standing).await?;
    if let Some(asked) = &asked
        && let Some((earlier, what)) = store::invitations::made_by(tx, &asked.key).await?
    {
        asked.must_be(&what)?;
        return Ok(earlier);
    }
    let now = tx.now();
    if store::members::at_address(tx, address).await? {
        return Err(conflict("already_member", "somebody with this address is a member already"));
    }
    if let Some(open) = store::invitations::pending(tx, address).await? {
        if open.is_open(now) {
            return Err(conflict("already_invited", "this address is invited already; send that one again"));
        }
        store::invitations::revoke(tx, open.id).await?;
    }
    if OPEN_MAX <= store::invitations::open(tx).await? {
        return Err(conflict("too_many_invitations", "200 invitations are open; revoke some first"));
    }
    members::must_have_room(tx).await?;
    let invitation = store::invitations::add(tx, address, standing, asked.as_ref()).await?;
    if delivery == Delivery::Mail {
        queue::enqueue(tx, &jobs::MAIL_INVITATION, &format!("{} 1", invitation.id)).await?;
    }
    note(tx, "members.invite", &invitation, Value::Null, told(&invitation)).await?;
    Ok(invitation)
}

/// Mails an invitation again, with a new link; the one before it is void, and the time begins anew.
pub async fn resend(tx: &mut TenantTx<'_>, id: InvitationId) -> Result<Invitation, Error> {
    tx.permit(Action::MembersWrite)?;
    store::members::lock(tx).await?;
    let invitation = pending(tx, id).await?;
    if MAILS_MAX <= invitation.mails {
        return Err(conflict("mailed_too_often", "this was mailed ten times; revoke it and invite anew"));
    }
    let again = store::invitations::extend(tx, id).await?.ok_or(Error::NotFound("invitation"))?;
    queue::enqueue(tx, &jobs::MAIL_INVITATION, &format!("{id} {}", again.mails)).await?;
    note(tx, "members.resend", &again, told(&invitation), told(&again)).await?;
    Ok(again)
}

/// Takes an invitation back. Repeated, it changes nothing.
pub async fn revoke(tx: &mut TenantTx<'_>, id: InvitationId) -> Result<Invitation, Error> {
    tx.permit(Action::MembersWrite)?;
    store::members::lock(tx).await?;
    let invitation = store::invitations::find(tx, id).await?.ok_or(Error::NotFound("invitation"))?;
    if invitation.accepted_at.is_some() {
        return Err(conflict("already_accepted", "this was accepted; remove the member instead"));
    }
    if invitation.revoked_at.is_some() {
        return Ok(invitation);
    }
    roles::must_not_exceed(tx, invitation.standing).await?;
    let revoked = store::invitations::revoke(tx, id).await?.ok_or(Error::NotFound("invitation"))?;
    note(tx, "members.uninvite", &revoked, told(&invitation), Value::Null).await?;
    Ok(revoked)
}

/// Makes the token of an open invitation's link; the one before it is void.
pub async fn mailed(tx: &mut TenantTx<'_>, id: InvitationId) -> Result<Option<Made>, Error> {
    tx.permit(Action::MailSend)?;
    Ok(with_token(tx, id).await?)
}

/// The same for whoever invites by hand.
pub async fn link(tx: &mut TenantTx<'_>, id: InvitationId) -> Result<Made, Error> {
    tx.permit(Action::MembersWrite)?;
    store::members::lock(tx).await?;
    let invitation = pending(tx, id).await?;
    let made = with_token(tx, id).await?.ok_or(Error::NotFound("invitation"))?;
    note(tx, "members.invite_link", &invitation, Value::Null, Value::Null).await?;
    Ok(made)
}

async fn with_token(tx: &mut TenantTx<'_>, id: InvitationId) -> Result<Option<Made>, crate::error::Fault> {
    let token = Secret::new(secret::random_token());
    store::invitations::set_token(tx, id, token).await
}

/// One that may be accepted or was forgotten, by whoever may give what it gives.
async fn pending(tx: &mut TenantTx<'_>, id: InvitationId) -> Result<Invitation, Error> {
    let invitation = store::invitations::find(tx, id).await?.ok_or(Error::NotFound("invitation"))?;
    if invitation.accepted_at.is_some() || invitation.revoked_at.is_some() {
        return Err(conflict("invitation_closed", "this was accepted or revoked; invite anew if need be"));
    }
    roles::must_not_exceed(tx, invitation.standing).await?;
    Ok(invitation)
}

fn told(invitation: &Invitation) -> Value {
    let role = invitation.standing.custom().map(|role| role.to_string());
    json!({
        "invitation": invitation.id.to_string(),
        "role": invitation.standing.name(),
        "role_id": role,
        "mails": invitation.mails,
        "expires_at": invitation.expires_at,
    })
}

async fn note(
    tx: &mut TenantTx<'_>,
    action: &'static str,
    invitation: &Invitation,
    before: Value,
    after: Value,
) -> Result<(), Error> {
    let deed = Deed { action, subject: &invitation.id.to_string(), reason: None, before, after };
    Ok(audit::record_own(tx, deed).await?)
}
