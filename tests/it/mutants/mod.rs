//! Faults that a programmer, an operator or a tool could make, one at a time: each is stopped by a guard that it leaves
//! alone, and each is found. What is in the catalog or in rows, `neurosphere tenant audit` finds; a statement that forgets
//! its tenant is found here, where every statement of the program stands before Postgres as the role that it is for.

mod statements;

use crate::tenant_audit::{all_findings, unlike};
use crate::world::{ACCOUNT_SID, TestTenant, World};
use neurosphere::access::Role;
use neurosphere::callers;
use neurosphere::calls::{self, Arrival, Arrived, CallState};
use neurosphere::db::Type;
use neurosphere::db::guards::Guard::{Checks, Roles, RowSecurity, Rows};
use neurosphere::db::page::Page;
use neurosphere::db::tx::Sql;
use neurosphere::ids::CallId;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const CALLER: &str = "+19495550199";
const PAGE: Page = Page { first: 50, after: None };

/// Two tenants, and a caller and a call of the first, with which every attempt of the second is about.
struct Pair {
    world: World,
    owner: Client,
    a: TestTenant,
    b: TestTenant,
    call: CallId,
}

impl Pair {
    async fn new() -> Self {
        let world = World::new().await;
        let (a, b) = (world.tenant().await, world.tenant().await);
        let arrival = Arrival {
            call_sid: "CA1".to_owned(),
            account_sid: ACCOUNT_SID.to_owned(),
            from: Some(CALLER.parse().unwrap()),
            to: a.number.clone(),
        };
        let mut session = world.app.db.tenant(&a.scope(Role::Carrier)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        let Arrived::In { call, .. } = calls::arrive(&mut tx, &arrival).await.unwrap() else {
            panic!("busy")
        };
        tx.commit().await.unwrap();
        let mut session = world.app.db.tenant(&a.scope(Role::Call)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        calls::end(&mut tx, call, "caller_hung_up").await.unwrap();
        tx.commit().await.unwrap();
        drop(session);
        let owner = world.as_owner().await;
        Self { world, owner, a, b, call }
    }

    /// SQL of the owner, about both.
    async fn plant(&self, sql: &str) {
        let sql = self.filled(sql);
        self.owner.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn filled(&self, text: &str) -> String {
        let ids = [("{a_id}", self.a.id), ("{b_id}", self.b.id)];
        let text =
            ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, &id.uuid().to_string()));
        text.replace("{a}", &self.a.schema()).replace("{b}", &self.b.schema())
    }

    /// What a tenant sees of callers and calls through the program's own operations.
    async fn seen_by(&self, tenant: &TestTenant) -> (usize, usize) {
        let mut session = self.world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        let callers = callers::list(&mut tx, PAGE, None).await.unwrap().len();
        let calls = calls::list(&mut tx, PAGE).await.unwrap().len();
        tx.commit().await.unwrap();
        (callers, calls)
    }

    /// A connection that is inside a transaction as the second tenant, as the program's own are.
    async fn as_b(&self) -> Client {
        let client = self.world.as_login().await;
        client.batch_execute(&self.filled("begin; set local role {b}")).await.unwrap();
        client
    }

    /// Nothing of the first tenant is read or written by the second, whatever it says.
    async fn b_reaches_nothing(&self) {
        let client = self.as_b().await;
        for sql in [
            "select from {a}.callers",
            "update {a}.callers set name = 'x'",
            "delete from {a}.calls",
            "insert into {a}.callers (id, phone) values (gen_random_uuid(), '+19495550111')",
        ] {
            refused(&client, &self.filled(sql), &SqlState::INSUFFICIENT_PRIVILEGE).await;
        }
        assert_eq!(self.seen_by(&self.b).await, (0, 0));
    }

    async fn found(&self, expected: &[crate::tenant_audit::Expected<'_>]) {
        let found = all_findings(&self.world).await;
        let expected: Vec<_> = expected
            .iter()
            .map(|(guard, object, words)| (*guard, self.filled(object), self.filled(words)))
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(guard, object, words)| (*guard, object.as_str(), words.as_str())).collect();
        assert_eq!(unlike(&expected, found.iter().collect()), [""; 0]);
    }
}

async fn refused(client: &Client, sql: &str, code: &SqlState) {
    client.batch_execute("savepoint attempt").await.unwrap();
    let error = client.batch_execute(sql).await.expect_err(sql);
    assert_eq!(error.code(), Some(code), "{sql}: {error}");
    client.batch_execute("rollback to attempt").await.unwrap();
}

/// How Postgres answers when it reads a statement, in a transaction of which nothing stays.
async fn read(client: &Client, role: &str, text: &str, types: &[Type]) -> Result<(), SqlState> {
    client.batch_execute(&format!("begin; set local role {role}")).await.unwrap();
    let read = client.prepare_typed(text, types).await;
    client.batch_execute("rollback").await.unwrap();
    read.map(drop).map_err(|error| error.code().unwrap_or_else(|| panic!("{text}: {error}")).clone())
}

#[tokio::test]
async fn a_statement_without_its_tenant_or_with_anothers_is_refused_whichever_it_is() {
    let Pair { world, a, b, .. } = Pair::new().await;
    let (login, own, theirs) = (world.as_login().await, b.schema(), a.schema());
    let statements = statements::all();
    let mut of_tenants = 0;
    let mut wrong = Vec::new();
    for one in &statements {
        let mut check = async |mutant: &str, role: &str, text: String, expected: Result<(), SqlState>| {
            let answer = read(&login, role, &text, &one.types).await;
            if answer != expected {
                wrong.push(format!("{}, {mutant}: {answer:?} instead of {expected:?}: {text}", one.place));
            }
        };
        if !one.is_of_tenant() {
            check("as it is", "neurosphere_platform", one.text.clone(), Ok(())).await;
            continue;
        }
        of_tenants += 1;
        let filled = |schema: &str| one.text.replace("{t}.", schema);
        check("as it is", &own, filled(&format!("{own}.")), Ok(())).await;
        let nameless = Err(SqlState::UNDEFINED_TABLE);
        check("without its tenant", &own, filled(""), nameless.clone()).await;
        check("without its tenant", "neurosphere_platform", filled(""), nameless).await;
        let refused = Err(SqlState::INSUFFICIENT_PRIVILEGE);
        check("with another's", &own, filled(&format!("{theirs}.")), refused.clone()).await;
        check("as the platform", "neurosphere_platform", filled(&format!("{own}.")), refused).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let declared = statements.iter().filter(|one| !one.place.ends_with("(older)")).count();
    assert!(120 < declared && 30 < of_tenants, "every statement is read: {declared}, {of_tenants}");
}

/// A statement of the control plane that says another's tenant, or none, in a tenant's transaction.
#[tokio::test]
async fn a_statement_of_the_control_plane_without_its_tenant_sees_and_changes_its_own_rows_only() {
    const ALL: Sql =
        Sql::new("select id from platform.tenants union all select tenant_id from platform.jobs", &[]);
    const ADD: Sql = Sql::new(
        "insert into platform.jobs (id, tenant_id, kind, key) values (gen_random_uuid(), $1, 'calls.conclude', $2)",
        &[Type::UUID, Type::TEXT],
    );
    let pair = Pair::new().await;
    let mut session = pair.world.app.db.tenant(&pair.b.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let seen: Vec<uuid::Uuid> = tx.rows(&ALL, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, [pair.b.id.uuid()], "the first tenant's jobs are there, and are not seen");
    let refused = tx.run(&ADD, &[&pair.a.id.uuid(), &pair.call.to_string()]).await.unwrap_err();
    assert!(refused.chain().contains("42501"), "{}", refused.chain());
    drop(tx);
    pair.found(&[]).await;
}

#[tokio::test]
async fn a_policy_that_was_dropped_closes_a_table_and_opens_it_to_nobody() {
    let pair = Pair::new().await;
    pair.plant("drop policy own_role on {a}.callers").await;
    pair.b_reaches_nothing().await;
    assert_eq!(pair.seen_by(&pair.a).await, (0, 1), "without a policy nobody passes");
    pair.plant("alter table {a}.calls disable row level security").await;
    pair.b_reaches_nothing().await;
    pair.found(&[
        (RowSecurity, "policy own_role of callers", "is missing"),
        (RowSecurity, "calls", "\"disabled, forced\""),
    ])
    .await;
}

/// Whoever inherits a tenant's role passes its policies too: what is left is that each transaction becomes its own tenant,
/// and that no statement can name another.
#[tokio::test]
async fn a_role_that_inherits_gains_nothing_where_every_transaction_is_its_tenants() {
    let pair = Pair::new().await;
    pair.plant("grant {a} to neurosphere_app with inherit true").await;
    pair.b_reaches_nothing().await;
    let login = pair.world.as_login().await;
    login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    refused(&login, &pair.filled("select from {a}.callers"), &SqlState::INSUFFICIENT_PRIVILEGE).await;
    login.batch_execute("rollback; begin").await.unwrap();
    refused(&login, "select from callers", &SqlState::UNDEFINED_TABLE).await;
    let inherits = "neurosphere_app is a member of it with \"inherit set\" instead of \"set\"";
    pair.found(&[(Roles, "role {a}", inherits)]).await;
    pair.plant("grant {a} to neurosphere_app with inherit false").await;

    pair.plant("grant {a} to {b} with inherit true").await;
    assert_eq!(pair.seen_by(&pair.b).await, (0, 0), "no statement of the program names another's schema");
    pair.found(&[(Roles, "role {a}", "{b} is a member of it (inherit set)")]).await;
    pair.plant("revoke {a} from {b}").await;
    pair.found(&[]).await;
}

#[tokio::test]
async fn a_job_that_names_anothers_call_runs_as_the_tenant_of_its_row_and_finds_nothing() {
    let pair = Pair::new().await;
    let call = pair.call;
    let owner = &pair.owner;
    let count = "select count(*) from platform.jobs where state <> 'done'";
    pair.plant(&format!(
        "begin; set local role neurosphere_platform; delete from platform.jobs;
         insert into platform.jobs (id, tenant_id, kind, key) values (gen_random_uuid(), '{{b_id}}', 'calls.conclude', '{call}');
         commit"
    ))
    .await;
    pair.found(&[(Rows, "jobs", "1 row(s) name a call that is not this tenant's")]).await;
    assert_eq!(pair.world.app.runner().run_due().await.unwrap(), 1);
    owner.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    assert_eq!(owner.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0, "it had nothing to do");
    owner.batch_execute("rollback").await.unwrap();
    assert_eq!(pair.seen_by(&pair.b).await, (0, 0));
    for tenant in [&pair.a, &pair.b] {
        let mut session = pair.world.app.db.tenant(&tenant.scope(Role::Owner)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        assert_eq!(
            calls::summaries(&mut tx, &[call]).await.unwrap().len(),
            0,
            "nobody wrote what came of the call"
        );
        if tenant.id == pair.a.id {
            assert_eq!(calls::get(&mut tx, call).await.unwrap().state, CallState::Ended);
        }
    }
    pair.found(&[]).await;
}

#[tokio::test]
async fn a_row_that_is_copied_from_elsewhere_is_refused_by_each_of_two_guards_and_found_where_both_are_gone()
{
    let pair = Pair::new().await;
    let copy = pair.filled("insert into {b}.callers select * from {a}.callers");
    let (open, shut) = ("no force row level security", "force row level security");
    pair.plant(&format!("alter table {{a}}.callers {open}; alter table {{b}}.callers {open}")).await;
    let error = pair.owner.batch_execute(&copy).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{error}");

    pair.plant(&format!("alter table {{b}}.callers {shut}, drop constraint callers_tenant")).await;
    let error = pair.owner.batch_execute(&copy).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error}");
    assert_eq!(pair.seen_by(&pair.b).await, (0, 0));

    pair.plant(&format!("alter table {{b}}.callers {open}; {copy}; alter table {{b}}.callers {shut}")).await;
    pair.plant(&format!("alter table {{a}}.callers {shut}")).await;
    pair.found(&[
        (Checks, "constraint callers_tenant of callers", "is missing"),
        (Rows, "callers", "1 row(s) have another tenant's id"),
    ])
    .await;
}
