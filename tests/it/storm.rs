//! Many tenants at once, in no order: GraphQL, calls, jobs, requests that are abandoned anywhere, tasks that panic within
//! a transaction. Every row and every answer carries its owner's mark, and none ever carries another's. Once straight,
//! and once through pgbouncer in transaction mode. The long form is `scripts/bench isolation`.

use crate::api::Api;
use crate::pooler::Pooler;
use crate::world::{TestTenant, World, environment};
use futures_util::FutureExt as _;
use neurosphere::access::{Action, Role};
use neurosphere::calls::{self, Arrival, Arrived, Speaker, Turn};
use neurosphere::db::Type;
use neurosphere::db::tx::Sql;
use neurosphere::error::{Error, Fault};
use neurosphere::jobs::runner::{Handlers, Runner};
use neurosphere::jobs::{Kind, enqueue};
use neurosphere::{callers, memory};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const DEED: Kind = Kind { name: "test.storm", attempts_max: 3 };
const EVERYTHING: &str = "{ tenant { name } agent { busyMessage }
    callers(first: 5) { nodes { name quickBio memories(first: 3) { nodes { text } } } }
    calls(first: 5) { nodes { turns(first: 5) { nodes { text } } } } }";
const REMEMBER: &str =
    "mutation($input: RememberInput!) { remember(input: $input) { memory { text } errors { code } } }";

/// How much of it there is.
struct Size {
    tenants: usize,
    operations: usize,
    workers: usize,
}

impl Size {
    /// A short form, unless the environment asks for another.
    fn given() -> Self {
        let number = |name: &str, default| environment(name).map_or(default, |text| text.parse().unwrap());
        Self {
            tenants: number("STORM_TENANTS", 24),
            operations: number("STORM_OPERATIONS", 3_000),
            workers: 24,
        }
    }
}

struct Storm {
    world: World,
    api: Api,
    tenants: Vec<TestTenant>,
    done: AtomicUsize,
    abandoned: AtomicUsize,
}

/// What every text of a tenant's begins with.
fn mark(tenant: &TestTenant) -> String {
    format!("mark_{}_", tenant.id.uuid().simple())
}

/// Fails if a text holds another tenant's mark.
fn own_marks_only(tenant: &TestTenant, text: &str) {
    let own = mark(tenant);
    for (at, _) in text.match_indices("mark_") {
        assert!(
            text[at..].starts_with(&own),
            "{} sees {}",
            tenant.slug,
            &text[at..(at + 37).min(text.len())]
        );
    }
}

impl Storm {
    async fn gather(world: World, tenants_count: usize) -> Arc<Self> {
        let mut tenants = Vec::new();
        for _ in 0..tenants_count {
            let tenant = world.tenant().await;
            let named = format!("{}business", mark(&tenant));
            let set =
                "mutation($text: String) { updateAgent(input: {busyMessage: $text}) { errors { code } } }";
            tenants.push((tenant, named, set));
        }
        let api = Api::of(&world).await;
        for (tenant, named, set) in &tenants {
            api.data(tenant, set, json!({"text": named})).await;
        }
        let tenants = tenants.into_iter().map(|(tenant, ..)| tenant).collect();
        Arc::new(Self { world, api, tenants, done: AtomicUsize::new(0), abandoned: AtomicUsize::new(0) })
    }

