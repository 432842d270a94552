//! Reads what many nodes of one answer ask for with one statement per kind of thing. Made anew for every request, so
//! that nothing is kept from one tenant, or from one moment, to another. Must never know which node asks.

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::Door;
use super::problem::Problem;
use crate::access::TenantScope;
use crate::db::Db;
use crate::error::Fault;
use crate::ids::{CallId, CallerId, TemplateVersionId};
use crate::templates::catalog;
use crate::templates::version::TemplateVersion;
use crate::{callers, calls};

/// What a tenant's request reads with.
pub(super) struct Reader {
    pub(super) db: Db,
    pub(super) scope: TenantScope,
}

/// The loaders of one request, which read with `R`.
pub(super) struct Loaders<R>(DataLoader<R>);

impl<R: Send + Sync + 'static> Loaders<R> {
    pub(super) fn new(door: &Door, reader: R) -> Self {
        let tasks = door.tasks.clone();
        Self(DataLoader::new(reader, move |batch| tasks.spawn(batch)))
    }

    /// The thing of that key, if there is one.
    pub(super) async fn one<K>(ctx: &Context<'_>, key: K) -> Result<Option<R::Value>, Problem>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        R: Loader<K, Error = Problem>,
    {
        let loaders = ctx.data_opt::<Self>();
        let Self(loader) = loaders.ok_or_else(|| Fault::new("answer a request without its loaders"))?;
        loader.load_one(key).await
    }
}

/// The thing of that key, if there is one.
pub(super) async fn one<K>(ctx: &Context<'_>, key: K) -> Result<Option<<Reader as Loader<K>>::Value>, Problem>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    Reader: Loader<K, Error = Problem>,
{
    Loaders::<Reader>::one(ctx, key).await
}

/// The thing of that key, which must be there.
pub(super) async fn needed<K>(ctx: &Context<'_>, key: K) -> Result<<Reader as Loader<K>>::Value, Problem>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    Reader: Loader<K, Error = Problem>,
{
    one(ctx, key).await?.ok_or_else(|| Fault::new("read what a row refers to: it is not there").into())
}

/// A caller by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallerKey(pub(super) CallerId);

impl Loader<CallerKey> for Reader {
    type Value = callers::Caller;
    type Error = Problem;

    async fn load(&self, keys: &[CallerKey]) -> Result<HashMap<CallerKey, callers::Caller>, Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.begin().await?;
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = callers::find(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(found.into_iter().map(|caller| (CallerKey(caller.id), caller)).collect())
    }
}

/// The saved profile of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ProfileKey(pub(super) CallerId);

impl Loader<ProfileKey> for Reader {
    type Value = callers::Profile;
    type Error = Problem;

    async fn load(&self, keys: &[ProfileKey]) -> Result<HashMap<ProfileKey, callers::Profile>, Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.begin().await?;
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = callers::profiles(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(found.into_iter().map(|profile| (ProfileKey(profile.caller), profile)).collect())
    }
}

/// A template version by id; without one, the version that new profiles follow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TemplateKey(pub(super) Option<TemplateVersionId>);

impl Loader<TemplateKey> for Reader {
    type Value = Arc<TemplateVersion>;
    type Error = Problem;

    async fn load(
        &self,
        keys: &[TemplateKey],
    ) -> Result<HashMap<TemplateKey, Arc<TemplateVersion>>, Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.begin().await?;
        let mut found = HashMap::new();
        for key in keys {
            let version = match key.0 {
                Some(id) => catalog::version(&mut tx, id).await?,
                None => callers::template(&mut tx, None).await?,
            };
            found.insert(key.clone(), Arc::new(version));
        }
        tx.commit().await?;
        Ok(found)
    }
}

/// A call by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallKey(pub(super) CallId);

impl Loader<CallKey> for Reader {
    type Value = calls::Call;
    type Error = Problem;

    async fn load(&self, keys: &[CallKey]) -> Result<HashMap<CallKey, calls::Call>, Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.begin().await?;
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = calls::find(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(found.into_iter().map(|call| (CallKey(call.id), call)).collect())
    }
}

/// The latest call of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LastCallKey(pub(super) CallerId);

impl Loader<LastCallKey> for Reader {
    type Value = calls::Call;
    type Error = Problem;

    async fn load(&self, keys: &[LastCallKey]) -> Result<HashMap<LastCallKey, calls::Call>, Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.begin().await?;
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = calls::last_of(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(found.into_iter().filter_map(|call| Some((LastCallKey(call.caller?), call))).collect())
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SummaryKey(pub(super) CallId);

impl Loader<SummaryKey> for Reader {
    type Value = calls::Summary;
    type Error = Problem;

    async fn load(&self, keys: &[SummaryKey]) -> Result<HashMap<SummaryKey, calls::Summary>, Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.begin().await?;
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = calls::summaries(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(found.into_iter().map(|summary| (SummaryKey(summary.call), summary)).collect())
    }
}
