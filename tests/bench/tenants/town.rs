//! The database under measurement: a migrated control plane, and tenants that are added as asked, each with a caller, a
//! call and some memories.

use neurosphere::access::{Actor, PlatformScope, Role, TenantScope};
use neurosphere::app::App;
use neurosphere::calls::{self, Arrival, Arrived, Speaker, Turn};
use neurosphere::clock::Clock;
use neurosphere::config::Config;
use neurosphere::db::blueprint::Blueprint;
use neurosphere::db::owner::Owner;
use neurosphere::ids::ClusterName;
use neurosphere::memory::{self, Kind, NewMemory, Source};
use neurosphere::secret::Secret;
use neurosphere::tenancy::{ClusterIndex, Tenancy};
use neurosphere::tenants::birth::{self, NewTenant};
use neurosphere::tenants::reach;
use neurosphere::{callers, templates};
use serde_json::{Value, json};
use std::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::figures::{Figures, postgres_cpu_ms};

/// The caller of every tenant.
pub(crate) const CALLER: &str = "+19495550142";
/// The last so many creations are timed.
const TIMED: usize = 50;
const ACCOUNT: &str = "AC0000000000000000000000000000beef";

/// A tenant of the town.
#[derive(Clone)]
pub(crate) struct Citizen {
    pub(crate) slug: String,
    pub(crate) tenancy: Tenancy,
    pub(crate) api_key: Secret,
}

impl Citizen {
    pub(crate) fn scope(&self, role: Role) -> TenantScope {
        TenantScope::mint(self.tenancy, Actor::CommandLine, role)
    }

    pub(crate) fn schema(&self) -> String {
        format!("tenant_{}", self.tenancy.tenant.uuid().simple())
    }
}

pub(crate) struct Town {
    pub(crate) app: App,
    pub(crate) owner: Owner,
    pub(crate) blueprint: Blueprint,
    pub(crate) citizens: Vec<Citizen>,
}

