//! People and their identities.

use uuid::Uuid;

use super::address;
use crate::db::tx::{PlatformTx, Sql};
use crate::db::{Row, Type};
use crate::error::Fault;
use crate::identity::Address;
use crate::identity::people::{Person, Subject};
use crate::ids::{PersonId, TenantId};

/// The columns that [`person`] reads, of `platform.people p`.
macro_rules! person_columns {
    () => {
        "p.id, p.name, p.email, p.second_factor_since is not null"
    };
}

const AT_ADDRESS: Sql = Sql::new(
    concat!(
        "select ",
        person_columns!(),
        " from platform.people p where p.email = $1 and p.disabled_at is null"
    ),
    &[Type::TEXT],
);
const KNOWN_AS: Sql = Sql::new(
    concat!(
        "with meant as (update platform.identities set last_used_at = $4
                         where iss = $1 and sub = $2 and tenant_id is not distinct from $3 returning person_id)
         select ",
        person_columns!(),
        " from meant join platform.people p on p.id = meant.person_id where p.disabled_at is null"
    ),
    &[Type::TEXT, Type::TEXT, Type::UUID, Type::TIMESTAMPTZ],
);
const LINK: Sql = Sql::new(
    "insert into platform.identities (id, iss, sub, tenant_id, person_id, email, created_at, last_used_at)
     values ($1, $2, $3, $4, $5, $6, $7, $7)",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::UUID, Type::UUID, Type::TEXT, Type::TIMESTAMPTZ],
);
const ADD: Sql = Sql::new(
    concat!(
        "insert into platform.people as p (id, name, email, created_at) values ($1, $2, $3, $4) returning ",
        person_columns!()
    ),
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);

fn person(row: &Row) -> Result<Person, Fault> {
    Ok(Person {
        id: row.get::<_, Uuid>(0).into(),
        name: row.get(1),
        address: address(row, 2)?,
        has_second_factor: row.get(3),
    })
}

pub(in crate::identity) async fn at_address(
    tx: &mut PlatformTx,
    address: &Address,
) -> Result<Option<Person>, Fault> {
    tx.row(&AT_ADDRESS, &[&address.reveal()]).await?.as_ref().map(person).transpose()
}

pub(in crate::identity) async fn known_as(
    tx: &mut PlatformTx,
    subject: Subject<'_>,
) -> Result<Option<Person>, Fault> {
    let (tenant, now) = (subject.tenant.map(TenantId::uuid), tx.now());
    let found = tx.row(&KNOWN_AS, &[&subject.iss, &subject.sub, &tenant, &now]).await?;
    found.as_ref().map(person).transpose()
}

pub(in crate::identity) async fn link(
    tx: &mut PlatformTx,
    person: PersonId,
    subject: Subject<'_>,
    address: Option<&Address>,
) -> Result<(), Fault> {
    let (id, tenant, now) = (tx.new_id(), subject.tenant.map(TenantId::uuid), tx.now());
    let address = address.map(Address::reveal);
    tx.run(&LINK, &[&id, &subject.iss, &subject.sub, &tenant, &person.uuid(), &address, &now]).await?;
    Ok(())
}

pub(in crate::identity) async fn add(
    tx: &mut PlatformTx,
    name: &str,
    address: Option<&Address>,
) -> Result<Person, Fault> {
    let (id, address, now) = (tx.new_id(), address.map(Address::reveal), tx.now());
    let added = tx.row(&ADD, &[&id, &name, &address, &now]).await?;
    let added = added.as_ref().map(person).transpose()?;
    added.ok_or_else(|| Fault::new("add a person: the insert gave no row"))
}
