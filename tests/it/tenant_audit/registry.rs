//! Registry, ledger and catalog that disagree; rows in the wrong cluster; and a world of two clusters where nothing is
//! wrong.

use super::{Expected, all_findings, findings, unlike};
use crate::world::{ACCOUNT_SID, TestTenant, World};
use neurosphere::access::Role;
use neurosphere::calls::{self, Arrival, Arrived};
use neurosphere::db::guards::Guard::{Registry, Roles, Rows, Structure};
use neurosphere::db::guards::{Finding, Selection};
use neurosphere::ids::{CallId, ClusterName, TenantId};
use neurosphere::tenants::birth;

async fn as_platform(world: &World, sql: &str) {
    let sql = format!("begin; set local role neurosphere_platform; {sql}; commit");
    world.as_owner().await.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

fn of<'f>(found: &'f [Finding], whose: &str) -> Vec<&'f Finding> {
    found.iter().filter(|one| one.whose == whose).collect()
}

#[tokio::test]
async fn a_world_where_nothing_is_wrong_has_no_finding() {
    let (world, _wire) = World::of_two_clusters().await;
    let db = &world.app.db;
    birth::fill_pool(db, world.owners(), db.cluster_named("west").unwrap(), 2).await.unwrap();
    birth::fill_pool(db, world.owners(), db.cluster_named("main").unwrap(), 2).await.unwrap();
    let (here, there) = (world.tenant().await, world.tenant_in("west").await);
    world.tenant_behind().await;
    for tenant in [None, Some(here.id), Some(there.id)] {
        let selection = Selection { cluster: None, tenant };
        assert_eq!(findings(&world, &selection).await, [], "{selection:?}");
    }
}

