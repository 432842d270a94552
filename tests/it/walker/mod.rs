//! The walker: as tenant B, with A's ids, cursors, hosts, tokens and numbers, it calls everything that there is: every
//! field of the published schemas, every route, every kind of job. A's tables are full of canaries; not one byte of them
//! reaches B, in answers, errors, logs or metrics, and A is afterwards as it was. What is unknown and what is foreign is
//! answered alike. As an operator it sees what the platform knows of A, and nothing of what A keeps. Fields, routes, jobs and columns are taken from where they are declared: a new one that the walker does
//! not know stops it.

mod canaries;
mod doors;
mod operators;
mod sdl;

use crate::api::Api;
use crate::world::{TestTenant, World};
use async_graphql::Request;
use canaries::{Filled, fill};
use futures_util::StreamExt as _;
use neurosphere::access::{Actor, Role, TenantScope};
use neurosphere::graphql::{self, Door};
use neurosphere::ids::{ApiKeyId, CallId, CallerId, InvitationId, MemberId, MemoryId, RoleId, SessionId};
use neurosphere::telemetry;
use neurosphere::tenants::birth::Account;
use sdl::{Sdl, Words};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tokio_util::task::TaskTracker;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

const SDL: &str = include_str!("../../../graphql/schema.graphql");

/// Everything that the process logs from here on, at its most talkative.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let filter = telemetry::filter("trace").unwrap();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_filter(filter);
        // Another test of this process may have been first: then its log shows nothing of ours, and ours nothing at all.
        tracing_subscriber::registry().with(lines).try_init().ok();
        log
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Ids and cursors of a tenant, as words for operations.
struct Ids {
    caller: String,
    call: String,
    memory: String,
    key: String,
    member: String,
    role: String,
    invitation: String,
    session: String,
    cursors: Value,
    /// Put into searches.
    text: String,
}

impl Ids {
    fn of(filled: &Filled, cursors: Value) -> Self {
        Self {
            caller: filled.caller.to_string(),
            call: filled.call.to_string(),
            memory: filled.memory.to_string(),
            key: filled.key.to_string(),
            member: filled.member.to_string(),
            role: filled.role.to_string(),
            invitation: filled.invitation.to_string(),
            session: filled.session.to_string(),
            cursors,
            text: "canary".to_owned(),
        }
    }

    /// Ids that nobody has.
    fn of_nobody(cursors: Value) -> Self {
        let id = uuid::Uuid::new_v4;
        Self {
            caller: CallerId::from(id()).to_string(),
            call: CallId::from(id()).to_string(),
            memory: MemoryId::from(id()).to_string(),
            key: ApiKeyId::from(id()).to_string(),
            member: MemberId::from(id()).to_string(),
            role: RoleId::from(id()).to_string(),
            invitation: InvitationId::from(id()).to_string(),
            session: SessionId::from(id()).to_string(),
            cursors,
            text: "canary".to_owned(),
        }
    }

    /// A text in which these ids stand for themselves no more, so that two answers can be compared.
    fn masked(&self, text: &str) -> String {
        let ids = [
            (&self.caller, "<caller>"),
            (&self.call, "<call>"),
            (&self.memory, "<memory>"),
            (&self.key, "<key>"),
            (&self.member, "<member>"),
            (&self.role, "<role>"),
            (&self.invitation, "<invitation>"),
            (&self.session, "<session>"),
        ];
        ids.into_iter().fold(text.to_owned(), |text, (id, mask)| text.replace(id.as_str(), mask))
    }
}

impl Words for Ids {
    fn id(&self, field: &str, argument: &str) -> String {
        match (field, argument) {
            ("caller", "id") | (_, "callerId") => self.caller.clone(),
            ("call", "id") | (_, "callId") => self.call.clone(),
            (_, "memoryId") => self.memory.clone(),
            (_, "keyId") => self.key.clone(),
            (_, "memberId") => self.member.clone(),
            (_, "roleId") => self.role.clone(),
            (_, "invitationId") => self.invitation.clone(),
            (_, "sessionId") => self.session.clone(),
            other => panic!("teach the walker whose id {other:?} is"),
        }
    }

    fn cursors(&self) -> &Value {
        &self.cursors
    }

    fn leaves_out(&self, field: &str, argument: &str) -> bool {
        // B has nobody, and so no cursor of its own to compare with.
        argument == "after" && ["members", "invitations", "sessions"].contains(&field)
            // goes with CUSTOM only
            || argument == "roleId" && ["inviteMember", "changeMemberRole"].contains(&field)
    }

