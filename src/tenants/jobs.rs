//! The platform's own work on tenants: making and finishing, filling the warm pool, copying rows to other clusters,
//! looking for proofs of domains, removing. Each may run twice, and again after a crash.

use chrono::{DateTime, TimeDelta, Utc};

use super::reach::DomainName;
use super::{Tenant, birth, domains, life, mirror};
use crate::db::Db;
use crate::db::owner::Owners;
use crate::db::tx::PlatformTx;
use crate::error::{Error, Fault};
use crate::ids::TenantId;
use crate::jobs::{self, Failed, KeeperAttempt, Kind};
use crate::providers::dns::Dns;

/// Finishes a tenant whose making was begun; the key is its id. Needs the owner's connection.
pub const FINISH: Kind = Kind { name: "tenants.finish", attempts_max: 20 };
/// Fills the warm pools. Needs the owner's connection.
pub const FILL_POOLS: Kind = Kind { name: "tenants.fill_pools", attempts_max: 3 };
/// Removes a closed tenant once its time is over; the key is its id and the moment. Needs the owner's connection.
pub const REMOVE: Kind = Kind { name: "tenants.remove", attempts_max: 50 };
/// Copies a tenant's row to its cluster; the key begins with its id.
pub const MIRROR: Kind = Kind { name: "tenants.mirror", attempts_max: 50 };
/// Looks for the proof of a domain; the key is tenant, host and a number. Tried for a day and a half.
pub const VERIFY_DOMAIN: Kind = Kind { name: "tenants.verify_domain", attempts_max: 225 };

/// How long whoever has begun a tenant may take to finish it, before somebody else does.
const FINISH_AFTER: TimeDelta = TimeDelta::seconds(30);

/// What follows the birth of a tenant. One that waits for its schema is finished at once, by whoever may make it.
pub(super) async fn after_birth(tx: &mut PlatformTx, id: TenantId, has_schema: bool) -> Result<(), Fault> {
    let now = tx.now();
    let at = if has_schema { now + FINISH_AFTER } else { now };
    jobs::enqueue_keeper(tx, &FINISH, &id.to_string(), at).await?;
    jobs::enqueue_keeper(tx, &FILL_POOLS, &id.to_string(), now).await
}

/// What follows every change of a tenant's row.
pub(super) async fn after_change(tx: &mut PlatformTx, tenant: &Tenant) -> Result<(), Fault> {
    if tenant.cluster.is_main() {
        return Ok(());
    }
    let (now, change) = (tx.now(), tx.new_id().simple());
    jobs::enqueue_keeper(tx, &MIRROR, &format!("{} {change}", tenant.id), now).await
}

pub(super) async fn drop_at(tx: &mut PlatformTx, id: TenantId, at: DateTime<Utc>) -> Result<(), Fault> {
    jobs::enqueue_keeper(tx, &REMOVE, &format!("{id} {}", at.timestamp_micros()), at).await
}

pub(super) async fn verify_domain(tx: &mut PlatformTx, id: TenantId, host: &DomainName) -> Result<(), Fault> {
    let (now, ask) = (tx.now(), tx.new_id().simple());
    jobs::enqueue_keeper(tx, &VERIFY_DOMAIN, &format!("{id} {} {ask}", host.as_str()), now).await
}

/// Has everything looked after that an earlier process may have left half done: at the start of a worker.
pub async fn resume(db: &Db) -> Result<(), Fault> {
    let unfinished = birth::unfinished(db).await?;
    let mut tx = db.platform().await?;
    let (now, start) = (tx.now(), tx.new_id().simple().to_string());
    for tenant in unfinished {
        jobs::revive_keeper(&mut tx, &FINISH, &tenant.to_string(), now).await?;
    }
    jobs::enqueue_keeper(&mut tx, &FILL_POOLS, &start, now).await?;
    tx.commit().await
}

/// Runs [`FINISH`].
pub async fn finish(db: &Db, owners: &Owners, attempt: &KeeperAttempt) -> Result<(), Failed> {
    let id = tenant_of(&attempt.key)?;
    match birth::finish(db, Some(owners), &attempt.scope, id).await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Runs [`FILL_POOLS`]. A cluster that cannot be reached does not keep the others' pools empty.
pub async fn fill_pools(db: &Db, owners: &Owners, wanted: usize) -> Result<(), Failed> {
    let mut failed = None;
    for (cluster, name) in db.clusters() {
        if let Err(fault) = birth::fill_pool(db, owners, cluster, wanted).await {
            tracing::warn!(cluster = %name, fault = fault.chain(), "a warm pool was not filled");
            failed = Some(fault);
        }
    }
    failed.map_or(Ok(()), |fault| Err(fault.into()))
}

/// Runs [`REMOVE`].
pub async fn remove(db: &Db, owners: &Owners, attempt: &KeeperAttempt) -> Result<(), Failed> {
    life::remove(db, owners, &attempt.scope, tenant_of(&attempt.key)?).await?;
    Ok(())
}

/// Runs [`MIRROR`].
pub async fn mirror(db: &Db, attempt: &KeeperAttempt) -> Result<(), Failed> {
    Ok(mirror::tenant(db, tenant_of(&attempt.key)?).await?)
}

/// Runs [`VERIFY_DOMAIN`].
pub async fn verify(db: &Db, dns: &Dns, attempt: &KeeperAttempt) -> Result<(), Failed> {
    let tenant = tenant_of(&attempt.key)?;
    let host = attempt.key.split(' ').nth(1).and_then(|host| host.parse::<DomainName>().ok());
    let host = host.ok_or_else(|| Failed::for_good("the key names no host"))?;
    let mut tx = db.operate(&attempt.scope).await?;
    let domain = domains::to_check(&mut tx, tenant, &host).await?;
    tx.commit().await?;
    let Some(domain) = domain else { return Ok(()) };

    let found = dns.txt(&domain.record_name()).await;

    let found = match &found {
        Ok(records) => Ok(records.as_slice()),
        Err(why) => Err(why.as_str()),
    };
    let mut tx = db.operate(&attempt.scope).await?;
    let proved = domains::judge(&mut tx, &attempt.scope, (tenant, &domain), found).await?;
    tx.commit().await?;
    if proved { Ok(()) } else { Err(Fault::new("the proof of a domain is not there yet").into()) }
}

fn tenant_of(key: &str) -> Result<TenantId, Failed> {
    let id = key.split(' ').next().unwrap_or_default();
    id.parse().map_err(|_| Failed::for_good("the key is no tenant's id"))
}
