//! Hosts of tenants' own. A tenant asks for one, publishes a TXT record that only the holder of the name can, and a job
//! looks for it; until then the host leads nowhere. Must never know how a name is looked up.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::numbers::open;
use super::reach::DomainName;
use super::{conflict, jobs, store};
use crate::access::{Action, PlatformScope};
use crate::audit::{self, Chain, Deed};
use crate::db::tx::PlatformTx;
use crate::error::Error;
use crate::ids::TenantId;
use crate::secret;

const DOMAINS_MAX: usize = 20;
/// Goes before the host in the name of the record.
const RECORD_LABEL: &str = "_neurosphere";

/// A host of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub host: String,
    /// What the TXT record must say after `neurosphere=`.
    pub proof: String,
    /// Since when it is proved.
    pub verified_at: Option<DateTime<Utc>>,
    /// When it was last looked for.
    pub checked_at: Option<DateTime<Utc>>,
    /// What was wrong then.
    pub failure: Option<String>,
}

impl Domain {
    /// The name of the TXT record.
    pub fn record_name(&self) -> String {
        format!("{RECORD_LABEL}.{}", self.host)
    }

    /// What the TXT record must say.
    pub fn record_value(&self) -> String {
        format!("neurosphere={}", self.proof)
    }
}

/// A tenant's hosts, proved or not, in order.
pub async fn of(tx: &mut PlatformTx, tenant: TenantId) -> Result<Vec<Domain>, Error> {
    Ok(of_each(tx, &[tenant]).await?.into_iter().map(|(_, domain)| domain).collect())
}

/// The hosts of these tenants, in order, each with whose it is.
pub async fn of_each(tx: &mut PlatformTx, tenants: &[TenantId]) -> Result<Vec<(TenantId, Domain)>, Error> {
    tx.permit(Action::TenantsRead)?;
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.uuid()).collect();
    Ok(store::domains::of_each(tx, &ids).await?)
}

/// Asks for a host; repeated, it looks again. Hosts below `base_domain` are the platform's to give.
pub async fn ask(
    tx: &mut PlatformTx,
    tenant: TenantId,
    host: &DomainName,
    base_domain: &str,
) -> Result<Domain, Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    if host.is_within(base_domain) {
        return Err(Error::invalid("host", format!("names below {base_domain} cannot be a tenant's own")));
    }
    open(tx, tenant).await?;
    if store::domains::holder(tx, host.as_str()).await?.is_some_and(|holder| holder != tenant.uuid()) {
        return Err(conflict(
            "domain_taken",
            "another tenant has proved this host; it must give it up first",
        ));
    }
    let there = store::domains::of_each(tx, &[tenant.uuid()]).await?;
    let known = there.iter().any(|(_, domain)| domain.host == host.as_str());
    if !known && DOMAINS_MAX <= there.len() {
        return Err(conflict(
            "too_many_domains",
            "a tenant has 20 hosts of its own at most; give one up first",
        ));
    }
    let domain = store::domains::ask(tx, tenant.uuid(), host.as_str(), &secret::random_token()).await?;
    if !known {
        let after = json!({ "host": host.as_str() });
        let deed =
            Deed { action: "domain.ask", subject: host.as_str(), reason: None, before: Value::Null, after };
        audit::record(tx, &scope, Chain::Tenant(tenant), deed).await?;
    }
    jobs::verify_domain(tx, tenant, host).await?;
    Ok(domain)
}

/// Gives a host up.
pub async fn release(
    tx: &mut PlatformTx,
    tenant: TenantId,
    host: &DomainName,
    reason: &str,
) -> Result<(), Error> {
    let scope = tx.permit(Action::TenantsChange)?;
    let reason = audit::reason(reason)?;
    if !store::domains::release(tx, tenant.uuid(), host.as_str()).await? {
        return Err(Error::NotFound("domain"));
    }
    let before = json!({ "host": host.as_str() });
    let deed = Deed {
        action: "domain.release",
        subject: host.as_str(),
        reason: Some(reason),
        before,
        after: Value::Null,
    };
    Ok(audit::record(tx, &scope, Chain::Tenant(tenant), deed).await?)
}

/// The domain as a check must know it; none once it was given up.
pub(super) async fn to_check(
    tx: &mut PlatformTx,
    tenant: TenantId,
    host: &DomainName,
) -> Result<Option<Domain>, Error> {
    tx.permit(Action::TenantsKeep)?;
    Ok(store::domains::find(tx, tenant.uuid(), host.as_str()).await?)
}

/// Writes down what a check found: these TXT records, or why there were none. True if the host is the tenant's now.
pub(super) async fn judge(
    tx: &mut PlatformTx,
    scope: &PlatformScope,
    (tenant, domain): (TenantId, &Domain),
    found: Result<&[String], &str>,
) -> Result<bool, Error> {
    tx.permit(Action::TenantsKeep)?;
    let wanted = domain.record_value();
    let failure = match found {
        Err(why) => Some(why.to_owned()),
        Ok([]) => Some(format!("there is no TXT record {}", domain.record_name())),
        Ok(records) if !records.contains(&wanted) => {
            Some(format!("the TXT record {} says something else", domain.record_name()))
        }
        Ok(_) => match store::domains::holder(tx, &domain.host).await? {
            Some(holder) if holder != tenant.uuid() => Some("another tenant has proved this host".to_owned()),
            Some(_) | None => None,
        },
    };
    let now = tx.now();
    store::domains::checked(tx, (tenant.uuid(), &domain.host), now, failure.as_deref()).await?;
    if failure.is_none() && domain.verified_at.is_none() {
        let after = json!({ "host": domain.host });
        let deed =
            Deed { action: "domain.verify", subject: &domain.host, reason: None, before: Value::Null, after };
        audit::record(tx, scope, Chain::Tenant(tenant), deed).await?;
    }
    Ok(failure.is_none())
}
