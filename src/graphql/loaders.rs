//! What a tenant's loaders read: of many nodes of one answer, one statement per kind of thing. Must never know which node
//! asks.

use async_graphql::Context;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::batch::{Batches, Loader};
use super::problem::Problem;
use crate::access::TenantScope;
use crate::db::Db;
use crate::db::page::PageOf;
use crate::db::tx::TenantTx;
use crate::error::{Error, Fault};
use crate::ids::{CallId, CallerId, TemplateVersionId};
use crate::templates::catalog;
use crate::templates::version::TemplateVersion;
use crate::{callers, calls, memory};

/// What a tenant's request reads with.
pub(super) struct Reader {
    pub(super) db: Db,
    pub(super) scope: TenantScope,
}

impl Reader {
    /// Reads on the tenant's behalf.
    async fn read<T>(
        &self,
        look: impl AsyncFnOnce(&mut TenantTx<'_>) -> Result<T, Error>,
    ) -> Result<T, Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        Ok(look(&mut session.read()).await?)
    }
}

/// The thing of that key, if there is one.
pub(super) async fn one<K>(ctx: &Context<'_>, key: K) -> Result<Option<<Reader as Loader<K>>::Value>, Problem>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    Reader: Loader<K>,
{
    Batches::<Reader>::one(ctx, key).await
}

/// The thing of that key, which must be there.
pub(super) async fn needed<K>(ctx: &Context<'_>, key: K) -> Result<<Reader as Loader<K>>::Value, Problem>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    Reader: Loader<K>,
{
    one(ctx, key).await?.ok_or_else(|| Fault::new("read what a row refers to: it is not there").into())
}

/// The things of these keys, in the same order.
fn paired<K, V>(keys: &[K], values: Vec<V>) -> HashMap<K, V>
where
    K: Clone + Hash + Eq,
{
    keys.iter().cloned().zip(values).collect()
}

/// A caller by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallerKey(pub(super) CallerId);

impl Loader<CallerKey> for Reader {
    type Value = callers::Caller;

    async fn load(&self, keys: &[CallerKey]) -> Result<HashMap<CallerKey, callers::Caller>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| callers::find(tx, &ids).await).await?;
        Ok(found.into_iter().map(|caller| (CallerKey(caller.id), caller)).collect())
    }
}

/// The saved profile of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ProfileKey(pub(super) CallerId);

impl Loader<ProfileKey> for Reader {
    type Value = callers::Profile;

    async fn load(&self, keys: &[ProfileKey]) -> Result<HashMap<ProfileKey, callers::Profile>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| callers::profiles(tx, &ids).await).await?;
        Ok(found.into_iter().map(|profile| (ProfileKey(profile.caller), profile)).collect())
    }
}

/// A template version by id; without one, the version that new profiles follow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TemplateKey(pub(super) Option<TemplateVersionId>);

impl Loader<TemplateKey> for Reader {
    type Value = Arc<TemplateVersion>;

    async fn load(
        &self,
        keys: &[TemplateKey],
    ) -> Result<HashMap<TemplateKey, Arc<TemplateVersion>>, Problem> {
        let read = async |tx: &mut TenantTx<'_>| {
            let mut found = HashMap::new();
            for key in keys {
                let version = match key.0 {
                    Some(id) => catalog::version(tx, id).await?,
                    None => callers::template(tx, None).await?,
                };
                found.insert(key.clone(), Arc::new(version));
            }
            Ok(found)
        };
        self.read(read).await
    }
}

/// A call by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallKey(pub(super) CallId);

impl Loader<CallKey> for Reader {
    type Value = calls::Call;

    async fn load(&self, keys: &[CallKey]) -> Result<HashMap<CallKey, calls::Call>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| calls::find(tx, &ids).await).await?;
        Ok(found.into_iter().map(|call| (CallKey(call.id), call)).collect())
    }
}

/// The latest call of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LastCallKey(pub(super) CallerId);

impl Loader<LastCallKey> for Reader {
    type Value = calls::Call;

