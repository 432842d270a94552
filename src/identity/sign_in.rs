//! Signing in: one attempt is a row, from the tenant's host over the one host where people prove who they are and back. Each
//! step locks the row, is bound to the browser that began it, and leads to the next one only:
//!
//! ```text
//! begun ──proved──► passkey ──shown──► accept ──accepted──► handed ──completed──► done
//!    └────────────────┴───────────────────┴────────────────────▲
//! ```
//!
//! Must never know how a proof was checked, nor how codes and secrets travel.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::sessions::{self, Browser, Opening};
use super::{Address, Method, Standing, people, store};
use crate::access::{Action, Actor, PlatformScope, Role};
use crate::audit::{self, Chain, Deed};
use crate::db::Db;
use crate::db::tx::PlatformTx;
use crate::error::{Error, Fault};
use crate::ids::{InvitationId, MemberId, PersonId, SignInId, TenantId};
use crate::secret::{self, Secret};
use crate::words::words;

/// How long an attempt may take, from one end to the other.
pub const LIFE: TimeDelta = TimeDelta::minutes(10);
/// How long a link that was mailed works: as long as mail usually takes, and no longer than people remember asking.
pub const LINK_LIFE: TimeDelta = TimeDelta::minutes(15);
/// How long the code may take from the one host to the other: as long as a browser takes to post a form.
pub const HAND_OVER_LIFE: TimeDelta = TimeDelta::seconds(60);

words! {
    /// How far an attempt is.
    Stage {
        /// Nothing is proved yet.
        Begun = "begun",
        /// A passkey is to be shown.
        Passkey = "passkey",
        /// An invitation is to be accepted.
        Accept = "accept",
        /// The code is on its way to the tenant's host.
        Handed = "handed",
        /// A session was opened.
        Done = "done",
        /// It came to nothing.
        Failed = "failed",
    }
}

/// An attempt, as a step finds it.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Its id.
    pub id: SignInId,
    /// Where somebody wants to get in.
    pub tenant: TenantId,
    /// On which host of it, with the port that the browser uses.
    pub host: String,
    /// Where the browser goes afterwards: a path of that host.
    pub return_path: String,
    /// How far it is.
    pub stage: Stage,
    /// The invitation whose link began it.
    pub invitation: Option<InvitationId>,
    /// Who it is, once that is proved.
    pub person: Option<PersonId>,
    /// The address that was proved with it.
    pub proved_address: Option<Address>,
    /// How it was proved, and what was shown on top.
    pub factors: Vec<String>,
    /// When it is over.
    pub expires_at: DateTime<Utc>,
}

/// What begins at a tenant's host.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Whose host.
    pub tenant: TenantId,
    /// The host, with the port that the browser uses.
    pub host: String,
    /// Where the browser goes afterwards: see [`local_path`].
    pub return_path: String,
    /// The token of an invitation's link, if that began it.
    pub invitation: Option<Secret>,
}

/// An attempt that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Its id.
    pub id: SignInId,
    /// What the browser keeps for the tenant's host, and nobody else has.
    pub browser: Secret,
}

/// Who somebody is, and how that was proved.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Who.
    pub person: PersonId,
    /// How.
    pub method: Method,
    /// The address that was proved with it: to us, or to an issuer that may say so in this tenant.
    pub address: Option<Address>,
}

/// What follows.
#[derive(Debug)]
pub enum Next {
    /// The person has a passkey and must show it.
    Passkey,
    /// The person is invited, and is asked whether to accept.
    Accept(InvitationId),
    /// The code for the tenant's host, good once and for [`HAND_OVER_LIFE`].
    HandOver(Secret),
    /// The person has no place in this tenant.
    Nobody,
}

/// What comes back at the tenant's host.
#[derive(Debug, Clone, Copy)]
pub struct Return<'a> {
    /// The host, with the port that the browser uses.
    pub host: &'a str,
    /// What the browser keeps for this host.
    pub browser: &'a Secret,
    /// The code.
    pub code: &'a Secret,
    /// The session that this browser had before, which ends.
    pub before: Option<&'a Secret>,
}

