//! `neurosphere tenant key`: a tenant's API keys, by the same operations as its own API.

use chrono::TimeDelta;
use clap::Subcommand;
use neurosphere::access::{Actor, KeyScope, Role, TenantScope};
use neurosphere::db::page::Page;
use neurosphere::db::tx::{TenantSession, TenantTx};
use neurosphere::ids::ApiKeyId;
use neurosphere::tenants::keys::{self, Key, Made, NewKey};
use neurosphere::tenants::{State, life, reach, slug::Slug};

use super::{Desk, refused, told};

#[derive(Subcommand)]
pub(crate) enum TenantKey {
    /// Make a key and print it, this once
    Create {
        /// The tenant's name in hosts
        slug: Slug,
        /// What people call it
        #[arg(long)]
        name: String,
        /// What it is made for; may be given several times
        #[arg(long = "scope", value_parser = scope, default_value = KeyScope::Everything.name())]
        scopes: Vec<KeyScope>,
        /// After how many days it stops working by itself; never when not given
        #[arg(long)]
        expires_in_days: Option<u16>,
        /// Names this request: the same one again makes no second key and prints the same one
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// List keys, newest first: id, state, prefix, last use, scopes, name
    List {
        /// The tenant's name in hosts
        slug: Slug,
    },
    /// Make a key that takes the place of another, and print it, this once
    Rotate {
        /// The tenant's name in hosts
        slug: Slug,
        /// The id of the key that is replaced
        key: ApiKeyId,
        /// For how many hours that key works beside the new one; at most seven days
        #[arg(long, default_value_t = 24)]
        overlap_hours: u16,
    },
    /// Take a key's rights away, at once and for good
    Revoke {
        /// The tenant's name in hosts
        slug: Slug,
        /// The key's id
        key: ApiKeyId,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
}

fn scope(word: &str) -> Result<KeyScope, String> {
    KeyScope::named(word).ok_or_else(|| {
        let words: Vec<_> = KeyScope::ALL.iter().map(|scope| scope.name()).collect();
        format!("the scopes are {}", words.join(", "))
    })
}

impl TenantKey {
    pub(crate) async fn run(self, desk: &Desk) -> Result<(), String> {
        match self {
            Self::Create { slug, name, scopes, expires_in_days, idempotency_key } => {
                let mut session = of_tenant(desk, &slug).await?;
                let mut tx = session.begin().await.map_err(told)?;
                let expires_at = expires_in_days.map(|days| tx.now() + TimeDelta::days(days.into()));
                let new = NewKey { name, scopes, expires_at };
                let made = keys::create(&mut tx, new, idempotency_key.as_deref()).await.map_err(refused)?;
                show(tx, made).await
            }
            Self::List { slug } => list(&mut of_tenant(desk, &slug).await?).await,
            Self::Rotate { slug, key, overlap_hours } => {
                let mut session = of_tenant(desk, &slug).await?;
                let mut tx = session.begin().await.map_err(told)?;
                let until = tx.now() + TimeDelta::hours(overlap_hours.into());
                let made = keys::rotate(&mut tx, key, Some(until), None).await.map_err(refused)?;
                show(tx, made).await?;
                println!("{key} works until {}", until.format("%Y-%m-%d %H:%M UTC"));
                Ok(())
            }
            Self::Revoke { slug, key, reason } => {
                let mut session = of_tenant(desk, &slug).await?;
                let mut tx = session.begin().await.map_err(told)?;
                let key = keys::revoke(&mut tx, key, Some(&reason)).await.map_err(refused)?;
                tx.commit().await.map_err(told)?;
                println!("{} ({}) opens nothing any more", key.name, key.id);
                Ok(())
            }
        }
    }
}

/// The tenant's own rows of the control plane, for whoever is at the command line: its keys, and none of its data.
pub(super) async fn of_tenant(desk: &Desk, slug: &Slug) -> Result<TenantSession, String> {
    let mut tx = desk.begin().await?;
    let tenant = life::named(&mut tx, slug).await.map_err(refused)?;
    tx.commit().await.map_err(told)?;
    match tenant.state {
        State::Provisioning => return Err(format!("{slug} is being made; try again when it is active")),
        State::Deleted => return Err(format!("{slug} was removed, and its keys with it")),
        State::Active | State::Suspended | State::Moving | State::Restoring | State::Deleting => {}
    }
    let tenancy = reach::tenancy(&desk.db, tenant.id).await.map_err(told)?;
    let tenancy = tenancy.ok_or_else(|| format!("{slug} is gone"))?;
    let scope = TenantScope::mint(tenancy, Actor::CommandLine, Role::Operator);
    desk.db.registry(&scope).await.map_err(refused)
}

async fn show(tx: TenantTx<'_>, made: Made) -> Result<(), String> {
    tx.commit().await.map_err(told)?;
    println!("key      {}  {}", made.key.id, made.key.name);
    println!("scopes   {}", words(&made.key));
    if let Some(at) = made.key.expires_at {
        println!("expires  {}", at.format("%Y-%m-%d %H:%M UTC"));
    }
    match made.secret {
        Some(secret) => println!("API key  {}   (shown this once)", secret.reveal()),
        None => println!("API key  was shown when this request was made first, more than a day ago"),
    }
    Ok(())
}

async fn list(session: &mut TenantSession) -> Result<(), String> {
    let mut page = Page { first: Page::FIRST_MAX, after: None };
    loop {
        let mut tx = session.begin().await.map_err(told)?;
        let now = tx.now();
        let mut rows = keys::list(&mut tx, page).await.map_err(refused)?;
        tx.commit().await.map_err(told)?;
        let more = page.cut(&mut rows);
        for key in &rows {
            let state = match (key.revoked_at, key.is_good(now)) {
                (_, true) => "works",
                (Some(_), false) => "revoked",
                (None, false) => "expired",
            };
            let used = key
                .last_used_at
                .map_or("never used".to_owned(), |at| at.format("%Y-%m-%d %H:%M").to_string());
            println!(
                "{:<31} {state:<8} {:<11} {used:<17} {:<24} {}",
                key.id.to_string(),
                key.prefix,
                words(key),
                key.name
            );
        }
        match rows.last().filter(|_| more) {
            Some(last) => page.after = Some(last.id.uuid()),
            None => return Ok(()),
        }
    }
}

fn words(key: &Key) -> String {
    let words: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    words.join(" ")
}
