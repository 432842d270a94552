//! Faults in what all tenants stand on: the control plane, the database, the roles that are not one tenant's. What only a
//! superuser could plant is in the unit tests of `src/db/guards`.

use super::{Expected, all_findings, findings_now, tables, unlike};
use crate::world::World;
use neurosphere::db::guards::Guard::{Names, Roles, RowSecurity, Rows, Structure};
use neurosphere::db::guards::{self, Finding, Selection};
use neurosphere::ids::ClusterName;

/// SQL that plants a fault, whose it is found to be, and what is found of it.
type Case = (&'static str, &'static str, Expected<'static>);

const PLATFORM: &str = "control plane";
const DATABASE: &str = "database";

/// Each about another object, so that all of them are planted at once.
const CASES: [Case; 27] = [
    (
        "drop policy own_rows on platform.jobs",
        PLATFORM,
        (RowSecurity, "policy own_rows of jobs", "is missing"),
    ),
    (
        "alter policy own_rows on platform.slugs using (true)",
        PLATFORM,
        (RowSecurity, "policy own_rows of slugs", "using (true) with check"),
    ),
    (
        "create policy everyone on platform.api_keys for select to neurosphere_tenants using (true)",
        PLATFORM,
        (RowSecurity, "policy everyone of api_keys", "no migration made it"),
    ),
    (
        "alter table platform.plans disable row level security",
        PLATFORM,
        (RowSecurity, "plans", "disabled, forced"),
    ),
    (
        "alter table platform.operators no force row level security",
        PLATFORM,
        (RowSecurity, "operators", "enabled, not forced"),
    ),
    (
        "grant select on platform.credentials to neurosphere_tenants",
        PLATFORM,
        (Roles, "credentials", "SELECT is granted to neurosphere_tenants"),
    ),
    (
        "grant delete on platform.audit to neurosphere_platform",
        PLATFORM,
        (Roles, "audit", "DELETE is granted to neurosphere_platform"),
    ),
    (
        "grant select on platform.templates to public",
        PLATFORM,
        (Roles, "templates", "SELECT is granted to PUBLIC"),
    ),
    (
        "grant usage on schema platform to neurosphere_app",
        PLATFORM,
        (Roles, "schema", "USAGE is granted to neurosphere_app"),
    ),
    (
        "grant select on platform.schema_history to neurosphere_platform",
        PLATFORM,
        (Roles, "schema_history", "only the owner"),
    ),
    (
        "grant execute on function platform.refuse_change() to public",
        PLATFORM,
        (Roles, "refuse_change()", "EXECUTE is granted to PUBLIC"),
    ),
    (
        "alter view platform.tenancies set (security_invoker = false)",
        PLATFORM,
        (Names, "tenancies", "kind is \"view with (security_invoker=false)\""),
    ),
    (
        "create view platform.extra as select id from platform.tenants",
        PLATFORM,
        (Names, "extra", "no migration made it: view"),
    ),
    (
        "create view public.extra as select id from platform.operator_keys",
        PLATFORM,
        (Names, "operator_keys", "view public.extra depends on it from outside"),
    ),
    (
        "create function platform.extra() returns bigint language sql security definer as 'select 1'",
        PLATFORM,
        (Names, "function extra()", "security definer"),
    ),
    (
        "alter table platform.template_versions disable trigger template_versions_immutable",
        PLATFORM,
        (Structure, "trigger template_versions_immutable of template_versions", ", disabled"),
    ),
    ("create table platform.more (x integer)", PLATFORM, (Structure, "more", "no migration made it: table")),
    ("drop index platform.jobs_due", PLATFORM, (Structure, "index jobs_due of jobs", "is missing")),
    (
        "alter table platform.tenants drop constraint tenants_state_known",
        PLATFORM,
        (Structure, "constraint tenants_state_known of tenants", "is missing"),
    ),
    (
        "set role neurosphere_platform; insert into platform.slug_claims (skeleton, tenant_id) values ('x', gen_random_uuid()); reset role",
        PLATFORM,
        (Rows, "slug_claims", "1 row(s) of tenants that do not exist"),
    ),
    (
        "create table extensions.callers (x integer)",
        DATABASE,
        (Names, "table extensions.callers", "no migration made it"),
    ),
    (
        "grant create on schema extensions to neurosphere_tenants",
        DATABASE,
        (Roles, "schema extensions", "CREATE is granted to neurosphere_tenants"),
    ),
    (
        "grant usage on schema public to public",
        DATABASE,
        (Roles, "schema public", "USAGE is granted to PUBLIC"),
    ),
    (
        "do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$",
        DATABASE,
        (Roles, "database {database}", "TEMPORARY is granted to PUBLIC"),
    ),
    (
        "do $$ begin execute format('alter database %I set row_security = off', current_database()); end $$",
        DATABASE,
        (Names, "database {database}", "row_security=off"),
    ),
    (
        "do $$ begin execute format('alter database %I set role = neurosphere_platform', current_database()); end $$",
        DATABASE,
        (Names, "database {database}", "role=neurosphere_platform"),
    ),
    (
        "alter default privileges grant select on tables to neurosphere_tenants",
        DATABASE,
        (Roles, "default acl for role neurosphere on tables", "no migration made it"),
    ),
];

#[tokio::test]
async fn every_fault_of_the_foundations_is_found() {
    let world = World::new().await;
    let owner = world.as_owner().await;
    for (plant, ..) in CASES {
        owner.batch_execute(plant).await.unwrap_or_else(|error| panic!("{plant}: {error:?}"));
    }
    let database: String = owner.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    let found = all_findings(&world).await;
    for whose in [PLATFORM, DATABASE] {
        let of_it = found.iter().filter(|one| one.whose == whose).collect();
        let cases = CASES.iter().filter(|(_, of, _)| *of == whose);
        let cases: Vec<_> = cases
            .map(|(_, _, (guard, object, words))| (*guard, object.replace("{database}", &database), *words))
            .collect();
        let expected: Vec<_> =
            cases.iter().map(|(guard, object, words)| (*guard, object.as_str(), *words)).collect();
        assert_eq!(unlike(&expected, of_it), [""; 0]);
    }
    assert_eq!(found.len(), CASES.len(), "{found:?}");
    let quick =
        guards::foundations(&world.owners().connect(&ClusterName::main()).await.unwrap()).await.unwrap();
    let of_rows = found.iter().filter(|one| one.guard == Rows).count();
    assert_eq!(quick.len() + of_rows, found.len(), "doctor sees the same, but for rows");
}

#[tokio::test]
async fn row_security_of_every_table_of_the_control_plane_is_missed_when_it_is_gone() {
    for off in ["disable row level security", "no force row level security"] {
        let world = World::new().await;
        let owner = world.as_owner().await;
        let tables = tables(&owner, "platform").await;
        for table in &tables {
            owner.batch_execute(&format!("alter table platform.{table} {off}")).await.unwrap();
        }
        let found = all_findings(&world).await;
        let expected: Vec<_> = tables
            .iter()
            .map(|table| (RowSecurity, table.as_str(), "instead of \"enabled, forced\""))
            .collect();
        assert_eq!(unlike(&expected, found.iter().collect()), [""; 0], "{off}");
    }
}

/// Login roles belong to every database of the server, so that nobody else may look while one is wrong; and no other
/// test uses the last of them.
#[tokio::test]
async fn a_login_role_that_may_more_than_become_others_is_found() {
    const LOGIN: &str = "neurosphere_app_63";
    let world = World::new().await;
    let server = World::of_all_worlds().await;
    let remove = format!("drop owned by {LOGIN} cascade; drop role {LOGIN}");
    server.batch_execute("select pg_advisory_lock(20785, 3)").await.unwrap();
    let there = "select count(*) from pg_roles where rolname = $1";
    if server.query_one(there, &[&LOGIN]).await.unwrap().get::<_, i64>(0) != 0 {
        server.batch_execute(&format!("drop role {LOGIN}")).await.unwrap();
    }
    let owner = world.as_owner().await;
    let plant = format!(
        "create role {LOGIN} login inherit createdb; grant neurosphere_platform to {LOGIN} with inherit true;
         grant neurosphere_tenants to {LOGIN} with inherit false; alter role {LOGIN} set search_path = public;
         create schema extra authorization neurosphere; grant usage on schema extra to {LOGIN}"
    );
    owner.batch_execute(&plant).await.unwrap();
    let found: Vec<Finding> =
        findings_now(&world, &Selection::default()).await.into_iter().map(|(_, one)| one).collect();
    owner.batch_execute(&format!("grant {LOGIN} to neurosphere; {remove}")).await.unwrap();
    let role = format!("role {LOGIN}");
    let expected = [
        (Roles, role.as_str(), "is \"login inherit createdb\" instead of \"login noinherit\""),
        (Roles, "role neurosphere_platform", "is a member of it with \"inherit set\" instead of \"set\""),
        (Roles, "role neurosphere_tenants", "neurosphere_app_63 is a member of it (set)"),
        (Names, role.as_str(), "is \"search_path=public\" instead of \"search_path=extensions"),
        (Roles, "schema extra", "USAGE is granted to neurosphere_app_63"),
    ];
    assert_eq!(unlike(&expected, found.iter().collect()), [""; 0]);
}