    fn text(&self, argument: &str) -> String {
        match argument {
            "voice" => "cedar".to_owned(),
            "language" => "en".to_owned(),
            "timeZone" => "America/Denver".to_owned(),
            "key" => "warmth".to_owned(),
            "number" => "+12025550100".to_owned(),
            "idempotencyKey" => "asked by the walker".to_owned(),
            "email" => "walker@example.com".to_owned(),
            _ => self.text.clone(),
        }
    }
}

/// Two tenants: A full of canaries, and B, which has rows of its own and a carrier account.
struct Stage {
    world: World,
    a: Filled,
    b: TestTenant,
    /// B's own, at the carrier.
    account: Account,
    api: Api,
    log: Log,
}

impl Stage {
    async fn set() -> Self {
        let log = Log::begin();
        let world = World::with(&[
            ("DATABASE_POOL_MAX", "16".to_owned()),
            // Nothing listens there: a letter that should not be sent would fail.
            ("SMTP_URL", "smtp://127.0.0.1:1".to_owned()),
        ])
        .await;
        let (a, (b, account)) = (world.tenant().await, world.tenant_with_account().await);
        let a = fill(&world, a).await;
        let own = crate::api::call_from(&world, &b, "+12025550177").await;
        crate::api::say(&world, &b, own, 1..=2).await;
        let api = Api::of(&world).await;
        log.clear();
        Self { world, a, b, account, api, log }
    }

