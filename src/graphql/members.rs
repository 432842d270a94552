//! Who is in the business: its members, their roles and sessions, and who is invited, as they are seen. What is changed is
//! in [`super::member_changes`].

use async_graphql::{Enum, ID, SimpleObject};
use chrono::{DateTime, Utc};

use super::keys::ApiKeyScope;
use crate::access::{Action, TenantScope};
use crate::identity::invitations;
use crate::identity::members;
use crate::identity::roles;
use crate::identity::sessions;
use crate::identity::{Address, Standing};
use crate::ids::RoleId;

/// What somebody is in the business.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub(super) enum MemberRole {
    /// Owns the business.
    Owner,
    /// Looks after everything, but not after who owns the business.
    Admin,
    /// Works with callers and their calls.
    Member,
    /// Reads.
    Viewer,
    /// In a role of the business's own: `roleId` says which.
    Custom,
}

impl From<Standing> for MemberRole {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Owner => Self::Owner,
            Standing::Admin => Self::Admin,
            Standing::Member => Self::Member,
            Standing::Viewer => Self::Viewer,
            Standing::Custom(_) => Self::Custom,
        }
    }
}

fn role_id(standing: Standing) -> Option<ID> {
    standing.custom().map(|role: RoleId| ID(role.to_string()))
}

/// Somebody who is in the business.
#[derive(SimpleObject)]
pub(super) struct Member {
    /// Its id.
    id: ID,
    /// What it is called.
    name: String,
    /// Its e-mail address; absent for one whose issuer gave none.
    email: Option<String>,
    /// What it is in the business.
    role: MemberRole,
    /// The role of the business's own that it is in; absent where it is in none.
    role_id: Option<ID>,
    /// Since when.
    joined_at: DateTime<Utc>,
}

impl From<members::Member> for Member {
    fn from(member: members::Member) -> Self {
        Self {
            id: ID(member.id.to_string()),
            name: member.name,
            email: member.address.map(|address: Address| address.reveal().to_owned()),
            role: member.standing.into(),
            role_id: role_id(member.standing),
            joined_at: member.created_at,
        }
    }
}

/// An invitation to become a member.
#[derive(SimpleObject)]
pub(super) struct Invitation {
    /// Its id.
    id: ID,
    /// To whom it goes.
    email: String,
    /// What who accepts it will be.
    role: MemberRole,
    /// The role of the business's own; absent where it is none.
    role_id: Option<ID>,
    /// The member who invited; absent where an API key or the platform did.
    invited_by_id: Option<ID>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Until when it may be accepted.
    expires_at: DateTime<Utc>,
    /// When it was mailed last; absent until then.
    sent_at: Option<DateTime<Utc>>,
    /// When somebody accepted it; absent unless somebody did.
    accepted_at: Option<DateTime<Utc>>,
    /// When it was taken back; absent unless it was.
    revoked_at: Option<DateTime<Utc>>,
}

impl From<invitations::Invitation> for Invitation {
    fn from(invitation: invitations::Invitation) -> Self {
        Self {
            id: ID(invitation.id.to_string()),
            email: invitation.address.reveal().to_owned(),
            role: invitation.standing.into(),
            role_id: role_id(invitation.standing),
            invited_by_id: invitation.invited_by.map(|member| ID(member.to_string())),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            sent_at: invitation.sent_at,
            accepted_at: invitation.accepted_at,
            revoked_at: invitation.revoked_at,
        }
    }
}

/// A role of the business's own. Who is in it may what its scopes hold, and nothing that an admin may not.
#[derive(SimpleObject)]
pub(super) struct Role {
    /// Its id.
    id: ID,
    /// What the business calls it.
    name: String,
    /// What it holds.
    scopes: Vec<ApiKeyScope>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<roles::Role> for Role {
    fn from(role: roles::Role) -> Self {
        Self {
            id: ID(role.id.to_string()),
            name: role.name,
            scopes: role.scopes.into_iter().map(Into::into).collect(),
            created_at: role.created_at,
        }
    }
}

/// A browser in which a member is signed in.
#[derive(SimpleObject)]
pub(super) struct Session {
    /// Its id.
    id: ID,
    /// The browser, as it names itself.
    agent: String,
    /// The network address from which it signed in.
    address: String,
    /// How the member proved who it is: `mail`, `invitation`, `provider`, `sso`, and `passkey` on top.
    factors: Vec<String>,
    /// Since when.
    created_at: DateTime<Utc>,
    /// When it was last used, to a few minutes.
    last_used_at: DateTime<Utc>,
    /// When it is over, however much it is used.
    expires_at: DateTime<Utc>,
}

impl From<sessions::Session> for Session {
    fn from(session: sessions::Session) -> Self {
        Self {
            id: ID(session.id.to_string()),
            agent: session.agent,
            address: session.address,
            factors: session.factors,
            created_at: session.created_at,
            last_used_at: session.seen_at,
            expires_at: session.expires_at,
        }
    }
}

/// Whoever asks.
#[derive(SimpleObject)]
pub(super) struct Viewer {
    /// The member whose session it is; absent where an API key asks.
    member: Option<Member>,
    /// The id of the session; absent where an API key asks.
    session_id: Option<ID>,
    /// What may be done, as named in the table of roles, e.g. `calls.read`.
    may: Vec<&'static str>,
}

impl Viewer {
    pub(super) fn new(scope: &TenantScope, member: Option<members::Member>) -> Self {
        let rights = scope.rights();
        let may = Action::ALL.iter().filter(|action| rights.include(**action)).map(|action| action.name());
        Self {
            member: member.map(Member::from),
            session_id: sessions::acting(scope).map(|session| ID(session.to_string())),
            may: may.collect(),
        }
    }
}
