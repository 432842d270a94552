//! Who acts and what they may do: [`Actor`], [`Role`], [`KeyScope`], [`Action`], and the table of `policies/access.toml`
//! that joins them. Must never know how a credential was checked, nor any transport.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use crate::ids::{ApiKeyId, CallId, JobId, MemberId, OperatorId, SessionId, SignInId, TenantId};
use crate::tenancy::Tenancy;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in `policies/access.toml`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one of that name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// A part that somebody plays towards a tenant.
    Role {
        /// A business itself, through an API key, and those of its members who own it.
        Owner = "owner",
        /// A member who looks after everything but who owns the business.
        Admin = "admin",
        /// A member who works with callers and their calls.
        Member = "member",
        /// A member who reads.
        Viewer = "viewer",
        /// A member in a role of the business's own: of what an admin may, what the role's scopes hold, and this.
        Custom = "custom",
        /// The signing in of somebody of whom nothing is proved yet.
        Door = "door",
        /// The carrier's signed webhooks.
        Carrier = "carrier",
        /// The voice gateway during a call.
        Call = "call",
        /// A queued job.
        Job = "job",
        /// Somebody of the platform's own team, or at the server's command line. Towards a tenant's data it is nobody.
        Operator = "operator",
        /// The platform's own jobs: they make, move and remove tenants, and read none of their data.
        Keeper = "keeper",
    }
}

named! {
    /// A deed that is asked for at the top of an operation.
    Action {
        /// Read the tenant's own row, numbers and template.
        TenantRead = "tenant.read",
        /// Read how the agent speaks.
        AgentRead = "agent.read",
        /// Change how the agent speaks.
        AgentWrite = "agent.write",
        /// Read callers and their profiles.
        CallersRead = "callers.read",
        /// Change a caller's profile.
        ProfileWrite = "profile.write",
        /// Read memories.
        MemoryRead = "memory.read",
        /// Remember and forget.
        MemoryWrite = "memory.write",
        /// Read calls, turns, events and summaries.
        CallsRead = "calls.read",
        /// Take in a new call.
        CallsArrive = "calls.arrive",
        /// Take in what the carrier reports of a call.
        CallsStatus = "calls.status",
        /// Hold a call: its context, turns, events and end.
        CallsHold = "calls.hold",
        /// Write what came of a call.
        CallsConclude = "calls.conclude",
        /// Have work done later.
        JobsEnqueue = "jobs.enqueue",
        /// See the tenant's API keys, and never their secrets.
        KeysRead = "keys.read",
        /// Make, rotate and revoke the tenant's API keys.
        KeysWrite = "keys.write",
        /// See who the tenant's members are, and who is invited.
        MembersRead = "members.read",
        /// Invite and remove people and say what they may do, up to what one may do oneself.
        MembersWrite = "members.write",
        /// Say who owns the tenant.
        OwnersWrite = "owners.write",
        /// See and end one's own sessions, and leave.
        SelfKeep = "self.keep",
        /// Send somebody what was written to them.
        MailSend = "mail.send",
        /// Find out who signs in, and let them in.
        SignInsHold = "sign_ins.hold",
        /// List tenants and see their state, numbers and hosts.
        TenantsRead = "tenants.read",
        /// Make a tenant.
        TenantsCreate = "tenants.create",
        /// Suspend, resume and rename a tenant, and change its plan, limits and numbers.
        TenantsChange = "tenants.change",
        /// Close a tenant, and take that back.
        TenantsClose = "tenants.close",
        /// Carry out what was decided about a tenant: make its schema, finish, mirror, verify, drop.
        TenantsKeep = "tenants.keep",
        /// Read the audit log.
        AuditRead = "audit.read",
        /// Make and disable operators and their keys.
        OperatorsChange = "operators.change",
    }
}

named! {
    /// What an API key, or a role of a tenant's own, is made for: a named set of actions.
    KeyScope {
        /// Read calls, turns, events and summaries.
        CallsRead = "calls:read",
        /// Read callers, their profiles and what is remembered of them.
        CallersRead = "callers:read",
        /// The same, and change it.
        CallersWrite = "callers:write",
        /// Read how the agent speaks.
        AgentRead = "agent:read",
        /// The same, and change it.
        AgentWrite = "agent:write",
        /// Make keys that may do no more, rotate and revoke.
        KeysWrite = "keys:write",
        /// See members, invitations and roles.
        MembersRead = "members:read",
        /// The same, and change who is in, up to what the key itself may do.
        MembersWrite = "members:write",
        /// All that the tenant's owner may do.
        Everything = "everything",
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "BTreeSet<Action>")]
pub struct Rights(u64);

