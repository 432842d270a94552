//! TLS to Postgres: spoken when it is asked for, with a server that is known, under the name that was asked for; and
//! otherwise not a byte of a password goes out.

use crate::pooler::Pooler;
use crate::world::{World, config};
use neurosphere::clock::Clock;
use neurosphere::config::Config;
use neurosphere::db::Db;
use neurosphere::db::owner::Owner;
use neurosphere::tenants::reach;

/// The world's database by way of a pooler that insists on TLS.
fn through(world: &World, pooler: &Pooler, host: &str, query: &str, ca_file: Option<String>) -> Config {
    let database = &world.app.config.database.main;
    let mut overrides = vec![
        ("DATABASE_URL", pooler.url(database.owner_url.as_ref().unwrap().reveal(), host, query)),
        ("DATABASE_APP_URL", pooler.url(database.app_url.reveal(), host, query)),
    ];
    overrides.extend(ca_file.map(|file| ("DATABASE_CA_FILE", file)));
    config(&overrides)
}

#[tokio::test]
async fn postgres_is_spoken_to_over_tls_and_only_with_a_server_that_is_known() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let database = &world.app.config.database.main;
    let pooler = Pooler::with_tls(database.owner_url.as_ref().unwrap().reveal(), database.app_url.reveal());
    let known = through(&world, &pooler, "localhost", "sslmode=require", Some(pooler.ca_file()));
    let db = Db::new(&known.database, &known.master_key, Clock::system()).unwrap();
    let found = reach::tenancy(&db, tenant.id).await.unwrap();
    assert_eq!(found, Some(tenant.tenancy), "the pool speaks TLS");
    Owner::connect(&known.database, &known.database.main).await.expect("the owner speaks TLS");

    for (host, query, ca_file, why) in [
        ("localhost", "sslmode=require", None, "UnknownIssuer"),
        ("127.0.0.1", "sslmode=require", Some(pooler.ca_file()), "not valid for name"),
        ("localhost", "sslmode=disable", Some(pooler.ca_file()), "SSL required"),
    ] {
        let unknown = through(&world, &pooler, host, query, ca_file);
        let refused = Owner::connect(&unknown.database, &unknown.database.main).await.expect_err(why);
        assert!(refused.chain().contains(why), "{host} {query}: {}", refused.chain());
    }
}
