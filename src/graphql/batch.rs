//! Batches: what many nodes of one answer ask for at the same moment is read at once. Made anew for every request, so that
//! nothing is kept from one tenant, or from one moment, to another. Must never know what is read, or for whom.
//!
//! Our own, because the ready-made loader waits for a millisecond of the clock on every level of an answer and reads in a
//! task that outlives its request. Here a batch is complete once every node that could be resolved has been, which costs no
//! time, and it is dropped with whoever asked.

use async_graphql::Context;
use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;
use tokio::task::{unconstrained, yield_now};

use super::problem::Problem;
use crate::error::Fault;

/// Reads things of one kind by their keys.
pub(super) trait Loader<K>: Send + Sync + 'static {
    /// A thing.
    type Value: Clone + Send + Sync + 'static;

    /// The things of these keys, of which none is there twice. A key without a thing is left out.
    fn load(&self, keys: &[K]) -> impl Future<Output = Result<HashMap<K, Self::Value>, Problem>> + Send;
}

/// What is asked for at one moment: its keys, until it is read, and what came of it.
struct Batch<K, V> {
    keys: Mutex<Keys<K>>,
    /// Whoever asked first reads for all; where they leave, the next one does.
    answer: OnceCell<Result<HashMap<K, V>, Problem>>,
}

struct Keys<K> {
    asked: HashSet<K>,
    /// Too late to join.
    closed: bool,
}

/// The batches of one request, which read with `R`.
pub(super) struct Batches<R> {
    reader: R,
    /// The latest batch of each kind of key.
    latest: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl<R: Send + Sync + 'static> Batches<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, latest: Mutex::new(HashMap::new()) }
    }

    /// The thing of that key, if there is one.
    pub(super) async fn one<K>(ctx: &Context<'_>, key: K) -> Result<Option<R::Value>, Problem>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        R: Loader<K>,
    {
        let batches = ctx.data_opt::<Self>();
        let batches = batches.ok_or_else(|| Fault::new("answer a request without its batches"))?;
        batches.load(key).await
    }

    /// All who wait go on together: the runtime's budget for one task would make several batches of those who ask next.
    async fn load<K>(&self, key: K) -> Result<Option<R::Value>, Problem>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        R: Loader<K>,
    {
        let batch = self.joined::<K>(key.clone());
        let answer = unconstrained(batch.answer.get_or_init(|| self.read(&batch))).await;
        answer.as_ref().map(|found| found.get(&key).cloned()).map_err(Clone::clone)
    }

    /// Nodes that are resolved together are polled before their task is polled again: then all of them have asked.
    async fn read<K>(&self, batch: &Batch<K, R::Value>) -> Result<HashMap<K, R::Value>, Problem>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        R: Loader<K>,
    {
        yield_now().await;
        let keys: Vec<K> = {
            let mut keys = locked(&batch.keys);
            keys.closed = true;
            keys.asked.iter().cloned().collect()
        };
        self.reader.load(&keys).await
    }

    /// Joins the latest batch of the key's kind, or begins one.
    fn joined<K>(&self, key: K) -> Arc<Batch<K, R::Value>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        R: Loader<K>,
    {
        let mut latest = locked(&self.latest);
        let known = latest.get(&TypeId::of::<K>()).map(Arc::clone);
        if let Some(batch) = known.and_then(|batch| batch.downcast::<Batch<K, R::Value>>().ok()) {
            let mut keys = locked(&batch.keys);
            if !keys.closed {
                keys.asked.insert(key);
                drop(keys);
                return batch;
            }
        }
        let keys = Mutex::new(Keys { asked: HashSet::from([key]), closed: false });
        let batch = Arc::new(Batch { keys, answer: OnceCell::new() });
        let begun: Arc<dyn Any + Send + Sync> = Arc::<Batch<K, R::Value>>::clone(&batch);
        latest.insert(TypeId::of::<K>(), begun);
        batch
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join, join_all, try_join_all};

    /// Cannot be read.
    const UNLUCKY: u32 = u32::MAX;

    /// Knows even numbers, and counts how often it is asked for how many.
    #[derive(Default)]
    struct Evens(Mutex<Vec<usize>>);

    impl Loader<u32> for Arc<Evens> {
        type Value = String;

        async fn load(&self, keys: &[u32]) -> Result<HashMap<u32, String>, Problem> {
            locked(&self.0).push(keys.len());
            yield_now().await;
            if keys.contains(&UNLUCKY) {
                return Err(Fault::new("no such luck").into());
            }
            Ok(keys.iter().filter(|key| *key % 2 == 0).map(|key| (*key, key.to_string())).collect())
        }
    }

    #[tokio::test]
    async fn who_asks_at_the_same_moment_is_answered_at_once() {
        let evens = Arc::new(Evens::default());
        let batches = Batches::new(Arc::clone(&evens));
        // More than the budget of a task, and each asks again with what it got.
        let batches = &batches;
        let asked = (0..500_u32).map(|key| async move {
            let first = batches.load(key).await.unwrap();
            let again = batches.load(2_000 - key % 250).await.unwrap();
            (first, again)
        });
        let answers = join_all(asked).await;
        assert_eq!(answers[4], (Some("4".to_owned()), Some("1996".to_owned())));
        assert_eq!(answers[5], (None, None), "what is not there is nothing");
        assert_eq!(*locked(&evens.0), [500, 250], "each level once, and no key twice");
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_the_next_batch_is_another() {
        let evens = Arc::new(Evens::default());
        let batches = Batches::new(Arc::clone(&evens));
        let (one, other) = join(batches.load(2_u32), batches.load(UNLUCKY)).await;
        assert!(one.is_err() && other.is_err());
        assert_eq!(batches.load(2_u32).await.unwrap(), Some("2".to_owned()));
        assert_eq!(*locked(&evens.0), [2, 1]);
    }

    #[tokio::test]
    async fn who_leaves_takes_nothing_from_the_others() {
        let evens = Arc::new(Evens::default());
        let batches = Arc::new(Batches::new(Arc::clone(&evens)));
        let failing = try_join_all((0..3_u32).map(|key| {
            let batches = Arc::clone(&batches);
            async move {
                if key == 2 {
                    return Err(());
                }
                batches.load(key).await.map_err(drop)
            }
        }));
        // The first batch is opened by one that fails before it is read, and drops its siblings with it.
        let (gone, stays) = join(failing, batches.load(4_u32)).await;
        assert_eq!((gone, stays.unwrap()), (Err(()), Some("4".to_owned())));
        assert_eq!(*locked(&evens.0), [3], "read once all the same");
    }
}