/// A sign-in that led somewhere.
#[derive(Debug)]
pub struct Completed {
    /// The secret of the session that was opened.
    pub session: Secret,
    /// Where the browser goes now.
    pub return_path: String,
}

/// Begins a transaction of one attempt to sign in.
pub async fn enter(db: &Db, id: SignInId) -> Result<PlatformTx, Fault> {
    db.operate(&PlatformScope::mint(Actor::SignIn(id), Role::Door)).await
}

/// Begins an attempt at a tenant's host. Whoever came by a link that leads to no open invitation begins like anybody else.
pub async fn begin(db: &Db, beginning: &Beginning) -> Result<Begun, Error> {
    let id = SignInId::from(db.clock().new_id());
    let mut tx = enter(db, id).await?;
    tx.permit(Action::SignInsHold)?;
    let browser = Secret::new(secret::random_token());
    store::sign_in::add(&mut tx, id, beginning, &secret::digest(browser.reveal())).await?;
    tx.commit().await?;
    Ok(Begun { id, browser })
}

/// The attempt with this id as the host where people prove who they are sees it first: from then on it is bound to the
/// browser that keeps this secret.
pub async fn arrive(tx: &mut PlatformTx, id: SignInId, browser: &Secret) -> Result<Option<SignIn>, Error> {
    tx.permit(Action::SignInsHold)?;
    Ok(store::sign_in::arrive(tx, id, &secret::digest(browser.reveal())).await?)
}

/// The attempt, locked for a step of it: only for the browser to which it is bound, and while it lasts.
pub async fn held(tx: &mut PlatformTx, id: SignInId, browser: &Secret) -> Result<Option<SignIn>, Error> {
    tx.permit(Action::SignInsHold)?;
    Ok(store::sign_in::held(tx, id, &secret::digest(browser.reveal())).await?)
}

/// Somebody proved who they are. `sign_in` is as [`held`] gave it, in the same transaction.
pub async fn proved(tx: &mut PlatformTx, sign_in: &SignIn, proof: &Proof) -> Result<Next, Error> {
    tx.permit(Action::SignInsHold)?;
    if sign_in.stage != Stage::Begun {
        return Ok(Next::Nobody);
    }
    store::sign_in::prove(tx, sign_in.id, proof).await?;
    go_on(tx, sign_in.id, Passkey::Unseen).await
}

/// Has a link mailed to the address, if it is a member's or somebody's who is invited: that is found out by the job, so that
/// whoever asks learns nothing. An address gets one link per attempt.
pub async fn ask_link(tx: &mut PlatformTx, sign_in: &SignIn, address: &Address) -> Result<(), Error> {
    tx.permit(Action::SignInsHold)?;
    if sign_in.stage == Stage::Begun {
        store::sign_in::set_address(tx, sign_in.id, address).await?;
        super::jobs::mail_link(tx, sign_in.id, address).await?;
    }
    Ok(())
}

/// Whose attempt a link that was mailed belongs to, whoever opens it.
pub async fn of_link(db: &Db, token: &Secret) -> Result<Option<SignInId>, Fault> {
    store::sign_in::of_link(db, &secret::digest(token.reveal())).await
}

/// The link was opened, in the browser that asked for it: whoever did it reads the mail of that address.
pub async fn link_opened(tx: &mut PlatformTx, sign_in: &SignIn, token: &Secret) -> Result<Next, Error> {
    tx.permit(Action::SignInsHold)?;
    let Some(address) = store::sign_in::spend_link(tx, sign_in.id, &secret::digest(token.reveal())).await?
    else {
        return Ok(Next::Nobody);
    };
    by_address(tx, sign_in, address, Method::Mail).await
}

/// Whoever came by the link of an invitation reads the mail of the address that was invited.
pub async fn by_invitation(tx: &mut PlatformTx, sign_in: &SignIn) -> Result<Next, Error> {
    tx.permit(Action::SignInsHold)?;
    let Some((address, _)) = store::sign_in::invited(tx, sign_in.id).await? else { return Ok(Next::Nobody) };
    by_address(tx, sign_in, address, Method::Invitation).await
}

