//! A call's rows, from the webhook to the summary: idempotent by the carrier's name for it, opened once, concluded once,
//! by a model or, where none can be had, by rules that say so.

use crate::standin::Standin;
use crate::world::{ACCOUNT_SID, TestTenant, World};
use neurosphere::access::{Role, TenantScope};
use neurosphere::callers;
use neurosphere::calls::{self, Arrival, Arrived, CallState, Leg, Speaker, Stretch, SummarySource, Turn};
use neurosphere::db::page::{Page, PageOf};
use neurosphere::error::Error;
use neurosphere::ids::{CallId, PhoneNumber};
use neurosphere::memory;
use neurosphere::secret::Secret;
use neurosphere::tenants::agent::AgentChange;
use neurosphere::tenants::life::{self, Exceptions, Terms};
use neurosphere::tenants::{self, reach};
use serde_json::json;

const PAGE: Page = Page { first: 50, after: None };
const CALLER: &str = "+19495550199";

fn arrival(tenant: &TestTenant, call_sid: &str) -> Arrival {
    Arrival {
        call_sid: call_sid.to_owned(),
        account_sid: ACCOUNT_SID.to_owned(),
        from: Some(CALLER.parse::<PhoneNumber>().unwrap()),
        to: tenant.number.clone(),
    }
}

/// A call that was taken in.
#[derive(Debug)]
struct TakenIn {
    call: CallId,
    stream_token: Secret,
}

async fn arrive(world: &World, tenant: &TestTenant, call_sid: &str) -> Result<TakenIn, Error> {
    match ring(world, &tenant.scope(Role::Carrier), &arrival(tenant, call_sid)).await? {
        Arrived::In { call, stream_token } => Ok(TakenIn { call, stream_token }),
        busy @ Arrived::Busy { .. } => panic!("{busy:?}"),
    }
}

async fn ring(world: &World, scope: &TenantScope, arrival: &Arrival) -> Result<Arrived, Error> {
    let mut session = world.app.db.tenant(scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let arrived = calls::arrive(&mut tx, arrival).await?;
    tx.commit().await.unwrap();
    Ok(arrived)
}

fn turn(sequence: i32, speaker: Speaker, text: &str) -> Turn {
    let started_ms = sequence * 1_000;
    Turn {
        sequence,
        speaker,
        text: text.to_owned(),
        started_ms,
        ended_ms: started_ms + 900,
        heard_ms: None,
        interrupted: false,
    }
}

/// A whole call without a gateway: arrives, is opened, says these turns, ends.
async fn held(world: &World, tenant: &TestTenant, call_sid: &str, turns: &[Turn]) -> CallId {
    let arrived = arrive(world, tenant, call_sid).await.unwrap();
    let redeemed = calls::redeem(&world.app.db, &arrived.stream_token).await.unwrap().unwrap();
    assert_eq!((redeemed.call, redeemed.scope.tenant()), (arrived.call, tenant.id));
    calls::open(&world.app.db, &redeemed.scope, redeemed.call).await.unwrap();
    let mut session = world.app.db.tenant(&redeemed.scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let event = calls::Event {
        sequence: 1,
        at_ms: 5,
        leg: Leg::ALL[0],
        kind: "start".to_owned(),
        data: json!({"tracks": ["inbound"]}),
    };
    for _ in 0..2 {
        calls::record(&mut tx, redeemed.call, turns, std::slice::from_ref(&event)).await.unwrap();
    }
    calls::end(&mut tx, redeemed.call, "caller_hung_up").await.unwrap();
    calls::end(&mut tx, redeemed.call, "another_reason").await.unwrap();
    tx.commit().await.unwrap();
    redeemed.call
}

fn a_strangers_words() -> [Turn; 3] {
    [
        turn(1, Speaker::Agent, "Good morning! How can I help you?"),
        turn(
            2,
            Speaker::Caller,
            "Hello, my name is John Smith. I would like to insure my car, a 2019 Toyota Camry.",
        ),
        turn(3, Speaker::Agent, "Thank you, John Smith."),
    ]
}

#[tokio::test]
async fn the_carriers_retry_is_the_same_call_with_a_fresh_token() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let first = arrive(&world, &a, "CA1").await.unwrap();
    let again = arrive(&world, &a, "CA1").await.unwrap();
    assert_eq!(first.call, again.call);
    assert_ne!(first.stream_token.reveal(), again.stream_token.reveal());
    let elsewhere = arrive(&world, &b, "CA1").await.unwrap();
    assert_ne!(elsewhere.call, first.call, "the same name at another tenant is another call");

    let redeemed = calls::redeem(&world.app.db, &again.stream_token).await.unwrap().unwrap();
    let context = calls::open(&world.app.db, &redeemed.scope, redeemed.call).await.unwrap();
    assert_eq!(
        (context.agent.name.as_str(), context.business_name.as_str()),
        ("Barbara", "Peterson Family Insurance")
    );
    assert_eq!(context.known.unwrap().calls_count, 0, "a new caller");
    let late = arrive(&world, &a, "CA1").await;
    assert!(matches!(late, Err(Error::Conflict { code: "call_not_ringing", .. })), "{late:?}");
}

#[tokio::test]
async fn a_stream_token_opens_one_stream_once_and_in_time() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let arrived = arrive(&world, &tenant, "CA1").await.unwrap();
    let db = &world.app.db;
    assert!(calls::redeem(db, &Secret::new("unknown")).await.unwrap().is_none());
    assert_eq!(calls::token_account(db, &arrived.stream_token).await.unwrap().as_deref(), Some(ACCOUNT_SID));
    let redeemed = calls::redeem(db, &arrived.stream_token).await.unwrap().unwrap();
    assert!(calls::redeem(db, &arrived.stream_token).await.unwrap().is_none(), "used");
    assert!(calls::token_account(db, &arrived.stream_token).await.unwrap().is_none());
    calls::open(db, &redeemed.scope, redeemed.call).await.unwrap();
    let twice = calls::open(db, &redeemed.scope, redeemed.call).await;
    assert!(matches!(twice, Err(Error::NotFound(_))), "a second stream finds no ringing call");

    let late = arrive(&world, &tenant, "CA2").await.unwrap();
    let owner = world.as_owner().await;
    owner
        .batch_execute("begin; set local role neurosphere_platform; update platform.stream_tokens set expires_at = now(); commit")
        .await
        .unwrap();
    assert!(calls::redeem(db, &late.stream_token).await.unwrap().is_none(), "expired");
}