/// Each action has a bit.
const _: () = assert!(Action::ALL.len() <= 64);

impl From<BTreeSet<Action>> for Rights {
    fn from(actions: BTreeSet<Action>) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | Self::bit(action)))
    }
}

impl Rights {
    const fn bit(action: Action) -> u64 {
        1 << action as u64
    }

    /// All that a role may do.
    pub fn of(role: Role) -> Self {
        TABLE.roles.get(&role).copied().unwrap_or_default()
    }

    /// What these scopes hold together.
    pub fn within(scopes: &[KeyScope]) -> Self {
        let held = scopes.iter().filter_map(|scope| TABLE.scopes.get(scope));
        Self(held.fold(0, |bits, rights| bits | rights.0))
    }

    /// What is in both.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in one of them at least.
    #[must_use]
    pub const fn either(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What a member may in a role of the tenant's own that is made of these scopes.
    pub fn in_role_of(scopes: &[KeyScope]) -> Self {
        Self::of(Role::Custom).either(Self::of(Role::Admin).both(Self::within(scopes)))
    }

    /// Whether the action is among them.
    pub const fn include(self, action: Action) -> bool {
        self.0 & Self::bit(action) != 0
    }

    /// Whether all of the other's are among them.
    pub const fn cover(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[derive(Default, Deserialize)]
struct Table {
    roles: BTreeMap<Role, Rights>,
    scopes: BTreeMap<KeyScope, Rights>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let text = include_str!("../policies/access.toml");
    // A table that does not parse grants nothing; the test below makes sure that it parses.
    toml::from_str(text).unwrap_or_default()
});

/// Whether the role may do it.
pub fn may(role: Role, action: Action) -> bool {
    Rights::of(role).include(action)
}

/// The whole table for people (`policies/access.expected`): roles by action, then scopes of keys by action.
pub fn printed_table() -> String {
    let roles: Vec<_> = Role::ALL.iter().map(|role| (role.name(), Rights::of(*role))).collect();
    let scopes: Vec<_> = KeyScope::ALL.iter().map(|one| (one.name(), Rights::within(&[*one]))).collect();
    format!("{}\n{}", printed(&roles), printed(&scopes))
}

/// A table of the actions that are in some column.
fn printed(columns: &[(&str, Rights)]) -> String {
    let width = columns.iter().map(|(name, _)| name.len() + 1).max().unwrap_or_default();
    let head = columns.iter().map(|(name, _)| *name);
    let mut text = line("", head, width);
    let somebodys = |action: &&Action| columns.iter().any(|(_, rights)| rights.include(**action));
    for action in Action::ALL.iter().filter(somebodys) {
        let cells = columns.iter().map(|(_, rights)| if rights.include(*action) { "yes" } else { "-" });
        text.push_str(&line(action.name(), cells, width));
    }
    text
}

fn line<'c>(first: &str, cells: impl Iterator<Item = &'c str>, width: usize) -> String {
    let mut line = format!("{first:<18}");
    for cell in cells {
        write!(line, "{cell:<width$}").ok();
    }
    format!("{}\n", line.trim_end())
}

/// Who acts, for the audit log and the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// An API key.
    ApiKey(ApiKeyId),
    /// A member, through a session in a browser.
    Member {
        /// Who.
        member: MemberId,
        /// Through which session.
        session: SessionId,
    },
    /// Somebody who signs in.
    SignIn(SignInId),
    /// The carrier, through a signed webhook.
    Carrier,
    /// A call in progress.
    Call(CallId),
    /// A queued job.
    Job(JobId),
    /// Somebody of the platform's own team.
    Operator(OperatorId),
    /// Somebody at the command line of the server.
    CommandLine,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(id) => write!(f, "{id}"),
            Self::Member { member, .. } => write!(f, "{member}"),
            Self::SignIn(id) => write!(f, "{id}"),
            Self::Carrier => f.write_str("carrier"),
            Self::Call(id) => write!(f, "{id}"),
            Self::Job(id) => write!(f, "{id}"),
            Self::Operator(id) => write!(f, "{id}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// The right to act within one tenant, and what may be done in it. Minted in few places, each greppable as `TenantScope::mint`: an API key that was
/// looked up, a session, a verified webhook and its number, a redeemed stream token, a job's row.
#[derive(Debug, Clone, Copy)]
pub struct TenantScope {
    tenancy: Tenancy,
    actor: Actor,
    role: Role,
    rights: Rights,
}

impl TenantScope {
    /// Mints a scope that may do all that the role may; only where a credential, a verified number or a row of the platform
    /// proved the tenant.
    pub fn mint(tenancy: Tenancy, actor: Actor, role: Role) -> Self {
        Self { tenancy, actor, role, rights: Rights::of(role) }
    }

    /// The same for what these scopes hold, and nothing else.
    #[must_use]
    pub fn narrowed(self, scopes: &[KeyScope]) -> Self {
        Self { rights: self.rights.both(Rights::within(scopes)), ..self }
    }

    /// A member's, in a role of the tenant's own that is made of these scopes.
    #[must_use]
    pub fn in_role_of(self, scopes: &[KeyScope]) -> Self {
        Self { role: Role::Custom, rights: Rights::in_role_of(scopes), ..self }
    }

    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenancy.tenant
    }

    /// The tenant's place and limits.
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// Who acts.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// As what they act.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What they may do.
    pub fn rights(&self) -> Rights {
        self.rights
    }
}

/// The right to act on the platform: on tenants from outside, never on their data. Minted where an operator's key was
/// looked up, at the command line, and for the platform's own jobs.
#[derive(Debug, Clone, Copy)]
pub struct PlatformScope {
    actor: Actor,
    role: Role,
}

impl PlatformScope {
    /// Mints a scope; only where a credential, a job's row or the command line proved who acts.
    pub fn mint(actor: Actor, role: Role) -> Self {
        Self { actor, role }
    }

