//! What the registry says of a tenant that whoever acts for it must know: where its schema is and how much it may take.
//! Read together with the credential, number or row that names the tenant, so that a change takes effect at the next
//! request. Must never know who acts, nor how a limit is enforced.

use crate::ids::TenantId;

/// A tenant, its place and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenancy {
    /// Whose.
    pub tenant: TenantId,
    /// Where its schema is.
    pub placement: Placement,
    /// How much it may take.
    pub limits: Limits,
}

/// Where a tenant's schema is, and in which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The cluster.
    pub cluster: ClusterIndex,
    /// The login role that may become the tenant's role.
    pub login: u16,
    /// The version of its schema. A migration may have committed since it was read; what is older still works then.
    pub schema_version: u16,
}

/// A cluster's place in this process's configuration; the control plane's is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterIndex(pub u8);

impl ClusterIndex {
    /// The control plane's.
    pub const MAIN: Self = Self(0);
}

/// How much a tenant may take of what it shares with others; its plan says, and exceptions for it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Transactions at once, in each process.
    pub transactions_max: u16,
    /// Requests per second on average, in each process.
    pub requests_per_s: u16,
    /// How long a statement may run.
    pub statement_ms_max: u32,
    /// Calls at once.
    pub calls_max: u16,
    /// Jobs at once.
    pub jobs_max: u16,
}

/// The columns of the view `platform.tenancies y` that [`crate::db::Db::tenancy`] reads, in order.
macro_rules! tenancy_columns {
    () => {
        "y.id, y.cluster, y.login, y.schema_version, y.transactions_max, y.requests_per_s, y.statement_ms_max,
         y.calls_max, y.jobs_max"
    };
}
pub(crate) use tenancy_columns;
