//! Faults in a tenant's schema and role. Each is planted in a schema of its own; one audit finds them all.

use super::{Expected, all_findings, tables, unlike};
use crate::world::World;
use neurosphere::db::guards::Guard::{Checks, Names, Roles, RowSecurity, Rows, Structure};
use neurosphere::ids::{ClusterName, TenantId};
use tokio_postgres::Client;

/// SQL that plants a fault, and what is found of it. `{t}` is the schema, `{id}` its tenant; `{other}` and `{other_id}`
/// are another one's.
type Case = (&'static str, &'static [Expected<'static>]);

const ROW_SECURITY: [Case; 6] = [
    ("drop policy own_role on {t}.callers", &[(RowSecurity, "policy own_role of callers", "is missing")]),
    (
        "create policy more on {t}.callers to {other} using (true)",
        &[(RowSecurity, "policy more of callers", "no migration made it: for all to {other}")],
    ),
    (
        "alter policy own_role on {t}.callers to public",
        &[(RowSecurity, "policy own_role of callers", "to public using (true)")],
    ),
    (
        "alter policy own_role on {t}.callers with check (false)",
        &[(RowSecurity, "policy own_role of callers", "with check (false)")],
    ),
    ("alter table {t}.calls disable row level security", &[(RowSecurity, "calls", "\"disabled, forced\"")]),
    (
        "alter table {t}.calls no force row level security",
        &[(RowSecurity, "calls", "\"enabled, not forced\"")],
    ),
];

const GRANTS: [Case; 11] = [
    ("grant select on {t}.calls to {other}", &[(Roles, "calls", "SELECT is granted to {other}")]),
    (
        "grant select (name) on {t}.callers to {other}",
        &[(Roles, "callers.name", "SELECT is granted to {other}")],
    ),
    ("grant usage on schema {t} to {other}", &[(Roles, "schema", "USAGE is granted to {other}")]),
    ("grant create on schema {t} to {t}", &[(Roles, "schema", "CREATE is granted to {t}")]),
    ("grant truncate on {t}.calls to {t}", &[(Roles, "calls", "TRUNCATE is granted")]),
    (
        "grant select on {t}.calls to {t} with grant option",
        &[(Roles, "calls", "SELECT is granted to {t} with grant option")],
    ),
    ("revoke select on {t}.calls from {t}", &[(Roles, "calls", "SELECT is not granted to {t}")]),
    (
        "grant select on {t}.calls to neurosphere_app",
        &[(Roles, "calls", "SELECT is granted to neurosphere_app")],
    ),
    ("grant select on {t}.calls to public", &[(Roles, "calls", "SELECT is granted to PUBLIC")]),
    (
        "alter default privileges in schema {t} grant select on tables to {other}",
        &[(Roles, "default acl for role neurosphere in schema {t} on tables", "no migration made it")],
    ),
    (
        "create schema extra; grant usage on schema extra to {t}",
        &[(Roles, "role {t}", "schema extra is granted")],
    ),
];

const ROLES: [Case; 11] = [
    (
        "grant {t} to neurosphere_app with inherit true",
        &[(Roles, "role {t}", "neurosphere_app is a member of it with \"inherit set\" instead of \"set\"")],
    ),
    ("grant {t} to neurosphere_app with admin true", &[(Roles, "role {t}", "with \"set admin\" instead of")]),
    ("grant {t} to {other}", &[(Roles, "role {t}", "{other} is a member of it (inherit set)")]),
    ("revoke {t} from neurosphere_app", &[(Roles, "role {t}", "neurosphere_app is no member of it (set)")]),
    (
        "revoke neurosphere_tenants from {t}",
        &[(Roles, "role neurosphere_tenants", "{t} is no member of it (inherit)")],
    ),
    (
        "grant neurosphere_platform to {t} with inherit true, set false",
        &[(Roles, "role neurosphere_platform", "{t} is a member of it (inherit)")],
    ),
    ("alter role {t} login", &[(Roles, "role {t}", "is \"login inherit\" instead of \"nologin inherit\"")]),
    ("alter role {t} createdb", &[(Roles, "role {t}", "nologin inherit createdb")]),
    ("alter role {t} createrole", &[(Roles, "role {t}", "nologin inherit createrole")]),
    ("alter role {t} set search_path = public", &[(Names, "role {t}", "search_path=public")]),
    (
        "grant create on schema {t} to neurosphere_platform; alter table {t}.calls owner to neurosphere_platform;
         revoke create on schema {t} from neurosphere_platform",
        &[(Roles, "calls", "owner is \"neurosphere_platform\" instead of \"neurosphere\"")],
    ),
];

const CHECKS: [Case; 7] = [
    ("alter table {t}.calls drop constraint calls_tenant", &[(Checks, "constraint calls_tenant of calls", "is missing")]),
    (
        "alter table {t}.calls drop constraint calls_tenant,
            add constraint calls_tenant check (tenant_id = '{id}') not valid",
        &[(Checks, "constraint calls_tenant of calls", "NOT VALID")],
    ),
    (
        "alter table {t}.calls drop constraint calls_tenant, add constraint calls_tenant check (tenant_id = '{other_id}')",
        &[(Checks, "constraint calls_tenant of calls", "is \"CHECK ((tenant_id = '{other_id}'::uuid))\"")],
    ),
    (
        "alter table {t}.calls alter column tenant_id set default '{other_id}'",
        &[(Checks, "column tenant_id of calls", "default '{other_id}'")],
    ),
    ("alter table {t}.calls alter column tenant_id drop default", &[(Checks, "column tenant_id of calls", "is \"uuid not null\"")]),
    ("alter table {t}.calls alter column tenant_id drop not null", &[(Checks, "column tenant_id of calls", "is \"uuid default")]),
    (
        "alter table {t}.callers drop constraint callers_tenant, no force row level security, disable row level security;
         insert into {t}.callers (id, phone, tenant_id) values (gen_random_uuid(), '+19495550111', '{other_id}');
         alter table {t}.callers force row level security, enable row level security",
        &[
            (Checks, "constraint callers_tenant of callers", "is missing"),
            (Rows, "callers", "1 row(s) have another tenant's id"),
        ],
    ),
];

const WAYS_AROUND: [Case; 8] = [
    ("create view {t}.peek as select id from {t}.callers", &[(Names, "peek", "no migration made it: view")]),
    (
        "create materialized view {t}.peek as select id from {t}.callers",
        &[(Names, "peek", "no migration made it: materialized view")],
    ),
    (
        "create view public.{t} as select id from {t}.callers",
        &[(Names, "callers", "view public.{t} depends on it from outside")],
    ),
    (
        "create table public.{t} (); alter table {t}.callers add column parent_id uuid; drop table public.{t};
         create table public.{t} () inherits ({t}.callers); alter table {t}.callers drop column parent_id",
        &[(Names, "callers", "is parent of public.{t}")],
    ),
    (
        "alter table {t}.calls add constraint calls_out_fk foreign key (tenant_id) references platform.tenants (id)",
        &[(Names, "constraint calls_out_fk of calls", "REFERENCES platform.tenants(id)")],
    ),
    ("create publication {t} for table {t}.callers", &[(Names, "publication {t} of callers", "by replication")]),
    (
        "create rule away as on insert to {t}.callers do also notify somebody",
        &[(Names, "rule away of callers", "no migration made it")],
    ),
    (
        "create function {t}.peek() returns bigint language sql security definer as 'select 1'",
        &[(Names, "function peek()", "security definer")],
    ),
];

const STRUCTURE: [Case; 17] = [
    ("create table {t}.extra (x integer)", &[(Structure, "extra", "no migration made it: table")]),
    ("create sequence {t}.extra", &[(Structure, "extra", "no migration made it: sequence")]),
    ("create type {t}.extra as enum ('x')", &[(Structure, "type {t}.extra", "no migration made it")]),
    ("create domain {t}.extra as integer", &[(Structure, "type {t}.extra", "no migration made it")]),
    ("create collation {t}.extra from \"C\"", &[(Structure, "collation {t}.extra", "no migration made it")]),
    (
        "create statistics {t}.extra on id, phone from {t}.callers",
        &[(Structure, "statistics object {t}.extra", "no migration made it")],
    ),
    (
        "create function {t}.extra(x integer) returns integer language sql as 'select x'",
        &[(Structure, "function extra(x integer)", "no migration made it")],
    ),
    (
        "create trigger extra before update on {t}.callers for each row execute function suppress_redundant_updates_trigger()",
        &[(Structure, "trigger extra of callers", "suppress_redundant_updates_trigger")],
    ),
    ("drop table {t}.memories", &[(Structure, "memories", "is missing")]),
    (
        "alter table {t}.callers add column extra text",
        &[(Structure, "column extra of callers", "no migration made it: text")],
    ),
    (
        "alter table {t}.call_summaries drop column model",
        &[(Structure, "column model of call_summaries", "is missing")],
    ),
    (
        "alter table {t}.calls alter column from_number type varchar(20)",
        &[(Structure, "column from_number of calls", "is \"character varying(20)\"")],
    ),
    ("drop index {t}.calls_caller", &[(Structure, "index calls_caller of calls", "is missing")]),
    (
        "create index extra on {t}.calls (to_number)",
        &[(Structure, "index extra of calls", "no migration made it")],
    ),
    (
        "alter table {t}.calls drop constraint calls_state_known",
        &[(Structure, "constraint calls_state_known of calls", "is missing")],
    ),
    (
        "alter table {t}.callers drop constraint callers_phone_unique, add constraint callers_phone_unique unique (name)",
        &[(Structure, "constraint callers_phone_unique of callers", "is \"UNIQUE (name)\"")],
    ),
    (
        "alter table {t}.call_events set unlogged",
        &[(Structure, "call_events", "kind is \"unlogged table\" instead of \"table\"")],
    ),
];

/// Roles outlive a world: what one of them gave away would be everybody's on this server.
const FREED: &str =
    "revoke {t} from neurosphere_app, {other}; revoke neurosphere_platform, neurosphere_tenants from {t}";

fn filled(text: &str, tenant: TenantId, other: TenantId) -> String {
    let text = text.replace("{t}", &schema(tenant)).replace("{id}", &tenant.uuid().to_string());
    text.replace("{other}", &schema(other)).replace("{other_id}", &other.uuid().to_string())
}

fn schema(tenant: TenantId) -> String {
    format!("tenant_{}", tenant.uuid().simple())
}

/// A schema of the warm pool: as guarded as any, and nobody's.
async fn prepared(world: &World) -> TenantId {
    let tenant = TenantId::from(world.app.db.clock().new_id());
    world.owners().build(&ClusterName::main(), tenant, false).await.unwrap();
    tenant
}

/// Plants each fault in a schema of its own, audits once, and tells how what was found is not what was expected.
async fn check(cases: &[Case]) {
    let world = World::new().await;
    let owner = world.as_owner().await;
    let other = prepared(&world).await;
    let mut planted = Vec::new();
    for (plant, expected) in cases {
        let tenant = prepared(&world).await;
        plant_one(&owner, &filled(plant, tenant, other)).await;
        planted.push((tenant, plant, expected));
    }
    let mut found = all_findings(&world).await;
    for (tenant, ..) in &planted {
        plant_one(&owner, &filled(FREED, *tenant, other)).await;
    }
    let mut wrong = Vec::new();
    for (tenant, plant, expected) in planted {
        let whose = format!("prepared schema {tenant}");
        let words: Vec<_> = expected
            .iter()
            .map(|(guard, object, words)| {
                (*guard, filled(object, tenant, other), filled(words, tenant, other))
            })
            .collect();
        let expected: Vec<_> =
            words.iter().map(|(guard, object, words)| (*guard, object.as_str(), words.as_str())).collect();
        let of_it = found.iter().filter(|one| one.whose == whose).collect();
        wrong.extend(unlike(&expected, of_it).iter().map(|why| format!("{plant}\n    {why}")));
        found.retain(|one| one.whose != whose);
    }
    wrong.extend(found.iter().map(|one| format!("found besides: {one:?}")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_policy_that_is_not_as_it_was_made_is_found() {
    check(&ROW_SECURITY).await;
}

#[tokio::test]
async fn a_grant_that_no_migration_made_is_found() {
    check(&GRANTS).await;
}

#[tokio::test]
async fn a_role_that_may_more_than_be_its_tenant_is_found() {
    check(&ROLES).await;
}

#[tokio::test]
async fn a_check_that_lets_other_tenants_rows_in_is_found() {
    check(&CHECKS).await;
}

#[tokio::test]
async fn a_way_out_of_a_schema_or_into_it_is_found() {
    check(&WAYS_AROUND).await;
}

#[tokio::test]
async fn whatever_no_migration_made_is_found() {
    check(&STRUCTURE).await;
}

/// What can be taken from any table, with the guard that notices.
const FROM_ANY_TABLE: [(&str, Expected<'static>); 7] = [
    ("alter table {t}.{table} disable row level security", (RowSecurity, "{table}", "disabled")),
    ("alter table {t}.{table} no force row level security", (RowSecurity, "{table}", "not forced")),
    ("drop policy own_role on {t}.{table}", (RowSecurity, "policy own_role of {table}", "is missing")),
    (
        "alter table {t}.{table} drop constraint {table}_tenant",
        (Checks, "constraint {table}_tenant of {table}", "is missing"),
    ),
    (
        "alter table {t}.{table} alter column tenant_id drop default",
        (Checks, "column tenant_id of {table}", "is \"uuid not null\""),
    ),
    ("grant select on {t}.{table} to {other}", (Roles, "{table}", "SELECT is granted to {other}")),
    ("revoke insert on {t}.{table} from {t}", (Roles, "{table}", "INSERT is not granted")),
];

#[tokio::test]
async fn every_guard_of_every_table_is_missed_when_it_is_gone() {
    let world = World::new().await;
    let owner = world.as_owner().await;
    let other = prepared(&world).await;
    let tables = tables(&owner, &schema(other)).await;
    let mut planted: Vec<(TenantId, Vec<(_, String, String)>)> = Vec::new();
    for (plant, (guard, object, words)) in FROM_ANY_TABLE {
        let tenant = prepared(&world).await;
        let mut expected = Vec::new();
        for table in &tables {
            let of_it = |text: &str| filled(&text.replace("{table}", table), tenant, other);
            plant_one(&owner, &of_it(plant)).await;
            expected.push((guard, of_it(object), of_it(words)));
        }
        planted.push((tenant, expected));
    }
    let found = all_findings(&world).await;
    assert_eq!(found.len(), FROM_ANY_TABLE.len() * tables.len());
    for (tenant, expected) in &planted {
        let whose = format!("prepared schema {tenant}");
        let of_it = found.iter().filter(|one| one.whose == whose).collect();
        let expected: Vec<_> =
            expected.iter().map(|(guard, object, words)| (*guard, object.as_str(), words.as_str())).collect();
        assert_eq!(unlike(&expected, of_it), [""; 0]);
    }
}

async fn plant_one(owner: &Client, sql: &str) {
    owner.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}
