//! What is asked of tenants: a call's context, a page over GraphQL, a point query; and the point query and the page
//! unguarded beside it: the same SQL as the owner, without role, policy and check.

use futures_util::future::join_all;
use neurosphere::access::{Action, Role};
use neurosphere::app::{App, Only};
use neurosphere::calls;
use neurosphere::db::tx::Sql;
use neurosphere::db::{Db, Type};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_postgres::Client;

use crate::figures::{Figures, postgres_mb, server_mb};
use crate::town::{CALLER, Citizen, Town};

/// So many tenants are active; all others are merely there.
const ACTIVE: usize = 10;
const AT_ONCE: usize = 4;
const PAGE: &str =
    "{ calls(first: 20) { nodes { id startedAt state caller { name quickBio } summary { text } } } }";
const POINT: Sql =
    Sql::new("select id, name, calls_count, last_call_at from {t}.callers where phone = $1", &[Type::TEXT]);

pub(crate) async fn all(town: &Town, requests: usize) -> Value {
    let active: Vec<_> = town.citizens.iter().take(ACTIVE).cloned().collect();
    let strangers: Vec<_> = town.citizens.iter().rev().take(requests / 10).cloned().collect();
    let owner = town.direct().await;
    let context_warm = contexts(town, &town.app.db, &active, requests / 10).await;
    let context_cold = cold_contexts(town, &active, &strangers).await;
    let (point, unguarded, autocommit) = points(town, &owner, &active, requests).await;
    let page = pages(town, &active, requests).await;
    set_guards(&owner, &active, "off").await;
    let page_unguarded = pages(town, &active, requests).await;
    set_guards(&owner, &active, "on").await;
    json!({
        "context_warm": context_warm.told(), "context_cold": context_cold.told(),
        "point": point.told(), "point_unguarded": unguarded.told(), "point_unguarded_autocommit": autocommit.told(),
        "page": page.told(), "page_unguarded": page_unguarded.told(),
    })
}

/// What the gateway fetches before it answers, of these tenants in turn.
async fn contexts(town: &Town, db: &Db, citizens: &[Citizen], rounds: usize) -> Figures {
    let mut figures = Figures::default();
    for (round, citizen) in citizens.iter().cycle().take(rounds.max(citizens.len())).enumerate() {
        let call = town.ring(citizen, &format!("CA{round}-{}", uuid::Uuid::new_v4())).await;
        let scope = citizen.scope(Role::Call);
        figures.time(calls::open(db, &scope, call)).await.unwrap();
        let mut session = db.tenant(&scope).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        calls::end(&mut tx, call, "caller_hung_up").await.unwrap();
        tx.commit().await.unwrap();
    }
    figures
}

/// The same on connections that have seen none of the tenants.
async fn cold_contexts(town: &Town, active: &[Citizen], strangers: &[Citizen]) -> Figures {
    let config = &town.app.config;
    let fresh = Db::new(&config.database, &config.master_key, town.app.clock.clone()).unwrap();
    // the connections themselves are there
    drop(contexts(town, &fresh, active, ACTIVE * AT_ONCE).await);
    let figures = contexts(town, &fresh, strangers, strangers.len()).await;
    fresh.close();
    figures
}

/// One row by a unique column: guarded; unguarded in a transaction of the same shape; unguarded without any.
async fn points(
    town: &Town,
    owner: &Client,
    citizens: &[Citizen],
    rounds: usize,
) -> (Figures, Figures, Figures) {
    let (mut guarded, mut unguarded, mut autocommit) = <(Figures, Figures, Figures)>::default();
    let mut sessions = Vec::new();
    for citizen in citizens {
        let plain = format!("plain_{}", citizen.tenancy.tenant.uuid().simple());
        let copy = format!(
            "create schema {plain};
             create table {plain}.callers as table {}.callers with no data;
             create unique index on {plain}.callers (phone);
             insert into {plain}.callers (id, phone, calls_count) values (gen_random_uuid(), '{CALLER}', 1)",
            citizen.schema()
        );
        owner.batch_execute(&copy).await.unwrap();
        let text =
            format!("select id, name, calls_count, last_call_at from {plain}.callers where phone = $1");
        sessions.push(owner.prepare(&text).await.unwrap());
    }
    for round in 0..rounds {
        let place = round % citizens.len();
        let mut session = town.app.db.tenant(&citizens[place].scope(Role::Owner)).await.unwrap();
        let found = guarded.time(session.single(Action::CallersRead, &POINT, &[&CALLER])).await.unwrap();
        assert_eq!(found.len(), 1);
        let statement = &sessions[place];
        let whole = async {
            tokio::join!(
                owner.batch_execute("BEGIN; SET LOCAL statement_timeout = 5000"),
                owner.query(statement, &[&CALLER]),
                owner.batch_execute("COMMIT"),
            )
        };
        let (_, found, _) = unguarded.time(whole).await;
        assert_eq!(found.unwrap().len(), 1);
        assert_eq!(autocommit.time(owner.query(statement, &[&CALLER])).await.unwrap().len(), 1);
    }
    for citizen in citizens {
        let drop = format!("drop schema plain_{} cascade", citizen.tenancy.tenant.uuid().simple());
        owner.batch_execute(&drop).await.unwrap();
    }
    (guarded, unguarded, autocommit)
}

