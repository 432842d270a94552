//! `neurosphere tenant`: the life of a tenant, by the same operations as the platform's API.

use chrono::TimeDelta;
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use neurosphere::db::page::Page;
use neurosphere::db::tx::PlatformTx;
use neurosphere::error::Error;
use neurosphere::ids::{ClusterName, PhoneNumber, TenantId};
use neurosphere::secret::Secret;
use neurosphere::templates;
use neurosphere::tenants::birth::{self, Account, Created, NewTenant};
use neurosphere::tenants::life::{Exceptions, Terms};
use neurosphere::tenants::reach::DomainName;
use neurosphere::tenants::{State, Tenant as Found, domains, life, mirror, numbers, slug::Slug};
use std::process::ExitCode;

use super::tenant_audit::TenantAudit;
use super::tenant_key::TenantKey;
use super::{Desk, refused, told};

#[derive(Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant: schema, agent, number, and its first API key, which is shown this once
    Create(Create),
    /// List tenants: slug, state, schema version, cluster, plan, name
    List {
        /// Only those in this state
        #[arg(long)]
        state: Option<String>,
    },
    /// Prove from the catalogs that the guards between tenants hold; names every fault, and fails if there is one
    Audit(TenantAudit),
    /// Take a tenant out of service; its data stays
    Suspend(Step),
    /// Put a suspended tenant back into service
    Resume(Step),
    /// Give a tenant another name in hosts; the old one leads to it for 30 days, and nobody else gets it
    Rename {
        /// The name that it has
        slug: Slug,
        /// The name that it gets
        new: Slug,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// Give a tenant another plan, exceptions from it, or make it a canary of migrations
    Terms(SetTerms),
    /// Take a tenant out of service for good; everything of it is removed when the grace period is over
    Close {
        /// Its name in hosts
        slug: Slug,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
        /// For how long it can be had back
        #[arg(long, default_value_t = life::GRACE.num_days())]
        grace_days: i64,
    },
    /// Take the closing of a tenant back
    Reopen(Step),
    /// Give, hand over and take telephone numbers
    #[command(subcommand)]
    Number(Number),
    /// Ask for hosts of a tenant's own, and give them up
    #[command(subcommand)]
    Domain(Domain),
    /// Make, list, rotate and revoke API keys
    #[command(subcommand)]
    Key(TenantKey),
}

#[derive(Args)]
pub(crate) struct Step {
    /// Its name in hosts
    slug: Slug,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
}

#[derive(Args)]
pub(crate) struct SetTerms {
    /// Its name in hosts
    slug: Slug,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
    /// The plan; as it is when not given
    #[arg(long)]
    plan: Option<String>,
    /// Transactions at once in each process; what is not given is as the plan says
    #[arg(long)]
    transactions: Option<u16>,
    /// Requests per second in each process
    #[arg(long)]
    requests_per_s: Option<u16>,
    /// Milliseconds that a statement may run
    #[arg(long)]
    statement_ms: Option<u32>,
    /// Calls at once
    #[arg(long)]
    calls: Option<u16>,
    /// Jobs at once
    #[arg(long)]
    jobs: Option<u16>,
    /// Migrate its schema before the others'
    #[arg(long)]
    canary: bool,
}

