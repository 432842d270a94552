//! How a tenant comes to be. One transaction takes its name, its number, a schema of the warm pool and its first key; what
//! remains ([`finish`]) may be repeated and is also a job, so that a process that dies anywhere leaves nothing half-made.
//! Must never know a transport.

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::agent::{Agent, AgentChange};
use super::life::must_be_a_plan;
use super::reach::credential_place;
use super::slug::Slug;
use super::store::birth::{NewRow, Schema};
use super::{State, Tenant, conflict, jobs, keys, mirror, numbers, reach, store};
use crate::access::{self, Action, PlatformScope, Role, TenantScope};
use crate::audit::{self, Chain, Deed};
use crate::db::Db;
use crate::db::owner::Owners;
use crate::db::tx::PlatformTx;
use crate::error::{Error, Fault, OrFault as _, Violation};
use crate::ids::{ClusterName, PhoneNumber, TemplateVersionId, TenantId};
use crate::secret::{self, Secret};
use crate::tenancy::ClusterIndex;

/// How many names are suggested to somebody whose choice is taken.
const SUGGESTIONS: usize = 3;

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
    /// What it may take.
    pub plan: String,
    /// Where its data is kept.
    pub cluster: ClusterName,
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

/// What of a new tenant goes into its own schema.
#[derive(Serialize, Deserialize)]
struct Birth {
    agent_name: String,
    time_zone: String,
}

/// A tenant that was made, and the key that is shown this once.
#[derive(Debug)]
pub struct Created {
    /// The tenant; not active yet where its schema must be made first and this process cannot.
    pub tenant: Tenant,
    /// Its first API key; absent when the same request was answered long ago.
    pub api_key: Option<Secret>,
}

/// Makes a tenant. The same request under the same idempotency key, repeated, makes one tenant and gets the same answer.
pub async fn create(
    db: &Db,
    owners: Option<&Owners>,
    scope: &PlatformScope,
    new: NewTenant,
    idempotency_key: Option<&str>,
) -> Result<Created, Error> {
    if !access::may(scope.role(), Action::TenantsCreate) {
        return Err(Error::Forbidden);
    }
    let agent = checked(&new, idempotency_key)?;
    let asked = Asked { new, agent, key: idempotency_key };
    let cluster = db.cluster_named(asked.new.cluster.as_str()).map_err(|_| {
        Error::invalid("cluster", format!("{} is not a cluster of this installation", asked.new.cluster))
    })?;
    let elsewhere = match cluster {
        ClusterIndex::MAIN => None,
        other => store::birth::claim_at(db, other, i32::from(db.schema_version())).await?,
    };
    let mut tx = db.operate(scope).await?;
    let begun = begin(&mut tx, &asked, elsewhere).await;
    if let (Some(schema), Err(_) | Ok(Begun::Before(_))) = (elsewhere, &begun) {
        store::birth::unclaim(db, cluster, &[schema.tenant]).await?;
    }
    let begun = begun?;
    // Where this fails the tenant may be there all the same: the schema stays claimed until `fill_pool` has looked.
    tx.commit().await?;
    match begun {
        Begun::Now(id, api_key) => {
            Ok(Created { tenant: finish(db, owners, scope, id).await?, api_key: Some(api_key) })
        }
        Begun::Before(tenant) => {
            let fresh = db.clock().now() < tenant.created_at + keys::SHOWN_AGAIN;
            let api_key = idempotency_key.filter(|_| fresh).map(|key| derived_key(db, tenant.id, key));
            Ok(Created { tenant: finish(db, owners, scope, tenant.id).await?, api_key })
        }
    }
}

struct Asked<'k> {
    new: NewTenant,
    agent: Agent,
    key: Option<&'k str>,
}

