//! Migrating every tenant's schema of a cluster: what is pending is one query on the ledger; canaries go first, then
//! growing waves, each schema in a transaction of its own under a lock of its own. A schema that fails is named and does
//! not stop the rest, until the error budget is used up. What was done stays done, so that running again resumes, and two
//! runners at once share the work. Must never know what a migration does.

use futures_util::{StreamExt as _, stream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::blueprint::Blueprint;
use super::failure::OrFailed as _;
use super::owner::{LOCK_SPACE, Owner};
use super::tx::schema_of;
use crate::config::{self, Database};
use crate::error::{Fault, OrFault as _};
use crate::ids::TenantId;

/// How long a schema's locks are waited for, so that a migration never makes a queue of the tenant's own requests.
const LOCK_WAIT: &str = "2s";
/// How long one statement of a migration may run.
const STATEMENT_MAX: &str = "60s";
/// How long to wait before a schema that was in use is tried again.
const PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];
/// Where nobody is marked as a canary, so many schemas of the warm pool are.
const CANARIES_BY_DEFAULT: usize = 3;

/// How to go about it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Schemas at once.
    pub workers: usize,
    /// So many may fail before the rest is left alone; one in a hundred, at least three, where it is not given. Of the
    /// canaries none may.
    pub failures_max: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: 4, failures_max: None }
    }
}

/// A schema that is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Whose.
    pub tenant: TenantId,
    /// What it is called for people: the tenant's slug, or that nobody has it yet.
    pub name: String,
    /// The version that it has.
    pub version: u16,
    /// Whether it goes first.
    pub canary: bool,
    /// Whether it failed the last time.
    pub failed: bool,
    claimed: bool,
}

/// What happens, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// So many are behind.
    Planned(usize),
    /// A wave of so many begins; the first are the canaries.
    Wave(usize),
    /// A schema was brought up to date, or found so.
    Done(Pending),
    /// A schema could not be migrated, for this reason; it is as it was.
    Failed(Pending, String),
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// So many are up to date now that were behind.
    pub migrated: usize,
    /// Those that failed, with the reason.
    pub failed: Vec<(Pending, String)>,
    /// So many were not tried, because too many had failed.
    pub left: usize,
}

/// The schemas of one cluster.
pub struct Fleet<'c> {
    database: &'c Database,
    cluster: &'c config::Cluster,
    blueprint: &'c Blueprint,
}

impl<'c> Fleet<'c> {
    /// The schemas of this cluster, to be brought to this blueprint.
    pub fn new(database: &'c Database, cluster: &'c config::Cluster, blueprint: &'c Blueprint) -> Self {
        Self { database, cluster, blueprint }
    }

    /// Every schema that is behind, canaries first. Refuses when a migration was changed after it was applied.
    pub async fn pending(&self, owner: &Owner) -> Result<Vec<Pending>, Fault> {
        self.refuse_altered(owner).await?;
        let version = i32::from(self.blueprint.version());
        let rows = owner.as_platform(PENDING, &[&version]).await?;
        let mut pending = rows.iter().map(|row| {
            let version = u16::try_from(row.get::<_, i32>(1)).or_fault("read the ledger")?;
            Ok(Pending {
                tenant: row.get::<_, Uuid>(0).into(),
                version,
                failed: row.get(2),
                claimed: row.get(3),
                name: row.get(4),
                canary: row.get(5),
            })
        });
        let mut pending = pending.by_ref().collect::<Result<Vec<_>, Fault>>()?;
        choose_canaries(&mut pending);
        Ok(pending)
    }

    async fn refuse_altered(&self, owner: &Owner) -> Result<(), Fault> {
        let versions: Vec<i32> = (1..=self.blueprint.version()).map(i32::from).collect();
        let sums: Vec<_> = (1..=self.blueprint.version()).map(|v| self.blueprint.checksum(v)).collect();
        let altered = owner.as_platform(ALTERED, &[&versions, &sums]).await?;
        let Some(row) = altered.first() else { return Ok(()) };
        let (version, count): (i32, i64) = (row.get(0), row.get(1));
        Err(Fault::new(format!(
            "migrate tenants: tenant_migrations up to V{version:03} differ from what was applied to {count} schema(s); \
             restore the files and add a new migration instead"
        )))
    }