#[derive(Subcommand)]
pub(crate) enum Number {
    /// Give a tenant a number that nobody has
    Assign {
        /// Its name in hosts
        slug: Slug,
        /// The number in E.164 form
        number: PhoneNumber,
        /// The tenant's own Twilio account (AC…), where the number is in that
        #[arg(long)]
        twilio_account: Option<String>,
    },
    /// Hand a number from one tenant to another
    HandOver {
        /// The number in E.164 form
        number: PhoneNumber,
        /// Who has it
        #[arg(long)]
        from: Slug,
        /// Who gets it
        #[arg(long)]
        to: Slug,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// Take a number from a tenant
    Release {
        /// Its name in hosts
        slug: Slug,
        /// The number in E.164 form
        number: PhoneNumber,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Domain {
    /// Ask for a host, or look for its proof again; prints the TXT record that proves it
    Ask {
        /// Its name in hosts
        slug: Slug,
        /// The host, e.g. calls.peterson.com
        host: DomainName,
    },
    /// Give a host up
    Release {
        /// Its name in hosts
        slug: Slug,
        /// The host
        host: DomainName,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// List a tenant's hosts and what the last look for each proof found
    List {
        /// Its name in hosts
        slug: Slug,
    },
}

#[derive(Args)]
pub(crate) struct Create {
    /// The name in hosts: 3 to 40 of a-z, 0-9 and hyphens
    pub(crate) slug: Slug,
    /// The business's name
    #[arg(long)]
    pub(crate) name: String,
    /// Industry template (see `template list`)
    #[arg(long, default_value = "insurance")]
    pub(crate) template: String,
    /// What its agent calls itself
    #[arg(long)]
    pub(crate) agent: String,
    /// Its telephone number in E.164 form
    #[arg(long)]
    pub(crate) number: Option<PhoneNumber>,
    /// Where it is, as an IANA time zone
    #[arg(long, default_value = "America/Los_Angeles")]
    pub(crate) time_zone: Tz,
    /// What it may take: trial, standard or large
    #[arg(long, default_value = "standard")]
    pub(crate) plan: String,
    /// The Postgres cluster that keeps its data
    #[arg(long, default_value_t = ClusterName::main())]
    pub(crate) cluster: ClusterName,
    /// Its own Twilio account (AC…), where the number is not in the platform's
    #[arg(long, requires = "twilio_auth_token")]
    pub(crate) twilio_account: Option<String>,
    /// The auth token of that account; better given in the environment, where no process list shows it
    #[arg(long, env = "TENANT_TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub(crate) twilio_auth_token: Option<String>,
    /// Names this request: the same one again makes no second tenant and prints the same key
    #[arg(long)]
    pub(crate) idempotency_key: Option<String>,
}

impl Tenant {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let desk = Desk::open()?;
        match self {
            Self::Create(create) => print_created(&desk, create).await?,
            Self::List { state } => print_all(&desk, state.as_deref()).await?,
            Self::Audit(audit) => return audit.run(&desk).await,
            Self::Suspend(Step { slug, reason }) => {
                desk.change(&slug, async |tx, id| life::suspend(tx, id, &reason).await, state).await?;
            }
            Self::Resume(Step { slug, reason }) => {
                desk.change(&slug, async |tx, id| life::resume(tx, id, &reason).await, state).await?;
            }
            Self::Rename { slug, new, reason } => {
                desk.change(&slug, async |tx, id| life::rename(tx, id, &new, &reason).await, state).await?;
            }
            Self::Terms(terms) => terms.run(&desk).await?,
            Self::Close { slug, reason, grace_days } => {
                let grace = TimeDelta::try_days(grace_days).unwrap_or(TimeDelta::MAX);
                desk.change(&slug, async |tx, id| life::close(tx, id, &reason, grace).await, state).await?;
            }
            Self::Reopen(Step { slug, reason }) => {
                desk.change(&slug, async |tx, id| life::reopen(tx, id, &reason).await, state).await?;
            }
            Self::Number(number) => number.run(&desk).await?,
            Self::Domain(domain) => domain.run(&desk).await?,
            Self::Key(key) => key.run(&desk).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Desk {
    /// Does something to the tenant of that name and says what is so now.
    async fn change(
        &self,
        slug: &Slug,
        deed: impl AsyncFnOnce(&mut PlatformTx, TenantId) -> Result<Found, Error>,
        now: impl FnOnce(&Found) -> String,
    ) -> Result<(), String> {
        let mut tx = self.begin().await?;
        let id = life::named(&mut tx, slug).await.map_err(refused)?.id;
        let tenant = deed(&mut tx, id).await.map_err(refused)?;
        tx.commit().await.map_err(told)?;
        if let Err(error) = mirror::at_once(&self.db, &tenant).await {
            println!("cluster {} is told later, by a worker: {}", tenant.cluster, refused(error));
        }
        println!("{}", now(&tenant));
        Ok(())
    }
}

/// Where a tenant is in its life.
fn state(tenant: &Found) -> String {
    let closes = tenant.closes_at.map_or_else(String::new, |at| {
        format!("; everything of it is removed after {}", at.format("%Y-%m-%d %H:%M UTC"))
    });
    format!("{} is {}{closes}", tenant.slug, tenant.state.name())
}

/// What a tenant may take.
fn terms(tenant: &Found) -> String {
    let exceptions = serde_json::to_value(tenant.exceptions).unwrap_or_default();
    let exceptions = exceptions.as_object().into_iter().flatten();
    let mut words = vec![format!("{} follows the plan {}", tenant.slug, tenant.plan)];
    words.extend(exceptions.map(|(limit, value)| format!("{limit} {value}")));
    words.extend(tenant.canary.then(|| "migrated before the others".to_owned()));
    words.join(", ")
}

impl SetTerms {
    async fn run(self, desk: &Desk) -> Result<(), String> {
        let exceptions = Exceptions {
            transactions_max: self.transactions,
            requests_per_s: self.requests_per_s,
            statement_ms_max: self.statement_ms,
            calls_max: self.calls,
            jobs_max: self.jobs,
        };
        let (plan, reason, canary) = (self.plan, self.reason, self.canary);
        desk.change(
            &self.slug,
            async |tx, id| {
                let plan = match plan {
                    Some(plan) => plan,
                    None => life::get(tx, id).await?.plan,
                };
                life::set_terms(tx, id, &Terms { plan, exceptions, canary }, &reason).await
            },
            terms,
        )
        .await
    }
}

impl Number {
    async fn run(self, desk: &Desk) -> Result<(), String> {
        match self {
            Self::Assign { slug, number, twilio_account } => {
                let account = twilio_account.as_deref();
                let deed = async |tx: &mut _, id| numbers::assign(tx, id, &number, account).await;
                desk.change(&slug, deed, |tenant| leads_to(&number, tenant)).await
            }
            Self::HandOver { number, from, to, reason } => {
                desk.change(
                    &from,
                    async |tx, giver| {
                        let receiver = life::named(tx, &to).await?.id;
                        numbers::hand_over(tx, &number, (giver, receiver), &reason).await
                    },
                    |tenant| leads_to(&number, tenant),
                )
                .await
            }
            Self::Release { slug, number, reason } => {
                let deed = async |tx: &mut _, id| numbers::release(tx, id, &number, &reason).await;
                desk.change(&slug, deed, |_| format!("{} leads nowhere now", number.reveal())).await
            }
        }
    }
}

fn leads_to(number: &PhoneNumber, tenant: &Found) -> String {
    format!("{} leads to {}", number.reveal(), tenant.slug)
}

impl Domain {
    async fn run(self, desk: &Desk) -> Result<(), String> {
        let mut tx = desk.begin().await?;
        match self {
            Self::Ask { slug, host } => {
                let id = life::named(&mut tx, &slug).await.map_err(refused)?.id;
                let asked = domains::ask(&mut tx, id, &host, &desk.operations.http.base_domain).await;
                let domain = asked.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("publish   {}  TXT  \"{}\"", domain.record_name(), domain.record_value());
                println!(
                    "and point {} at this server; a worker looks for the record for a day and a half",
                    domain.host
                );
            }
            Self::Release { slug, host, reason } => {
                let id = life::named(&mut tx, &slug).await.map_err(refused)?.id;
                domains::release(&mut tx, id, &host, &reason).await.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("{} leads nowhere now", host.as_str());
            }
            Self::List { slug } => {
                let id = life::named(&mut tx, &slug).await.map_err(refused)?.id;
                for domain in domains::of(&mut tx, id).await.map_err(refused)? {
                    let state = if domain.verified_at.is_some() { "verified" } else { "not verified" };
                    println!("{:<40} {state:<13} {}", domain.host, domain.failure.unwrap_or_default());
                }
            }
        }
        Ok(())
    }
}

async fn print_created(desk: &Desk, create: Create) -> Result<(), String> {
    let created = create.run(desk).await?;
    println!("tenant   {}  {}", created.tenant.slug, created.tenant.name);
    println!("host     {}.{}", created.tenant.slug, desk.operations.http.base_domain);
    match created.api_key {
        Some(key) => println!("API key  {}   (shown this once)", key.reveal()),
        None => println!("API key  was shown when this request was made first, more than a day ago"),
    }
    Ok(())
}

async fn print_all(desk: &Desk, state: Option<&str>) -> Result<(), String> {
    let state = match state {
        None => None,
        Some(word) => Some(State::named(word).ok_or_else(|| {
            let words: Vec<_> = State::ALL.iter().map(|state| state.name()).collect();
            format!("{word} is no state; the states are {}", words.join(", "))
        })?),
    };
    let mut tx = desk.begin().await?;
    let mut page = Page { first: Page::FIRST_MAX, after: None };
    loop {
        let mut rows = life::list(&mut tx, page, state, None).await.map_err(refused)?;
        let more = page.cut(&mut rows);
        for tenant in &rows {
            let (slug, state, version) = (&tenant.slug, tenant.state.name(), tenant.schema_version);
            println!(
                "{slug:<24} {state:<13} v{version:<3} {:<8} {:<10} {}",
                tenant.cluster, tenant.plan, tenant.name
            );
        }
        match rows.last().filter(|_| more) {
            Some(last) => page.after = Some(last.id.uuid()),
            None => return Ok(()),
        }
    }
}

impl Create {
    pub(crate) async fn run(self, desk: &Desk) -> Result<Created, String> {
        let template_version =
            templates::catalog::latest(&desk.db, &self.template).await.map_err(|error| {
                format!("template {}: {} (see `neurosphere template list`)", self.template, refused(error))
            })?;
        let account = self
            .twilio_account
            .zip(self.twilio_auth_token)
            .map(|(sid, token)| Account { sid, auth_token: Secret::new(token) });
        let new = NewTenant {
            slug: self.slug,
            name: self.name,
            agent_name: self.agent,
            time_zone: self.time_zone,
            template_version,
            plan: self.plan,
            cluster: self.cluster,
            number: self.number,
            account,
        };
        let key = self.idempotency_key.as_deref();
        birth::create(&desk.db, Some(&desk.owners), &Desk::scope(), new, key).await.map_err(refused)
    }
}
