//! `neurosphere doctor`: what the service needs, each with its state and what to do.

use neurosphere::clock::Clock;
use neurosphere::config::{Cluster, Config, Environment};
use neurosphere::db::Db;
use neurosphere::db::blueprint::Blueprint;
use neurosphere::db::fleet::Fleet;
use neurosphere::db::guards;
use neurosphere::db::owner::{Owner, Versions};
use neurosphere::providers;
use std::process::ExitCode;
use std::time::Duration;

const SERVER_VERSION_MIN: i32 = 160_000;
const REACH_MAX: Duration = Duration::from_secs(5);

struct Findings {
    bad: usize,
}

impl Findings {
    fn good(what: &str, detail: &str) {
        println!("  ok    {what}: {detail}");
    }

    fn note(what: &str, detail: &str) {
        println!("  note  {what}: {detail}");
    }

    fn bad(&mut self, what: &str, detail: &str, advice: &str) {
        self.bad += 1;
        println!("  BAD   {what}: {detail}\n        {advice}");
    }
}

/// Checks everything and prints it; fails if anything is bad.
pub(crate) async fn run() -> Result<ExitCode, String> {
    let config = Config::from_env().map_err(|mistakes| mistakes.to_string())?;
    let mut findings = Findings { bad: 0 };
    println!("configuration");
    Findings::good("environment", "every variable can be read");
    public_url(&config, &mut findings);
    for cluster in config.database.clusters() {
        println!("Postgres, cluster {}", cluster.name);
        owner(&config, cluster, &mut findings).await;
        login(&config, cluster, &mut findings).await;
    }
    println!("providers");
    reach(&config, &mut findings).await;
    match findings.bad {
        0 => {
            println!("all is well");
            Ok(ExitCode::SUCCESS)
        }
        bad => {
            println!("{bad} thing(s) to mend");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn public_url(config: &Config, findings: &mut Findings) {
    let url = &config.http.public_url;
    match (url.scheme(), config.environment) {
        ("https", _) => Findings::good("PUBLIC_URL", url.as_str()),
        (_, Environment::Development) => {
            Findings::note("PUBLIC_URL", "not https: fine for the stand-ins; Twilio needs https");
        }
        (_, Environment::Production) => {
            findings.bad(
                "PUBLIC_URL",
                "not https",
                "Twilio opens media streams by wss only: set the https URL that reaches this server",
            );
        }
    }
}

async fn owner(config: &Config, cluster: &Cluster, findings: &mut Findings) {
    if cluster.owner_url.is_none() {
        Findings::note("owner", "DATABASE_URL is not set: roles and migrations are not checked");
        return;
    }
    let owner = match Owner::connect(&config.database, cluster).await {
        Ok(owner) => owner,
        Err(fault) => {
            return findings.bad("owner", &fault.chain(), "is Postgres running, and DATABASE_URL right?");
        }
    };
    match owner.versions().await {
        Ok(found) => versions(&found, findings),
        Err(fault) => return findings.bad("owner", &fault.chain(), "is this the owner of the database?"),
    }
    if control_plane(&owner, findings).await {
        schemas(config, cluster, &owner, findings).await;
    }
}

fn versions(found: &Versions, findings: &mut Findings) {
    let version = found.server;
    if SERVER_VERSION_MIN <= version {
        Findings::good("server", &format!("version {}.{}", version / 10_000, version % 10_000));
    } else {
        findings.bad(
            "server",
            &format!("version number {version}"),
            "PostgreSQL 16 or newer is needed (membership options of roles)",
        );
    }
    match &found.vector {
        Some(version) => Findings::good("pgvector", version),
        None => findings.bad("pgvector", "not available", "install the pgvector extension on the server"),
    }
}

/// Whether it is up to date. What tenants' own schemas are like is the matter of `neurosphere tenant audit`.
async fn control_plane(owner: &Owner, findings: &mut Findings) -> bool {
    let migrated = match owner.pending_platform_migrations().await {
        Ok(Some(0)) => Ok(()),
        Ok(Some(pending)) => Err(format!("{pending} migration(s) pending")),
        Ok(None) => Err("never migrated".to_owned()),
        Err(fault) => Err(fault.chain()),
    };
    if let Err(why) = migrated {
        findings.bad("control plane", &why, "run: neurosphere migrate");
        return false;
    }
    Findings::good("control plane", "migrated");
    match guards::foundations(owner).await {
        Ok(found) if found.is_empty() => {
            Findings::good(
                "guards",
                "roles, grants and row policies of the control plane are as policies/ says",
            );
        }
        Ok(found) => {
            for one in found {
                let detail = format!("{}: {}: {}", one.whose, one.object, one.what);
                findings.bad(one.guard.name(), &detail, &one.mend);
            }
        }
        Err(fault) => findings.bad("guards", &fault.chain(), "run: neurosphere tenant audit"),
    }
    true
}

/// How far the tenants' schemas of a cluster are.
async fn schemas(config: &Config, cluster: &Cluster, owner: &Owner, findings: &mut Findings) {
    let pending = match Blueprint::of_this_program() {
        Ok(blueprint) => Fleet::new(&config.database, cluster, &blueprint).pending(owner).await,
        Err(fault) => Err(fault),
    };
    match pending {
        Ok(pending) if pending.is_empty() => Findings::good("tenants", "every schema is up to date"),
        Ok(pending) => {
            let names: Vec<_> = pending.iter().take(5).map(|one| one.name.as_str()).collect();
            let behind = format!("{} schema(s) behind: {} …", pending.len(), names.join(", "));
            findings.bad("tenants", &behind, "run: neurosphere migrate");
        }
        Err(fault) => findings.bad("tenants", &fault.chain(), "run: neurosphere migrate"),
    }
}

async fn login(config: &Config, cluster: &Cluster, findings: &mut Findings) {
    let reached = match Db::new(&config.database, &config.master_key, Clock::system()) {
        Ok(db) => match db.cluster_named(cluster.name.as_str()) {
            Ok(index) => db.platform_at(index).await.map(drop),
            Err(fault) => Err(fault),
        },
        Err(fault) => Err(fault),
    };
    match reached {
        Ok(()) => Findings::good("login role", "connects, and may become the platform's role"),
        Err(fault) => findings.bad(
            "login role",
            &fault.chain(),
            "run: neurosphere migrate (it sets the role and its password)",
        ),
    }
}

async fn reach(config: &Config, findings: &mut Findings) {
    let http = match providers::http::client() {
        Ok(http) => http,
        Err(fault) => {
            return findings.bad("HTTP client", &fault.chain(), "this build cannot make TLS connections");
        }
    };
    let models = format!("{}/models", config.openai.base_url.as_str().trim_end_matches('/'));
    let asked = http.get(models).bearer_auth(config.openai.api_key.reveal()).timeout(REACH_MAX).send().await;
    answered("OpenAI", asked, "check OPENAI_API_KEY and OPENAI_BASE_URL", findings);
    let sid = &config.twilio.account_sid;
    let account =
        format!("{}/2010-04-01/Accounts/{sid}.json", config.twilio.api_url.as_str().trim_end_matches('/'));
    let asked = http
        .get(account)
        .basic_auth(sid, Some(config.twilio.auth_token.reveal()))
        .timeout(REACH_MAX)
        .send()
        .await;
    answered("Twilio", asked, "check TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_API_URL", findings);
}

fn answered(
    who: &str,
    asked: Result<reqwest::Response, reqwest::Error>,
    advice: &str,
    findings: &mut Findings,
) {
    match asked {
        Ok(answer) if answer.status().is_success() => Findings::good(who, "reached, and the key is good"),
        Ok(answer) => findings.bad(who, &format!("answered HTTP {}", answer.status()), advice),
        Err(error) => findings.bad(who, &format!("not reached: {}", error.without_url()), advice),
    }
}
