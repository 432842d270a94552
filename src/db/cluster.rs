//! One Postgres server: a pool for the control plane, and for each login role pools between which tenants are divided, so
//! that a tenant's work lands on connections that know it. Must never know what the connections are used for.

use deadpool::managed::{self, PoolError, QueueMode, TimeoutType, Timeouts};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;
use std::time::Duration;

use super::failure::OrFailed as _;
use super::pool::{Connections, Pooled};
use crate::config::{self, Database};
use crate::error::{Fault, OrFault as _};
use crate::ids::{ClusterName, TenantId};

type Pool = managed::Pool<Connections>;

const WAIT_MAX: Duration = Duration::from_millis(2_500);
/// Login roles of a cluster at most.
const LOGINS_MAX: u16 = 64;
/// Connections of a shard, about.
const SHARD_CONNECTIONS: usize = 4;
/// Connections for the control plane at least.
const CONTROL_MIN: usize = 2;

pub(super) struct Cluster {
    pub(super) name: ClusterName,
    database: Database,
    settings: config::Cluster,
    control: Pool,
    logins: Box<[OnceLock<Shards>]>,
}

/// The pools of one login role.
struct Shards(Vec<Pool>);

impl Cluster {
    /// Prepares the pools; the first connection is made when it is first needed.
    pub(super) fn new(database: &Database, settings: &config::Cluster) -> Result<Self, Fault> {
        let connections = Connections::new(database, &settings.login_url(0))?;
        Ok(Self {
            name: settings.name.clone(),
            control: pool(connections, control_size(database.pool_max))?,
            logins: (0..LOGINS_MAX).map(|_| OnceLock::new()).collect(),
            database: database.clone(),
            settings: settings.clone(),
        })
    }

    /// A connection for the control plane.
    pub(super) async fn control(&self) -> Result<Pooled, Fault> {
        get(&self.control, WAIT_MAX).await.or_failed("get a connection to Postgres")
    }

    /// A connection on which the login role's tenants can be entered.
    pub(super) async fn tenant(&self, login: u16, tenant: TenantId) -> Result<Pooled, Fault> {
        let slot = self
            .logins
            .get(usize::from(login))
            .ok_or_else(|| Fault::new("use a login role: there is none of this number"))?;
        let shards = if let Some(shards) = slot.get() {
            shards
        } else {
            let made = Shards::new(&self.database, &self.settings, login)?;
            slot.get_or_init(|| made)
        };
        shards.connection(tenant).await.or_failed("get a connection to Postgres")
    }

    /// How many connections a tenant may hold at once, whatever its limits say: half of those that it shares.
    pub(super) fn tenant_share_max(&self) -> usize {
        let (count, size) = shards_of(self.database.pool_max);
        (count * size / 2).max(1)
    }

    /// Connections now open, and how many of them are idle.
    pub(super) fn connections(&self) -> (usize, usize) {
        self.pools()
            .map(Pool::status)
            .fold((0, 0), |(open, idle), status| (open + status.size, idle + status.available))
    }

    pub(super) fn close(&self) {
        self.pools().for_each(Pool::close);
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        let shards = self.logins.iter().filter_map(OnceLock::get).flat_map(|shards| &shards.0);
        std::iter::once(&self.control).chain(shards)
    }
}

impl Shards {
    fn new(database: &Database, settings: &config::Cluster, login: u16) -> Result<Self, Fault> {
        let (count, size) = shards_of(database.pool_max);
        let url = settings.login_url(login);
        let pools = (0..count).map(|_| pool(Connections::new(database, &url)?, size));
        Ok(Self(pools.collect::<Result<_, _>>()?))
    }

    /// Where the tenant is at home, if there is room; else wherever there is; else waits at home.
    async fn connection(&self, tenant: TenantId) -> Result<Pooled, PoolError<tokio_postgres::Error>> {
        let home = home(tenant, self.0.len());
        let (before, from_home) = self.0.split_at_checked(home).unwrap_or((&[], &self.0));
        for pool in from_home.iter().chain(before) {
            match get(pool, Duration::ZERO).await {
                Err(PoolError::Timeout(TimeoutType::Wait)) => {}
                got => return got,
            }
        }
        match from_home.first() {
            Some(pool) => get(pool, WAIT_MAX).await,
            None => Err(PoolError::Closed),
        }
    }
}

/// The shard that is a tenant's home, the same in every process.
fn home(tenant: TenantId, shards: usize) -> usize {
    let weight = |shard: usize| {
        let mut hasher = DefaultHasher::new();
        (tenant.uuid(), shard).hash(&mut hasher);
        hasher.finish()
    };
    (0..shards).max_by_key(|shard| weight(*shard)).unwrap_or(0)
}

fn control_size(pool_max: usize) -> usize {
    (pool_max / 4).max(CONTROL_MIN)
}

/// How many shards a login role has, and how many connections each.
fn shards_of(pool_max: usize) -> (usize, usize) {
    let rest = pool_max.saturating_sub(control_size(pool_max)).max(1);
    let count = rest.div_ceil(SHARD_CONNECTIONS);
    (count, rest / count)
}

fn pool(connections: Connections, size: usize) -> Result<Pool, Fault> {
    Pool::builder(connections)
        .max_size(size)
        .queue_mode(QueueMode::Lifo)
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .or_fault("build a connection pool")
}

async fn get(pool: &Pool, wait: Duration) -> Result<Pooled, PoolError<tokio_postgres::Error>> {
    let timeouts = Timeouts { wait: Some(wait), create: Some(WAIT_MAX), recycle: Some(WAIT_MAX) };
    pool.timeout_get(&timeouts).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn connections_are_divided_and_none_is_lost() {
        for (pool_max, expected) in [(4, (1, 2)), (8, (2, 3)), (16, (3, 4)), (64, (12, 4))] {
            assert_eq!(shards_of(pool_max), expected, "{pool_max}");
            let (count, size) = shards_of(pool_max);
            assert!(count * size + control_size(pool_max) <= pool_max);
        }
    }

    #[test]
    fn tenants_spread_over_the_shards_and_few_move_when_one_is_added() {
        let tenants: Vec<_> = (0..3_000).map(|n| TenantId::from(Uuid::from_u128(n))).collect();
        let mut counts = [0; 3];
        for tenant in &tenants {
            counts[home(*tenant, 3)] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        let moved = tenants.iter().filter(|tenant| home(**tenant, 3) != home(**tenant, 4)).count();
        assert!((600..900).contains(&moved), "{moved}");
    }
}
