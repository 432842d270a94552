//! Telephone numbers: given to a tenant, handed over, given back. A number is never two tenants', whoever asks at once.
//! Must never know what a carrier does with one.

use serde_json::{Value, json};

use super::life::locked;
use super::{State, Tenant, conflict, store};
use crate::access::Action;
use crate::audit::{self, Chain, Deed};
use crate::db::tx::{PlatformTx, TenantTx};
use crate::error::Error;
use crate::ids::{PhoneNumber, TenantId};

/// The tenant's numbers, in order; run on the control plane's cluster ([`crate::db::Db::registry`]).
pub async fn own(tx: &mut TenantTx<'_>) -> Result<Vec<String>, Error> {
    tx.permit(Action::TenantRead)?;
    Ok(store::numbers::own(tx).await?)
}

/// The numbers of these tenants, in order, each with whose it is.
pub async fn of_each(
    tx: &mut PlatformTx,
    tenants: &[TenantId],
) -> Result<Vec<(TenantId, PhoneNumber)>, Error> {
    tx.permit(Action::TenantsRead)?;
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.uuid()).collect();
    Ok(store::numbers::of_each(tx, &ids).await?)
}

/// Gives a tenant a number that nobody has. `account` is the tenant's own carrier account, where it is in that.
pub async fn assign(
    tx: &mut PlatformTx,
    tenant: TenantId,
    number: &PhoneNumber,
    account: Option<&str>,
) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    let holder = open(tx, tenant).await?;
    take(tx, tenant, number, account).await?;
    let after = json!({ "number": number.reveal(), "account": account });
    let deed =
        Deed { action: "number.assign", subject: number.reveal(), reason: None, before: Value::Null, after };
    audit::record(tx, &scope, Chain::Tenant(tenant), deed).await?;
    Ok(holder)
}

/// Gives a number without writing it down, for who does that.
pub(super) async fn take(
    tx: &mut PlatformTx,
    tenant: TenantId,
    number: &PhoneNumber,
    account: Option<&str>,
) -> Result<(), Error> {
    if let Some(account) = account {
        let owner = store::numbers::account_owner(tx, account).await?;
        if owner != Some(tenant.uuid()) {
            return Err(Error::invalid("account", "is no carrier account of this tenant"));
        }
    }
    if store::numbers::assign(tx, tenant.uuid(), number.reveal(), account).await? {
        return Ok(());
    }
    Err(conflict("number_taken", "this number belongs to another tenant"))
}

/// Hands a number of the platform's own carrier account from one tenant to another, in one step.
pub async fn hand_over(
    tx: &mut PlatformTx,
    number: &PhoneNumber,
    (from, to): (TenantId, TenantId),
    reason: &str,
) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    let reason = audit::reason(reason)?;
    // in the order of their ids, so that two hand-overs never wait for each other
    let (first, second) = if from < to { (from, to) } else { (to, from) };
    let one = locked(tx, first).await?;
    let other = locked(tx, second).await?;
    let (giver, receiver) = if from < to { (one, other) } else { (other, one) };
    in_use(&receiver)?;
    if !store::numbers::hand_over(tx, number.reveal(), (from.uuid(), to.uuid()), None).await? {
        return Err(Error::NotFound("number"));
    }
    let (before, after) = (json!({ "tenant": giver.slug }), json!({ "tenant": receiver.slug }));
    for chain in [first, second] {
        let deed = Deed {
            action: "number.hand_over",
            subject: number.reveal(),
            reason: Some(reason),
            before: before.clone(),
            after: after.clone(),
        };
        audit::record(tx, &scope, Chain::Tenant(chain), deed).await?;
    }
    Ok(receiver)
}

/// Takes a number from a tenant; nobody has it then.
pub async fn release(
    tx: &mut PlatformTx,
    tenant: TenantId,
    number: &PhoneNumber,
    reason: &str,
) -> Result<Tenant, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    let reason = audit::reason(reason)?;
    let holder = locked(tx, tenant).await?;
    if !store::numbers::release(tx, number.reveal(), tenant.uuid()).await? {
        return Err(Error::NotFound("number"));
    }
    let before = json!({ "number": number.reveal() });
    let deed = Deed {
        action: "number.release",
        subject: number.reveal(),
        reason: Some(reason),
        before,
        after: Value::Null,
    };
    audit::record(tx, &scope, Chain::Tenant(tenant), deed).await?;
    Ok(holder)
}

/// The tenant, if it is not closed.
pub(super) async fn open(tx: &mut PlatformTx, tenant: TenantId) -> Result<Tenant, Error> {
    let tenant = locked(tx, tenant).await?;
    in_use(&tenant)?;
    Ok(tenant)
}

fn in_use(tenant: &Tenant) -> Result<(), Error> {
    match tenant.state {
        State::Deleting | State::Deleted => Err(conflict("state", "this tenant is closed; reopen it first")),
        State::Provisioning | State::Active | State::Suspended | State::Moving | State::Restoring => Ok(()),
    }
}
