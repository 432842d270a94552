//! Sessions: through which a member acts from a browser. A session names one tenant, is opened at the end of a sign-in, and
//! is looked up at every request, so that what ends it ends it at once. Must never know how its secret is carried.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Standing, store};
use crate::access::{Action, Actor, TenantScope};
use crate::audit::{self, Deed};
use crate::db::Db;
use crate::db::page::Page;
use crate::db::tx::{PlatformTx, TenantTx};
use crate::error::{Error, Fault};
use crate::ids::{MemberId, SessionId, TenantId};
use crate::secret::{self, Secret};
use crate::tenants::reach::Host;

/// A session that nobody used for so long is over: a working day, so that one who comes back from lunch is still in and one
/// who left a computer somewhere overnight is not.
pub const IDLE_MAX: TimeDelta = TimeDelta::hours(12);
/// However much it is used, after so long somebody has to prove again who they are: once a week.
pub const LIFE_MAX: TimeDelta = TimeDelta::days(7);
const AGENT_CHARS_MAX: usize = 300;

/// What is known of a browser, for people to know a session again by.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    agent: String,
    address: String,
}

impl Browser {
    /// As it names itself, and where it is.
    pub fn new(agent: &str, address: &str) -> Self {
        let agent = agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect();
        Self { agent, address: address.to_owned() }
    }

    /// As it names itself.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// A session, without what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub member: MemberId,
    /// How the member proved who it is.
    pub factors: Vec<String>,
    /// The browser, as it names itself.
    pub agent: String,
    /// Where it was when it signed in.
    pub address: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to a few minutes.
    pub seen_at: DateTime<Utc>,
    /// When it is over, however much it is used.
    pub expires_at: DateTime<Utc>,
}

/// A session that is to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// In which tenant.
    pub tenant: TenantId,
    /// For whom.
    pub member: MemberId,
    /// How they proved who they are.
    pub factors: &'a [String],
    /// From where.
    pub browser: &'a Browser,
}

/// The session through which somebody acts, if it is one.
pub fn acting(scope: &TenantScope) -> Option<SessionId> {
    match scope.actor() {
        Actor::Member { session, .. } => Some(session),
        Actor::ApiKey(_)
        | Actor::SignIn(_)
        | Actor::Carrier
        | Actor::Call(_)
        | Actor::Job(_)
        | Actor::Operator(_)
        | Actor::CommandLine => None,
    }
}

/// The sessions of a member that open the API now, newest first.
pub async fn of_member(tx: &mut TenantTx<'_>, member: MemberId, page: Page) -> Result<Vec<Session>, Error> {
    tx.permit(whose(tx.scope(), member))?;
    Ok(store::sessions::of_member(tx, member, page).await?)
}

/// Ends a session, at once and for good. One that is over already is none.
pub async fn revoke(tx: &mut TenantTx<'_>, id: SessionId) -> Result<SessionId, Error> {
    tx.permit(Action::SelfKeep).or_else(|_| tx.permit(Action::MembersWrite))?;
    let session = store::sessions::find(tx, id).await?.ok_or(Error::NotFound("session"))?;
    if tx.permit(whose(tx.scope(), session.member)).is_err() {
        return Err(Error::NotFound("session"));
    }
    store::sessions::revoke(tx, id).await?;
    let (subject, before) = (session.member.to_string(), json!({"session": id.to_string()}));
    let deed =
        Deed { action: "sessions.revoke", subject: &subject, reason: None, before, after: Value::Null };
    audit::record_own(tx, deed).await?;
    Ok(id)
}

/// Ends the session whose secret that is, by whoever has it.
pub async fn end(db: &Db, host: &Host, secret: &Secret) -> Result<(), Error> {
    let Some(scope) = holder(db, host, secret).await? else { return Ok(()) };
    let Some(id) = acting(&scope) else { return Ok(()) };
    let mut session = db.registry(&scope).await?;
    let mut tx = session.begin().await?;
    revoke(&mut tx, id).await?;
    Ok(tx.commit().await?)
}

/// One's own sessions are everybody's to look after, others' those of whoever looks after members.
fn whose(scope: &TenantScope, member: MemberId) -> Action {
    if store::acting_member(scope) == Some(member) { Action::SelfKeep } else { Action::MembersWrite }
}

/// Opens a session, in the transaction in which somebody proved who they are, and gives its secret.
pub(super) async fn open(tx: &mut PlatformTx, opening: &Opening<'_>) -> Result<(SessionId, Secret), Fault> {
    let secret = Secret::new(secret::random_token());
    let id = store::sessions::add(tx, opening, &secret::digest(secret.reveal())).await?;
    Ok((id, secret))
}

/// Ends the session that a browser had before it got another one.
pub(super) async fn end_before(tx: &mut PlatformTx, tenant: TenantId, before: &Secret) -> Result<(), Fault> {
    store::sessions::end_before(tx, tenant, &secret::digest(before.reveal())).await
}

/// The right to act that a session gives on a host: both must name the same active tenant.
pub async fn holder(db: &Db, host: &Host, secret: &Secret) -> Result<Option<TenantScope>, Fault> {
    let digest = secret::digest(secret.reveal());
    let found = store::sessions::holder(db, &digest, host).await?;
    Ok(found.map(|held| {
        let actor = Actor::Member { member: held.member, session: held.session };
        let scope = TenantScope::mint(held.tenancy, actor, held.standing.role());
        match held.standing {
            Standing::Custom(_) => scope.in_role_of(&held.scopes),
            Standing::Owner | Standing::Admin | Standing::Member | Standing::Viewer => scope,
        }
    }))
}
