//! The four guards of a tenant's data: names, roles, forced row security, checks. Each is switched off in turn, and the
//! other three still hold. Tables are taken from the catalog, so that a new one is covered by being there.

use crate::world::{TestTenant, World};
use neurosphere::access::Role;
use neurosphere::callers;
use neurosphere::ids::PhoneNumber;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const TABLES: &str =
    "select tablename::text from pg_tables where schemaname = $1 and tablename <> 'schema_history'";

async fn tables(owner: &Client, schema: &str) -> Vec<String> {
    let found: Vec<String> =
        owner.query(TABLES, &[&schema]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(8 <= found.len(), "the tenant's tables are there: {found:?}");
    found
}

async fn become_tenant(client: &Client, tenant: &TestTenant) {
    client.batch_execute(&format!("begin; set local role {}", tenant.schema())).await.unwrap();
}

async fn refused_with(client: &Client, sql: &str, code: &SqlState) {
    client.batch_execute("savepoint attempt").await.unwrap();
    let error = client.batch_execute(sql).await.expect_err(sql);
    assert_eq!(error.code(), Some(code), "{sql}: {error}");
    client.batch_execute("rollback to attempt").await.unwrap();
}

/// A caller of tenant A, to be looked for by others.
async fn meet_someone(world: &World, tenant: &TestTenant) {
    let mut session = world.app.db.tenant(&tenant.scope(Role::Carrier)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    callers::meet(&mut tx, &"+19495550199".parse::<PhoneNumber>().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn every_table_has_all_four_guards() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = world.as_owner().await;
    let schema = tenant.schema();
    for table in tables(&owner, &schema).await {
        let row = owner
            .query_one(
                "select c.relrowsecurity and c.relforcerowsecurity, c.relowner::regrole::text,
                        (select array_agg(format('%s|%s|%s|%s', p.polcmd, p.polroles::regrole[], pg_get_expr(p.polqual, c.oid),
                                                 pg_get_expr(p.polwithcheck, c.oid))) from pg_policy p where p.polrelid = c.oid),
                        exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'c'
                                 and pg_get_constraintdef(k.oid) = format('CHECK ((tenant_id = %L::uuid))', $3::text)),
                        (select a.attnotnull and pg_get_expr(d.adbin, c.oid) = format('%L::uuid', $3::text) from pg_attribute a
                           join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
                          where a.attrelid = c.oid and a.attname = 'tenant_id'),
                        array(select distinct grantee::regrole::text from aclexplode(c.relacl) where grantee <> c.relowner)
                   from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2",
                &[&schema, &table, &tenant.id.uuid().to_string()],
            )
            .await
            .unwrap();
        assert!(row.get::<_, bool>(0), "{table}: row security is enabled and forced");
        assert_ne!(row.get::<_, String>(1), "neurosphere_app", "{table}: the login role owns nothing");
        assert_eq!(
            row.get::<_, Vec<String>>(2),
            [format!("*|{{{schema}}}|true|true")],
            "{table}: its one policy"
        );
        assert!(row.get::<_, bool>(3), "{table}: tenant_id is checked");
        assert_eq!(
            row.get::<_, Option<bool>>(4),
            Some(true),
            "{table}: tenant_id has its default and is not null"
        );
        assert_eq!(row.get::<_, Vec<String>>(5).join(" "), schema, "{table}: granted to its tenant alone");
    }
}

#[tokio::test]
async fn without_a_role_the_login_reads_nothing_and_no_bare_name_resolves() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let login = world.as_login().await;
    let owner = world.as_owner().await;
    for table in tables(&owner, &tenant.schema()).await {
        let error =
            login.batch_execute(&format!("select 1 from {}.{table}", tenant.schema())).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{table}");
        let error = login.batch_execute(&format!("select 1 from {table}")).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE), "{table}");
    }
    let inherits = "select count(*) from pg_auth_members m join pg_roles a on a.oid = m.member join pg_roles r on r.oid = m.roleid
                     where a.rolname = 'neurosphere_app' and m.inherit_option
                       and (r.rolname !~ '^tenant_' or r.rolname in (select nspname from pg_namespace))";
    assert_eq!(
        owner.query_one(inherits, &[]).await.unwrap().get::<_, i64>(0),
        0,
        "the login role inherits nothing"
    );
}

#[tokio::test]
async fn names_switched_off_roles_refuse() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let owner = world.as_owner().await;
    let login = world.as_login().await;
    become_tenant(&login, &b).await;
    for table in tables(&owner, &a.schema()).await {
        let foreign = format!("{}.{table}", a.schema());
        for sql in [
            format!("select 1 from {foreign}"),
            format!("delete from {foreign}"),
            format!("update {foreign} set tenant_id = tenant_id"),
            format!("insert into {foreign} (tenant_id) values ('{}')", a.id.uuid()),
            format!("truncate {foreign}"),
            format!("alter table {foreign} disable row level security"),
        ] {
            refused_with(&login, &sql, &SqlState::INSUFFICIENT_PRIVILEGE).await;
        }
        let own = format!("{}.{table}", b.schema());
        login.batch_execute(&format!("select tenant_id from {own}")).await.unwrap();
        refused_with(&login, &format!("truncate {own}"), &SqlState::INSUFFICIENT_PRIVILEGE).await;
        refused_with(
            &login,
            &format!("alter table {own} disable row level security"),
            &SqlState::INSUFFICIENT_PRIVILEGE,
        )
        .await;
    }
    refused_with(
        &login,
        &format!("create table {}.own (x int)", b.schema()),
        &SqlState::INSUFFICIENT_PRIVILEGE,
    )
    .await;
}

