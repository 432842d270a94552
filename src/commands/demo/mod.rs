//! `neurosphere demo`: two businesses, three calls, and the proof that they share nothing. With `OPENAI_API_KEY` set the
//! agents speak through OpenAI, with `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN` set real calls are awaited; what is not
//! set is played by the stand-in world.

mod live;
mod look;
mod staged;
mod standin;
mod telling;

use clap::Args;
use neurosphere::app::{App, Only, Running};
use neurosphere::clock::Clock;
use neurosphere::config::Config;
use neurosphere::db::page::Page;
use neurosphere::ids::{ClusterName, PhoneNumber};
use neurosphere::secret::Secret;
use neurosphere::telemetry;
use neurosphere::tenancy::Tenancy;
use neurosphere::tenants::{life, reach};
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;
use tokio::net::TcpListener;

use super::migrate::Migrate;
use super::tenant::Create;
use super::{Desk, refused, told};
use look::Viewer;
use standin::Standin;

/// Makes Peterson Family Insurance and Smith Insurance Agency afresh in this database, and has them called
#[derive(Args)]
pub(crate) struct Demo {
    /// End after the calls; the last line is a JSON summary
    #[arg(long)]
    once: bool,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Write what each side of each call heard to WAV files in this folder
    #[arg(long, value_name = "DIR")]
    record: Option<std::path::PathBuf>,
    /// The numbers of the two businesses; with real calls, two of your Twilio account
    #[arg(long, num_args = 2, value_names = ["PETERSON", "SMITH"], default_values = ["+19495550100", "+17145550100"])]
    numbers: Vec<PhoneNumber>,
}

/// A business of the demo, and how to look at it.
struct Business {
    tenancy: Tenancy,
    slug: &'static str,
    agent: &'static str,
    number: PhoneNumber,
    api_key: Secret,
}

/// Prints each step with its seconds.
struct Steps(Instant);

impl Steps {
    #[expect(clippy::disallowed_methods, reason = "a person watches the seconds")]
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn done(&self, what: &str) {
        println!("[{:5.1} s] {what}", self.0.elapsed().as_secs_f64());
    }
}

impl Demo {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let steps = Steps::begin();
        let standin = Standin::start().await?;
        let config = configuration(&standin, &self.listen)?;
        telemetry::init_logs(&config.telemetry).map_err(told)?;
        steps.done(&standin.what_is_real());
        let businesses = self.businesses(&steps).await?;
        let listener = TcpListener::bind(config.http.listen).await.map_err(|error| {
            format!("cannot listen on {}: {error}; choose another with --listen", config.http.listen)
        })?;
        let app = App::new(config, Clock::system()).map_err(told)?;
        let running = app.start_on(listener, Only::Everything).map_err(told)?;
        steps.done(&format!("serving on http://{}", running.address));
        let good = self.show(&running, &standin, &businesses).await?;
        running.stop().await;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The two businesses, made afresh: the demo owns its database.
    async fn businesses(&self, steps: &Steps) -> Result<[Business; 2], String> {
        let desk = Desk::open()?;
        let owner = desk.owners.connect(&ClusterName::main()).await.map_err(told)?;
        // A demo that was interrupted left a database with nothing in it.
        if owner.pending_platform_migrations().await.map_err(told)?.is_some()
            && let Ok(mut tx) = desk.begin().await
        {
            let page = Page { first: Page::FIRST_MAX, after: None };
            let there = life::list(&mut tx, page, None, None).await.map_err(refused)?;
            let names = there.iter().map(|tenant| tenant.slug.as_str());
            let foreign: Vec<_> = names.filter(|name| !["peterson", "smith"].contains(name)).collect();
            if !foreign.is_empty() {
                return Err(format!(
                    "this database holds other tenants ({}); give the demo one of its own",
                    foreign.join(", ")
                ));
            }
        }
        owner.empty_database().await.map_err(told)?;
        Migrate::all().migrate(&desk).await?;
        steps.done("the database is migrated");
        let [peterson, smith] =
            <[PhoneNumber; 2]>::try_from(self.numbers.clone()).map_err(|_| "two numbers are needed")?;
        let made = [
            business(&desk, ("peterson", "Peterson Family Insurance", "Barbara"), peterson).await?,
            business(&desk, ("smith", "Smith Insurance Agency", "Alex"), smith).await?,
        ];
        steps.done(
            "two tenants: peterson (agent Barbara) and smith (agent Alex), each with a schema of its own",
        );
        Ok(made)
    }

    async fn show(
        &self,
        running: &Running,
        standin: &Standin,
        businesses: &[Business; 2],
    ) -> Result<bool, String> {
        let viewers = businesses.each_ref().map(|business| Viewer::new(running.address, business));
        let mut summary = if standin.carrier_is_real() {
            live::calls(running, businesses, self.once).await?
        } else {
            staged::calls(running, standin, businesses, self.record.as_deref()).await?
        };
        let proof = look::proof(&viewers, &mut summary).await?;
        look::urls(running.address, businesses);
        if self.once {
            println!("{}", summary.to_json(&proof));
            return Ok(proof.holds() && summary.complete());
        }
        println!("\nserving until Ctrl-C");
        tokio::signal::ctrl_c().await.map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
        Ok(true)
    }
}

async fn business(
    desk: &Desk,
    (slug, name, agent): (&'static str, &str, &'static str),
    number: PhoneNumber,
) -> Result<Business, String> {
    let create = Create {
        slug: slug.parse().map_err(|error| format!("{error}"))?,
        name: name.to_owned(),
        template: "insurance".to_owned(),
        agent: agent.to_owned(),
        number: Some(number.clone()),
        time_zone: chrono_tz::Tz::America__Los_Angeles,
        plan: "standard".to_owned(),
        cluster: ClusterName::main(),
        twilio_account: None,
        twilio_auth_token: None,
        idempotency_key: None,
    };
    let created = create.run(desk).await?;
    let api_key = created.api_key.ok_or("the tenant's key was not made")?;
    let tenancy = reach::tenancy(&desk.db, created.tenant.id).await.map_err(told)?;
    let tenancy = tenancy.ok_or("the tenant was not made")?;
    Ok(Business { tenancy, slug, agent, number, api_key })
}

/// The environment, with the stand-ins in place of the providers that are not set.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo lays the stand-ins over the environment that config reads"
)]
fn configuration(standin: &Standin, listen: &str) -> Result<Config, String> {
    let mut laid_over: HashMap<&str, String> = standin.variables();
    laid_over.insert("LISTEN_ADDR", listen.to_owned());
    let defaults = [("ENVIRONMENT", "development"), ("LOG", "warn")];
    Config::read(|name| {
        let laid = laid_over.get(name).cloned().or_else(|| std::env::var(name).ok());
        laid.or_else(|| {
            defaults.iter().find(|(default, _)| *default == name).map(|(_, value)| (*value).to_owned())
        })
    })
    .map_err(|mistakes| mistakes.to_string())
}
