//! The SQL of the queue.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;
use uuid::Uuid;

use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Db, Row, Type};
use crate::error::Fault;
use crate::tenancy::{ClusterIndex, Tenancy, tenancy_columns};

const ADD: Sql = Sql::new(
    "with added as (insert into platform.jobs (id, tenant_id, kind, key, run_at) values ($1, $2, $3, $4, $5)
                    on conflict (tenant_id, kind, key) do nothing returning kind)
     select pg_notify('jobs', kind) from added",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
const ADD_KEEPER: Sql = Sql::new(
    "with added as (insert into platform.jobs (id, kind, key, run_at) values ($1, $2, $3, $4)
                    on conflict (tenant_id, kind, key) do nothing returning kind)
     select pg_notify('jobs', kind) from added",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
const REVIVE_KEEPER: Sql = Sql::new(
    "with added as (insert into platform.jobs as j (id, kind, key, run_at) values ($1, $2, $3, $4)
                    on conflict (tenant_id, kind, key) do update set state = 'queued', attempts = 0, run_at = $4
                        where j.state = 'dead' returning kind)
     select pg_notify('jobs', kind) from added",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
/// The job that is due longest, of a tenant that has fewer under way than it may, or of nobody. A tenant that is being
/// made, moved or restored waits.
const CLAIM: Sql = Sql::new(
    concat!(
        "with full_up as (
            select r.tenant_id from platform.jobs r join platform.tenancies y on y.id = r.tenant_id
             where r.state = 'running' and $1 <= r.leased_until
             group by r.tenant_id, y.jobs_max having y.jobs_max <= count(*)),
         due as (
            select j.id, j.tenant_id from platform.jobs j left join platform.tenants t on t.id = j.tenant_id
             where j.kind = any($3)
               and ((j.state = 'queued' and j.run_at <= $1) or (j.state = 'running' and j.leased_until < $1))
               and (j.tenant_id is null or t.state in ('active', 'suspended', 'deleting'))
               and not exists (select from full_up where full_up.tenant_id = j.tenant_id)
             order by j.run_at for update of j skip locked limit 1)
         update platform.jobs j set state = 'running', attempts = j.attempts + 1, leased_until = $2
           from due left join platform.tenancies y on y.id = due.tenant_id
          where j.id = due.id
         returning j.id, j.kind, j.key, j.attempts, ",
        tenancy_columns!()
    ),
    &[Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::TEXT_ARRAY],
);
const NEXT: Sql = Sql::new(
    "select min(case when state = 'queued' then run_at else leased_until end) from platform.jobs
      where state in ('queued', 'running') and kind = any($1)",
    &[Type::TEXT_ARRAY],
);
const DONE: Sql = Sql::new(
    "update platform.jobs set state = 'done', finished_at = $2, leased_until = null, last_error = null
      where id = $1 and attempts = $3",
    &[Type::UUID, Type::TIMESTAMPTZ, Type::INT4],
);
const AGAIN: Sql = Sql::new(
    "update platform.jobs set state = 'queued', run_at = $2, leased_until = null, last_error = $3
      where id = $1 and attempts = $4",
    &[Type::UUID, Type::TIMESTAMPTZ, Type::TEXT, Type::INT4],
);
const DEAD: Sql = Sql::new(
    "update platform.jobs set state = 'dead', finished_at = $2, leased_until = null, last_error = $3
      where id = $1 and attempts = $4",
    &[Type::UUID, Type::TIMESTAMPTZ, Type::TEXT, Type::INT4],
);
const RENEW: Sql = Sql::new(
    "update platform.jobs set leased_until = $2 where id = $1 and attempts = $3 and state = 'running'",
    &[Type::UUID, Type::TIMESTAMPTZ, Type::INT4],
);

const SWEEP: Sql =
    Sql::new("delete from platform.jobs where state = 'done' and finished_at < $1", &[Type::TIMESTAMPTZ]);

/// A job that this process now holds, for the length of its lease.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) id: Uuid,
    /// Absent for the platform's own work.
    pub(super) tenancy: Option<Tenancy>,
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) attempts: i32,
}

fn claimed(tx: &PlatformTx, row: &Row) -> Result<Claimed, Fault> {
    let tenancy = row.get::<_, Option<Uuid>>(4).map(|_| tx.db().tenancy(row, 4)).transpose()?;
    Ok(Claimed { id: row.get(0), tenancy, kind: row.get(1), key: row.get(2), attempts: row.get(3) })
}

pub(super) async fn add(tx: &mut TenantTx<'_>, kind: &str, key: &str, delay: Duration) -> Result<(), Fault> {
    let (id, tenant) = (tx.new_id(), tx.tenant().uuid());
    let run_at = tx.now() + TimeDelta::from_std(delay).unwrap_or(TimeDelta::zero());
    tx.run(&ADD, &[&id, &tenant, &kind, &key, &run_at]).await?;
    Ok(())
}

pub(super) async fn add_keeper(
    tx: &mut PlatformTx,
    kind: &str,
    key: &str,
    at: DateTime<Utc>,
) -> Result<(), Fault> {
    let id = tx.new_id();
    tx.run(&ADD_KEEPER, &[&id, &kind, &key, &at]).await?;
    Ok(())
}

pub(super) async fn revive_keeper(
    tx: &mut PlatformTx,
    kind: &str,
    key: &str,
    at: DateTime<Utc>,
) -> Result<(), Fault> {
    let id = tx.new_id();
    tx.run(&REVIVE_KEEPER, &[&id, &kind, &key, &at]).await?;
    Ok(())
}

/// The job that is due longest, of the kinds that this process can run.
pub(super) async fn claim(
    tx: &mut PlatformTx,
    kinds: &[&str],
    lease: TimeDelta,
) -> Result<Option<Claimed>, Fault> {
    let now = tx.now();
    let row = tx.row(&CLAIM, &[&now, &(now + lease), &kinds]).await?;
    row.map(|row| claimed(tx, &row)).transpose()
}

/// When the next job is due, if any is waiting.
pub(super) async fn next_due(tx: &mut PlatformTx, kinds: &[&str]) -> Result<Option<DateTime<Utc>>, Fault> {
    Ok(tx.row(&NEXT, &[&kinds]).await?.and_then(|row| row.get(0)))
}

pub(super) async fn done(tx: &mut PlatformTx, job: &Claimed) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(&DONE, &[&job.id, &now, &job.attempts]).await?;
    Ok(())
}

pub(super) async fn again(
    tx: &mut PlatformTx,
    job: &Claimed,
    wait: TimeDelta,
    why: &str,
) -> Result<(), Fault> {
    let at = tx.now() + wait;
    tx.run(&AGAIN, &[&job.id, &at, &why, &job.attempts]).await?;
    Ok(())
}

pub(super) async fn bury(tx: &mut PlatformTx, job: &Claimed, why: &str) -> Result<(), Fault> {
    let now = tx.now();
    tx.run(&DEAD, &[&job.id, &now, &why, &job.attempts]).await?;
    Ok(())
}

pub(super) async fn renew(tx: &mut PlatformTx, job: &Claimed, lease: TimeDelta) -> Result<(), Fault> {
    let until = tx.now() + lease;
    tx.run(&RENEW, &[&job.id, &until, &job.attempts]).await?;
    Ok(())
}

/// Deletes what was done before a moment.
pub(super) async fn sweep(db: &Db, cluster: ClusterIndex, before: DateTime<Utc>) -> Result<(), Fault> {
    db.lookup_at(cluster, &SWEEP, &[&before]).await.map(drop)
}
