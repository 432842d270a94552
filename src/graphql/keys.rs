//! The business's own API keys: seen, made, rotated, revoked.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::mutation::settled;
use super::problem::{Problem, UserError, id};
use super::registry;
use crate::access::KeyScope;
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::tenants::keys::{self, Made, NewKey};

/// A key with which the business's own software uses this API. The key itself is shown once, when it is made.
#[derive(SimpleObject)]
pub(super) struct ApiKey {
    /// Its id.
    id: ID,
    /// What people call it.
    name: String,
    /// Its first characters, by which people know it again.
    prefix: String,
    /// What it is made for; it may do what these hold together.
    scopes: Vec<ApiKeyScope>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last used, to a few minutes; absent until then.
    last_used_at: Option<DateTime<Utc>>,
    /// When it stops working by itself; absent when it does not.
    expires_at: Option<DateTime<Utc>>,
    /// When it was revoked; absent unless it was.
    revoked_at: Option<DateTime<Utc>>,
    /// The id of the key that took its place; absent unless it was rotated.
    successor_id: Option<ID>,
}

impl From<keys::Key> for ApiKey {
    fn from(key: keys::Key) -> Self {
        Self {
            id: ID(key.id.to_string()),
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes.into_iter().map(Into::into).collect(),
            created_at: key.created_at,
            last_used_at: key.last_used_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            successor_id: key.successor.map(|successor| ID(successor.to_string())),
        }
    }
}

/// What a key is made for.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "KeyScope")]
pub(super) enum ApiKeyScope {
    /// Read calls, turns, events and summaries.
    CallsRead,
    /// Read callers, their profiles and what is remembered of them.
    CallersRead,
    /// The same, and change it.
    CallersWrite,
    /// Read how the agent speaks.
    AgentRead,
    /// The same, and change it.
    AgentWrite,
    /// See keys, make some that may do no more, rotate and revoke them.
    KeysWrite,
    /// See members, invitations and roles.
    MembersRead,
    /// The same, and change who is in, up to what the key itself may do.
    MembersWrite,
    /// Everything that this API offers.
    Everything,
}

/// What the new key is.
#[derive(InputObject)]
pub(super) struct CreateApiKeyInput {
    /// Names this request, with 8 to 100 characters: the same request again makes no second key and gets the same answer.
    idempotency_key: String,
    /// What people call it: 1 to 100 characters.
    name: String,
    /// What it is made for: one at least, and together no more than the key that you use may do.
    scopes: Vec<ApiKeyScope>,
    /// When it stops working by itself, within ten years; never when left out.
    expires_at: Option<DateTime<Utc>>,
}

/// Which key another one takes the place of, and how long both work.
#[derive(InputObject)]
pub(super) struct RotateApiKeyInput {
    /// Names this request, with 8 to 100 characters: the same request again makes no second key and gets the same answer.
    idempotency_key: String,
    /// The id of the key that is replaced.
    key_id: ID,
    /// Until when that key works beside the new one, within seven days; when left out, it stops at once.
    old_works_until: Option<DateTime<Utc>>,
}

/// Which key to revoke, and why.
#[derive(InputObject)]
pub(super) struct RevokeApiKeyInput {
    /// The key's id.
    key_id: ID,
    /// Why, for the audit log: 1 to 500 characters.
    reason: Option<String>,
}

/// The new key, or why there is none.
#[derive(SimpleObject)]
pub(super) struct CreateApiKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// The key itself, for `Authorization: Bearer …`. Shown here only, and for a day to those who repeat the request.
    secret: Option<String>,
    /// Why nothing was made; empty when all went well.
    errors: Vec<UserError>,
}

/// The key that took the place of the other, or why there is none.
#[derive(SimpleObject)]
pub(super) struct RotateApiKeyPayload {
    /// The new key: with the name and the scopes of the old one, and as long a life where that was limited.
    api_key: Option<ApiKey>,
    /// The key itself, for `Authorization: Bearer …`. Shown here only, and for a day to those who repeat the request.
    secret: Option<String>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The key without any right, or why it keeps them.
#[derive(SimpleObject)]
pub(super) struct RevokeApiKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// Changing keys.
#[derive(Default)]
pub(super) struct KeyChanges;

#[Object]
impl KeyChanges {
    /// Makes an API key that may do no more than the one that you use.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is.")] input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload, Problem> {
        let CreateApiKeyInput { idempotency_key, name, scopes, expires_at } = input;
        let new = NewKey { name, scopes: scopes.into_iter().map(Into::into).collect(), expires_at };
        let deed = async |tx: &mut TenantTx<'_>| keys::create(tx, new, Some(&idempotency_key)).await;
        let (api_key, secret, errors) = made(ctx, deed).await?;
        Ok(CreateApiKeyPayload { api_key, secret, errors })
    }

    /// Makes an API key that takes the place of another, which works for a while longer or stops at once.
    async fn rotate_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and until when it works.")] input: RotateApiKeyInput,
    ) -> Result<RotateApiKeyPayload, Problem> {
        let RotateApiKeyInput { idempotency_key, key_id, old_works_until } = input;
        let deed = async |tx: &mut TenantTx<'_>| {
            keys::rotate(tx, id(&key_id, "key")?, old_works_until, Some(&idempotency_key)).await
        };
        let (api_key, secret, errors) = made(ctx, deed).await?;
        Ok(RotateApiKeyPayload { api_key, secret, errors })
    }

    /// Takes an API key's rights away, at once and for good. Repeated, it changes nothing and gets the same answer.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and why.")] input: RevokeApiKeyInput,
    ) -> Result<RevokeApiKeyPayload, Problem> {
        let RevokeApiKeyInput { key_id, reason } = input;
        let mut session = registry(ctx).await?;
        let mut tx = session.begin().await?;
        let revoked = revoked(&mut tx, &key_id, reason.as_deref()).await;
        let (key, errors) = settled(tx, revoked).await?;
        Ok(RevokeApiKeyPayload { api_key: key.map(ApiKey::from), errors })
    }
}

async fn revoked(tx: &mut TenantTx<'_>, key: &ID, reason: Option<&str>) -> Result<keys::Key, Error> {
    keys::revoke(tx, id(key, "key")?, reason).await
}

/// Has a key made, and gives it with the text that is shown once.
async fn made(
    ctx: &Context<'_>,
    deed: impl AsyncFnOnce(&mut TenantTx<'_>) -> Result<Made, Error>,
) -> Result<(Option<ApiKey>, Option<String>, Vec<UserError>), Problem> {
    let mut session = registry(ctx).await?;
    let mut tx = session.begin().await?;
    let made = deed(&mut tx).await;
    let (made, errors) = settled(tx, made).await?;
    let (key, secret) = made.map(|Made { key, secret }| (key, secret)).unzip();
    let secret = secret.flatten().map(|secret| secret.reveal().to_owned());
    Ok((key.map(ApiKey::from), secret, errors))
}
