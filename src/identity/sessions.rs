//! Sessions: through which a member acts from a browser. A session names one tenant, is opened at the end of a sign-in, and
//! is looked up at every request, so that what ends it ends it at once. Must never know how its secret is carried.

use chrono::TimeDelta;

use super::{Standing, store};
use crate::access::{Actor, TenantScope};
use crate::db::Db;
use crate::db::tx::PlatformTx;
use crate::error::Fault;
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
