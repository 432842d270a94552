//! Tenants: who they are, by which hosts, numbers and keys they are reached, and how their agent speaks. Owns the
//! registry and the agent's settings; must never know what happens in a call, nor any transport.
//!
//! Start at [`create`], [`line()`] and [`holder_of_key`].

pub mod agent;
pub mod persona;
pub mod slug;
mod store;

use chrono_tz::Tz;
use serde_json::json;

use crate::access::{Action, Actor, Role, TenantScope};
use crate::db::Db;
use crate::db::tenancy::Owner;
use crate::db::tx::{PlatformTx, TenantTx};
use crate::error::{Error, Fault};
use crate::ids::{ApiKeyId, PhoneNumber, TemplateVersionId, TenantId};
use crate::secret::{self, MasterKey, Secret};
use agent::{Agent, AgentChange};
use slug::Slug;

/// Where a tenant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being made; nobody reaches it yet.
    Provisioning,
    /// In service.
    Active,
    /// Kept, but out of service.
    Suspended,
    /// Under way to another cluster.
    Moving,
    /// Being replaced by a backup.
    Restoring,
    /// Within its grace period, or being removed.
    Deleting,
    /// Gone; its slug stays taken.
    Deleted,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Provisioning,
        Self::Active,
        Self::Suspended,
        Self::Moving,
        Self::Restoring,
        Self::Deleting,
        Self::Deleted,
    ];

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Moving => "moving",
            Self::Restoring => "restoring",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Whether the machine of states has this step.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Provisioning => matches!(next, Self::Active | Self::Deleting),
            Self::Active => matches!(next, Self::Suspended | Self::Moving | Self::Restoring | Self::Deleting),
            Self::Suspended => matches!(next, Self::Active | Self::Moving | Self::Restoring | Self::Deleting),
            Self::Moving | Self::Restoring => matches!(next, Self::Active | Self::Suspended),
            Self::Deleting => matches!(next, Self::Active | Self::Deleted),
            Self::Deleted => false,
        }
    }

    fn named(name: &str) -> Result<Self, Fault> {
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| Fault::new("read a tenant's state: it is none that this version knows"))
    }
}

/// A business on the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id, which names its schema too.
    pub id: TenantId,
    /// Its name in hosts.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// The template version that new profiles follow.
    pub template_version: TemplateVersionId,
    /// The version of its schema.
    pub schema_version: i32,
}

impl TryFrom<store::TenantRow> for Tenant {
    type Error = Fault;

    fn try_from(row: store::TenantRow) -> Result<Self, Fault> {
        Ok(Self {
            id: row.id.into(),
            state: State::named(&row.state)?,
            slug: row.slug,
            name: row.name,
            template_version: row.template_version.into(),
            schema_version: row.schema_version,
        })
    }
}

/// What a new business is.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its name in hosts.
    pub slug: Slug,
    /// Its name for people.
    pub name: String,
    /// What its agent calls itself.
    pub agent_name: String,
    /// Where it is.
    pub time_zone: Tz,
    /// The template version that it follows.
    pub template_version: TemplateVersionId,
    /// Its telephone number, if it has one already.
    pub number: Option<PhoneNumber>,
    /// Its own carrier account, where the number is not in the platform's.
    pub account: Option<Account>,
}

/// A carrier account of a tenant's own.
#[derive(Debug, Clone)]
pub struct Account {
    /// Twilio's `AC…`.
    pub sid: String,
    /// Its auth token.
    pub auth_token: Secret,
}

/// A tenant that was made, and the key that is shown this once.
#[derive(Debug)]
pub struct Created {
    /// The tenant.
    pub tenant: Tenant,
    /// Its first API key.
    pub api_key: Secret,
}

/// Makes a tenant: registry row, schema, settings, number, key. Interrupted anywhere, the same call again finishes it.
pub async fn create(db: &Db, owner: &mut Owner, new: NewTenant) -> Result<Created, Error> {
    if !(1..=200).contains(&new.name.trim().chars().count()) {
        return Err(Error::invalid("name", "must have 1 to 200 characters"));
    }
    let agent = Agent::named(&new.agent_name, new.time_zone).changed(AgentChange::default())?;
    let id = claim_slug(db, &new).await?;
    let version = owner.migrate_tenant(id).await?;
    let scope = TenantScope::mint(id, Actor::CommandLine, Role::Owner);
    let mut session = db.tenant(&scope).await?;
    let mut tx = session.begin().await?;
    tx.permit(Action::AgentWrite)?;
    store::put_agent(&mut tx, &agent).await?;
    tx.commit().await?;
    activate(db, id, &new, i32::try_from(version).unwrap_or(0)).await
}

