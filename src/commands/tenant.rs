//! `neurosphere tenant`.

use chrono_tz::Tz;
use clap::{Args, Subcommand};
use neurosphere::ids::PhoneNumber;
use neurosphere::secret::Secret;
use neurosphere::templates;
use neurosphere::tenants::{self, Account, Created, NewTenant, State, slug::Slug};
use std::process::ExitCode;

use super::{Desk, refused, told};

#[derive(Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant: schema, agent, number, and its first API key, which is shown this once
    Create(Create),
    /// List tenants: slug, state, schema version, name
    List,
    /// Take a tenant out of service; its data stays
    Suspend {
        /// Its name in hosts
        slug: Slug,
    },
    /// Put a suspended tenant back into service
    Resume {
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
    /// Its own Twilio account (AC…), where the number is not in the platform's
    #[arg(long, requires = "twilio_auth_token")]
    pub(crate) twilio_account: Option<String>,
    /// The auth token of that account; better given in the environment, where no process list shows it
    #[arg(long, env = "TENANT_TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub(crate) twilio_auth_token: Option<String>,
}

impl Tenant {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let mut desk = Desk::open().await?;
        match self {
            Self::Create(create) => {
                let base = desk.operations.base_domain.clone();
                let created = create.run(&mut desk).await?;
                println!("tenant   {}  {}", created.tenant.slug, created.tenant.name);
                println!("host     {}.{base}", created.tenant.slug);
                println!("API key  {}   (shown this once)", created.api_key.reveal());
            }
            Self::List => {
                for tenant in tenants::list(&desk.db).await.map_err(told)? {
                    let (slug, state, version) = (&tenant.slug, tenant.state.name(), tenant.schema_version);
                    println!("{slug:<24} {state:<13} v{version:<3} {}", tenant.name);
                }
            }
            Self::Suspend { slug } => {
                tenants::move_to(&desk.db, &slug, State::Suspended).await.map_err(refused)?;
                println!("{slug} is suspended");
            }
            Self::Resume { slug } => {
                tenants::move_to(&desk.db, &slug, State::Active).await.map_err(refused)?;
                println!("{slug} is active");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    pub(crate) async fn run(self, desk: &mut Desk) -> Result<Created, String> {
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
            number: self.number,
            account,
        };
        tenants::create(&desk.db, &mut desk.owner, new).await.map_err(refused)
    }
}