    /// Who acts.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// As what they act.
    pub fn role(&self) -> Role {
        self.role
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses_and_matches_what_people_read() {
        let parsed: Table = toml::from_str(include_str!("../policies/access.toml")).unwrap();
        assert_eq!(parsed.roles.len(), Role::ALL.len(), "every role has a line");
        assert_eq!(parsed.scopes.len(), KeyScope::ALL.len(), "every scope has a line");
        let expected = include_str!("../policies/access.expected");
        assert_eq!(
            printed_table(),
            expected,
            "policies/access.expected is stale; it should read:\n{}",
            printed_table()
        );
    }

    #[test]
    fn nobody_may_what_no_line_grants() {
        assert!(!may(Role::Carrier, Action::MemoryRead));
        assert!(!may(Role::Owner, Action::CallsHold));
        assert!(may(Role::Owner, Action::AgentWrite));
    }

    #[test]
    fn a_key_may_what_its_scopes_hold_and_nothing_that_an_owner_may_not() {
        let owner = Rights::of(Role::Owner);
        for scope in KeyScope::ALL {
            assert!(owner.cover(Rights::within(&[*scope])), "{}", scope.name());
        }
        let own = Rights::of(Role::Custom);
        assert_eq!(Rights::within(&[KeyScope::Everything]).either(own), owner);
        let both = Rights::within(&[KeyScope::CallsRead, KeyScope::AgentWrite]);
        assert!(both.include(Action::CallsRead) && both.include(Action::AgentWrite));
        assert!(!both.include(Action::CallersRead) && !both.include(Action::KeysWrite));
        assert!(owner.cover(both) && !both.cover(owner));
        assert_eq!(Rights::within(&[]), Rights::default());
    }

    #[test]
    fn each_role_may_all_that_the_one_below_it_may() {
        let ranks = [Role::Owner, Role::Admin, Role::Member, Role::Viewer, Role::Custom].map(Rights::of);
        assert!(ranks.windows(2).all(|two| two[0].cover(two[1]) && two[0] != two[1]));
        let all = Rights::in_role_of(KeyScope::ALL);
        assert_eq!(all, Rights::of(Role::Admin), "no role of a tenant's own may more than an admin");
        assert_eq!(Rights::in_role_of(&[]), Rights::of(Role::Custom));
        let reader = Rights::in_role_of(&[KeyScope::CallsRead]);
        assert!(reader.include(Action::CallsRead) && reader.include(Action::SelfKeep));
        assert!(!reader.include(Action::CallersRead) && !reader.include(Action::MembersRead));
    }
}