#[tokio::test]
async fn a_call_is_concluded_by_a_model_and_known_the_next_time_and_only_there() {
    let standin = Standin::start();
    let world = World::with(&standin.variables()).await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let call = held(&world, &a, "CA1", &a_strangers_words()).await;
    let done = world.app.runner().run_due().await.unwrap();
    assert!(2 <= done, "the conclusion, and a vector for each fact: {done}");

    let mut session = world.app.db.tenant(&a.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let found = calls::get(&mut tx, call).await.unwrap();
    assert_eq!((found.state, found.end_reason.as_deref()), (CallState::Ended, Some("caller_hung_up")));
    assert_eq!(
        calls::turns(&mut tx, Stretch { call, after: 0, limit: 50 }).await.unwrap(),
        a_strangers_words(),
        "written twice, there once"
    );
    let summary = calls::summaries(&mut tx, &[call]).await.unwrap().pop().unwrap();
    assert_eq!(summary.source, SummarySource::Model);
    assert!(summary.text.contains("John Smith"), "{}", summary.text);
    let caller = found.caller.unwrap();
    let known = callers::get(&mut tx, caller).await.unwrap();
    assert_eq!((known.name.as_deref(), known.calls_count), (Some("John Smith"), 1));
    assert!(known.quick_bio.starts_with("John Smith"), "{}", known.quick_bio);
    let facts = memory::list(&mut tx, PageOf { of: caller, page: PAGE }).await.unwrap();
    assert!(facts.iter().any(|fact| fact.text.contains("Toyota")), "{facts:?}");
    tx.commit().await.unwrap();

    let next = arrive(&world, &a, "CA2").await.unwrap();
    let redeemed = calls::redeem(&world.app.db, &next.stream_token).await.unwrap().unwrap();
    let context = calls::open(&world.app.db, &redeemed.scope, redeemed.call).await.unwrap().known.unwrap();
    assert_eq!((context.name.as_deref(), context.calls_count), (Some("John Smith"), 1));
    assert!(context.facts.iter().any(|fact| fact.contains("Toyota")) && context.summaries.len() == 1);

    let other = arrive(&world, &b, "CA3").await.unwrap();
    let redeemed = calls::redeem(&world.app.db, &other.stream_token).await.unwrap().unwrap();
    let context = calls::open(&world.app.db, &redeemed.scope, redeemed.call).await.unwrap().known.unwrap();
    assert_eq!(
        (context.name, context.calls_count, context.facts.len()),
        (None, 0, 0),
        "a stranger at the other tenant"
    );
    let mut session = world.app.db.tenant(&b.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    assert!(matches!(calls::get(&mut tx, call).await, Err(Error::NotFound("call"))));
    assert!(calls::turns(&mut tx, Stretch { call, after: 0, limit: 50 }).await.unwrap().is_empty());
    assert!(calls::events(&mut tx, Stretch { call, after: 0, limit: 50 }).await.unwrap().is_empty());
    assert!(calls::summaries(&mut tx, &[call]).await.unwrap().is_empty());
    assert!(calls::of_callers(&mut tx, &[PageOf { of: caller, page: PAGE }]).await.unwrap()[0].is_empty());
}

#[tokio::test]
async fn without_a_model_rules_write_the_summary_and_say_so() {
    let world = World::new().await; // its model provider is a port where nobody listens
    let tenant = world.tenant().await;
    let call = held(&world, &tenant, "CA1", &a_strangers_words()).await;
    let owner = world.as_owner().await;
    for _ in 0..10 {
        world.app.runner().run_due().await.unwrap();
        owner
            .batch_execute("begin; set local role neurosphere_platform; update platform.jobs set run_at = now() where state = 'queued'; commit")
            .await
            .unwrap();
    }
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let summary = calls::summaries(&mut tx, &[call]).await.unwrap().pop().unwrap();
    assert_eq!((summary.source, summary.model), (SummarySource::Fallback, None));
    assert!(summary.text.starts_with("The caller said: Hello, my name is John Smith."), "{}", summary.text);
}

#[tokio::test]
async fn a_call_that_nobody_ended_is_closed_after_the_carriers_report() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let arrived = arrive(&world, &tenant, "CA1").await.unwrap();
    let mut session = world.app.db.tenant(&tenant.scope(Role::Carrier)).await.unwrap();
    for _ in 0..2 {
        let mut tx = session.begin().await.unwrap();
        calls::report_ended(&mut tx, "CA1").await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(world.app.runner().run_due().await.unwrap(), 0, "the gateway has half a minute to say more");
    let owner = world.as_owner().await;
    owner
        .batch_execute(
            "begin; set local role neurosphere_platform; update platform.jobs set run_at = now(); commit",
        )
        .await
        .unwrap();
    world.app.runner().run_due().await.unwrap();
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let found = calls::get(&mut tx, arrived.call).await.unwrap();
    assert_eq!((found.state, found.end_reason.as_deref()), (CallState::Ended, Some("no_stream")));
    let summary = calls::summaries(&mut tx, &[arrived.call]).await.unwrap().pop().unwrap();
    assert_eq!(summary.text, "The caller said nothing that could be understood.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_calls_at_once_and_no_more() {
    let world = World::with(&[("DATABASE_POOL_MAX", "16".to_owned())]).await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let exceptions = Exceptions { calls_max: Some(2), ..Exceptions::default() };
    let terms = Terms { plan: "standard".to_owned(), exceptions, canary: false };
    world.operate(async |tx| life::set_terms(tx, tenant.id, &terms, "a small line").await).await.unwrap();
    let line = reach::line(&world.app.db, &tenant.number).await.unwrap().unwrap();
    let scope = TenantScope::mint(line.tenancy, tenant.scope(Role::Carrier).actor(), Role::Carrier);
    let rings = (0..6).map(|n| {
        let (world, scope) = (&world, &scope);
        let arrival = arrival(&tenant, &format!("CA{n}"));
        async move { ring(world, scope, &arrival).await.unwrap() }
    });
    let arrived = futures_util::future::join_all(rings).await;
    let taken_in = arrived.iter().filter(|one| matches!(one, Arrived::In { .. })).count();
    assert_eq!(taken_in, 2, "{arrived:?}");
    arrive(&world, &other, "CA0").await.expect("nobody else notices");

    let ended = arrived.iter().find_map(|one| match one {
        Arrived::In { call, .. } => Some(*call),
        Arrived::Busy { .. } => None,
    });
    let mut session = world.app.db.tenant(&tenant.scope(Role::Call)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    calls::end(&mut tx, ended.unwrap(), "caller_hung_up").await.unwrap();
    tx.commit().await.unwrap();
    drop(session);
    let next = ring(&world, &scope, &arrival(&tenant, "CA7")).await.unwrap();
    assert!(matches!(next, Arrived::In { .. }), "a line is free again");
    let change = AgentChange { busy_message: Some("Please call back.".to_owned()), ..AgentChange::default() };
    let mut session = world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    tenants::change_agent(&mut tx, change).await.unwrap();
    tx.commit().await.unwrap();
    drop(session);
    let busy = ring(&world, &scope, &arrival(&tenant, "CA8")).await.unwrap();
    assert!(
        matches!(&busy, Arrived::Busy { message, .. } if message.as_deref() == Some("Please call back.")),
        "{busy:?}"
    );
    let retried = ring(&world, &scope, &arrival(&tenant, "CA7")).await.unwrap();
    assert!(
        matches!(retried, Arrived::In { .. }),
        "a call that was taken in is not refused when the carrier repeats itself"
    );
}