/// A page of calls over HTTP, several at once.
async fn pages(town: &Town, citizens: &[Citizen], requests: usize) -> Figures {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = App::new(town.app.config.clone(), town.app.clock.clone()).unwrap();
    let running = app.start_on(listener, Only::Api).unwrap();
    let http = reqwest::Client::new();
    for citizen in citizens.iter().cycle().take(AT_ONCE * AT_ONCE * citizens.len()) {
        page(&http, running.address, citizen).await;
    }
    let clients = (0..AT_ONCE).map(|client| {
        let (http, address) = (http.clone(), running.address);
        async move {
            let mut figures = Figures::default();
            for round in 0..requests / AT_ONCE {
                let citizen = &citizens[(client + round) % citizens.len()];
                let answer = figures.time(page(&http, address, citizen)).await;
                assert!(answer.contains("\"calls\"") && !answer.contains("errors"), "{answer}");
            }
            figures
        }
    });
    let figures = Figures::join(join_all(clients).await);
    running.stop().await;
    figures
}

async fn page(http: &reqwest::Client, address: SocketAddr, citizen: &Citizen) -> String {
    page_request(http, address, citizen).send().await.unwrap().text().await.unwrap()
}

/// The request for a page of calls.
pub(crate) fn page_request(
    http: &reqwest::Client,
    address: SocketAddr,
    citizen: &Citizen,
) -> reqwest::RequestBuilder {
    http.post(format!("http://{address}/graphql"))
        .header("host", format!("{}.localhost", citizen.slug))
        .bearer_auth(citizen.api_key.reveal())
        .json(&json!({ "query": PAGE }))
}

/// Takes row security and checks off tenants' tables, or puts them on again. Their roles stay: what entering one costs is
/// in the point query's figures.
async fn set_guards(owner: &Client, citizens: &[Citizen], to: &str) {
    for citizen in citizens {
        let (schema, id) = (citizen.schema(), citizen.tenancy.tenant.uuid());
        let tables = "select tablename::text from pg_tables where schemaname = $1";
        for row in owner.query(tables, &[&schema]).await.unwrap() {
            let table: String = row.get(0);
            let change = if to == "off" {
                format!(
                    "alter table {schema}.{table} no force row level security, disable row level security,
                            drop constraint {table}_tenant"
                )
            } else {
                format!(
                    "alter table {schema}.{table} enable row level security, force row level security,
                            add constraint {table}_tenant check (tenant_id = '{id}')"
                )
            };
            owner.batch_execute(&change).await.unwrap();
        }
    }
}

/// Every tenant twice, in turn: what that leaves in memory.
pub(crate) async fn visit_everybody(town: &Town) -> Value {
    let before = (server_mb(), postgres_mb());
    let mut figures = Figures::default();
    for _ in 0..2 {
        for citizen in &town.citizens {
            let visit = async {
                let mut session = town.app.db.tenant(&citizen.scope(Role::Owner)).await.unwrap();
                session.single(Action::CallersRead, &POINT, &[&CALLER]).await.unwrap()
            };
            figures.time(visit).await;
        }
    }
    json!({
        "visit": figures.told(), "server_mb_before": before.0, "server_mb_after": server_mb(),
        "postgres_mb_before": before.1, "postgres_mb_after": postgres_mb(),
    })
}