    /// Migrates all that are behind, and tells what happens.
    pub async fn run(
        &self,
        owner: &Owner,
        options: Options,
        tell: &(dyn Fn(Event) + Sync),
    ) -> Result<Report, Fault> {
        let pending = self.pending(owner).await?;
        tell(Event::Planned(pending.len()));
        let budget = options.failures_max.unwrap_or((pending.len() / 100).max(3));
        let workers = self.workers(options.workers.clamp(1, pending.len().max(1))).await?;
        let mut report = Report::default();
        let mut waves = waves(pending).into_iter();
        while let Some(wave) = waves.next() {
            tell(Event::Wave(wave.len()));
            let canaries = wave.first().is_some_and(|first| first.canary);
            self.wave(wave, &workers, tell, &mut report).await;
            let allowed = if canaries { 0 } else { budget };
            if allowed < report.failed.len() {
                report.left = waves.map(|wave| wave.len()).sum();
                break;
            }
        }
        Ok(report)
    }

    /// A connection each.
    async fn workers(&self, count: usize) -> Result<Workers, Fault> {
        let mut owners = Vec::with_capacity(count);
        for _ in 0..count {
            owners.push(Owner::connect(self.database, self.cluster).await?);
        }
        Ok(Workers { idle: Mutex::new(owners), count })
    }

    async fn wave(
        &self,
        wave: Vec<Pending>,
        workers: &Workers,
        tell: &(dyn Fn(Event) + Sync),
        report: &mut Report,
    ) {
        let mut done = stream::iter(wave)
            .map(|pending| async move {
                let Some(owner) = workers.take() else {
                    return (pending, Err("no connection was left".to_owned()));
                };
                let outcome = self.migrate(&owner, pending.tenant).await;
                workers.put(owner);
                (pending, outcome)
            })
            .buffer_unordered(workers.count);
        while let Some((pending, outcome)) = done.next().await {
            match outcome {
                Ok(()) => {
                    report.migrated += 1;
                    tell(Event::Done(pending));
                }
                Err(why) => {
                    tell(Event::Failed(pending.clone(), why.clone()));
                    report.failed.push((pending, why));
                }
            }
        }
    }

    /// Migrates one schema; tries again while it is in use. The error is what an operator should read.
    async fn migrate(&self, owner: &Owner, tenant: TenantId) -> Result<(), String> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.attempt(owner, tenant).await {
                Ok(()) => return Ok(()),
                Err(error) if in_use(&error) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(self.note_failure(owner, tenant, error).await),
                },
                Err(error) => return Err(self.note_failure(owner, tenant, error).await),
            }
        }
    }

    /// One try, in a transaction under the schema's lock; nothing of it stays when it fails.
    async fn attempt(&self, owner: &Owner, tenant: TenantId) -> Result<(), tokio_postgres::Error> {
        let (schema, id) = (schema_of(tenant), tenant.uuid());
        let begin = format!(
            "begin; set local lock_timeout = '{LOCK_WAIT}'; set local statement_timeout = '{STATEMENT_MAX}';
             select pg_advisory_xact_lock({LOCK_SPACE}, hashtext('{schema}')); set local role neurosphere_platform"
        );
        owner.whole(&begin).await?;
        let found = owner.client.query_typed(AT_VERSION, &[(&id, Type::UUID)]).await;
        let version = match found {
            Ok(rows) => rows.first().and_then(|row| u16::try_from(row.get::<_, i32>(0)).ok()),
            Err(error) => {
                owner.client.batch_execute("rollback").await?;
                return Err(error);
            }
        };
        let target = self.blueprint.version();
        // Another runner was first, or the tenant is gone.
        let Some(version) = version.filter(|version| *version < target) else {
            return owner.client.batch_execute("rollback").await;
        };
        let checksum = self.blueprint.checksum(target).unwrap_or_default();
        let script = format!(
            "set local role none; {};
             set local role neurosphere_platform;
             update platform.schema_ledger set version = {target}, checksum = '{checksum}', state = 'current', error = null,
                    started_at = transaction_timestamp(),
                    ms = extract(epoch from clock_timestamp() - transaction_timestamp()) * 1000
              where tenant_id = '{id}';
             update platform.tenants set schema_version = {target} where id = '{id}';
             commit",
            self.blueprint.migration(tenant, version)
        );
        owner.whole(&script).await
    }

    /// Writes the reason into the ledger and gives it.
    async fn note_failure(&self, owner: &Owner, tenant: TenantId, error: tokio_postgres::Error) -> String {
        let why = match Err::<(), _>(error).or_failed("migrate") {
            Err(fault) => fault.chain(),
            Ok(()) => String::new(),
        };
        let noted = owner.as_platform(NOTE_FAILURE, &[&tenant.uuid(), &why]).await;
        if let Err(fault) = noted {
            tracing::warn!(%tenant, fault = fault.chain(), "a failed migration was not noted in the ledger");
        }
        why
    }
}