impl Asked<'_> {
    /// Tells whether a repeated key comes with the same request.
    fn digest(&self) -> Vec<u8> {
        let new = &self.new;
        let whole = json!([
            new.slug.as_str(),
            new.name,
            new.agent_name,
            new.time_zone.name(),
            new.template_version.to_string(),
            new.plan,
            new.cluster.as_str(),
            new.number.as_ref().map(PhoneNumber::reveal),
            new.account.as_ref().map(|account| &account.sid),
        ]);
        secret::digest(&whole.to_string())
    }

    fn birth(&self) -> Result<Value, Fault> {
        let birth =
            Birth { agent_name: self.agent.name.clone(), time_zone: self.new.time_zone.name().to_owned() };
        serde_json::to_value(birth).or_fault("keep what a new tenant is")
    }
}

fn checked(new: &NewTenant, key: Option<&str>) -> Result<Agent, Error> {
    if !(1..=200).contains(&new.name.trim().chars().count()) || new.name.contains('\0') {
        return Err(Error::invalid("name", "must have 1 to 200 characters"));
    }
    if key.is_some_and(|key| !(8..=100).contains(&key.chars().count()) || key.contains('\0')) {
        return Err(Error::invalid("idempotencyKey", "must have 8 to 100 characters"));
    }
    if new.account.as_ref().is_some_and(|account| !is_account(&account.sid)) {
        return Err(Error::invalid("account", "must be AC and 32 hexadecimal digits"));
    }
    Agent::named(&new.agent_name, new.time_zone).changed(AgentChange::default()).map_err(of_the_agent)
}

fn is_account(sid: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    sid.strip_prefix("AC").is_some_and(|digits| digits.len() == 32 && digits.bytes().all(digit))
}

/// The agent's name is not the tenant's.
fn of_the_agent(error: Error) -> Error {
    let Error::Invalid(violations) = error else { return error };
    let renamed = |violation: Violation| match violation.path.as_str() {
        "name" => Violation { path: "agentName".to_owned(), ..violation },
        _ => violation,
    };
    Error::Invalid(violations.into_iter().map(renamed).collect())
}

enum Begun {
    /// The tenant is on its way.
    Now(TenantId, Secret),
    /// The same request made it earlier.
    Before(Tenant),
}

async fn begin(tx: &mut PlatformTx, asked: &Asked<'_>, elsewhere: Option<Schema>) -> Result<Begun, Error> {
    let scope = tx.permit(Action::TenantsCreate)?;
    if let Some(earlier) = earlier(tx, asked).await? {
        return Ok(Begun::Before(earlier));
    }
    let new = &asked.new;
    must_be_a_plan(tx, &new.plan).await?;
    let schema = match (elsewhere, new.cluster.is_main()) {
        (Some(schema), _) => schema,
        (None, true) => match store::birth::claim(tx, i32::from(tx.db().schema_version())).await? {
            Some(schema) => schema,
            None => unmade(tx),
        },
        (None, false) => unmade(tx),
    };
    let id = TenantId::from(schema.tenant);
    let row = NewRow {
        slug: new.slug.as_str(),
        name: new.name.trim(),
        template_version: new.template_version.uuid(),
        cluster: new.cluster.as_str(),
        plan: &new.plan,
        birth: &asked.birth()?,
        key: asked.key,
        sha256: &asked.digest(),
    };
    let skeleton = claim_skeleton(tx, &new.slug, id).await?;
    store::birth::insert(tx, schema, row).await?;
    claim_slug(tx, &new.slug, id, skeleton).await?;
    if let Some(account) = &new.account {
        let sealed = tx.db().master_key().seal(&credential_place(id, &account.sid), &account.auth_token)?;
        if !store::birth::put_credential(tx, id.uuid(), &account.sid, &sealed).await? {
            return Err(conflict("account_taken", "this carrier account belongs to another tenant"));
        }
    }
    if let Some(number) = &new.number {
        numbers::take(tx, id, number, new.account.as_ref().map(|account| account.sid.as_str())).await?;
    }
    let api_key = match asked.key {
        Some(key) => derived_key(tx.db(), id, key),
        None => keys::fresh(),
    };
    let known = ("first key", keys::prefix(&api_key));
    store::birth::add_key(tx, id.uuid(), known, &secret::digest(api_key.reveal())).await?;
    let after = json!({ "slug": new.slug.as_str(), "plan": new.plan, "cluster": new.cluster.as_str() });
    let deed = Deed {
        action: "tenant.create",
        subject: new.slug.as_str(),
        reason: None,
        before: Value::Null,
        after,
    };
    audit::record(tx, &scope, Chain::Tenant(id), deed).await?;
    jobs::after_birth(tx, id, schema.version != 0).await?;
    Ok(Begun::Now(id, api_key))
}

