//! Facts of the catalog: what it says of a schema and its role, read for many schemas at once, or as one fingerprint
//! each. Must never judge them.

use std::collections::{BTreeMap, HashMap};
use tokio_postgres::{Client, Row};

use super::super::failure::OrFailed as _;
use super::super::owner::Owner;
use super::super::tx::schema_of;
use crate::config::login_role;
use crate::error::{Fault, OrFault as _};
use crate::ids::TenantId;

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Schema,
    Grant,
    Relation,
    Column,
    Constraint,
    Index,
    Policy,
    Trigger,
    Rule,
    Function,
    Object,
    Inheritance,
    Publication,
    Subscription,
    Outsider,
    Role,
    Member,
    Setting,
    Holding,
}

impl Kind {
    const NAMED: [(&'static str, Self); 19] = [
        ("schema", Self::Schema),
        ("grant", Self::Grant),
        ("relation", Self::Relation),
        ("column", Self::Column),
        ("constraint", Self::Constraint),
        ("index", Self::Index),
        ("policy", Self::Policy),
        ("trigger", Self::Trigger),
        ("rule", Self::Rule),
        ("function", Self::Function),
        ("object", Self::Object),
        ("inheritance", Self::Inheritance),
        ("publication", Self::Publication),
        ("subscription", Self::Subscription),
        ("outsider", Self::Outsider),
        ("role", Self::Role),
        ("member", Self::Member),
        ("setting", Self::Setting),
        ("holding", Self::Holding),
    ];

    /// The word of the SQL, and of what people read.
    pub(super) fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn named(name: &str) -> Result<Self, Fault> {
        let found = Self::NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind).ok_or_else(|| Fault::new(format!("read the catalog: what is a {name}?")))
    }
}

/// What is said by one fact: no two facts of a schema have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) object: String,
    pub(super) part: String,
}

/// The facts of one schema and role; `{t}` stands for its name, `{tenant}` for its id, `{login}` for its login role.
pub(super) type Facts = BTreeMap<Key, String>;

/// One fact, where it is made by hand.
pub(super) fn fact(kind: Kind, object: &str, part: &str, value: &str) -> (Key, String) {
    (Key { kind, object: object.to_owned(), part: part.to_owned() }, value.to_owned())
}

/// A schema whose facts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) schema: String,
    /// Empty for the control plane.
    tenant: String,
    login: String,
}

impl Target {
    /// A tenant's schema and role.
    pub(super) fn tenant(tenant: TenantId, login: u16) -> Self {
        let id = tenant.uuid().to_string();
        Self { schema: schema_of(tenant), tenant: id, login: login_role(login) }
    }

    /// The control plane, or what is built like it.
    pub(super) fn platform(schema: &str) -> Self {
        Self { schema: schema.to_owned(), tenant: String::new(), login: String::new() }
    }

    /// Puts its own names where a fact has placeholders.
    pub(super) fn fill(&self, text: &str) -> String {
        let filled = text.replace("{tenant}", &self.tenant).replace("{login}", &self.login);
        filled.replace("{t}", &self.schema)
    }
}

/// What was read of a schema, and the version that the ledger gave it at that moment; none without a row there.
pub(super) struct Read<T> {
    pub(super) version: Option<u16>,
    pub(super) found: T,
}

/// Nested loops over indexes alone, so that a batch costs what it asks for however many schemas there are; and names
/// come out qualified whatever the owner's path is.
const PLAN: &str =
    "set local role neurosphere_platform; set local search_path = pg_catalog; set local enable_seqscan = off;
    set local enable_hashjoin = off; set local enable_mergejoin = off";
const FACTS: &str = concat!(
    "select f.place, l.version, f.kind, f.object, f.part, f.value from (",
    include_str!("facts.sql"),
    ") f left join platform.schema_ledger l
         on l.tenant_id = case when f.place ~ '^tenant_[0-9a-f]{32}$' then substr(f.place, 8)::uuid end"
);
const FINGERPRINTS: &str = concat!(
    "select g.place, l.version, g.fingerprint
       from (select f.place, sha256(convert_to(string_agg(concat_ws(chr(31), f.kind, f.object, f.part, f.value), chr(30)
                    order by f.kind collate \"C\", f.object collate \"C\", f.part collate \"C\", f.value collate \"C\"),
                    'UTF8')) as fingerprint
               from (",
    include_str!("facts.sql"),
    ") f group by f.place) g
       left join platform.schema_ledger l
         on l.tenant_id = case when g.place ~ '^tenant_[0-9a-f]{32}$' then substr(g.place, 8)::uuid end"
);
const SERVER: &str = include_str!("server.sql");

/// Reads all facts of these schemas, in a transaction that was begun; by schema.
pub(super) async fn facts(
    client: &Client,
    targets: &[Target],
) -> Result<HashMap<String, Read<Facts>>, Fault> {
    let mut all: HashMap<String, Read<Facts>> = HashMap::new();
    for row in asked(client, FACTS, targets).await? {
        let version = version(&row)?;
        let of = all.entry(row.get(0)).or_insert_with(|| Read { version, found: Facts::new() });
        of.found.extend([fact_of(&row, 2)?]);
    }
    Ok(all)
}

/// Reads one fingerprint of each of these schemas, in a transaction that was begun; by schema.
pub(super) async fn fingerprints(
    client: &Client,
    targets: &[Target],
) -> Result<HashMap<String, Read<Vec<u8>>>, Fault> {
    let rows = asked(client, FINGERPRINTS, targets).await?;
    rows.iter().map(|row| Ok((row.get(0), Read { version: version(row)?, found: row.get(2) }))).collect()
}

/// Reads the facts of the database and of the roles that are not one tenant's, in a transaction that was begun.
pub(super) async fn server_facts(client: &Client) -> Result<Facts, Fault> {
    let rows = client.query(SERVER, &[]).await.or_failed("read the catalog of the database")?;
    rows.iter().map(|row| fact_of(row, 0)).collect()
}

/// Does something in a transaction that changes nothing and sees the catalog as the platform does.
pub(super) async fn reading<T>(
    owner: &Owner,
    look: impl AsyncFnOnce(&Client) -> Result<T, Fault>,
) -> Result<T, Fault> {
    building(owner, "", look).await
}

/// The same after a script, of which nothing stays.
pub(super) async fn building<T>(
    owner: &Owner,
    script: &str,
    look: impl AsyncFnOnce(&Client) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let begin = format!("begin; {script}; {PLAN}");
    owner.whole(&begin).await.or_failed("begin to read the catalog")?;
    let seen = look(&owner.client).await;
    owner.client.batch_execute("rollback").await.or_failed("end reading the catalog")?;
    seen
}

async fn asked(client: &Client, sql: &str, targets: &[Target]) -> Result<Vec<Row>, Fault> {
    let schemas: Vec<_> = targets.iter().map(|target| target.schema.as_str()).collect();
    let tenants: Vec<_> = targets.iter().map(|target| target.tenant.as_str()).collect();
    let logins: Vec<_> = targets.iter().map(|target| target.login.as_str()).collect();
    client.query(sql, &[&schemas, &tenants, &logins]).await.or_failed("read the catalog")
}

fn version(row: &Row) -> Result<Option<u16>, Fault> {
    let version: Option<i32> = row.get(1);
    version.map(u16::try_from).transpose().or_fault("read the ledger")
}

fn fact_of(row: &Row, from: usize) -> Result<(Key, String), Fault> {
    let kind = Kind::named(row.get(from))?;
    Ok((Key { kind, object: row.get(from + 1), part: row.get(from + 2) }, row.get(from + 3)))
}