/// Connections, of which each worker takes one.
struct Workers {
    idle: Mutex<Vec<Owner>>,
    count: usize,
}

impl Workers {
    fn take(&self) -> Option<Owner> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, owner: Owner) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(owner);
    }
}

/// Whether the schema was in use, so that a later try may succeed.
fn in_use(error: &tokio_postgres::Error) -> bool {
    let codes = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::QUERY_CANCELED];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Marked tenants; where there are none, schemas that nobody uses yet; where there are none either, the first tenant.
fn choose_canaries(pending: &mut [Pending]) {
    if !pending.iter().any(|one| one.canary) {
        pending
            .iter_mut()
            .filter(|one| !one.claimed)
            .take(CANARIES_BY_DEFAULT)
            .for_each(|one| one.canary = true);
    }
    if !pending.iter().any(|one| one.canary) {
        pending.iter_mut().take(1).for_each(|one| one.canary = true);
    }
    pending.sort_by_key(|one| !one.canary);
}

/// The canaries, a twentieth of the rest, a quarter of the rest, the rest.
fn waves(pending: Vec<Pending>) -> Vec<Vec<Pending>> {
    let (canaries, rest): (Vec<_>, Vec<_>) = pending.into_iter().partition(|one| one.canary);
    let (twentieth, quarter) = (rest.len().div_ceil(20), rest.len().div_ceil(4));
    let mut rest = rest.into_iter();
    let second: Vec<_> = rest.by_ref().take(twentieth).collect();
    let third: Vec<_> = rest.by_ref().take(quarter).collect();
    let all = [canaries, second, third, rest.collect()];
    all.into_iter().filter(|wave| !wave.is_empty()).collect()
}

const PENDING: &str = "
    select l.tenant_id, l.version, l.state = 'failed', l.claimed,
           coalesce(t.slug, case when l.claimed then l.tenant_id::text else 'prepared schema' end),
           coalesce(t.canary, false)
      from platform.schema_ledger l left join platform.tenants t on t.id = l.tenant_id
     where l.version < $1 order by l.claimed, l.tenant_id";
const ALTERED: &str = "
    select l.version, count(*) from platform.schema_ledger l
      join unnest($1::int[], $2::text[]) as ours(version, checksum) on ours.version = l.version
     where l.checksum <> ours.checksum group by l.version order by l.version limit 1";
const AT_VERSION: &str = "select version from platform.schema_ledger where tenant_id = $1 for update";
const NOTE_FAILURE: &str = "update platform.schema_ledger set state = 'failed', error = left($2, 500), started_at = now() where tenant_id = $1";

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(name: u128, canary: bool, claimed: bool) -> Pending {
        Pending {
            tenant: Uuid::from_u128(name).into(),
            name: name.to_string(),
            version: 1,
            canary,
            failed: false,
            claimed,
        }
    }

    #[test]
    fn canaries_go_first_then_growing_waves() {
        let sizes = |count: u128, marked: u128| {
            let mut all: Vec<_> = (0..count).map(|n| pending(n, n < marked, true)).collect();
            choose_canaries(&mut all);
            waves(all).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(5_000, 2), [2, 250, 1_250, 3_498]);
        assert_eq!(sizes(101, 0), [1, 5, 25, 70]);
        assert_eq!(sizes(1, 0), [1]);
        assert_eq!(sizes(2, 1), [1, 1]);
        assert_eq!(sizes(0, 0), [0usize; 0]);
    }

    #[test]
    fn schemas_that_nobody_uses_are_the_canaries_where_nobody_is_marked() {
        let mut all: Vec<_> = (0..10).map(|n| pending(n, false, n < 5)).collect();
        choose_canaries(&mut all);
        let chosen: Vec<_> = all.iter().filter(|one| one.canary).map(|one| one.name.as_str()).collect();
        assert_eq!(chosen, ["5", "6", "7"]);
        assert!(all.iter().take(3).all(|one| one.canary), "they stand first");
    }
}
