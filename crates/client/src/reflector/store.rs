//! The readers' side of a reflector: objects by name and by index, and who is told of changes.
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use crate::{Key, Stored};

/// What happened to one object.
#[derive(Debug)]
pub enum Change<K> {
    Added(Arc<K>),
    Modified {
        old: Arc<K>,
        new: Arc<K>,
    },
    /// The last that is known of it.
    Deleted(Arc<K>),
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Change::Added(new) => Change::Added(new.clone()),
            Change::Modified { old, new } => Change::Modified { old: old.clone(), new: new.clone() },
            Change::Deleted(old) => Change::Deleted(old.clone()),
        }
    }
}

impl<K> Change<K> {
    /// The newest that is known of the object, deleted or not.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Change::Added(object) | Change::Deleted(object) | Change::Modified { new: object, .. } => object,
        }
    }

    /// The object before the change.
    pub fn before(&self) -> Option<&Arc<K>> {
        match self {
            Change::Added(_) => None,
            Change::Modified { old, .. } | Change::Deleted(old) => Some(old),
        }
    }

    /// The object after the change.
    pub fn after(&self) -> Option<&Arc<K>> {
        match self {
            Change::Added(new) | Change::Modified { new, .. } => Some(new),
            Change::Deleted(_) => None,
        }
    }
}

type Values<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;
type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

pub struct Store<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    data: RwLock<Data<K>>,
    /// Held by the writer from the change of the data until all handlers have run: so handlers see changes in order, and a
    /// new handler misses none.
    handlers: Mutex<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
    /// Whether the watch runs.
    live: watch::Sender<bool>,
}

struct Data<K> {
    objects: HashMap<Key, Arc<K>>,
    indexes: Vec<Index<K>>,
}

struct Index<K> {
    name: &'static str,
    values: Values<K>,
    keys: HashMap<String, BTreeSet<Key>>,
}

impl<K> Index<K> {
    fn insert(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        let data = RwLock::new(Data { objects: HashMap::new(), indexes: Vec::new() });
        let (synced, live) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { inner: Arc::new(Inner { data, handlers: Mutex::new(Vec::new()), synced, live }) }
    }
}

impl<K> fmt::Debug for Store<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<K: Stored> Store<K> {
    fn data(&self) -> RwLockReadGuard<'_, Data<K>> {
        self.inner.data.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn data_mut(&self) -> RwLockWriteGuard<'_, Data<K>> {
        self.inner.data.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// `namespace` is empty for objects of the cluster's scope.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.by_key(&Key::new(namespace, name))
    }

    pub fn by_key(&self, key: &Key) -> Option<Arc<K>> {
        self.data().objects.get(key).cloned()
    }

    /// All objects, in no order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.data().objects.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.data().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The objects that an index has under a value, in the order of their names. An index that was not added has none.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<K>> {
        let data = self.data();
        let keys = data.indexes.iter().find(|known| known.name == index).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| data.objects.get(key).cloned()).collect()
    }

    /// The values that an index has objects under.
    pub fn index_values(&self, index: &str) -> Vec<String> {
        let data = self.data();
        let index = data.indexes.iter().find(|known| known.name == index);
        index.map(|index| index.keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// Whether the first list is in.
    pub fn is_synced(&self) -> bool {
        *self.inner.synced.borrow()
    }

    pub async fn wait_synced(&self) {
        let mut synced = self.inner.synced.subscribe();
        // The sender lives as long as this store.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// The first list is in, and the watch runs.
    pub fn is_live(&self) -> bool {
        self.is_synced() && *self.inner.live.borrow()
    }

    /// Waits until the first list is in and the watch runs. After an outage the mirror is old until then.
    pub async fn wait_live(&self) {
        self.wait_synced().await;
        let mut live = self.inner.live.subscribe();
        // The sender lives as long as this store.
        let _ = live.wait_for(|live| *live).await;
    }

    /// Calls the handler for every object that is there, and from now on for every change, in order. It must be quick, for it
    /// holds up the reflector, and must not add handlers.
    pub fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut handlers = self.inner.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        for object in self.list() {
            handler(&Change::Added(object));
        }
        handlers.push(Box::new(handler));
    }

    pub(super) fn add_index(&self, name: &'static str, values: Values<K>) {
        self.data_mut().indexes.push(Index { name, values, keys: HashMap::new() });
    }

    pub(super) fn set_synced(&self) {
        self.inner.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
    }

    pub(super) fn set_live(&self, live: bool) {
        self.inner.live.send_if_modified(|known| std::mem::replace(known, live) != live);
    }

    /// Stores an object as it is now. Nobody is told of an object that has not changed.
    pub(super) fn put(&self, key: Key, new: Arc<K>) {
        self.write(|data| {
            let old = data.objects.insert(key.clone(), new.clone());
            for index in &mut data.indexes {
                if let Some(old) = &old {
                    index.remove(&key, old);
                }
                index.insert(&key, &new);
            }
            match old {
                None => Some(Change::Added(new)),
                Some(old) if same_version(old.as_ref(), new.as_ref()) => None,
                Some(old) => Some(Change::Modified { old, new }),
            }
        });
    }

    /// `last` is the object as the deletion brought it.
    pub(super) fn remove(&self, key: &Key, last: Option<Arc<K>>) {
        self.write(|data| {
            let old = data.objects.remove(key)?;
            for index in &mut data.indexes {
                index.remove(key, &old);
            }
            Some(Change::Deleted(last.unwrap_or(old)))
        });
    }

    /// Removes all but these.
    pub(super) fn retain(&self, keep: impl Fn(&Key) -> bool) {
        let gone: Vec<Key> = self.data().objects.keys().filter(|key| !keep(key)).cloned().collect();
        for key in gone {
            self.remove(&key, None);
        }
    }

    fn write(&self, change: impl FnOnce(&mut Data<K>) -> Option<Change<K>>) {
        let handlers = self.inner.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let change = change(&mut self.data_mut());
        if let Some(change) = change {
            for handler in handlers.iter() {
                handler(&change);
            }
        }
    }

    /// A store that holds these objects, for the tests of what reads one.
    pub fn of(objects: impl IntoIterator<Item = K>) -> Self {
        let store = Self::default();
        for object in objects {
            store.put(object.key(), Arc::new(object));
        }
        store.set_synced();
        store.set_live(true);
        store
    }
}

fn same_version<K: Stored>(old: &K, new: &K) -> bool {
    let version = |object: &K| (object.meta().resource_version.clone(), object.meta().uid.clone());
    version(old) == version(new) && new.meta().resource_version.is_some()
}
