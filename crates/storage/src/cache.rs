//! The watch cache: stores that come and go, fed by one watch over the whole keyspace.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backend::{Backend, Batch, Change};
use crate::feed;
use crate::progress::{CacheError, Progress};
use crate::store::{Inner, Kind, Store};

/// The cache feeds itself until it is dropped.
pub struct Cache {
    shared: Arc<Shared>,
    stop: CancellationToken,
    _stop: DropGuard,
}

/// What the cache and the tasks that feed it have in common.
pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) progress: Arc<Progress>,
    by_prefix: RwLock<HashMap<Box<str>, Arc<Inner>>>,
}

impl Cache {
    pub fn start(backend: Arc<dyn Backend>) -> Arc<Self> {
        let progress = Progress::new(backend.clone());
        let shared = Arc::new(Shared { backend, progress, by_prefix: RwLock::default() });
        let stop = CancellationToken::new();
        let cache = Arc::new(Self { shared: shared.clone(), _stop: stop.clone().drop_guard(), stop });
        cache.spawn(async move { feed::run(&shared).await });
        cache
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
    }

    /// A store for a kind. It fills itself; until then it is not ready. A store that was there for the same keys goes.
    pub fn add(&self, kind: &Kind) -> Store {
        let store = Store::new(kind, self.shared.progress.clone());
        // From now on changes reach it, so what is listed later lacks none.
        let old = self.shared.stores_mut().insert(kind.prefix.as_str().into(), store.0.clone());
        if let Some(old) = old {
            old.remove();
        }
        let (shared, filling) = (self.shared.clone(), store.0.clone());
        self.spawn(async move { feed::fill_alone(&shared, &filling).await });
        store
    }

    /// Ends the store's watches and forgets its objects when the last handle goes.
    pub fn remove(&self, store: &Store) {
        let mut stores = self.shared.stores_mut();
        if stores.get(&store.0.prefix).is_some_and(|held| Arc::ptr_eq(held, &store.0)) {
            stores.remove(&store.0.prefix);
        }
        drop(stores);
        store.0.remove();
    }

    /// All stores are filled.
    pub fn is_ready(&self) -> bool {
        self.revision() > 0 && self.shared.stores().into_iter().all(|store| Store(store).is_ready())
    }

    pub async fn ready(&self) {
        self.shared.progress.until(|reached| reached.revision > 0).await;
        for store in self.shared.stores() {
            Store(store).ready().await;
        }
    }

    /// The revision up to which everything has been delivered.
    pub fn revision(&self) -> i64 {
        self.shared.progress.revision()
    }

    /// Waits until the cache shows at least what etcd holds now. A store that was just added may still be filling:
    /// [`Store::catch_up`] waits for that as well.
    pub async fn catch_up(&self) -> Result<i64, CacheError> {
        self.shared.progress.catch_up().await
    }

    /// Waits until the cache has this revision.
    pub async fn wait_for(&self, revision: i64) -> Result<(), CacheError> {
        self.shared.progress.wait_for(revision).await
    }
}

impl Shared {
    pub(crate) fn stores(&self) -> Vec<Arc<Inner>> {
        self.by_prefix.read().expect("no holder panics").values().cloned().collect()
    }

    fn stores_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Box<str>, Arc<Inner>>> {
        self.by_prefix.write().expect("no holder panics")
    }

    /// Gives each store its part of the changes, and only then says that the cache has them.
    pub(crate) fn apply(&self, batch: Batch) {
        let Some(last) = batch.changes.last().map(|change| change.revision) else { return };
        let mut parts: Vec<(Arc<Inner>, Vec<Change>)> = Vec::new();
        {
            let by_prefix = self.by_prefix.read().expect("no holder panics");
            for change in batch.changes {
                let mut prefixes = change.key.match_indices('/').map(|(at, _)| &change.key[..=at]);
                let Some(store) = prefixes.find_map(|prefix| by_prefix.get(prefix)) else { continue };
                match parts.iter_mut().find(|(other, _)| Arc::ptr_eq(other, store)) {
                    Some((_, changes)) => changes.push(change),
                    None => parts.push((store.clone(), vec![change])),
                }
            }
        }
        for (store, changes) in parts {
            store.apply(changes);
        }
        self.progress.publish(batch.cluster, last);
    }
}
