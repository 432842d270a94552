//! The SQL of the identity slice, a file per matter.

pub(super) mod invitations;
pub(super) mod members;
pub(super) mod people;
pub(super) mod roles;
pub(super) mod sessions;
pub(super) mod sign_in;

use uuid::Uuid;

use super::{Address, Standing};
use crate::access::{Actor, TenantScope};
use crate::db::Row;
use crate::error::{Fault, OrFault as _};
use crate::ids::MemberId;

/// Reads `role` and `role_id`, which begin at that column.
fn standing(row: &Row, at: usize) -> Result<Standing, Fault> {
    match (row.get::<_, &str>(at), row.get::<_, Option<Uuid>>(at + 1)) {
        ("owner", None) => Ok(Standing::Owner),
        ("admin", None) => Ok(Standing::Admin),
        ("member", None) => Ok(Standing::Member),
        ("viewer", None) => Ok(Standing::Viewer),
        ("custom", Some(role)) => Ok(Standing::Custom(role.into())),
        (unknown, _) => Err(Fault::new(format!("read a member's row: {unknown} is no role"))),
    }
}

fn address(row: &Row, at: usize) -> Result<Option<Address>, Fault> {
    let text: Option<&str> = row.get(at);
    text.map(|text| text.parse().or_fault("read an address")).transpose()
}

/// The member who acts, if one does.
pub(super) fn acting_member(scope: &TenantScope) -> Option<MemberId> {
    match scope.actor() {
        Actor::Member { member, .. } => Some(member),
        Actor::ApiKey(_)
        | Actor::SignIn(_)
        | Actor::Carrier
        | Actor::Call(_)
        | Actor::Job(_)
        | Actor::Operator(_)
        | Actor::CommandLine => None,
    }
}
