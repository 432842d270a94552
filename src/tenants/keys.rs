//! API keys: with which a tenant's own software comes in. A key is shown once; what is kept of it is a digest, a prefix by
//! which people know it, and what it may do. A tenant looks after its own keys, in its own transactions on the control
//! plane's cluster ([`crate::db::Db::registry`]). Must never know how a key is presented.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::store::keys::Digests;
use super::{conflict, store};
use crate::access::{Action, KeyScope, Rights, Role, TenantScope};
use crate::audit::{self, Deed};
use crate::db::Db;
use crate::db::page::Page;
use crate::db::tx::TenantTx;
use crate::error::{Error, Fault};
use crate::ids::ApiKeyId;
use crate::secret::{self, Secret};

/// How long a key that was rotated may work beside the one that took its place.
const OVERLAP_MAX: TimeDelta = TimeDelta::days(7);
/// For how long a repeated request is shown the key again that the first one was.
pub(super) const SHOWN_AGAIN: TimeDelta = TimeDelta::hours(24);
const NAME_CHARS_MAX: usize = 100;
/// Keys of a tenant that open its API at once.
const GOOD_MAX: i64 = 100;
/// Keys of a tenant that open nothing any more and are still listed; the audit log knows of all.
const DEAD_MAX: i64 = 900;
const LIFE_MAX: TimeDelta = TimeDelta::days(3_653);
const PREFIX_CHARS: usize = 10;

/// A key, without itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id, by which the audit log names it.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// What it is made for.
    pub scopes: Vec<KeyScope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to a few minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it stops opening anything by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The key that took its place.
    pub successor: Option<ApiKeyId>,
}

impl Key {
    /// One that is to be made now.
    fn new(
        tx: &TenantTx<'_>,
        name: String,
        scopes: Vec<KeyScope>,
        expires_at: Option<DateTime<Utc>>,
    ) -> Self {
        Self {
            id: tx.new_id().into(),
            name,
            prefix: String::new(),
            scopes,
            created_at: as_kept(tx.now()),
            last_used_at: None,
            expires_at: expires_at.map(as_kept),
            revoked_at: None,
            successor: None,
        }
    }

    /// Whether it opens the API at that moment.
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    fn rights(&self) -> Rights {
        Rights::of(Role::Owner).both(Rights::within(&self.scopes))
    }

    fn told(&self) -> Value {
        let scopes: Vec<_> = self.scopes.iter().map(|scope| scope.name()).collect();
        let (id, prefix, expires_at) = (self.id.to_string(), &self.prefix, self.expires_at);
        json!({ "key": id, "prefix": prefix, "scopes": scopes, "expires_at": expires_at })
    }
}

