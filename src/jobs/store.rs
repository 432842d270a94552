//! The SQL of the queue.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;
use uuid::Uuid;

use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Db, Row, Type};
use crate::error::Fault;
use crate::ids::TenantId;
use crate::refusals::{self, Limit};
use crate::tenancy::{ClusterIndex, Tenancy, tenancy_columns};

const ADD: Sql = Sql::new(
    "with added as (insert into platform.jobs (id, tenant_id, kind, key, run_at, due) values ($1, $2, $3, $4, $5, $6)
                    on conflict (tenant_id, kind, key) do nothing returning kind)
     select pg_notify('jobs', kind) from added",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::BOOL],
);
const ADD_KEEPER: Sql = Sql::new(
    "with added as (insert into platform.jobs (id, kind, key, run_at) values ($1, $2, $3, $4)
                    on conflict (tenant_id, kind, key) do nothing returning kind)
     select pg_notify('jobs', kind) from added",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
const REVIVE_KEEPER: Sql = Sql::new(
    "with added as (insert into platform.jobs as j (id, kind, key, run_at) values ($1, $2, $3, $4)
                    on conflict (tenant_id, kind, key)
                    do update set state = 'queued', due = false, attempts = 0, run_at = $4
                        where j.state = 'dead' returning kind)
     select pg_notify('jobs', kind) from added",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