    /// The cursors that a tenant's lists end with.
    async fn cursors(&self, tenant: &TestTenant) -> Value {
        let lists =
            "{ callers(first: 1) { pageInfo { endCursor } } calls(first: 1) { pageInfo { endCursor } }
                       apiKeys(first: 1) { pageInfo { endCursor } } }";
        self.api.data(tenant, lists, json!({})).await
    }

    /// Fails if a byte of A's is in the text.
    fn clean(&self, what: &str, text: &str) {
        for canary in self.a.canaries() {
            assert!(!text.contains(canary.as_str()), "{what} shows {canary}:\n{text}");
        }
    }

    /// Fails if a byte of what A keeps is in the text.
    fn discreet(&self, what: &str, text: &str) {
        for canary in &self.a.kept {
            assert!(!text.contains(canary.as_str()), "{what} shows {canary}:\n{text}");
        }
    }

    /// The digest of everything that A has, in its schema and in the control plane.
    async fn digest_of_a(&self) -> Vec<(String, String)> {
        let (owner, login) = (self.world.as_owner().await, self.world.as_login().await);
        let schema = self.a.tenant.schema();
        let tables = "select format('%I.%I', schemaname, tablename) from pg_tables
                       where schemaname = $1 or (schemaname = 'platform' and exists (select from pg_attribute
                             where attrelid = format('platform.%I', tablename)::regclass and attname = 'tenant_id'))";
        let tables = owner.query(tables, &[&schema]).await.unwrap();
        let mut digests = Vec::new();
        for table in &tables {
            let table: String = table.get(0);
            let role = if table.starts_with("platform") { "neurosphere_platform" } else { &schema };
            let digest = format!(
                "select md5(coalesce(string_agg(x::text, '|' order by x::text), '')) from {table} x where tenant_id = '{}'",
                self.a.tenant.id.uuid()
            );
            login.batch_execute(&format!("begin; set local role {role}")).await.unwrap();
            let digest: String = login.query_one(&digest, &[]).await.unwrap().get(0);
            login.batch_execute("commit").await.unwrap();
            digests.push((table, digest));
        }
        assert!(15 < digests.len(), "the tables are there: {digests:?}");
        digests
    }

    async fn end(self) {
        let (log, metrics) =
            (self.log.text(), reqwest::get(format!("http://{}/metrics", self.api.address())));
        let metrics = metrics.await.unwrap().text().await.unwrap();
        self.clean("a metric", &metrics);
        self.clean("a log line", &log);
        self.api.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_shows_b_a_byte_of_a_or_changes_one() {
    let stage = Stage::set().await;
    let schema = Sdl::parse(SDL);
    let of_a = Ids::of(&stage.a, stage.cursors(&stage.a.tenant).await);
    let operations = schema.operations(&of_a);
    assert_eq!(
        schema.all_fields().difference(&schema.asked_fields(&operations)).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "every field of the schema is asked for"
    );
    let mut seen = String::new();
    for operation in operations.iter().filter(|operation| operation.kind == "query") {
        let answer = stage.api.answer(&stage.a.tenant, &operation.document, json!({})).await;
        assert_eq!(answer.get("errors"), None, "{}: {answer}", operation.document);
        seen.push_str(&answer.to_string());
    }
    let visible = stage.a.canaries().filter(|canary| seen.contains(canary.as_str())).count();
    assert!(15 <= visible, "what is A's, A sees; so the walk would see it: {visible}");

    // That A was here is written now, and not while it must stay as it is.
    stage.world.app.last_use.write(&stage.world.app.db).await.unwrap();
    let before = stage.digest_of_a().await;
    let of_nobody = Ids::of_nobody(stage.cursors(&stage.b).await);
    let as_nobody = schema.operations(&of_nobody);
    for (foreign, unknown) in operations.iter().zip(&as_nobody).filter(|(one, _)| one.kind != "subscription")
    {
        let (told_foreign, told_unknown) =
            (stage.asked(&foreign.document).await, stage.asked(&unknown.document).await);
        stage.clean(&foreign.field, &told_foreign);
        // A cursor of another's list is refused; one of B's own is its to use.
        if !foreign.document.contains("after:") {
            assert_eq!(of_a.masked(&told_foreign), of_nobody.masked(&told_unknown), "{}", foreign.document);
        }
    }
    assert_eq!(stage.digest_of_a().await, before, "A is as it was");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_permission() {
    let stage = Stage::set().await;
    let app = &stage.world.app;
    // Nothing that any operation of this API asks for is among its rights.
    let scope = TenantScope::mint(stage.b.tenancy, Actor::CommandLine, Role::Door);
    let door = Door { db: app.db.clone(), hub: app.hub.clone(), tasks: TaskTracker::new() };
    let schema = graphql::schema(door.clone());
    let ids = Ids::of_nobody(stage.cursors(&stage.b).await);
    let mut without = Vec::new();
    let operations = Sdl::parse(SDL).operations(&ids);
    for operation in &operations {
        let request = graphql::authorised(Request::new(&operation.document), &door, scope);
        let mut answers = schema.execute_stream(request);
        let told = serde_json::to_string(&answers.next().await.unwrap()).unwrap();
        if !told.contains("\"FORBIDDEN\"") {
            without.push(format!("{}: {told}", operation.field));
        }
    }
    assert!(20 < operations.len(), "the schema has operations");
    assert_eq!(without, Vec::<String>::new(), "these ask for nothing");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b_cannot_follow_what_happens_at_a() {
    let stage = Stage::set().await;
    let schema = Sdl::parse(SDL);
    let cursors = stage.cursors(&stage.a.tenant).await;
    let live = Ids { call: stage.a.live_call.to_string(), ..Ids::of(&stage.a, cursors.clone()) };
    let of_nobody = Ids::of_nobody(cursors);
    let (of_a, as_nobody) = (schema.operations(&live), schema.operations(&of_nobody));
    let mut walked = 0;
    for (foreign, unknown) in of_a.iter().zip(&as_nobody).filter(|(one, _)| one.kind == "subscription") {
        let told_foreign = stage.followed(&foreign.document, 90 + walked).await;
        let told_unknown = stage.followed(&unknown.document, 190 + walked).await;
        stage.clean(&foreign.field, &told_foreign);
        assert_eq!(live.masked(&told_foreign), of_nobody.masked(&told_unknown), "{}", foreign.document);
        walked += 1;
    }
    assert!(0 < walked, "the schema has subscriptions");
    stage.end().await;
}

impl Stage {
    /// What B is answered.
    async fn asked(&self, document: &str) -> String {
        let answer = self.api.answer(&self.b, document, json!({})).await;
        assert_ne!(
            answer.pointer("/errors/0/extensions/code"),
            Some(&json!("VALIDATION")),
            "{document}: {answer}"
        );
        let mut text = answer.to_string();
        // what B itself changes counts on
        for number in 0..200 {
            text = text.replace(&format!("\"revision\":{number}"), "\"revision\":_");
        }
        text
    }

    /// What B hears that follows something, until the server says that there is no more.
    async fn followed(&self, document: &str, sequence: i32) -> String {
        let mut socket = self.api.entered(&self.b).await;
        socket.subscribe("1", document, json!({})).await;
        // a turn of A's comes meanwhile
        crate::api::say(&self.world, &self.a.tenant, self.a.live_call, sequence..=sequence).await;
        let mut heard = String::new();
        loop {
            let message = socket.hear().await.unwrap();
            heard.push_str(&message.to_string());
            if message["type"] != "next" {
                break heard;
            }
        }
    }
}