    async fn load(&self, keys: &[LastCallKey]) -> Result<HashMap<LastCallKey, calls::Call>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| calls::last_of(tx, &ids).await).await?;
        Ok(found.into_iter().filter_map(|call| Some((LastCallKey(call.caller?), call))).collect())
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SummaryKey(pub(super) CallId);

impl Loader<SummaryKey> for Reader {
    type Value = calls::Summary;

    async fn load(&self, keys: &[SummaryKey]) -> Result<HashMap<SummaryKey, calls::Summary>, Problem> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.read(async |tx| calls::summaries(tx, &ids).await).await?;
        Ok(found.into_iter().map(|summary| (SummaryKey(summary.call), summary)).collect())
    }
}

/// A page of a caller's calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallsOf(pub(super) PageOf<CallerId>);

impl Loader<CallsOf> for Reader {
    type Value = Vec<calls::Call>;

    async fn load(&self, keys: &[CallsOf]) -> Result<HashMap<CallsOf, Vec<calls::Call>>, Problem> {
        let asked: Vec<_> = keys.iter().map(|key| key.0).collect();
        Ok(paired(keys, self.read(async |tx| calls::of_callers(tx, &asked).await).await?))
    }
}

/// A page of what is remembered about a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct MemoriesOf(pub(super) PageOf<CallerId>);

impl Loader<MemoriesOf> for Reader {
    type Value = Vec<memory::Memory>;

    async fn load(&self, keys: &[MemoriesOf]) -> Result<HashMap<MemoriesOf, Vec<memory::Memory>>, Problem> {
        let asked: Vec<_> = keys.iter().map(|key| key.0).collect();
        Ok(paired(keys, self.read(async |tx| memory::of_each(tx, &asked).await).await?))
    }
}

/// What is remembered about a caller that fits a question best.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RecallOf {
    pub(super) caller: CallerId,
    pub(super) question: String,
    pub(super) limit: u16,
}

impl Loader<RecallOf> for Reader {
    type Value = Vec<memory::Memory>;

    /// One statement for each question; a field asks all callers the same.
    async fn load(&self, keys: &[RecallOf]) -> Result<HashMap<RecallOf, Vec<memory::Memory>>, Problem> {
        let mut questions: HashMap<(&str, u16), Vec<&RecallOf>> = HashMap::new();
        for key in keys {
            questions.entry((&key.question, key.limit)).or_default().push(key);
        }
        let read = async |tx: &mut TenantTx<'_>| {
            let mut found = HashMap::new();
            for ((question, limit), asked) in questions {
                let query = memory::Query { question, vector: None, limit };
                let callers: Vec<_> = asked.iter().map(|key| key.caller).collect();
                let recalled = memory::recall(tx, &callers, &query).await?;
                let memories =
                    recalled.into_iter().map(|best| best.into_iter().map(|one| one.memory).collect());
                found.extend(asked.into_iter().cloned().zip(memories));
            }
            Ok(found)
        };
        self.read(read).await
    }
}

/// A stretch of a call's turns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TurnsOf(pub(super) calls::Stretch);

impl Loader<TurnsOf> for Reader {
    type Value = Vec<calls::Turn>;

    async fn load(&self, keys: &[TurnsOf]) -> Result<HashMap<TurnsOf, Vec<calls::Turn>>, Problem> {
        let asked: Vec<_> = keys.iter().map(|key| key.0).collect();
        Ok(paired(keys, self.read(async |tx| calls::turns_of_each(tx, &asked).await).await?))
    }
}

/// A stretch of a call's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EventsOf(pub(super) calls::Stretch);

impl Loader<EventsOf> for Reader {
    type Value = Vec<calls::Event>;

    async fn load(&self, keys: &[EventsOf]) -> Result<HashMap<EventsOf, Vec<calls::Event>>, Problem> {
        let asked: Vec<_> = keys.iter().map(|key| key.0).collect();
        Ok(paired(keys, self.read(async |tx| calls::events_of_each(tx, &asked).await).await?))
    }
}