/// Marks what has become due, and takes back what was left by processes that died.
const WAKE: Sql = Sql::new(
    "with later as (select id from platform.jobs where state = 'queued' and not due and run_at <= $1
                     order by run_at limit 1000 for update skip locked),
          left_lying as (select id from platform.jobs where state = 'running' and leased_until < $1
                          order by leased_until limit 1000 for update skip locked)
     update platform.jobs set state = 'queued', due = true, leased_until = null
      where id = any(array(select id from later union all select id from left_lying))",
    &[Type::TIMESTAMPTZ],
);
/// Goes from lane to lane that has work, in their order, up to the first whose next job may be taken, and says what it
/// passes: lanes of tenants with as many jobs under way as they may have, and those where another worker is taking one.
/// Whoever holds the lock of a lane is alone there until its transaction ends. A tenant that is being made, moved or
/// restored waits.
const LANES: Sql = Sql::new(
    "with recursive passed (lane, found) as (
        select $3, ''
         union all
        select next.lane,
               case when y.id is null and next.tenant_id is not null then 'waits'
                    when y.jobs_max <= (select count(*) from platform.jobs r
                                         where r.lane = next.lane and r.state = 'running') then 'full'
                    when pg_try_advisory_xact_lock(hashtextextended('jobs ' || next.lane, 0)) then 'mine'
                    else 'held' end
          from passed
         cross join lateral (
               select j.lane, j.tenant_id from platform.jobs j
                where j.state = 'queued' and j.due and j.lane > passed.lane and j.lane <= $4
                  and j.run_at <= $1 and j.kind = any($2) order by j.lane limit 1) next
          left join lateral (
               select y.id, y.jobs_max from platform.tenancies y
                where y.id = next.tenant_id and y.state in ('active', 'suspended', 'deleting')) y on true
         where passed.found <> 'mine')
     select lane, found from passed where found in ('full', 'held', 'mine')",
    &[Type::TIMESTAMPTZ, Type::TEXT_ARRAY, Type::UUID, Type::UUID],
);
/// The job of a lane that is due longest, unless as many of it are under way as may be: said under the lane's lock, so that
/// it sees all that was taken before.
const TAKE: Sql = Sql::new(
    concat!(
        "update platform.jobs j set state = 'running', attempts = j.attempts + 1, leased_until = $2
           from (select d.id from platform.jobs d
                  where d.lane = $4 and d.state = 'queued' and d.due and d.run_at <= $1 and d.kind = any($3)
                  order by d.run_at limit 1 for update skip locked) first
           left join platform.tenancies y on y.id = $4
          where j.id = first.id
            and (y.id is null or (select count(*) from platform.jobs r where r.lane = $4 and r.state = 'running')
                                 < y.jobs_max)
         returning j.id, j.kind, j.key, j.attempts, ",
        tenancy_columns!()
    ),
    &[Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::TEXT_ARRAY, Type::UUID],
);
/// When something is due next that is not due yet.
const NEXT: Sql = Sql::new(
    "select least((select min(run_at) from platform.jobs where state = 'queued' and not due),
                  (select min(leased_until) from platform.jobs where state = 'running'))",
    &[],
);
const DONE: Sql = Sql::new(
    "update platform.jobs set state = 'done', finished_at = $2, leased_until = null, last_error = null
      where id = $1 and attempts = $3",
    &[Type::UUID, Type::TIMESTAMPTZ, Type::INT4],
);
const AGAIN: Sql = Sql::new(
    "update platform.jobs set state = 'queued', due = false, run_at = $2, leased_until = null, last_error = $3
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

/// What a look through the lanes brought.
#[derive(Debug)]
pub(super) enum Found {
    /// A job, of this lane.
    Job(Box<Claimed>, Lane),
    /// Nothing now; other workers were at work in some lane, and may have left something there.
    Contended,
    /// Nothing until something becomes due or is done.
    Nothing,
}

/// Where the jobs of one tenant wait, or the platform's own. Lanes have an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane(Uuid);

impl Lane {
    /// Before all lanes.
    pub(super) const START: Self = Self(Uuid::nil());
    /// The platform's own, the last.
    const KEEPERS: Self = Self(Uuid::max());
}

fn claimed(tx: &PlatformTx, row: &Row) -> Result<Claimed, Fault> {
    let tenancy = row.get::<_, Option<Uuid>>(4).map(|_| tx.db().tenancy(row, 4)).transpose()?;
    Ok(Claimed { id: row.get(0), tenancy, kind: row.get(1), key: row.get(2), attempts: row.get(3) })
}

pub(super) async fn add(tx: &mut TenantTx<'_>, kind: &str, key: &str, delay: Duration) -> Result<(), Fault> {
    let (id, tenant) = (tx.new_id(), tx.tenant().uuid());
    let run_at = tx.now() + TimeDelta::from_std(delay).unwrap_or(TimeDelta::zero());
    tx.run(&ADD, &[&id, &tenant, &kind, &key, &run_at, &delay.is_zero()]).await?;
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

/// Takes a job of the kinds that this process can run: of the next lane after `last` that has one, once around.
pub(super) async fn claim(
    tx: &mut PlatformTx,
    kinds: &[&str],
    lease: TimeDelta,
    last: Lane,
) -> Result<Found, Fault> {
    let now = tx.now();
    tx.run(&WAKE, &[&now]).await?;
    let mut contended = false;
    for (mut after, until) in [(last, Lane::KEEPERS), (Lane::START, last)] {
        loop {
            let lanes = tx.rows(&LANES, &[&now, &kinds, &after.0, &until.0]).await?;
            let mut mine = None;
            for row in &lanes {
                let lane: Uuid = row.get(0);
                match row.get(1) {
                    "full" => refusals::note(Limit::Jobs, TenantId::from(lane)),
                    "mine" => mine = Some(lane),
                    _ => contended = true,
                }
            }
            let Some(lane) = mine else { break };
            if let Some(row) = tx.row(&TAKE, &[&now, &(now + lease), &kinds, &lane]).await? {
                return Ok(Found::Job(Box::new(claimed(tx, &row)?), Lane(lane)));
            }
            // Between the two looks another worker took what was left, or the last that this tenant may have.
            after = Lane(lane);
        }
    }
    Ok(if contended { Found::Contended } else { Found::Nothing })
}

/// When something is due next that is not due yet.
pub(super) async fn next_due(tx: &mut PlatformTx) -> Result<Option<DateTime<Utc>>, Fault> {
    Ok(tx.row(&NEXT, &[]).await?.and_then(|row| row.get(0)))
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