/// The address to which the invitation went whose link began the attempt, and what its reader would be; nothing once it is
/// not open any more.
pub async fn invited(tx: &mut PlatformTx, sign_in: &SignIn) -> Result<Option<(Address, Standing)>, Error> {
    tx.permit(Action::SignInsHold)?;
    Ok(store::sign_in::invited(tx, sign_in.id).await?)
}

/// Whoever proved an address to us is the person who did so before, or somebody new if the address is invited.
async fn by_address(
    tx: &mut PlatformTx,
    sign_in: &SignIn,
    address: Address,
    method: Method,
) -> Result<Next, Error> {
    if sign_in.stage != Stage::Begun {
        return Ok(Next::Nobody);
    }
    let person = match people::at_address(tx, &address).await? {
        Some(person) => person,
        None if store::sign_in::is_invited(tx, sign_in.tenant, &address).await? => {
            people::meet(tx, "", Some(&address)).await?
        }
        None => return fail(tx, sign_in.id).await,
    };
    proved(tx, sign_in, &Proof { person: person.id, method, address: Some(address) }).await
}

/// The person who was proved to be there has shown a passkey of its own.
pub async fn passkey_shown(tx: &mut PlatformTx, sign_in: &SignIn) -> Result<Next, Error> {
    tx.permit(Action::SignInsHold)?;
    if sign_in.stage != Stage::Passkey {
        return Ok(Next::Nobody);
    }
    store::sign_in::add_factor(tx, sign_in.id, "passkey").await?;
    go_on(tx, sign_in.id, Passkey::Seen).await
}

/// The person accepts the invitation that was found, and is a member from now on.
pub async fn accept(tx: &mut PlatformTx, sign_in: &SignIn) -> Result<Next, Error> {
    let scope = tx.permit(Action::SignInsHold)?;
    if sign_in.stage != Stage::Accept {
        return Ok(Next::Nobody);
    }
    let Some(joined) = store::sign_in::join(tx, sign_in.id).await? else { return fail(tx, sign_in.id).await };
    let after = json!({
        "member": joined.member.to_string(),
        "invitation": joined.invitation.to_string(),
        "role": joined.role,
    });
    let subject = joined.member.to_string();
    let deed = Deed { action: "members.join", subject: &subject, reason: None, before: Value::Null, after };
    audit::record(tx, &scope, Chain::Tenant(sign_in.tenant), deed).await?;
    hand_over(tx, sign_in.id).await
}

/// The code has arrived at the tenant's host: opens the session. A code that comes from elsewhere than it was meant for
/// is spent all the same.
pub async fn complete(
    tx: &mut PlatformTx,
    id: SignInId,
    back: Return<'_>,
    browser: &Browser,
) -> Result<Option<Completed>, Error> {
    let scope = tx.permit(Action::SignInsHold)?;
    let since = tx.now() - HAND_OVER_LIFE;
    let Some(handed) = store::sign_in::spend(tx, id, &secret::digest(back.code.reveal()), since).await?
    else {
        return Ok(None);
    };
    let of_browser = secret::digest(back.browser.reveal());
    let member = match handed.member {
        Some(member) if handed.host == back.host && handed.browser_digest == of_browser => member,
        Some(_) | None => return Ok(None),
    };
    if let Some(before) = back.before {
        sessions::end_before(tx, handed.tenant, before).await?;
    }
    let opening = Opening { tenant: handed.tenant, member, factors: &handed.factors, browser };
    let (session, text) = sessions::open(tx, &opening).await?;
    let (subject, after) =
        (member.to_string(), json!({"session": session.to_string(), "factors": handed.factors}));
    let deed =
        Deed { action: "sign_in.complete", subject: &subject, reason: None, before: Value::Null, after };
    audit::record(tx, &scope, Chain::Tenant(handed.tenant), deed).await?;
    Ok(Some(Completed { session: text, return_path: handed.return_path }))
}