#[tokio::test]
async fn roles_switched_off_row_security_shows_nothing() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    meet_someone(&world, &a).await;
    let owner = world.as_owner().await;
    let (theirs, ours) = (a.schema(), b.schema());
    owner.batch_execute(&format!("grant usage on schema {theirs} to {ours}")).await.unwrap();
    for table in tables(&owner, &theirs).await {
        owner.batch_execute(&format!("grant all on {theirs}.{table} to {ours}")).await.unwrap();
    }
    let login = world.as_login().await;
    become_tenant(&login, &b).await;
    for table in tables(&owner, &theirs).await {
        let count = format!("select count(*) from {theirs}.{table}");
        assert_eq!(login.query_one(&count, &[]).await.unwrap().get::<_, i64>(0), 0, "{table}");
    }
    let touched = login.execute(&format!("update {theirs}.callers set name = 'x'"), &[]).await.unwrap();
    assert_eq!(touched, 0);
    let insert =
        format!("insert into {theirs}.callers (id, phone) values (gen_random_uuid(), '+19495550111')");
    refused_with(&login, &insert, &SqlState::INSUFFICIENT_PRIVILEGE).await;
}

#[tokio::test]
async fn row_security_switched_off_roles_and_checks_refuse() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    meet_someone(&world, &a).await;
    let owner = world.as_owner().await;
    for table in tables(&owner, &a.schema()).await {
        let off = format!(
            "alter table {}.{table} no force row level security, disable row level security",
            a.schema()
        );
        owner.batch_execute(&off).await.unwrap();
    }
    let login = world.as_login().await;
    become_tenant(&login, &b).await;
    for table in tables(&owner, &a.schema()).await {
        let sql = format!("select 1 from {}.{table}", a.schema());
        refused_with(&login, &sql, &SqlState::INSUFFICIENT_PRIVILEGE).await;
    }
    login.batch_execute("rollback").await.unwrap();
    become_tenant(&login, &a).await;
    let foreign = format!(
        "insert into {}.callers (id, phone, tenant_id) values (gen_random_uuid(), '+19495550111', '{}')",
        a.schema(),
        b.id.uuid()
    );
    refused_with(&login, &foreign, &SqlState::CHECK_VIOLATION).await;
}

#[tokio::test]
async fn a_row_from_elsewhere_is_refused_by_its_check_even_for_the_owner() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    meet_someone(&world, &a).await;
    let owner = world.as_owner().await;
    for schema in [a.schema(), b.schema()] {
        let off = format!("alter table {schema}.callers no force row level security");
        owner.batch_execute(&off).await.unwrap();
    }
    let copy = format!("insert into {}.callers select * from {}.callers", b.schema(), a.schema());
    let error = owner.batch_execute(&copy).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{error}");
}

#[tokio::test]
async fn checks_switched_off_roles_and_row_security_refuse() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let owner = world.as_owner().await;
    for table in tables(&owner, &a.schema()).await {
        let drop = format!("alter table {}.{table} drop constraint {table}_tenant", a.schema());
        owner.batch_execute(&drop).await.unwrap();
    }
    let insert =
        format!("insert into {}.callers (id, phone) values (gen_random_uuid(), '+19495550111')", a.schema());
    let login = world.as_login().await;
    become_tenant(&login, &b).await;
    refused_with(&login, &insert, &SqlState::INSUFFICIENT_PRIVILEGE).await;
    login.batch_execute("rollback").await.unwrap();
    let (theirs, ours) = (a.schema(), b.schema());
    owner.batch_execute(&format!("grant usage on schema {theirs} to {ours}")).await.unwrap();
    owner.batch_execute(&format!("grant all on {theirs}.callers to {ours}")).await.unwrap();
    become_tenant(&login, &b).await;
    refused_with(&login, &insert, &SqlState::INSUFFICIENT_PRIVILEGE).await;
}

