//! Rows that are where they do not belong. What a validated constraint excludes is not looked for. Must never change a
//! row.

use super::super::failure::OrFailed as _;
use super::super::owner::Owner;
use super::super::tx::schema_of;
use super::{Finding, Guard, Spot};
use crate::error::Fault;
use crate::ids::TenantId;

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

/// How many rows of a tenant's table have another tenant's id, as the tenant itself sees them; for a table whose check
/// does not hold. The owner becomes the tenant for a transaction of which nothing stays.
pub(super) async fn foreign(owner: &Owner, tenant: TenantId, table: &str) -> Result<i64, Fault> {
    let schema = schema_of(tenant);
    let begin = format!(
        "begin; set local statement_timeout = '{COUNT_MAX}'; grant {schema} to current_user with inherit false, set true;
         set local role {schema}"
    );
    owner.whole(&begin).await.or_failed("become a tenant to count its rows")?;
    let count =
        format!("select count(*) from {schema}.{table} where tenant_id is distinct from '{}'", tenant.uuid());
    let counted = owner.client.query_one(&count, &[]).await;
    owner.client.batch_execute("rollback").await.or_failed("end counting rows")?;
    Ok(counted.or_failed("count a tenant's rows")?.get(0))
}