async fn claim_slug(db: &Db, new: &NewTenant) -> Result<TenantId, Error> {
    let mut tx = db.platform().await?;
    let row = store::TenantRow {
        id: tx.new_id(),
        slug: new.slug.to_string(),
        name: new.name.trim().to_owned(),
        state: String::new(),
        template_version: new.template_version.uuid(),
        schema_version: 0,
    };
    let id = if store::claim_slug(&mut tx, &row).await? {
        row.id
    } else {
        let there = store::by_slug(&mut tx, new.slug.as_str()).await?;
        let unfinished = there.filter(|there| there.state == State::Provisioning.name());
        unfinished.map(|there| there.id).ok_or_else(|| Error::Conflict {
            code: "slug_taken",
            message: format!("the name {} is taken; choose another slug", new.slug),
        })?
    };
    tx.commit().await?;
    Ok(id.into())
}

async fn activate(db: &Db, id: TenantId, new: &NewTenant, version: i32) -> Result<Created, Error> {
    let mut tx = db.platform().await?;
    if let Some(account) = &new.account {
        let sealed = db.master_key().seal(&place(id, &account.sid), &account.auth_token)?;
        if !store::put_credential(&mut tx, id.uuid(), &account.sid, &sealed).await? {
            return Err(taken("account_taken", "this carrier account belongs to another tenant"));
        }
    }
    if let Some(number) = &new.number {
        let account = new.account.as_ref().map(|account| account.sid.as_str());
        if !store::assign_number(&mut tx, id.uuid(), number.reveal(), account).await? {
            return Err(taken("number_taken", "this number belongs to another tenant"));
        }
    }
    let api_key = new_key();
    let prefix = api_key.reveal().get(..10).unwrap_or_default().to_owned();
    store::add_key(&mut tx, id.uuid(), ("first key", &prefix), &secret::digest(api_key.reveal())).await?;
    let step = (State::Provisioning.name(), State::Active.name());
    if !store::move_state(&mut tx, id.uuid(), step, version).await? {
        return Err(taken("not_provisioning", "another process has just finished making this tenant"));
    }
    let after = json!({"slug": new.slug.as_str(), "state": State::Active.name()});
    store::audit(&mut tx, id.uuid(), ("command line", "tenant.create", new.slug.as_str()), &after).await?;
    let row = store::by_slug(&mut tx, new.slug.as_str()).await?;
    let tenant = row.ok_or(Error::NotFound("tenant"))?.try_into()?;
    tx.commit().await?;
    Ok(Created { tenant, api_key })
}

fn taken(code: &'static str, message: &str) -> Error {
    Error::Conflict { code, message: message.to_owned() }
}

fn new_key() -> Secret {
    Secret::new(format!("ns_{}", secret::random_token()))
}

/// Binds a sealed auth token to its tenant and account.
fn place(tenant: TenantId, account_sid: &str) -> String {
    format!("{tenant}|twilio|{account_sid}")
}

/// Every tenant, by slug; for the command line.
pub async fn list(db: &Db) -> Result<Vec<Tenant>, Fault> {
    let mut tx = db.platform().await?;
    let rows = store::all(&mut tx).await?;
    tx.commit().await?;
    rows.into_iter().map(Tenant::try_from).collect()
}

/// Moves a tenant along its machine of states.
pub async fn move_to(db: &Db, slug: &Slug, next: State) -> Result<Tenant, Error> {
    let mut tx = db.platform().await?;
    let row = store::by_slug(&mut tx, slug.as_str()).await?.ok_or(Error::NotFound("tenant"))?;
    let before = State::named(&row.state)?;
    if !before.may_become(next) {
        return Err(Error::Conflict {
            code: "state",
            message: format!("a tenant that is {} cannot become {}", before.name(), next.name()),
        });
    }
    if !store::move_state(&mut tx, row.id, (before.name(), next.name()), row.schema_version).await? {
        return Err(taken("state", "the tenant's state has just changed; look again"));
    }
    let after = json!({"from": before.name(), "to": next.name()});
    store::audit(&mut tx, row.id, ("command line", "tenant.state", slug.as_str()), &after).await?;
    tx.commit().await?;
    Ok(Tenant { state: next, ..row.try_into()? })
}

/// Notes that a tenant's schema was brought to `version`.
pub async fn migrated(db: &Db, tenant: &Tenant, version: u32) -> Result<(), Fault> {
    let mut tx = db.platform().await?;
    let state = tenant.state.name();
    store::move_state(&mut tx, tenant.id.uuid(), (state, state), i32::try_from(version).unwrap_or(0)).await?;
    tx.commit().await
}

/// Whom a dialled number reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The tenant.
    pub tenant: TenantId,
    /// Whether it is in service.
    pub state: State,
    /// The carrier account that owns the number; the platform's where it is none.
    pub account_sid: Option<String>,
}

/// Finds the tenant of a number, exactly; there is no default.
pub async fn line(tx: &mut PlatformTx, number: &PhoneNumber) -> Result<Option<Line>, Fault> {
    let Some((tenant, state, account_sid)) = store::line(tx, number.reveal()).await? else { return Ok(None) };
    Ok(Some(Line { tenant: tenant.into(), state: State::named(&state)?, account_sid }))
}

