//! Members: who is in a tenant, and as what. Nobody gives or takes more than what they may do themselves, and a tenant that
//! has an owner keeps one. Must never know the person behind a member.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Address, Standing, conflict, roles, store};
use crate::access::Action;
use crate::audit::{self, Deed};
use crate::db::page::Page;
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::ids::MemberId;

/// Members of a tenant at most.
const MEMBERS_MAX: i64 = 1_000;

/// A person in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// What it is called.
    pub name: String,
    /// The address by which it joined; absent for one who came through an issuer that gave none.
    pub address: Option<Address>,
    /// As what it is there.
    pub standing: Standing,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A page of the members, newest first.
pub async fn list(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Member>, Error> {
    tx.permit(Action::MembersRead)?;
    Ok(store::members::page(tx, page).await?)
}

/// The member who acts; nobody where a key or the command line does.
pub async fn own(tx: &mut TenantTx<'_>) -> Result<Option<Member>, Error> {
    tx.permit(Action::TenantRead)?;
    match store::acting_member(tx.scope()) {
        Some(id) => Ok(store::members::find(tx, id).await?),
        None => Ok(None),
    }
}

/// Makes a member something else. Its sessions end, so that it signs in as what it is now: no secret outlives a change of
/// what it opens.
pub async fn change_standing(
    tx: &mut TenantTx<'_>,
    id: MemberId,
    standing: Standing,
) -> Result<Member, Error> {
    tx.permit(Action::MembersWrite)?;
    store::members::lock(tx).await?;
    let member = store::members::find(tx, id).await?.ok_or(Error::NotFound("member"))?;
    roles::must_not_exceed(tx, member.standing).await?;
    roles::must_not_exceed(tx, standing).await?;
    if member.standing == standing {
        return Ok(member);
    }
    if member.standing == Standing::Owner {
        must_leave_an_owner(tx).await?;
    }
    store::members::set_standing(tx, id, standing).await?;
    store::sessions::revoke_all(tx, &[id]).await?;
    note(tx, "members.role", id, told(member.standing), told(standing)).await?;
    Ok(Member { standing, ..member })
}

/// Takes a member out, and ends its sessions.
pub async fn remove(tx: &mut TenantTx<'_>, id: MemberId) -> Result<Member, Error> {
    tx.permit(Action::MembersWrite)?;
    store::members::lock(tx).await?;
    let member = store::members::find(tx, id).await?.ok_or(Error::NotFound("member"))?;
    roles::must_not_exceed(tx, member.standing).await?;
    gone(tx, member, "members.remove").await
}

/// The member who acts leaves.
pub async fn leave(tx: &mut TenantTx<'_>) -> Result<Member, Error> {
    tx.permit(Action::SelfKeep)?;
    let id = store::acting_member(tx.scope()).ok_or(Error::NotFound("member"))?;
    store::members::lock(tx).await?;
    let member = store::members::find(tx, id).await?.ok_or(Error::NotFound("member"))?;
    gone(tx, member, "members.leave").await
}

async fn gone(tx: &mut TenantTx<'_>, member: Member, action: &'static str) -> Result<Member, Error> {
    if member.standing == Standing::Owner {
        must_leave_an_owner(tx).await?;
    }
    store::members::remove(tx, member.id).await?;
    store::sessions::revoke_all(tx, &[member.id]).await?;
    note(tx, action, member.id, told(member.standing), Value::Null).await?;
    Ok(member)
}

/// Said under the lock of the tenant's members, so that of two owners who go at once one stays.
async fn must_leave_an_owner(tx: &mut TenantTx<'_>) -> Result<(), Error> {
    let (_, owners) = store::members::count(tx).await?;
    if owners <= 1 {
        return Err(conflict("last_owner", "a business keeps one owner; make somebody else one first"));
    }
    Ok(())
}

pub(super) async fn must_have_room(tx: &mut TenantTx<'_>) -> Result<(), Error> {
    let (members, _) = store::members::count(tx).await?;
    if MEMBERS_MAX <= members {
        return Err(conflict("too_many_members", "a business has 1,000 members at most"));
    }
    Ok(())
}

fn told(standing: Standing) -> Value {
    json!({"role": standing.name(), "role_id": standing.custom().map(|role| role.to_string())})
}

async fn note(
    tx: &mut TenantTx<'_>,
    action: &'static str,
    member: MemberId,
    before: Value,
    after: Value,
) -> Result<(), Error> {
    let deed = Deed { action, subject: &member.to_string(), reason: None, before, after };
    Ok(audit::record_own(tx, deed).await?)
}
