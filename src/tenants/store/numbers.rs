//! Telephone numbers. The primary key says that a number belongs to one tenant at a time.

use uuid::Uuid;

use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Row, Type};
use crate::error::{Fault, OrFault as _};
use crate::ids::{PhoneNumber, TenantId};

const ASSIGN: Sql = Sql::new(
    "insert into platform.phone_numbers (number, tenant_id, account_sid) values ($1, $2, $3)
     on conflict (number) do update set account_sid = excluded.account_sid
         where phone_numbers.tenant_id = excluded.tenant_id
     returning number",
    &[Type::TEXT, Type::UUID, Type::TEXT],
);
const MOVE: Sql = Sql::new(
    "update platform.phone_numbers set tenant_id = $3, account_sid = $4, assigned_at = now()
      where number = $1 and tenant_id = $2",
    &[Type::TEXT, Type::UUID, Type::UUID, Type::TEXT],
);
const RELEASE: Sql = Sql::new(
    "delete from platform.phone_numbers where number = $1 and tenant_id = $2",
    &[Type::TEXT, Type::UUID],
);
const OF_TENANT: Sql =
    Sql::new("select number from platform.phone_numbers where tenant_id = $1 order by number", &[Type::UUID]);
const OF_EACH: Sql = Sql::new(
    "select tenant_id, number from platform.phone_numbers where tenant_id = any($1) order by number",
    &[Type::UUID_ARRAY],
);
const ACCOUNT_OWNER: Sql = Sql::new(
    "select tenant_id from platform.credentials where provider = 'twilio' and account = $1",
    &[Type::TEXT],
);

/// False if the number belongs to another tenant.
pub(in crate::tenants) async fn assign(
    tx: &mut PlatformTx,
    tenant: Uuid,
    number: &str,
    account_sid: Option<&str>,
) -> Result<bool, Fault> {
    Ok(tx.row(&ASSIGN, &[&number, &tenant, &account_sid]).await?.is_some())
}

/// False if the number is not the first tenant's.
pub(in crate::tenants) async fn hand_over(
    tx: &mut PlatformTx,
    number: &str,
    (from, to): (Uuid, Uuid),
    account_sid: Option<&str>,
) -> Result<bool, Fault> {
    Ok(tx.run(&MOVE, &[&number, &from, &to, &account_sid]).await? == 1)
}

/// False if the number is not the tenant's.
pub(in crate::tenants) async fn release(
    tx: &mut PlatformTx,
    number: &str,
    tenant: Uuid,
) -> Result<bool, Fault> {
    Ok(tx.run(&RELEASE, &[&number, &tenant]).await? == 1)
}

/// The tenant whose carrier account that is.
pub(in crate::tenants) async fn account_owner(
    tx: &mut PlatformTx,
    account: &str,
) -> Result<Option<Uuid>, Fault> {
    Ok(tx.row(&ACCOUNT_OWNER, &[&account]).await?.map(|row| row.get(0)))
}

/// The numbers of tenants, as an operator asks for them.
pub(in crate::tenants) async fn of_each(
    tx: &mut PlatformTx,
    tenants: &[Uuid],
) -> Result<Vec<(TenantId, PhoneNumber)>, Fault> {
    let number = |row: &Row| {
        let number = row.get::<_, &str>(1).parse().or_fault("read a tenant's number")?;
        Ok((row.get::<_, Uuid>(0).into(), number))
    };
    tx.rows(&OF_EACH, &[&tenants]).await?.iter().map(number).collect()
}

/// The tenant's numbers, as it asks for them itself.
pub(in crate::tenants) async fn own(tx: &mut TenantTx<'_>) -> Result<Vec<String>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.rows(&OF_TENANT, &[&tenant]).await?.iter().map(|row| row.get(0)).collect())
}
