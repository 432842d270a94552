//! Callers: the people who call a business, and the profile of each under the business's template. Owns callers and
//! their profiles; must never know what was said in a call, nor any transport.
//!
//! Start at [`meet`] and [`patch_profile`].

mod store;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::access::Action;
use crate::db::page::Page;
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::ids::{CallerId, PhoneNumber, TemplateVersionId};
use crate::templates::version::TemplateVersion;
use crate::templates::{catalog, merge};

const NAME_CHARS_MAX: usize = 200;
const SEARCH_CHARS_MAX: usize = 200;

/// Somebody who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Id within the tenant; the same number at another tenant is another caller.
    pub id: CallerId,
    /// The number that they call from.
    pub phone: PhoneNumber,
    /// What they are called, once known.
    pub name: Option<String>,
    /// Calls that ended.
    pub calls_count: i32,
    /// When they first called.
    pub first_call_at: Option<DateTime<Utc>>,
    /// When they last called.
    pub last_call_at: Option<DateTime<Utc>>,
    /// One line of the essentials; empty while there are none.
    pub quick_bio: String,
}

/// What is known of a caller, in the form of the business's template.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Whose it is.
    pub caller: CallerId,
    /// Valid under the pinned template version.
    pub data: Value,
    /// The version that it is pinned to.
    pub template_version: TemplateVersionId,
    /// One line made from it.
    pub quick_bio: String,
    /// Counts the changes; 0 while nothing was saved.
    pub revision: i32,
}

/// The caller with this number, made on first sight.
pub async fn meet(tx: &mut TenantTx<'_>, phone: &PhoneNumber) -> Result<CallerId, Error> {
    tx.permit(Action::CallsArrive)?;
    Ok(store::meet(tx, phone.reveal()).await?.into())
}

/// A page of callers, newest first; `search` looks into names and numbers.
pub async fn list(tx: &mut TenantTx<'_>, page: Page, search: Option<&str>) -> Result<Vec<Caller>, Error> {
    tx.permit(Action::CallersRead)?;
    if search.is_some_and(|text| text.contains('\0') || SEARCH_CHARS_MAX < text.chars().count()) {
        return Err(Error::invalid("search", "must have at most 200 characters, and not U+0000"));
    }
    Ok(store::list(tx, page, search.map(str::trim).filter(|text| !text.is_empty())).await?)
}

/// Those of the ids that are callers of this tenant.
pub async fn find(tx: &mut TenantTx<'_>, ids: &[CallerId]) -> Result<Vec<Caller>, Error> {
    tx.permit(Action::CallersRead)?;
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    Ok(store::find(tx, &ids).await?)
}

/// The caller with this id.
pub async fn get(tx: &mut TenantTx<'_>, id: CallerId) -> Result<Caller, Error> {
    find(tx, &[id]).await?.pop().ok_or(Error::NotFound("caller"))
}

/// The saved profiles of these callers.
pub async fn profiles(tx: &mut TenantTx<'_>, callers: &[CallerId]) -> Result<Vec<Profile>, Error> {
    tx.permit(Action::CallersRead)?;
    let ids: Vec<_> = callers.iter().map(|id| id.uuid()).collect();
    Ok(store::profiles(tx, &ids).await?)
}

/// The template version that a caller's profile follows or would follow.
pub async fn template(tx: &mut TenantTx<'_>, profile: Option<&Profile>) -> Result<TemplateVersion, Error> {
    tx.permit(Action::CallersRead)?;
    let id = match profile {
        Some(profile) => profile.template_version,
        None => store::tenant_template(tx).await?.into(),
    };
    catalog::version(tx, id).await
}

/// Applies a JSON merge patch (RFC 7396) to a caller's profile. A patch that breaks the template changes nothing and
/// names every broken rule by path. `expected` is the revision that was looked at, where overwriting must not happen.
pub async fn patch_profile(
    tx: &mut TenantTx<'_>,
    caller: CallerId,
    patch: &Value,
    expected: Option<i32>,
) -> Result<Profile, Error> {
    tx.permit(Action::ProfileWrite)?;
    if patch.to_string().contains("\\u0000") {
        return Err(Error::invalid("", "must not contain the character U+0000"));
    }
    if !store::lock(tx, caller).await? {
        return Err(Error::NotFound("caller"));
    }
    let mut profile = match store::profile(tx, caller).await? {
        Some(profile) => profile,
        None => empty(tx, caller).await?,
    };
    if expected.is_some_and(|revision| revision != profile.revision) {
        return Err(Error::Conflict {
            code: "stale_revision",
            message: "the profile was changed meanwhile; look at it again".to_owned(),
        });
    }
    let template = catalog::version(tx, profile.template_version).await?;
    profile.data = merge::apply(&template, &profile.data, patch).map_err(Error::Invalid)?;
    profile.quick_bio = template.bio().line(&profile.data);
    profile.revision = store::put_profile(tx, &profile).await?;
    Ok(profile)
}

async fn empty(tx: &mut TenantTx<'_>, caller: CallerId) -> Result<Profile, Error> {
    let template_version = store::tenant_template(tx).await?.into();
    Ok(Profile { caller, data: json!({}), template_version, quick_bio: String::new(), revision: 0 })
}

/// Notes what a caller is called.
pub async fn name(tx: &mut TenantTx<'_>, caller: CallerId, name: &str) -> Result<(), Error> {
    tx.permit(Action::ProfileWrite)?;
    let name = name.trim();
    if name.contains('\0') {
        return Err(Error::invalid("name", "must not contain the character U+0000"));
    }
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        return Err(Error::invalid("name", "must have 1 to 200 characters"));
    }
    Ok(store::name(tx, caller, name).await?)
}
