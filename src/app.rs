//! The composition root: configuration in, running service out. Joins slices, transports and workers, starts and stops
//! them. Must never hold a rule.

use axum::Router;
use axum::serve::ListenerExt as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::db::listen::Hub;
use crate::db::owner::Owners;
use crate::error::{Fault, OrFault as _};
use crate::graphql::Door;
use crate::identity::jobs::{Post, Sites};
use crate::identity::last_use::LastUse;
use crate::jobs::runner::{Handlers, Runner};
use crate::providers::dns::Dns;
use crate::providers::mail::Mailer;
use crate::providers::openai::text::TextModels;
use crate::tenancy::ClusterIndex;
use crate::voice::{Gateway, Limits};
use crate::{calls, http, identity, jobs, memory, providers, telemetry, tenants};

/// Which parts of the service a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// All of them.
    Everything,
    /// GraphQL.
    Api,
    /// Webhooks and media streams.
    Voice,
    /// Queued jobs.
    Work,
}

/// The parts of the service, joined.
#[derive(Clone)]
pub struct App {
    /// As it was read.
    pub config: Config,
    /// Time and ids.
    pub clock: Clock,
    /// Postgres.
    pub db: Db,
    /// Notifications between processes.
    pub hub: Hub,
    /// Summaries, extraction and vectors.
    pub models: TextModels,
    /// The client for providers.
    pub http: reqwest::Client,
    /// Name servers.
    pub dns: Dns,
    /// How people are written to.
    pub post: Post,
    /// When API keys and sessions were used.
    pub last_use: LastUse,
    /// The right to make and remove schemas, where this process has it.
    pub owners: Option<Owners>,
    /// The door for calls.
    pub voice: Gateway,
}

impl App {
    /// Joins the parts; connects to nothing yet.
    pub fn new(config: Config, clock: Clock) -> Result<Self, Fault> {
        install_crypto();
        let http = providers::http::client()?;
        let db = Db::new(&config.database, &config.master_key, clock.clone())?;
        Ok(Self {
            voice: Gateway::new(&config, &db, &clock, &http, Limits::STANDARD)?,
            db,
            hub: Hub::default(),
            models: TextModels::new(&config.openai, &http),
            http,
            dns: Dns::new(config.dns_server)?,
            post: post(&config)?,
            last_use: LastUse::default(),
            owners: Owners::of(&config.database)?,
            clock,
            config,
        })
    }

    /// What runs the jobs of the control plane's cluster: the tenants' whose schemas it has, and the platform's own.
    pub fn runner(&self) -> Runner {
        Runner::new(self.db.clone(), self.with_keepers(self.handlers()))
    }

    /// What runs the jobs of every cluster.
    fn runners(&self) -> Vec<Runner> {
        let others =
            self.db.clusters().map(|(cluster, _)| cluster).filter(|cluster| *cluster != ClusterIndex::MAIN);
        let others = others.map(|cluster| Runner::on(self.db.clone(), cluster, self.handlers()));
        std::iter::once(self.runner()).chain(others).collect()
    }

    /// Every kind of tenants' jobs and what runs it.
    fn handlers(&self) -> Handlers {
        let (db, models) = (self.db.clone(), self.models.clone());
        let handlers = Handlers::default().with(memory::jobs::EMBED, move |attempt| {
            let (db, models) = (db.clone(), models.clone());
            async move { memory::jobs::embed(&db, &models, &attempt).await }
        });
        let (db, models) = (self.db.clone(), self.models.clone());
        let handlers = handlers.with(calls::jobs::CONCLUDE, move |attempt| {
            let (db, models) = (db.clone(), models.clone());
            async move { calls::jobs::conclude(&db, &models, &attempt).await }
        });
        let (db, post) = (self.db.clone(), self.post.clone());
        let handlers = handlers.with(identity::jobs::MAIL_INVITATION, move |attempt| {
            let (db, post) = (db.clone(), post.clone());
            async move { identity::jobs::send_invitation(&db, &post, &attempt).await }
        });
        let db = self.db.clone();
        handlers.with(calls::jobs::CLOSE, move |attempt| {
            let db = db.clone();
            async move { calls::jobs::close(&db, &attempt).await }
        })
    }