/// A path of the host itself; anything else is `/`, so that a link to us never leads away from us.
pub fn local_path(text: &str) -> &str {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'\\' && b != b'"' && b != b'<' && b != b'>';
    let good = text.len() <= 2_000
        && text.starts_with('/')
        && !text.starts_with("//")
        && !text.starts_with("/signin")
        && text.bytes().all(plain);
    if good { text } else { "/" }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passkey {
    Unseen,
    Seen,
}

/// What is known of somebody who proved who they are.
#[derive(Debug, Clone, Copy)]
pub(in crate::identity) struct Found {
    pub(in crate::identity) has_passkey: bool,
    pub(in crate::identity) member: Option<MemberId>,
    pub(in crate::identity) invitation: Option<InvitationId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Passkey,
    Accept(InvitationId),
    HandOver,
    Fail,
}

/// A passkey is asked for before anything is told, and of nobody who has no place here.
fn step(found: &Found, passkey: Passkey) -> Step {
    let to_show = found.has_passkey && passkey == Passkey::Unseen;
    match (found.member, found.invitation) {
        (None, None) => Step::Fail,
        (Some(_), _) | (None, Some(_)) if to_show => Step::Passkey,
        (Some(_), _) => Step::HandOver,
        (None, Some(invitation)) => Step::Accept(invitation),
    }
}

async fn go_on(tx: &mut PlatformTx, id: SignInId, passkey: Passkey) -> Result<Next, Error> {
    let Some(found) = store::sign_in::found(tx, id).await? else { return fail(tx, id).await };
    match step(&found, passkey) {
        Step::Passkey => {
            store::sign_in::set_stage(tx, id, Stage::Passkey).await?;
            Ok(Next::Passkey)
        }
        Step::Accept(invitation) => {
            store::sign_in::set_stage(tx, id, Stage::Accept).await?;
            Ok(Next::Accept(invitation))
        }
        Step::HandOver => hand_over(tx, id).await,
        Step::Fail => fail(tx, id).await,
    }
}

async fn hand_over(tx: &mut PlatformTx, id: SignInId) -> Result<Next, Error> {
    let code = Secret::new(secret::random_token());
    store::sign_in::hand_over(tx, id, &secret::digest(code.reveal())).await?;
    Ok(Next::HandOver(code))
}

async fn fail(tx: &mut PlatformTx, id: SignInId) -> Result<Next, Error> {
    store::sign_in::set_stage(tx, id, Stage::Failed).await?;
    Ok(Next::Nobody)
}

#[cfg(test)]
mod tests {
    use super::Passkey::{Seen, Unseen};
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_follows_a_proof() {
        let (member, invited) = (MemberId::from(Uuid::from_u128(1)), InvitationId::from(Uuid::from_u128(2)));
        let after = |has_passkey, is_member: bool, is_invited: bool, passkey| {
            let (member, invitation) = (is_member.then_some(member), is_invited.then_some(invited));
            step(&Found { has_passkey, member, invitation }, passkey)
        };
        for (has_passkey, is_member, is_invited, passkey, expected) in [
            (false, false, false, Unseen, Step::Fail),
            (true, false, false, Unseen, Step::Fail),
            (false, true, false, Unseen, Step::HandOver),
            (false, true, true, Unseen, Step::HandOver),
            (false, false, true, Unseen, Step::Accept(invited)),
            (true, true, false, Unseen, Step::Passkey),
            (true, false, true, Unseen, Step::Passkey),
            (true, true, false, Seen, Step::HandOver),
            (true, false, true, Seen, Step::Accept(invited)),
        ] {
            assert_eq!(after(has_passkey, is_member, is_invited, passkey), expected);
        }
    }

    #[test]
    fn a_return_path_leads_nowhere_else() {
        for good in ["/", "/calls?first=3&after=x#top", "/a/b/c"] {
            assert_eq!(local_path(good), good);
        }
        for bad in [
            "",
            "calls",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "https://evil.example",
            "javascript:alert(1)",
            "/a b",
            "/a\r\nSet-Cookie: x=y",
            "/\t/evil.example",
            "/\"><script>",
            "/signin",
            "/signin/complete",
            "/signout\u{e9}",
            &format!("/{}", "x".repeat(2_000)),
        ] {
            assert_eq!(local_path(bad), "/", "{bad}");
        }
    }
}