#[tokio::test]
async fn registry_ledger_and_catalog_that_disagree_are_found() {
    let world = World::new().await;
    let mut tenants = Vec::new();
    let cases: [(&str, Expected<'_>); 7] = [
        (
            "update platform.schema_ledger set claimed = false where tenant_id = '{id}'",
            (Registry, "{t}", "the ledger says that nobody does"),
        ),
        (
            "update platform.tenants set login = 5 where id = '{id}'",
            (Registry, "{t}", "the registry names login role 5, the ledger 0"),
        ),
        (
            "update platform.tenants set schema_version = 1 where id = '{id}'",
            (Registry, "{t}", "the registry says version 1"),
        ),
        (
            "update platform.schema_ledger set checksum = repeat('0', 64) where tenant_id = '{id}'",
            (Registry, "{t}", "other migrations than this program's"),
        ),
        (
            "delete from platform.schema_ledger where tenant_id = '{id}'",
            (Registry, "{t}", "a schema that the ledger does not know"),
        ),
        (
            "set local role none; drop schema {t} cascade",
            (Registry, "{t}", "the ledger names a schema that is not there"),
        ),
        (
            "delete from platform.schema_ledger where tenant_id = '{id}'; set local role none; drop schema {t} cascade",
            (Registry, "{t}", "the registry says that its schema is in cluster main, and it is not"),
        ),
    ];
    for _ in &cases {
        tenants.push(world.tenant().await);
    }
    let newer = world.tenant().await;
    for ((plant, _), tenant) in cases.iter().zip(&tenants) {
        let plant = plant.replace("{id}", &tenant.id.uuid().to_string()).replace("{t}", &tenant.schema());
        as_platform(&world, &plant).await;
    }
    let nobody = TenantId::from(world.app.db.clock().new_id());
    world.owners().build(&ClusterName::main(), nobody, true).await.unwrap();
    let version = "update platform.{table} set {column} = 99 where {id} = '{tenant}'";
    for (table, column, id) in
        [("schema_ledger", "version", "tenant_id"), ("tenants", "schema_version", "id")]
    {
        let set = version.replace("{table}", table).replace("{column}", column).replace("{id}", id);
        as_platform(&world, &set.replace("{tenant}", &newer.id.uuid().to_string())).await;
    }
    let found = all_findings(&world).await;
    for ((plant, (guard, _, words)), tenant) in cases.iter().zip(&tenants) {
        let expected = [(*guard, tenant.schema())];
        let expected: Vec<_> =
            expected.iter().map(|(guard, schema)| (*guard, schema.as_str(), *words)).collect();
        assert_eq!(unlike(&expected, of(&found, &tenant.slug)), [""; 0], "{plant}");
    }
    let schema = format!("tenant_{}", nobody.uuid().simple());
    let expected =
        [(Registry, schema.as_str(), "the ledger says that somebody has it, and the registry does not")];
    assert_eq!(unlike(&expected, of(&found, &format!("nobody's {schema}"))), [""; 0]);
    let expected = [(Structure, &*newer.schema(), "is version 99; this program knows 1 to")];
    assert_eq!(unlike(&expected, of(&found, &newer.slug)), [""; 0]);
    assert_eq!(found.len(), cases.len() + 2, "{found:?}");
}

#[tokio::test]
async fn a_tenant_in_the_wrong_cluster_and_its_strayed_work_are_found() {
    let (world, wire) = World::of_two_clusters().await;
    let there = world.tenant_in("west").await;
    let id = there.id.uuid();
    as_platform(&world, &format!("insert into platform.jobs (id, tenant_id, kind, key) values (gen_random_uuid(), '{id}', 'x', 'x')")).await;
    let found = all_findings(&world).await;
    let expected = [(Rows, "jobs", "1 row(s) of tenants whose schema is not in this cluster")];
    assert_eq!(unlike(&expected, found.iter().collect()), [""; 0]);
    as_platform(&world, &format!("delete from platform.jobs where tenant_id = '{id}'")).await;

    let role = format!("alter role {} login", there.schema());
    world.as_owner().await.batch_execute(&role).await.unwrap();
    let found = findings(&world, &Selection::default()).await;
    let here = found.iter().filter(|(cluster, _)| cluster == "main").map(|(_, one)| one).collect();
    let object = format!("role {}", there.schema());
    let expected = [(Roles, object.as_str(), "is \"login inherit\" instead of \"nologin inherit\"")];
    assert_eq!(unlike(&expected, here), [""; 0], "a tenant's role in the control plane's cluster");
    world.as_owner().await.batch_execute(&role.replace(" login", " nologin")).await.unwrap();

    as_platform(&world, &format!("update platform.tenants set cluster = 'main' where id = '{id}'")).await;
    let found = findings(&world, &Selection { cluster: None, tenant: Some(there.id) }).await;
    let places: Vec<_> =
        found.iter().map(|(cluster, one)| (cluster.as_str(), one.guard, one.what.as_str())).collect();
    assert_eq!(
        places,
        [
            ("main", Registry, "the registry says that its schema is in cluster main, and it is not"),
            ("west", Registry, "the ledger says that somebody has it, and the registry does not"),
        ]
    );
    as_platform(&world, &format!("update platform.tenants set cluster = 'west' where id = '{id}'")).await;

    wire.cut();
    let found = findings(&world, &Selection::default()).await;
    let [(cluster, lost)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((cluster.as_str(), lost.guard, lost.object.as_str()), ("west", Registry, "west"));
}

/// Work and tokens for another's call do nothing, since the call is not in the tenant's schema; they are found all the same.
#[tokio::test]
async fn work_and_tokens_that_name_anothers_call_are_found() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let call = ring(&world, &a).await;
    assert_eq!(all_findings(&world).await, [], "its own token names its own call");
    let (theirs, ours) = (a.id.uuid(), b.id.uuid());
    let plant = format!(
        "insert into platform.jobs (id, tenant_id, kind, key) values
            (gen_random_uuid(), '{ours}', 'calls.conclude', '{call}'), (gen_random_uuid(), '{ours}', 'calls.close', 'nonsense'),
            (gen_random_uuid(), '{theirs}', 'calls.conclude', '{call}')"
    );
    as_platform(&world, &plant).await;
    let token = format!(
        "begin; grant {schema} to current_user with inherit false, set true; set local role {schema};
         insert into platform.stream_tokens values ('x', '{ours}', '{}', 'AC', now() + interval '1 minute'); reset role;
         revoke {schema} from current_user; commit",
        call.uuid(),
        schema = b.schema()
    );
    world.as_owner().await.batch_execute(&token).await.unwrap();
    let found = all_findings(&world).await;
    assert!(found.iter().all(|one| one.whose == b.slug), "{found:?}");
    let expected = [
        (Rows, "jobs", "2 row(s) name a call that is not this tenant's"),
        (Rows, "stream_tokens", "1 row(s) name a call that is not this tenant's"),
    ];
    assert_eq!(unlike(&expected, found.iter().collect()), [""; 0]);
}

async fn ring(world: &World, tenant: &TestTenant) -> CallId {
    let arrival = Arrival {
        call_sid: "CA1".to_owned(),
        account_sid: ACCOUNT_SID.to_owned(),
        from: Some("+19495550199".parse().unwrap()),
        to: tenant.number.clone(),
    };
    let mut session = world.app.db.tenant(&tenant.scope(Role::Carrier)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let Arrived::In { call, .. } = calls::arrive(&mut tx, &arrival).await.unwrap() else { panic!("busy") };
    tx.commit().await.unwrap();
    call
}
