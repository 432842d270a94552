//! Rows that are where they do not belong. What a validated constraint excludes is not looked for. Must never change a
//! row.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::failure::OrFailed as _;
use super::super::owner::Owner;
use super::super::tx::schema_of;
use super::{Finding, Guard, Spot};
use crate::error::Fault;
use crate::ids::{CallId, TenantId};

/// How long counting may take.
const COUNT_MAX: &str = "30s";

/// Tables of the control plane with a tenant's id that no foreign key holds to a tenant. The ledger is compared with the
/// registry elsewhere.
const UNHELD: &str = "
    select quote_ident(c.relname) from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
     where c.relnamespace = 'platform'::regnamespace and c.relkind = 'r' and c.relname <> 'schema_ledger'
       and not exists (select from pg_constraint k
                        where k.conrelid = c.oid and k.contype = 'f' and k.convalidated and k.conkey = array[a.attnum]
                          and k.confrelid = 'platform.tenants'::regclass)
     order by c.relname";
/// Work and tokens of tenants in service that this cluster has no schema of: they are of no use here.
const STRAYED: &str = "
    with elsewhere as (
        select t.id from platform.tenants t
         where t.state not in ('provisioning', 'deleting', 'deleted')
           and not exists (select from platform.schema_ledger l where l.tenant_id = t.id))
    select 'jobs', count(*) from platform.jobs j join elsewhere on elsewhere.id = j.tenant_id
     where j.state in ('queued', 'running')
    union all
    select 'stream_tokens', count(*) from platform.stream_tokens s join elsewhere on elsewhere.id = s.tenant_id";
/// Work that waits and tokens that are good, by tenant; a job's key is the call's id in its wire form.
const NAMING_CALLS: &str = "
    select tenant_id, 'jobs', array_agg(key), '{}'::uuid[] from platform.jobs
     where tenant_id = any($1) and kind in ('calls.close', 'calls.conclude') and state in ('queued', 'running')
     group by tenant_id
    union all
    select tenant_id, 'stream_tokens', '{}'::text[], array_agg(call_id) from platform.stream_tokens
     where tenant_id = any($1) and used_at is null and now() < expires_at
     group by tenant_id";

/// Rows of the control plane that belong to nobody, or to somebody who is elsewhere.
pub(super) async fn of_platform(owner: &Owner, spot: &Spot) -> Result<Vec<Finding>, Fault> {
    let mut found = Vec::new();
    let mut tell = |table: &str, count: i64, what: &str, mend: &str| {
        if 0 < count {
            let what = format!("{count} row(s) {what}");
            found.push(spot.finding(Guard::Rows, table, &what, mend));
        }
    };
    for row in owner.as_platform(UNHELD, &[]).await? {
        let table: String = row.get(0);
        let count = format!(
            "select count(*) from platform.{table} x where x.tenant_id is not null
                and not exists (select from platform.tenants t where t.id = x.tenant_id)"
        );
        let count = owner.as_platform(&count, &[]).await?.first().map_or(0, |row| row.get(0));
        let mend = format!("look at who wrote them, then delete from platform.{table}");
        tell(&table, count, "of tenants that do not exist", &mend);
    }
    for row in owner.as_platform(STRAYED, &[]).await? {
        let table: String = row.get(0);
        let mend = format!("look at who wrote them, then delete from platform.{table}");
        tell(&table, row.get(1), "of tenants whose schema is not in this cluster", &mend);
    }
    Ok(found)
}

/// How many rows of a tenant's table have another tenant's id; for a table whose check does not hold.
pub(super) async fn foreign(owner: &Owner, tenant: TenantId, table: &str) -> Result<i64, Fault> {
    let (schema, id) = (schema_of(tenant), tenant.uuid());
    let count = format!("select count(*) from {schema}.{table} where tenant_id is distinct from '{id}'");
    let counter = Counter::begin(owner, &[tenant]).await?;
    let foreign = counter.count(tenant, &count, &[]).await;
    counter.end().await?;
    foreign
}

/// Rows of the control plane that name a call: whose, of which table, how many of a call that their tenant does not have.
pub(super) struct Strangers {
    pub(super) tenant: TenantId,
    pub(super) table: String,
    pub(super) count: Result<i64, Fault>,
}

/// Looks for work and tokens of these tenants that would act on another's call.
pub(super) async fn strangers(owner: &Owner, tenants: &[TenantId]) -> Result<Vec<Strangers>, Fault> {
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.uuid()).collect();
    let naming = owner.as_platform(NAMING_CALLS, &[&ids]).await?;
    let whose = |row: &Row| TenantId::from(row.get::<_, Uuid>(0));
    let counter = Counter::begin(owner, &naming.iter().map(whose).collect::<Vec<_>>()).await?;
    let mut found = Vec::new();
    for row in &naming {
        let (tenant, keys): (_, Vec<String>) = (whose(row), row.get(2));
        let mut calls: Vec<Uuid> = row.get(3);
        // What is no call's name is nobody's call.
        calls.extend(keys.iter().map(|key| key.parse().map_or(Uuid::nil(), CallId::uuid)));
        let count = format!(
            "select count(*) from unnest($1::uuid[]) named (id)
              where not exists (select from {}.calls c where c.id = named.id)",
            schema_of(tenant)
        );
        let count = counter.count(tenant, &count, &[&calls]).await;
        found.push(Strangers { tenant, table: row.get(1), count });
    }
    counter.end().await?;
    Ok(found)
}

/// Counts what tenants themselves see: the owner becomes each of them for a moment, in a transaction of which nothing stays.
/// It may become all of them from the beginning: each grant makes the next change of role read every membership again,
/// which grows with the tenants that there are.
struct Counter<'o>(&'o Owner);

impl<'o> Counter<'o> {
    async fn begin(owner: &'o Owner, tenants: &[TenantId]) -> Result<Self, Fault> {
        let roles: Vec<_> = tenants.iter().map(|tenant| format!("'{}'", schema_of(*tenant))).collect();
        let begin = format!(
            "begin; set local statement_timeout = '{COUNT_MAX}';
             do $$ declare one name; begin
                 for one in select rolname from pg_roles where rolname = any(array[{}]::name[]) loop
                     execute format('grant %I to current_user with inherit false, set true', one);
                 end loop;
             end $$",
            roles.join(", ")
        );
        owner.whole(&begin).await.or_failed("begin to count rows as tenants")?;
        Ok(Self(owner))
    }

    async fn count(
        &self,
        tenant: TenantId,
        count: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<i64, Fault> {
        let client = &self.0.client;
        let become_it = format!("savepoint one; set local role {}", schema_of(tenant));
        let answer = async {
            client.batch_execute(&become_it).await.or_failed("become a tenant to count rows")?;
            client.query_one(count, params).await.or_failed("count rows as a tenant")
        }
        .await;
        client.batch_execute("rollback to one").await.or_failed("end counting a tenant's rows")?;
        Ok(answer?.get(0))
    }

    async fn end(self) -> Result<(), Fault> {
        self.0.client.batch_execute("rollback").await.or_failed("end counting rows")
    }
}