/// A tenant whose schema is made later, by whoever may.
fn unmade(tx: &PlatformTx) -> Schema {
    Schema { tenant: tx.new_id(), login: 0, version: 0 }
}

/// The tenant that the same request made before.
async fn earlier(tx: &mut PlatformTx, asked: &Asked<'_>) -> Result<Option<Tenant>, Error> {
    let Some(key) = asked.key else { return Ok(None) };
    let Some((row, digest)) = store::birth::by_key(tx, key).await? else { return Ok(None) };
    if digest != asked.digest() {
        return Err(conflict(
            "idempotency_mismatch",
            "this idempotency key was used for another request; use a new one",
        ));
    }
    Ok(Some(row.try_into()?))
}

/// The key follows from the request's own key, so that a repeated request can be shown it again and nobody keeps it.
fn derived_key(db: &Db, tenant: TenantId, idempotency_key: &str) -> Secret {
    let tag = db.master_key().tag("first api key", format!("{tenant}|{idempotency_key}").as_bytes());
    Secret::new(format!("ns_{}", secret::token(tag)))
}

/// That nobody else has a name that looks like this one.
pub(super) struct Distinct(());

/// Takes the look of a name for a tenant, before its row is there.
pub(super) async fn claim_skeleton(
    tx: &mut PlatformTx,
    slug: &Slug,
    tenant: TenantId,
) -> Result<Distinct, Error> {
    let holder = store::birth::claim_skeleton(tx, &slug.skeleton(), tenant.uuid()).await?;
    if holder == Some(tenant.uuid()) { Ok(Distinct(())) } else { Err(taken(tx, slug).await?) }
}

/// Takes the name itself.
pub(super) async fn claim_slug(
    tx: &mut PlatformTx,
    slug: &Slug,
    tenant: TenantId,
    Distinct(()): Distinct,
) -> Result<(), Error> {
    if store::birth::claim_slug(tx, slug.as_str(), tenant.uuid()).await? {
        return Ok(());
    }
    Err(taken(tx, slug).await?)
}

/// The refusal of a name, with some that are free.
async fn taken(tx: &mut PlatformTx, slug: &Slug) -> Result<Error, Fault> {
    let alternatives = slug.alternatives();
    let skeletons: Vec<_> = alternatives.iter().map(Slug::skeleton).collect();
    let gone = store::birth::taken(tx, &skeletons).await?;
    let free = alternatives.iter().filter(|name| !gone.contains(&name.skeleton())).take(SUGGESTIONS);
    let free: Vec<_> = free.map(Slug::as_str).collect();
    Ok(conflict(
        "slug_taken",
        &format!("the name {slug} is taken, or looks like one that is; free are {}", free.join(", ")),
    ))
}