#[tokio::test]
async fn the_control_plane_shows_a_tenant_its_own_rows_only() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let owner = world.as_owner().await;
    let shared = "select table_name::text, exists (select from information_schema.columns c
                      where c.table_schema = 'platform' and c.table_name = t.table_name and c.column_name = 'tenant_id')
                    from information_schema.tables t where table_schema = 'platform' and table_name <> 'schema_history'";
    let shared = owner.query(shared, &[]).await.unwrap();
    assert!(10 <= shared.len());
    let login = world.as_login().await;
    become_tenant(&login, &b).await;
    login.batch_execute(&format!("select set_config('app.tenant', '{}', true)", a.id.uuid())).await.unwrap();
    for row in &shared {
        let (table, has_tenant): (String, bool) = (row.get(0), row.get(1));
        let column = match (has_tenant, table.as_str()) {
            (true, _) => "tenant_id",
            (false, "tenants") => "id",
            (false, _) => continue,
        };
        login.batch_execute("savepoint look").await.unwrap();
        let foreign = format!("select count(*) from platform.{table} where {column} is distinct from $1");
        match login.query_one(&foreign, &[&b.id.uuid()]).await {
            Ok(count) => assert_eq!(count.get::<_, i64>(0), 0, "platform.{table} shows foreign rows"),
            Err(error) => {
                assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "platform.{table}");
            }
        }
        login.batch_execute("rollback to look").await.unwrap();
    }
    for sql in [
        format!(
            "insert into platform.jobs (id, tenant_id, kind, key) values (gen_random_uuid(), '{}', 'x', 'x')",
            a.id.uuid()
        ),
        format!(
            "insert into platform.audit (id, tenant_id, actor, action, subject) values (gen_random_uuid(), '{}', 'x', 'x', 'x')",
            a.id.uuid()
        ),
        format!(
            "insert into platform.stream_tokens values ('x', '{}', gen_random_uuid(), 'AC', now())",
            a.id.uuid()
        ),
        "update platform.tenants set name = 'x'".to_owned(),
        "delete from platform.jobs".to_owned(),
        "select secret_sha256 from platform.api_keys".to_owned(),
        "update platform.api_keys set scopes = '{everything}'".to_owned(),
        "update platform.api_keys set secret_sha256 = ''".to_owned(),
        format!(
            "insert into platform.api_keys (id, tenant_id, name, prefix, secret_sha256) values (gen_random_uuid(), '{}', 'x', 'x', 'x')",
            a.id.uuid()
        ),
        "select 1 from platform.credentials".to_owned(),
        "select name from platform.people".to_owned(),
        "select iss from platform.identities".to_owned(),
        "select host from platform.sign_ins".to_owned(),
        "select person_id from platform.members".to_owned(),
        "update platform.members set tenant_id = gen_random_uuid()".to_owned(),
        "insert into platform.members (id, tenant_id, person_id, name, role)
         values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'x', 'owner')"
            .to_owned(),
        "select secret_sha256 from platform.sessions".to_owned(),
        "update platform.sessions set expires_at = now() + interval '1 year'".to_owned(),
        "select token_sha256 from platform.invitations".to_owned(),
        "update platform.invitations set role = 'owner'".to_owned(),
        "update platform.invitations set accepted_at = null".to_owned(),
    ] {
        refused_with(&login, &sql, &SqlState::INSUFFICIENT_PRIVILEGE).await;
    }
}

#[tokio::test]
async fn the_platform_role_sees_no_tenants_schema() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = world.as_owner().await;
    let login = world.as_login().await;
    login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    for table in tables(&owner, &tenant.schema()).await {
        let sql = format!("select 1 from {}.{table}", tenant.schema());
        refused_with(&login, &sql, &SqlState::INSUFFICIENT_PRIVILEGE).await;
    }
}

/// Requests are abandoned at random points; whoever gets the connection next must find no role and no transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "the test awaits the tasks it spawns")]
async fn an_abandoned_request_hands_nothing_to_the_next() {
    let world = World::new().await;
    let tenants = [world.tenant().await, world.tenant().await];
    let numbers = ["+19495550111", "+19495550122"];
    for (tenant, number) in tenants.iter().zip(numbers) {
        let mut session = world.app.db.tenant(&tenant.scope(Role::Carrier)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        callers::meet(&mut tx, &number.parse::<PhoneNumber>().unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let tasks: Vec<_> = (0..400u64)
        .map(|turn| {
            let db = world.app.db.clone();
            let which = usize::try_from(turn % 2).unwrap();
            let (scope, number) = (tenants[which].scope(Role::Owner), numbers[which]);
            tokio::spawn(async move {
                let look = async {
                    let mut session = db.tenant(&scope).await.unwrap();
                    let mut tx = session.begin().await.unwrap();
                    let page = neurosphere::db::page::Page { first: 10, after: None };
                    let found = callers::list(&mut tx, page, None).await.unwrap();
                    tx.commit().await.unwrap();
                    let found: Vec<_> = found.iter().map(|caller| caller.phone.reveal()).collect();
                    assert_eq!(found, [number]);
                };
                // A third is abandoned somewhere between asking for a connection and COMMIT.
                if turn % 3 == 0 {
                    tokio::time::timeout(std::time::Duration::from_micros(turn * 17 % 3_000), look)
                        .await
                        .is_ok()
                } else {
                    look.await;
                    true
                }
            })
        })
        .collect();
    let mut finished = 0;
    for task in tasks {
        finished += usize::from(task.await.unwrap());
    }
    assert!(266 <= finished, "those that were not abandoned all finished: {finished}");
}