/// The auth token of a tenant's own carrier account, and the tenant.
pub async fn carrier_token(
    tx: &mut PlatformTx,
    key: &MasterKey,
    account_sid: &str,
) -> Result<Option<(TenantId, Secret)>, Fault> {
    let Some((tenant, sealed)) = store::credential(tx, account_sid).await? else { return Ok(None) };
    let tenant = TenantId::from(tenant);
    Ok(Some((tenant, key.open(&place(tenant, account_sid), &sealed)?)))
}

/// Which tenant a host names: `{slug}.{base_domain}` or a verified domain of its own. Ports are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    slug: Option<Slug>,
    name: String,
}

impl Host {
    /// Reads a `Host` header.
    pub fn parse(header: &str, base_domain: &str) -> Option<Self> {
        let name = header.rsplit_once(':').map_or(header, |(name, _)| name).to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if name.is_empty() || 253 < name.len() || !name.chars().all(plain) {
            return None;
        }
        let label = name.strip_suffix(base_domain).and_then(|label| label.strip_suffix('.'));
        Some(Self { slug: label.and_then(|label| label.parse().ok()), name })
    }
}

/// The tenant of a host, whatever its state.
pub async fn at_host(db: &Db, host: &Host) -> Result<Option<Tenant>, Fault> {
    let mut tx = db.platform().await?;
    let row = match &host.slug {
        Some(slug) => store::by_slug(&mut tx, slug.as_str()).await?,
        None => store::by_domain(&mut tx, &host.name).await?,
    };
    tx.commit().await?;
    row.map(Tenant::try_from).transpose()
}

/// The right to act that an API key gives on a host: both must name the same active tenant.
pub async fn holder_of_key(db: &Db, host: &Host, key: &Secret) -> Result<Option<TenantScope>, Fault> {
    let mut tx = db.platform().await?;
    let slug = host.slug.as_ref().map_or("", Slug::as_str);
    let found = store::key_owner(&mut tx, &secret::digest(key.reveal()), (slug, &host.name)).await?;
    tx.commit().await?;
    Ok(found.map(|(key, tenant)| {
        TenantScope::mint(tenant.into(), Actor::ApiKey(ApiKeyId::from(key)), Role::Owner)
    }))
}

/// The tenant itself.
pub async fn own(tx: &mut TenantTx<'_>) -> Result<Tenant, Error> {
    tx.permit(Action::TenantRead)?;
    let row = store::own(tx).await?.ok_or(Error::NotFound("tenant"))?;
    Ok(row.try_into()?)
}

/// The tenant's numbers, in order.
pub async fn numbers(tx: &mut TenantTx<'_>) -> Result<Vec<String>, Error> {
    tx.permit(Action::TenantRead)?;
    Ok(store::numbers(tx).await?)
}

/// How the tenant's agent speaks.
pub async fn agent(tx: &mut TenantTx<'_>) -> Result<Agent, Error> {
    tx.permit(Action::AgentRead)?;
    store::agent(tx).await?.ok_or(Error::NotFound("agent"))
}

/// Changes how the tenant's agent speaks; a refused change changes nothing and names every broken rule.
pub async fn change_agent(tx: &mut TenantTx<'_>, change: AgentChange) -> Result<Agent, Error> {
    tx.permit(Action::AgentWrite)?;
    let before = store::agent(tx).await?.ok_or(Error::NotFound("agent"))?;
    let mut next = before.changed(change)?;
    next.revision = store::put_agent(tx, &next).await?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_never_leave_deleted_and_never_stand_still() {
        for state in State::ALL {
            assert!(!State::Deleted.may_become(state));
            assert!(!state.may_become(state), "{}", state.name());
            assert!(!state.may_become(State::Provisioning), "{}", state.name());
        }
        assert!(State::Provisioning.may_become(State::Active));
        assert!(!State::Provisioning.may_become(State::Suspended));
    }

    #[test]
    fn hosts_name_a_slug_or_a_domain() {
        let slug =
            |header: &str| Host::parse(header, "neurosphere.ai").map(|h| h.slug.map(|s| s.to_string()));
        assert_eq!(slug("peterson.neurosphere.ai:443"), Some(Some("peterson".to_owned())));
        assert_eq!(slug("Peterson.NeuroSphere.ai"), Some(Some("peterson".to_owned())));
        assert_eq!(slug("calls.peterson.com"), Some(None));
        for nobody in
            ["neurosphere.ai", "www.neurosphere.ai", "a.peterson.neurosphere.ai", "petersonneurosphere.ai"]
        {
            assert_eq!(slug(nobody), Some(None), "{nobody}");
        }
        for bad in ["", ":80", "a b", "x/y", "[::1]:80", &"x".repeat(300)] {
            assert_eq!(slug(bad), None, "{bad}");
        }
    }
}
