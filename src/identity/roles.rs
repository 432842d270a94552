//! Roles of a tenant's own: names for sets of the scopes in `policies/access.toml`. Who is in one may nothing that an admin
//! may not, whatever its scopes hold.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::asked::Asked;
use super::{Standing, conflict, store};
use crate::access::{Action, KeyScope, Rights, Role as Line};
use crate::audit::{self, Deed};
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::ids::RoleId;

const NAME_CHARS_MAX: usize = 100;
/// Roles of a tenant's own at most.
pub const ROLES_MAX: usize = 50;

/// A role of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// What the tenant calls it.
    pub name: String,
    /// What it holds.
    pub scopes: Vec<KeyScope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// All of them, by name.
pub async fn list(tx: &mut TenantTx<'_>) -> Result<Vec<Role>, Error> {
    tx.permit(Action::MembersRead)?;
    Ok(store::roles::all(tx).await?)
}

/// Makes a role that may do no more than whoever asks. The same request under the same idempotency key, repeated, makes one.
pub async fn create(
    tx: &mut TenantTx<'_>,
    name: &str,
    scopes: &[KeyScope],
    idempotency_key: Option<&str>,
) -> Result<Role, Error> {
    tx.permit(Action::MembersWrite)?;
    let (name, scopes) = described(name, scopes)?;
    let words: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
    let asked = Asked::new(idempotency_key, &json!([name, words]))?;
    store::members::lock(tx).await?;
    must_cover(tx, Rights::in_role_of(&scopes))?;
    if let Some(asked) = &asked
        && let Some((earlier, what)) = store::roles::made_by(tx, &asked.key).await?
    {
        asked.must_be(&what)?;
        return Ok(earlier);
    }
    let there = store::roles::all(tx).await?;
    if ROLES_MAX <= there.len() {
        return Err(conflict("too_many_roles", "a business has 50 roles of its own at most"));
    }
    must_be_free(&there, None, &name)?;
    let role = store::roles::add(tx, &name, &scopes, asked.as_ref()).await?;
    note(tx, "roles.create", &role, Value::Null, told(&role)).await?;
    Ok(role)
}

/// Says anew what a role is called and holds; whoever is in it may that from the next request on.
pub async fn change(
    tx: &mut TenantTx<'_>,
    id: RoleId,
    name: &str,
    scopes: &[KeyScope],
) -> Result<Role, Error> {
    tx.permit(Action::MembersWrite)?;
    let (name, scopes) = described(name, scopes)?;
    store::members::lock(tx).await?;
    let there = store::roles::all(tx).await?;
    let before = there.iter().find(|role| role.id == id).ok_or(Error::NotFound("role"))?;
    must_cover(tx, Rights::in_role_of(&before.scopes))?;
    must_cover(tx, Rights::in_role_of(&scopes))?;
    must_be_free(&there, Some(id), &name)?;
    let role = Role { name, scopes, ..before.clone() };
    store::roles::change(tx, &role).await?;
    note(tx, "roles.change", &role, told(before), told(&role)).await?;
    Ok(role)
}

/// Removes a role that nobody is in and nobody is invited to.
pub async fn remove(tx: &mut TenantTx<'_>, id: RoleId) -> Result<Role, Error> {
    tx.permit(Action::MembersWrite)?;
    store::members::lock(tx).await?;
    let role = store::roles::find(tx, id).await?.ok_or(Error::NotFound("role"))?;
    must_cover(tx, Rights::in_role_of(&role.scopes))?;
    if store::roles::is_used(tx, id).await? {
        return Err(conflict("role_in_use", "somebody is in this role, or invited to it"));
    }
    store::roles::remove(tx, id).await?;
    note(tx, "roles.remove", &role, told(&role), Value::Null).await?;
    Ok(role)
}

/// Refuses to give or take what whoever asks may not do. A role of the tenant's own must be there.
pub(super) async fn must_not_exceed(tx: &mut TenantTx<'_>, standing: Standing) -> Result<(), Error> {
    let rights = match standing {
        Standing::Custom(id) => {
            let role = store::roles::find(tx, id).await?.ok_or(Error::NotFound("role"))?;
            Rights::in_role_of(&role.scopes)
        }
        Standing::Owner | Standing::Admin | Standing::Member | Standing::Viewer => {
            Rights::of(standing.role())
        }
    };
    must_cover(tx, rights)
}

fn must_cover(tx: &TenantTx<'_>, rights: Rights) -> Result<(), Error> {
    let scope = tx.scope();
    // A tenant's first owner comes from the command line; what is everybody's own is nobody's to give.
    let acting = if scope.role() == Line::Operator { Rights::of(Line::Owner) } else { scope.rights() };
    if acting.either(Rights::of(Line::Custom)).cover(rights) {
        return Ok(());
    }
    Err(conflict("exceeds_own_rights", "that may do more than you may; ask somebody who may"))
}

fn described(name: &str, scopes: &[KeyScope]) -> Result<(String, Vec<KeyScope>), Error> {
    let name = name.trim();
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Error::invalid("name", "must have 1 to 100 characters"));
    }
    let scopes: Vec<_> = KeyScope::ALL.iter().copied().filter(|one| scopes.contains(one)).collect();
    if scopes.is_empty() {
        return Err(Error::invalid("scopes", "must be one at least"));
    }
    Ok((name.to_owned(), scopes))
}

fn must_be_free(there: &[Role], id: Option<RoleId>, name: &str) -> Result<(), Error> {
    let taken = |role: &Role| Some(role.id) != id && role.name.to_lowercase() == name.to_lowercase();
    if there.iter().any(taken) {
        return Err(conflict("role_exists", "there is a role of this name"));
    }
    Ok(())
}

fn told(role: &Role) -> Value {
    let scopes: Vec<_> = role.scopes.iter().map(|scope| scope.name()).collect();
    json!({"role": role.id.to_string(), "name": role.name, "scopes": scopes})
}

async fn note(
    tx: &mut TenantTx<'_>,
    action: &'static str,
    role: &Role,
    before: Value,
    after: Value,
) -> Result<(), Error> {
    let deed = Deed { action, subject: &role.name, reason: None, before, after };
    Ok(audit::record_own(tx, deed).await?)
}