/// As Postgres keeps it, so that a repeated request gets the same answer.
fn as_kept(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// What a new key is.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it is made for.
    pub scopes: Vec<KeyScope>,
    /// When it stops opening anything by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key that was made, and the text that is shown this once.
#[derive(Debug)]
pub struct Made {
    /// The key.
    pub key: Key,
    /// The key itself; absent when the same request was answered long ago.
    pub secret: Option<Secret>,
}

/// A page of the tenant's keys, newest first.
pub async fn list(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Key>, Error> {
    tx.permit(Action::KeysRead)?;
    Ok(store::keys::page(tx, page).await?)
}

/// Makes a key that may do no more than whoever asks. The same request under the same idempotency key, repeated, makes one
/// key and gets the same answer.
pub async fn create(
    tx: &mut TenantTx<'_>,
    new: NewKey,
    idempotency_key: Option<&str>,
) -> Result<Made, Error> {
    tx.permit(Action::KeysWrite)?;
    let key = described(tx, &new)?;
    let what = json!([key.name, key.scopes.iter().map(|one| one.name()).collect::<Vec<_>>(), key.expires_at]);
    let request = Request::new("create", idempotency_key, &what)?;
    must_not_exceed(tx.scope(), &key)?;
    store::keys::lock(tx).await?;
    if let Some(earlier) = earlier(tx, &request).await? {
        return Ok(earlier);
    }
    if key.expires_at.is_some_and(|at| at <= key.created_at || key.created_at + LIFE_MAX < at) {
        return Err(Error::invalid("expiresAt", "must be in the future, and within ten years"));
    }
    let made = add(tx, key, &request).await?;
    let (subject, after) = (&*made.key.name, made.key.told());
    let deed = Deed { action: "key.create", subject, reason: None, before: Value::Null, after };
    audit::record_own(tx, deed).await?;
    Ok(made)
}

/// Makes a key that takes the place of another: same name, same scopes, and as long a life if that was limited. The other
/// works until the given moment, or stops at once.
pub async fn rotate(
    tx: &mut TenantTx<'_>,
    id: ApiKeyId,
    old_works_until: Option<DateTime<Utc>>,
    idempotency_key: Option<&str>,
) -> Result<Made, Error> {
    tx.permit(Action::KeysWrite)?;
    let request = Request::new("rotate", idempotency_key, &json!([id.to_string(), old_works_until]))?;
    store::keys::lock(tx).await?;
    let old = store::keys::find(tx, id).await?.ok_or(Error::NotFound("key"))?;
    must_not_exceed(tx.scope(), &old)?;
    if let Some(earlier) = earlier(tx, &request).await? {
        return Ok(earlier);
    }
    let now = as_kept(tx.now());
    if old.successor.is_some() {
        return Err(conflict(
            "key_rotated",
            "this key was rotated before; rotate the one that took its place",
        ));
    }
    if !old.is_good(now) {
        return Err(conflict("key_dead", "this key was revoked or has expired; make a new one"));
    }
    let until = old_works_until.map_or(now, as_kept);
    if until < now || now + OVERLAP_MAX < until {
        return Err(Error::invalid("oldWorksUntil", "must be within seven days from now"));
    }
    let expires_at = old.expires_at.map(|at| now + (at - old.created_at));
    let next = Key::new(tx, old.name.clone(), old.scopes.clone(), expires_at);
    let made = add(tx, next, &request).await?;
    store::keys::succeed(tx, (old.id, made.key.id), until).await?;
    let before = json!({ "key": old.id.to_string(), "prefix": old.prefix, "works_until": until });
    let deed =
        Deed { action: "key.rotate", subject: &old.name, reason: None, before, after: made.key.told() };
    audit::record_own(tx, deed).await?;
    Ok(made)
}

/// Takes a key's rights away, at once and for good. Repeated, it changes nothing.
pub async fn revoke(tx: &mut TenantTx<'_>, id: ApiKeyId, reason: Option<&str>) -> Result<Key, Error> {
    tx.permit(Action::KeysWrite)?;
    let reason = reason.map(audit::reason).transpose()?;
    store::keys::lock(tx).await?;
    let key = store::keys::find(tx, id).await?.ok_or(Error::NotFound("key"))?;
    if key.revoked_at.is_some() {
        return Ok(key);
    }
    let now = as_kept(tx.now());
    store::keys::revoke(tx, id, now).await?;
    let deed =
        Deed { action: "key.revoke", subject: &key.name, reason, before: key.told(), after: Value::Null };
    audit::record_own(tx, deed).await?;
    Ok(Key { revoked_at: Some(now), ..key })
}

/// Notes when keys were used, of any tenant, for [`crate::identity::last_use`].
pub async fn used(db: &Db, uses: &[(ApiKeyId, DateTime<Utc>)]) -> Result<(), Fault> {
    store::keys::used(db, uses).await
}

fn described(tx: &TenantTx<'_>, new: &NewKey) -> Result<Key, Error> {
    let name = new.name.trim();
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.contains('\0') {
        return Err(Error::invalid("name", "must have 1 to 100 characters"));
    }
    let scopes: Vec<_> = KeyScope::ALL.iter().copied().filter(|one| new.scopes.contains(one)).collect();
    if scopes.is_empty() {
        return Err(Error::invalid("scopes", "must be one at least"));
    }
    Ok(Key::new(tx, name.to_owned(), scopes, new.expires_at))
}

/// Refuses to give away what whoever asks may not do itself.
fn must_not_exceed(scope: &TenantScope, key: &Key) -> Result<(), Error> {
    let own = match scope.role() {
        // A tenant's first key comes from there, too.
        Role::Operator => Rights::of(Role::Owner),
        Role::Owner
        | Role::Admin
        | Role::Member
        | Role::Viewer
        | Role::Custom
        | Role::Door
        | Role::Carrier
        | Role::Call
        | Role::Job
        | Role::Keeper => scope.rights(),
    };
    if own.cover(key.rights()) {
        return Ok(());
    }
    Err(conflict(
        "exceeds_own_rights",
        "such a key may do more than the one that you use; ask somebody who may",
    ))
}

/// A request that makes a key.
struct Request<'k> {
    idempotency_key: Option<&'k str>,
    digests: Option<Digests>,
}

impl<'k> Request<'k> {
    fn new(verb: &str, idempotency_key: Option<&'k str>, what: &Value) -> Result<Self, Error> {
        if idempotency_key.is_some_and(|key| !(8..=100).contains(&key.chars().count())) {
            return Err(Error::invalid("idempotencyKey", "must have 8 to 100 characters"));
        }
        let digests = idempotency_key.map(|key| Digests {
            request: secret::digest(&format!("{verb} {key}")),
            what: secret::digest(&what.to_string()),
        });
        Ok(Self { idempotency_key, digests })
    }

    /// A key follows from the request's own, of which a digest alone is kept, so that whoever repeats the request can be
    /// shown it again and nobody else.
    fn secret(&self, tx: &TenantTx<'_>, key: ApiKeyId) -> Secret {
        match self.idempotency_key {
            Some(own) => {
                let tag = tx.master_key().tag("api key", format!("{}|{key}|{own}", tx.tenant()).as_bytes());
                Secret::new(format!("ns_{}", secret::token(tag)))
            }
            None => fresh(),
        }
    }
}

/// What the same request made before.
async fn earlier(tx: &mut TenantTx<'_>, request: &Request<'_>) -> Result<Option<Made>, Error> {
    let Some(digests) = &request.digests else { return Ok(None) };
    let Some((key, what)) = store::keys::made_by(tx, &digests.request).await? else { return Ok(None) };
    if what != digests.what {
        return Err(conflict(
            "idempotency_mismatch",
            "this idempotency key was used for another request; use a new one",
        ));
    }
    let secret = (tx.now() < key.created_at + SHOWN_AGAIN).then(|| request.secret(tx, key.id));
    Ok(Some(Made { key, secret }))
}

async fn add(tx: &mut TenantTx<'_>, key: Key, request: &Request<'_>) -> Result<Made, Error> {
    if GOOD_MAX <= store::keys::good(tx).await? {
        return Err(conflict("too_many_keys", "a business has 100 keys at most; revoke one first"));
    }
    store::keys::forget_dead(tx, DEAD_MAX).await?;
    let secret = request.secret(tx, key.id);
    let key = Key { prefix: prefix(&secret), ..key };
    store::keys::add(tx, &key, &secret::digest(secret.reveal()), request.digests.as_ref()).await?;
    Ok(Made { key, secret: Some(secret) })
}

/// A key that follows from nothing.
pub(super) fn fresh() -> Secret {
    Secret::new(format!("ns_{}", secret::random_token()))
}

/// What is kept of a key for people to know it by.
pub(super) fn prefix(key: &Secret) -> String {
    key.reveal().chars().take(PREFIX_CHARS).collect()
}