impl Town {
    /// An empty one, in the database that the environment names.
    pub(crate) async fn found() -> Self {
        let defaults = |name: &str| match name {
            "TWILIO_ACCOUNT_SID" => Some(ACCOUNT.to_owned()),
            "TWILIO_AUTH_TOKEN" | "OPENAI_API_KEY" => Some("unused".to_owned()),
            "LISTEN_ADDR" => Some("127.0.0.1:0".to_owned()),
            "ENVIRONMENT" => Some("production".to_owned()),
            other => std::env::var(other).ok(),
        };
        let app = App::new(Config::read(defaults).unwrap(), Clock::system()).unwrap();
        let owners = app.owners.as_ref().expect("DATABASE_URL is the owner's");
        let mut owner = owners.connect(&ClusterName::main()).await.unwrap();
        owner.empty_database().await.unwrap();
        owner.migrate_platform().await.unwrap();
        templates::catalog::publish_built_in(&app.db).await.unwrap();
        Self { app, owner, blueprint: Blueprint::of_this_program().unwrap(), citizens: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.citizens.len()
    }

    fn operator() -> PlatformScope {
        PlatformScope::mint(Actor::CommandLine, Role::Operator)
    }

    async fn new_tenant(&self) -> NewTenant {
        NewTenant {
            slug: format!("t-{}", uuid::Uuid::new_v4().simple()).parse().unwrap(),
            name: "A business".to_owned(),
            agent_name: "Alex".to_owned(),
            time_zone: chrono_tz::Tz::UTC,
            template_version: templates::catalog::latest(&self.app.db, "insurance").await.unwrap(),
            plan: "large".to_owned(),
            cluster: ClusterName::main(),
            number: None,
            account: None,
        }
    }

    /// Makes tenants until there are so many; what one costs, at the end.
    pub(crate) async fn grow_to(&mut self, size: usize) -> Value {
        let (mut wall, mut cpu, mut timed) = (0.0, 0.0, 0);
        while self.citizens.len() < size {
            let is_timed = size <= self.citizens.len() + TIMED;
            let (began, used) = (Instant::now(), postgres_cpu_ms());
            self.owner.build(&self.blueprint, self.app.clock.new_id().into(), false).await.unwrap();
            if is_timed {
                wall += began.elapsed().as_secs_f64() * 1_000.0;
                cpu += postgres_cpu_ms() - used;
                timed += 1;
            }
            self.settle().await;
        }
        let each = |sum: f64| sum / f64::from(timed.max(1));
        json!({ "wall_ms": each(wall), "cpu_ms": each(cpu), "count": timed })
    }

    /// A connection of the owner's, for what the application cannot be asked.
    pub(crate) async fn direct(&self) -> Client {
        let url = self.app.config.database.main.owner_url.as_ref().unwrap();
        let (client, connection) = tokio_postgres::connect(url.reveal(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Gives the schema that waits to a tenant, with a little of everything.
    async fn settle(&mut self) {
        let new = self.new_tenant().await;
        let created = birth::create(&self.app.db, None, &Self::operator(), new, None).await.unwrap();
        let tenancy = reach::tenancy(&self.app.db, created.tenant.id).await.unwrap().unwrap();
        let citizen = Citizen { slug: created.tenant.slug, tenancy, api_key: created.api_key.unwrap() };
        self.furnish(&citizen).await;
        self.citizens.push(citizen);
    }

    async fn furnish(&self, citizen: &Citizen) {
        let db = &self.app.db;
        for n in 0..3 {
            let call = self.ring(citizen, &format!("CA{n}")).await;
            calls::open(db, &citizen.scope(Role::Call), call).await.unwrap();
            let mut session = db.tenant(&citizen.scope(Role::Call)).await.unwrap();
            let mut tx = session.begin().await.unwrap();
            let turn = |sequence| Turn {
                sequence,
                speaker: Speaker::Caller,
                text: format!("turn {sequence}"),
                started_ms: 0,
                ended_ms: 1,
                heard_ms: None,
                interrupted: false,
            };
            calls::record(&mut tx, call, &[turn(1), turn(2)], &[]).await.unwrap();
            calls::end(&mut tx, call, "caller_hung_up").await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut session = db.tenant(&citizen.scope(Role::Owner)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        let page = neurosphere::db::page::Page { first: 1, after: None };
        let caller = callers::list(&mut tx, page, None).await.unwrap().pop().unwrap().id;
        for n in 0..5 {
            let new = NewMemory {
                caller,
                call: None,
                kind: Kind::Fact,
                text: format!("fact {n}"),
                importance: 3,
                source: Source::Staff,
            };
            memory::remember(&mut tx, new).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// A call that rings.
    pub(crate) async fn ring(&self, citizen: &Citizen, call_sid: &str) -> neurosphere::ids::CallId {
        let arrival = Arrival {
            call_sid: call_sid.to_owned(),
            account_sid: ACCOUNT.to_owned(),
            from: Some(CALLER.parse().unwrap()),
            to: "+19495550100".parse().unwrap(),
        };
        let mut session = self.app.db.tenant(&citizen.scope(Role::Carrier)).await.unwrap();
        let mut tx = session.begin().await.unwrap();
        let arrived = calls::arrive(&mut tx, &arrival).await.unwrap();
        tx.commit().await.unwrap();
        match arrived {
            Arrived::In { call, .. } => call,
            Arrived::Busy { .. } => panic!("all lines are taken"),
        }
    }

    /// Fills the warm pool, then makes so many tenants out of it: from the request to a tenant in service.
    pub(crate) async fn claim(&self, count: usize) -> Value {
        let owners = self.app.owners.as_ref().unwrap();
        birth::fill_pool(&self.app.db, owners, ClusterIndex::MAIN, count).await.unwrap();
        let mut figures = Figures::default();
        for _ in 0..count {
            let new = self.new_tenant().await;
            let operator = Self::operator();
            let created = Box::pin(figures.time(birth::create(&self.app.db, None, &operator, new, None)))
                .await
                .unwrap();
            assert_eq!(created.tenant.state, neurosphere::tenants::State::Active);
        }
        figures.told()
    }
}
