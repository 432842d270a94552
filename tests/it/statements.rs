//! How statements reach Postgres: unprepared the first time, prepared from the second on, asked again when what was
//! prepared no longer fits, and no row's values in what an error tells.

use crate::world::World;
use neurosphere::access::{Action, Role};
use neurosphere::callers;
use neurosphere::db::Type;
use neurosphere::db::tx::Sql;

const NAMES: Sql = Sql::new("select name from {t}.callers where calls_count = $1", &[Type::INT4]);
const PLANS: Sql = Sql::new("select name from platform.plans where key = $1", &[Type::TEXT]);
/// Asks about its own connection.
const PREPARED: Sql = Sql::new(
    "select count(*) from pg_prepared_statements where statement like '%' || $1 || '%' and statement not like '%pg_prep%'",
    &[Type::TEXT],
);

#[tokio::test]
async fn what_is_used_twice_is_prepared_and_answers_the_same() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let db = &world.app.db;
    for (uses, prepared) in [(1, 0), (2, 1), (3, 1)] {
        let rows = db.lookup(&PLANS, &[&"standard"]).await.unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), "Standard", "use {uses}");
        let count = db.lookup(&PREPARED, &[&"platform.plans where key"]).await.unwrap();
        assert_eq!(count[0].get::<_, i64>(0), prepared, "platform, use {uses}");
    }
    let mut session = db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    for (uses, prepared) in [(1, 0), (2, 1), (3, 1)] {
        session.single(Action::CallersRead, &NAMES, &[&0]).await.unwrap();
        let count =
            session.single(Action::CallersRead, &PREPARED, &[&"callers where calls_count"]).await.unwrap();
        assert_eq!(count[0].get::<_, i64>(0), prepared, "tenant, use {uses}");
    }
}

#[tokio::test]
async fn a_prepared_statement_that_no_longer_fits_is_asked_again() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    for _ in 0..3 {
        session.single(Action::CallersRead, &NAMES, &[&0]).await.unwrap();
    }
    let owner = world.as_owner().await;
    let change = format!("alter table {}.callers alter column name type varchar(300)", tenant.schema());
    owner.batch_execute(&change).await.unwrap();
    for _ in 0..3 {
        session.single(Action::CallersRead, &NAMES, &[&0]).await.expect("the result's type changed");
    }
}

#[tokio::test]
async fn an_error_of_postgres_tells_no_values() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let mut session = world.app.db.tenant(&tenant.scope(Role::Carrier)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    callers::meet(&mut tx, &"+19495550199".parse().unwrap()).await.unwrap();
    let twice =
        Sql::new("insert into {t}.callers (id, phone) values (gen_random_uuid(), '+19495550199')", &[]);
    let fault = tx.run(&twice, &[]).await.unwrap_err().chain();
    assert!(fault.contains("23505") && fault.contains("callers_phone_unique"), "{fault}");
    assert!(!fault.contains("5550199"), "{fault}");
}