/// Does what is left to make a tenant: its schema if there is none, the agent's settings, and into service. Repeated, it
/// changes nothing. Where a schema must be made and this process may not, the tenant is given as it is.
pub async fn finish(
    db: &Db,
    owners: Option<&Owners>,
    scope: &PlatformScope,
    id: TenantId,
) -> Result<Tenant, Error> {
    let found = store::birth::birth(db, id.uuid()).await?.ok_or(Error::NotFound("tenant"))?;
    let tenant = Tenant::try_from(found.row)?;
    let (State::Provisioning, Some(birth)) = (tenant.state, found.birth) else { return Ok(tenant) };
    let tenancy = if found.is_placed {
        found.tenancy
    } else {
        let Some(schema) = schema(db, owners, &tenant).await? else { return Ok(tenant) };
        store::birth::placed(db, schema).await?;
        reach::tenancy(db, id).await?.ok_or(Error::NotFound("tenant"))?
    };
    mirror::at_once(db, &tenant).await?;
    settle_agent(db, &TenantScope::mint(tenancy, scope.actor(), Role::Owner), birth).await?;
    let mut tx = db.operate(scope).await?;
    let row = match store::birth::activate(&mut tx, id.uuid()).await? {
        Some(row) => {
            let (before, after) =
                (json!({ "state": tenant.state.name() }), json!({ "state": State::Active.name() }));
            let deed = Deed { action: "tenant.activate", subject: &tenant.slug, reason: None, before, after };
            audit::record(&mut tx, scope, Chain::Tenant(id), deed).await?;
            row
        }
        None => store::by_id(&mut tx, id.uuid()).await?.ok_or(Error::NotFound("tenant"))?,
    };
    tx.commit().await?;
    let tenant = Tenant::try_from(row)?;
    mirror::at_once(db, &tenant).await?;
    Ok(tenant)
}

/// The tenant's schema, made now if it was not before.
async fn schema(db: &Db, owners: Option<&Owners>, tenant: &Tenant) -> Result<Option<Schema>, Fault> {
    let cluster = db.cluster_named(tenant.cluster.as_str())?;
    let there = store::birth::schema_of(db, cluster, tenant.id.uuid()).await?;
    match (there, owners) {
        (Some(schema), _) => Ok(Some(schema)),
        (None, None) => Ok(None),
        (None, Some(owners)) => {
            owners.build(&tenant.cluster, tenant.id, true).await?;
            store::birth::schema_of(db, cluster, tenant.id.uuid()).await
        }
    }
}

async fn settle_agent(db: &Db, scope: &TenantScope, birth: Value) -> Result<(), Error> {
    let birth: Birth = serde_json::from_value(birth).or_fault("read what a new tenant is")?;
    let time_zone = birth.time_zone.parse().or_fault("read what a new tenant is")?;
    let mut session = db.tenant(scope).await?;
    store::agent::add_agent(&mut session, &Agent::named(&birth.agent_name, time_zone)).await
}

/// Tenants whose making was not finished.
pub async fn unfinished(db: &Db) -> Result<Vec<TenantId>, Fault> {
    Ok(store::birth::unfinished(db).await?.into_iter().map(TenantId::from).collect())
}

/// Fills a cluster's warm pool up to `wanted` schemas, and gives the number that were made. Schemas whose claim led to no
/// tenant come back to it first. Several at once make no more than one would.
pub async fn fill_pool(
    db: &Db,
    owners: &Owners,
    cluster: ClusterIndex,
    wanted: usize,
) -> Result<usize, Fault> {
    let abandoned = db.clock().now() - TimeDelta::minutes(15);
    let old: Vec<Uuid> = store::birth::claimed_before(db, cluster, abandoned).await?;
    let orphans = store::birth::without_tenant(db, &old).await?;
    if !orphans.is_empty() {
        store::birth::unclaim(db, cluster, &orphans).await?;
    }
    let name = db.cluster_name(cluster)?.clone();
    let alone = owners.connect(&name).await?;
    alone.lock("fill the warm pool").await?;
    let there = store::birth::prepared(db, cluster, i32::from(db.schema_version())).await?;
    let missing = wanted.saturating_sub(usize::try_from(there).unwrap_or(0));
    for _ in 0..missing {
        owners.build(&name, db.clock().new_id().into(), false).await?;
    }
    Ok(missing)
}