    /// The platform's own kinds of jobs; those that make and remove schemas only where the owners' URLs are given.
    fn with_keepers(&self, handlers: Handlers) -> Handlers {
        let db = self.db.clone();
        let handlers = handlers.with_keeper(tenants::jobs::MIRROR, move |attempt| {
            let db = db.clone();
            async move { tenants::jobs::mirror(&db, &attempt).await }
        });
        let (db, post) = (self.db.clone(), self.post.clone());
        let handlers = handlers.with_keeper(identity::jobs::MAIL_LINK, move |attempt| {
            let (db, post) = (db.clone(), post.clone());
            async move { identity::jobs::send_link(&db, &post, &attempt).await }
        });
        let (db, dns) = (self.db.clone(), self.dns.clone());
        let handlers = handlers.with_keeper(tenants::jobs::VERIFY_DOMAIN, move |attempt| {
            let (db, dns) = (db.clone(), dns.clone());
            async move { tenants::jobs::verify(&db, &dns, &attempt).await }
        });
        let db = self.db.clone();
        let handlers = handlers.with_keeper(calls::jobs::SWEEP_TOKENS, move |_| {
            let db = db.clone();
            async move { calls::jobs::sweep_tokens(&db).await }
        });
        let db = self.db.clone();
        let handlers = handlers.with_keeper(jobs::SWEEP, move |_| {
            let db = db.clone();
            async move { jobs::sweep(&db).await }
        });
        let db = self.db.clone();
        let handlers = handlers.with_keeper(identity::jobs::SWEEP, move |_| {
            let db = db.clone();
            async move { identity::jobs::sweep(&db).await }
        });
        let Some(owners) = &self.owners else { return handlers };
        let (db, by) = (self.db.clone(), owners.clone());
        let handlers = handlers.with_keeper(tenants::jobs::FINISH, move |attempt| {
            let (db, by) = (db.clone(), by.clone());
            async move { tenants::jobs::finish(&db, &by, &attempt).await }
        });
        let (db, by) = (self.db.clone(), owners.clone());
        let handlers = handlers.with_keeper(tenants::jobs::REMOVE, move |attempt| {
            let (db, by) = (db.clone(), by.clone());
            async move { tenants::jobs::remove(&db, &by, &attempt).await }
        });
        let (db, by, wanted) = (self.db.clone(), owners.clone(), self.config.tenants_prepared);
        handlers.with_keeper(tenants::jobs::FILL_POOLS, move |_| {
            let (db, by) = (db.clone(), by.clone());
            async move { tenants::jobs::fill_pools(&db, &by, wanted).await }
        })
    }

    /// Starts the parts that `only` names, on the configured address.
    pub async fn start(self, only: Only) -> Result<Running, Fault> {
        let listener = TcpListener::bind(self.config.http.listen).await.or_fault("listen on LISTEN_ADDR")?;
        self.start_on(listener, only)
    }

    /// Starts the parts that `only` names, on a socket that is bound already.
    pub fn start_on(self, listener: TcpListener, only: Only) -> Result<Running, Fault> {
        let address = listener.local_addr().or_fault("read the bound address")?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        for cluster in self.config.database.clusters() {
            let database = self.config.database.clone();
            tasks.spawn(self.hub.clone().run(database, cluster.clone(), stop.clone()));
        }
        if matches!(only, Only::Everything | Only::Work) {
            let db = self.db.clone();
            tasks.spawn(async move {
                if let Err(fault) = resume(&db).await {
                    tracing::error!(fault = fault.chain(), "what was left half done is not looked after");
                }
            });
            for runner in self.runners() {
                tasks.spawn(runner.run(self.hub.clone(), stop.clone()));
            }
        }
        if matches!(only, Only::Everything | Only::Api) {
            tasks.spawn(self.last_use.clone().run(self.db.clone(), stop.clone()));
        }
        let vitals = http::Vitals { db: self.db.clone(), metrics: telemetry::metrics()? };
        let site = http::site(self.routes(only, &tasks, &stop), vitals);
        // Frames are small and due now: none may wait until the one before it is acknowledged.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection that is gone already");
            }
        });
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            let site = site.into_make_service_with_connect_info::<SocketAddr>();
            if let Err(error) = axum::serve(listener, site).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the HTTP server failed");
            }
        });
        tasks.close();
        Ok(Running { app: self, address, tasks, stop })
    }

    fn routes(&self, only: Only, tasks: &TaskTracker, stop: &CancellationToken) -> Router {
        let mut routes = Router::new();
        if matches!(only, Only::Everything | Only::Api) {
            let door = Door { db: self.db.clone(), hub: self.hub.clone(), tasks: tasks.clone() };
            let last_use = self.last_use.clone();
            routes = routes.merge(http::graphql::routes(door, last_use, &self.config, stop.clone()));
            routes = routes.merge(http::pages::routes(self.db.clone(), &self.config));
        }
        if matches!(only, Only::Everything | Only::Voice) {
            routes = routes.merge(http::twilio::routes(self.voice.clone()));
        }
        routes
    }
}

fn post(config: &Config) -> Result<Post, Fault> {
    let mailer = config.mail.as_ref().map(Mailer::new).transpose()?;
    let sites = Sites { base_domain: config.http.base_domain.clone(), port: config.http.port() };
    Ok(Post { mailer, auth_host: config.http.auth_host.clone(), sites })
}

/// Has everything looked after that nobody asks for: what an earlier process left half done, and what is swept daily.
async fn resume(db: &Db) -> Result<(), Fault> {
    tenants::jobs::resume(db).await?;
    let mut tx = db.platform().await?;
    let now = tx.now();
    for sweep in [&calls::jobs::SWEEP_TOKENS, &identity::jobs::SWEEP, &jobs::SWEEP] {
        jobs::enqueue_daily(&mut tx, sweep, now).await?;
    }
    tx.commit().await
}

/// A service that runs.
pub struct Running {
    /// Its parts.
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    /// Stops taking in, lets what is under way finish, and returns when nothing runs any more.
    pub async fn stop(self) {
        self.app.voice.drain().await;
        self.stop.cancel();
        self.tasks.wait().await;
        self.app.db.close();
    }
}

/// Chooses the cryptography of TLS for the whole process; the first choice stays.
pub fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
