//! Who acts and what they may do: [`Actor`], [`Role`], [`Action`], and the table of `policies/access.toml` that joins
//! them. Must never know how a credential was checked, nor any transport.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use crate::ids::{ApiKeyId, CallId, JobId, OperatorId, TenantId};
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
        }
    };
}

named! {
    /// A part that somebody plays towards a tenant.
    Role {
        /// A business's own API key.
        Owner = "owner",
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

#[derive(Deserialize)]
struct Table {
    roles: BTreeMap<Role, BTreeSet<Action>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let text = include_str!("../policies/access.toml");
    // A table that does not parse grants nothing; the test below makes sure that it parses.
    toml::from_str(text).unwrap_or(Table { roles: BTreeMap::new() })
});

/// Whether the role may do it.
pub fn may(role: Role, action: Action) -> bool {
    TABLE.roles.get(&role).is_some_and(|actions| actions.contains(&action))
}

/// The whole table, role by action, for people (`policies/access.expected`).
pub fn printed_table() -> String {
    let mut text = format!("{:<18}", "");
    for role in Role::ALL {
        write!(text, "{:<9}", role.name()).ok();
    }
    for action in Action::ALL {
        write!(text, "\n{:<18}", action.name()).ok();
        for role in Role::ALL {
            write!(text, "{:<9}", if may(*role, *action) { "yes" } else { "-" }).ok();
        }
    }
    let mut lines = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    lines.push('\n');
    lines
}

/// Who acts, for the audit log and the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// An API key.
    ApiKey(ApiKeyId),
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
            Self::Carrier => f.write_str("carrier"),
            Self::Call(id) => write!(f, "{id}"),
            Self::Job(id) => write!(f, "{id}"),
            Self::Operator(id) => write!(f, "{id}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// The right to act within one tenant. Minted in few places, each greppable as `TenantScope::mint`: an API key that was
/// looked up, a verified webhook and its number, a redeemed stream token, a job's row.
#[derive(Debug, Clone, Copy)]
pub struct TenantScope {
    tenancy: Tenancy,
    actor: Actor,
    role: Role,
}

impl TenantScope {
    /// Mints a scope; only where a credential, a verified number or a row of the platform proved the tenant.
    pub fn mint(tenancy: Tenancy, actor: Actor, role: Role) -> Self {
        Self { tenancy, actor, role }
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
        let parsed: Result<Table, _> = toml::from_str(include_str!("../policies/access.toml"));
        assert_eq!(parsed.unwrap().roles.len(), Role::ALL.len(), "every role has a line");
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
}