    async fn rage(self: Arc<Self>, size: &Size, seed: u64) {
        let mut workers = JoinSet::new();
        for worker in 0..size.workers {
            let (storm, operations) = (Arc::clone(&self), size.operations);
            let mut dice = StdRng::seed_from_u64(seed + worker as u64);
            workers.spawn(async move {
                loop {
                    let done = storm.done.fetch_add(1, Ordering::Relaxed);
                    if operations <= done {
                        break;
                    }
                    Self::tell(done, operations);
                    let tenant = &storm.tenants[dice.random_range(0..storm.tenants.len())];
                    storm.one(tenant, &mut dice).await;
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }

    /// Says how far the long form is.
    #[expect(clippy::print_stdout, reason = "a person waits for it")]
    fn tell(done: usize, operations: usize) {
        if 10_000 < operations && done.is_multiple_of(operations / 20) {
            println!("{done} of {operations} operations");
        }
    }

    async fn one(&self, tenant: &TestTenant, dice: &mut StdRng) {
        match dice.random_range(0..100) {
            0..30 => self.read(tenant).await,
            30..45 => self.write(tenant, dice).await,
            45..65 => self.call(tenant, dice).await.unwrap_or_else(|error| panic!("{error:?}")),
            65..75 => self.job(tenant, dice).await.unwrap_or_else(|error| panic!("{error:?}")),
            75..95 => self.abandon(tenant, dice).await,
            _ => self.panic_within_a_transaction(tenant).await,
        }
    }

    async fn read(&self, tenant: &TestTenant) {
        let answer = self.api.answer(tenant, EVERYTHING, json!({})).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        own_marks_only(tenant, &answer.to_string());
    }

    async fn write(&self, tenant: &TestTenant, dice: &mut StdRng) {
        let Some(caller) = self.some_caller(tenant).await else { return };
        let text = format!("{}fact {}", mark(tenant), dice.next_u32());
        let input = json!({"input": {"callerId": caller, "text": text}});
        let answer = self.api.data(tenant, REMEMBER, input).await;
        assert_eq!(answer["remember"]["memory"]["text"], text, "{answer}");
    }

    async fn some_caller(&self, tenant: &TestTenant) -> Option<String> {
        let callers = self.api.data(tenant, "{ callers(first: 1) { nodes { id } } }", json!({})).await;
        callers["callers"]["nodes"][0]["id"].as_str().map(str::to_owned)
    }

    /// A call of two turns, from its webhook to its end.
    async fn call(&self, tenant: &TestTenant, dice: &mut StdRng) -> Result<(), Error> {
        let db = &self.world.app.db;
        let arrival = Arrival {
            call_sid: format!("CA{:032x}", dice.random::<u128>()),
            account_sid: crate::world::ACCOUNT_SID.to_owned(),
            from: Some(format!("+1949{:07}", dice.random_range(0..40)).parse().unwrap()),
            to: tenant.number.clone(),
        };
        let mut session = db.tenant(&tenant.scope(Role::Carrier)).await?;
        let mut tx = session.begin().await?;
        let arrived = calls::arrive(&mut tx, &arrival).await?;
        tx.commit().await?;
        drop(session);
        // All lines may be taken: calls that were abandoned count for a while.
        let Arrived::In { stream_token, .. } = arrived else { return Ok(()) };
        let held = calls::redeem(db, &stream_token).await?.expect("the token is good");
        assert_eq!(held.scope.tenant(), tenant.id);
        let known = calls::open(db, &held.scope, held.call).await?;
        own_marks_only(
            tenant,
            &format!("{:?}", known.known.map(|known| (known.facts, known.summaries, known.name))),
        );
        let turn = |sequence: i32| Turn {
            sequence,
            speaker: Speaker::Caller,
            text: format!("{}turn {sequence}", mark(tenant)),
            started_ms: 0,
            ended_ms: 1,
            heard_ms: None,
            interrupted: false,
        };
        let mut session = db.tenant(&held.scope).await?;
        let mut tx = session.begin().await?;
        calls::record(&mut tx, held.call, &[turn(1), turn(2)], &[]).await?;
        calls::end(&mut tx, held.call, "caller_hung_up").await?;
        Ok(tx.commit().await?)
    }

    /// Work that is enqueued, and perhaps done at once.
    async fn job(&self, tenant: &TestTenant, dice: &mut StdRng) -> Result<(), Error> {
        let mut session = self.world.app.db.tenant(&tenant.scope(Role::Owner)).await?;
        let mut tx = session.begin().await?;
        enqueue(&mut tx, &DEED, &format!("{}job {}", mark(tenant), dice.next_u32())).await?;
        tx.commit().await?;
        drop(session);
        if dice.random_bool(0.2) {
            let db = self.world.app.db.clone();
            let handlers = Handlers::default().with(DEED, move |attempt| {
                let db = db.clone();
                async move {
                    let own = format!("mark_{}_", attempt.scope.tenant().uuid().simple());
                    assert!(attempt.key.starts_with(&own), "a job ran as another tenant");
                    let mut session = db.tenant(&attempt.scope).await?;
                    let mut tx = session.begin().await?;
                    callers::list(&mut tx, neurosphere::db::page::Page { first: 1, after: None }, None)
                        .await?;
                    Ok(tx.commit().await?)
                }
            });
            Runner::new(self.world.app.db.clone(), handlers).run_due().await?;
        }
        Ok(())
    }

    /// A request that is dropped after so many steps, wherever it is then.
    async fn abandon(&self, tenant: &TestTenant, dice: &mut StdRng) {
        let steps = dice.random_range(0..30);
        let work = async {
            let mut session = self.world.app.db.tenant(&tenant.scope(Role::Owner)).await?;
            let mut tx = session.begin().await?;
            let found =
                callers::list(&mut tx, neurosphere::db::page::Page { first: 5, after: None }, None).await?;
            for caller in &found {
                let page = neurosphere::db::page::Page { first: 5, after: None };
                for remembered in
                    memory::list(&mut tx, neurosphere::db::page::PageOf { of: caller.id, page }).await?
                {
                    own_marks_only(tenant, &remembered.text);
                }
            }
            tx.commit().await?;
            Ok::<_, Error>(())
        };
        tokio::pin!(work);
        for _ in 0..steps {
            match work.as_mut().now_or_never() {
                Some(done) => return done.unwrap_or_else(|error| panic!("{error:?}")),
                None => tokio::task::yield_now().await,
            }
        }
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    async fn panic_within_a_transaction(&self, tenant: &TestTenant) {
        const MEET: Sql =
            Sql::new("insert into {t}.callers (id, phone) values (gen_random_uuid(), $1)", &[Type::TEXT]);
        let (db, scope) = (self.world.app.db.clone(), tenant.scope(Role::Owner));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut session = db.tenant(&scope).await?;
            let mut tx = session.begin().await?;
            tx.permit(Action::CallersRead)?;
            tx.run(&MEET, &[&"+10000000000"]).await.ok();
            std::panic::resume_unwind(Box::new("a bug in the middle of a transaction"));
            #[expect(unreachable_code, reason = "says what the task would have given")]
            Ok::<(), Error>(())
        });
        let ended = task.join_next().await.unwrap();
        assert!(ended.is_err_and(|error| error.is_panic()));
    }

    /// Looks at every row of every tenant as the owner of the database would.
    async fn examine(&self) -> Result<usize, Fault> {
        let (owner, login) = (self.world.as_owner().await, self.world.as_login().await);
        let mut rows_seen = 0;
        for tenant in &self.tenants {
            let tables = "select tablename::text from pg_tables where schemaname = $1";
            for table in owner.query(tables, &[&tenant.schema()]).await.unwrap() {
                let table: String = table.get(0);
                let rows = format!("select tenant_id, t::text from {}.{table} t", tenant.schema());
                login.batch_execute(&format!("begin; set local role {}", tenant.schema())).await.unwrap();
                for row in login.query(&rows, &[]).await.unwrap() {
                    assert_eq!(row.get::<_, uuid::Uuid>(0), tenant.id.uuid(), "{table}");
                    let text: String = row.get(1);
                    own_marks_only(tenant, &text);
                    assert!(!text.contains("+10000000000"), "what a panic left behind: {text}");
                    rows_seen += 1;
                }
                login.batch_execute("commit").await.unwrap();
            }
        }
        let jobs = "select count(*) from platform.jobs where kind = 'test.storm'
                     and key not like 'mark_' || replace(tenant_id::text, '-', '') || '_%'";
        login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
        assert_eq!(login.query_one(jobs, &[]).await.unwrap().get::<_, i64>(0), 0, "jobs of others");
        Ok(rows_seen)
    }
}

#[expect(clippy::print_stdout, reason = "the long form is read by a person")]
async fn storm_over(world: World, how: &str) {
    let size = Size::given();
    let seed = environment("STORM_SEED").map_or_else(rand::random, |seed| seed.parse().unwrap());
    let storm = Storm::gather(world, size.tenants).await;
    Arc::clone(&storm).rage(&size, seed).await;
    let rows = storm.examine().await.unwrap();
    let abandoned = storm.abandoned.load(Ordering::Relaxed);
    println!(
        "{how}: {} operations of {} tenants (seed {seed}), {abandoned} abandoned within: {rows} rows, none foreign",
        size.operations, size.tenants
    );
    assert!(size.operations / 20 < abandoned && size.tenants < rows);
    tokio::time::timeout(Duration::from_secs(5), storm.read(&storm.tenants[0]))
        .await
        .expect("it still answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_ever_anothers() {
    Box::pin(storm_over(World::with(&[("DATABASE_POOL_MAX", "12".to_owned())]).await, "straight")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_ever_anothers_through_a_pooler_in_transaction_mode() {
    let direct = World::new().await;
    let database = &direct.app.config.database.main;
    let (owner, app) = (database.owner_url.as_ref().unwrap().reveal(), database.app_url.reveal());
    let pooler = Pooler::start(owner, app);
    let through = [
        ("DATABASE_APP_URL", pooler.url(app, "127.0.0.1", "")),
        ("DATABASE_LISTEN_URL", app.to_owned()),
        ("DATABASE_POOLER", "transaction".to_owned()),
        ("DATABASE_POOL_MAX", "24".to_owned()),
    ];
    Box::pin(storm_over(direct.through(&through), "through pgbouncer")).await;
}
