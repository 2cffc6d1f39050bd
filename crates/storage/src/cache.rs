//! The watch cache: all objects as they are served, kept up to date by one watch over the whole store.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::backend::{self, Backend, Change, prefix_end};
use crate::entry::Entry;
use crate::revision::Revisions;
use crate::watcher::{Event, EventType, Filter, Queue, Watcher};

/// How long a reader waits for the cache to catch up with the store.
const CATCH_UP: Duration = Duration::from_secs(3);
/// Recent changes of a kind that a watch can begin from: this many, or this many bytes of former states.
const HISTORY_EVENTS: usize = 10_000;
const HISTORY_BYTES: usize = 8 * 1024 * 1024;
const PAGE: i64 = 1000;
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_secs(1);

/// A kind of objects in the store.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Where its keys begin, with a slash at the end.
    pub prefix: String,
    /// Fields that selectors may name. Watches that want one value of the first are found by it.
    pub selectable: Vec<&'static str>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    #[error(transparent)]
    Backend(#[from] backend::Error),
    #[error("too old resource version: {asked} ({oldest})")]
    Expired { asked: i64, oldest: i64 },
    #[error("Too large resource version: {asked}, current: {current}")]
    Future { asked: i64, current: i64 },
    #[error("the cache is being filled from etcd")]
    NotReady,
}

#[derive(Debug)]
pub struct List {
    pub revision: i64,
    pub entries: Vec<Arc<Entry>>,
}

/// Where the task that feeds the cache is.
#[derive(Debug)]
enum State {
    /// Reading everything, the first time or after history was lost.
    Listing,
    /// Watching from the revision on.
    Watching { from: i64 },
    /// The store did not answer. What was seen before `from` need not be read again.
    BackOff { from: Option<i64> },
}

pub struct Cache {
    backend: Arc<dyn Backend>,
    kinds: Vec<Store>,
    revisions: Revisions,
    /// Every change up to here is in the cache and in the watchers' queues. 0: not filled yet.
    revision: watch::Sender<i64>,
}

struct Store {
    kind: Kind,
    paths: Vec<Vec<String>>,
    objects: RwLock<Objects>,
}

#[derive(Default)]
struct Objects {
    by_key: BTreeMap<Box<str>, Arc<Entry>>,
    /// The revision of the last change of this kind.
    applied: i64,
    history: VecDeque<Arc<Event>>,
    history_bytes: usize,
    /// Changes up to here can no longer be told.
    forgotten: i64,
    watchers: Watchers,
}

/// Who wants to hear of which objects: an event touches only these.
#[derive(Default)]
struct Watchers {
    all: Vec<Arc<Queue>>,
    by_namespace: HashMap<String, Vec<Arc<Queue>>>,
    by_key: HashMap<String, Vec<Arc<Queue>>>,
    by_field: HashMap<String, Vec<Arc<Queue>>>,
}

impl Cache {
    /// The cache feeds itself until it is dropped.
    pub fn start(backend: Arc<dyn Backend>, kinds: Vec<Kind>) -> Arc<Self> {
        let store = |kind: Kind| Store {
            paths: kind.selectable.iter().map(|p| p.split('.').map(str::to_owned).collect()).collect(),
            kind,
            objects: RwLock::default(),
        };
        let cache = Arc::new(Self {
            revisions: Revisions::new(backend.clone()),
            backend,
            kinds: kinds.into_iter().map(store).collect(),
            revision: watch::Sender::new(0),
        });
        tokio::spawn(feed(Arc::downgrade(&cache)));
        cache
    }

    pub fn is_ready(&self) -> bool {
        *self.revision.borrow() > 0
    }

    pub async fn ready(&self) {
        let mut revision = self.revision.subscribe();
        // Only fails when the sender goes, and `self` holds it.
        let _ = revision.wait_for(|revision| *revision > 0).await;
    }

    /// The revision up to which everything has been delivered.
    pub fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// Waits until the cache shows at least what the store holds now.
    pub async fn catch_up(&self) -> Result<i64, CacheError> {
        let revision = self.revisions.now().await?;
        self.wait_for(revision).await?;
        Ok(revision)
    }

    /// Waits until the cache has this revision.
    pub async fn wait_for(&self, wanted: i64) -> Result<(), CacheError> {
        if self.revision() >= wanted {
            return Ok(());
        }
        let mut revision = self.revision.subscribe();
        match tokio::time::timeout(CATCH_UP, revision.wait_for(|now| *now >= wanted)).await {
            Ok(_) => Ok(()),
            Err(_) if self.is_ready() => Err(CacheError::Future { asked: wanted, current: self.revision() }),
            Err(_) => Err(CacheError::NotReady),
        }
    }

    pub fn get(&self, kind: usize, key: &str) -> Option<Arc<Entry>> {
        self.kinds[kind].read().by_key.get(key).cloned()
    }

    /// What the cache holds now, in the order of the keys. Callers that need it fresh call [`Self::catch_up`] before.
    pub fn list(&self, kind: usize, filter: &Filter) -> List {
        let published = self.revision();
        let objects = self.kinds[kind].read();
        List { revision: published.max(objects.applied), entries: objects.select(filter) }
    }

    /// The list and every change after it.
    pub fn list_and_watch(self: &Arc<Self>, kind: usize, filter: Filter) -> (List, Watcher) {
        let published = self.revision();
        let mut objects = self.kinds[kind].write();
        let list = List { revision: published.max(objects.applied), entries: objects.select(&filter) };
        let watcher = self.register(kind, &mut objects, filter, VecDeque::new());
        (list, watcher)
    }

    /// Every change after a revision.
    pub fn watch(self: &Arc<Self>, kind: usize, filter: Filter, after: i64) -> Result<Watcher, CacheError> {
        let mut objects = self.kinds[kind].write();
        if after < objects.forgotten {
            return Err(CacheError::Expired { asked: after, oldest: objects.forgotten });
        }
        let begin = objects.history.partition_point(|event| event.revision <= after);
        let past = objects.history.range(begin..);
        let past = past.filter_map(|event| Some((event.seen_through(&filter)?, event.clone()))).collect();
        Ok(self.register(kind, &mut objects, filter, past))
    }

    fn register(
        self: &Arc<Self>,
        kind: usize,
        objects: &mut Objects,
        filter: Filter,
        past: VecDeque<(EventType, Arc<Event>)>,
    ) -> Watcher {
        let queue = Queue::new(filter, past);
        objects.watchers.add(queue.clone());
        let (cache, registered) = (Arc::downgrade(self), queue.clone());
        let unregister = Box::new(move || {
            if let Some(cache) = cache.upgrade() {
                cache.kinds[kind].write().watchers.remove(&registered);
            }
        });
        Watcher::new(queue, unregister)
    }

    /// True when nothing of this kind was changed after the revision.
    pub fn unchanged_since(&self, kind: usize, revision: i64) -> bool {
        self.kinds[kind].read().applied <= revision
    }

    fn apply(&self, changes: Vec<Change>) {
        let Some(last) = changes.last().map(|change| change.revision) else { return };
        for change in changes {
            let Some(store) = self.kinds.iter().find(|store| change.key.starts_with(&store.kind.prefix)) else {
                continue;
            };
            let key = &change.key[store.kind.prefix.len()..];
            let entry = change.value.map(|value| Arc::new(Entry::new(key, &value, change.revision, &store.paths)));
            store.write().apply(key, entry, change.revision);
        }
        self.revision.send_if_modified(|revision| {
            let newer = last > *revision;
            *revision = last.max(*revision);
            newer
        });
    }

    /// Reads everything at one revision and turns what differs into events.
    async fn list_all(&self) -> Result<i64, backend::Error> {
        let revision = self.backend.revision().await?;
        if revision < self.revision() {
            // Another etcd, or one from a backup: what watchers were told cannot be continued.
            tracing::warn!(was = self.revision(), now = revision, "etcd's revision went back; all watches end");
            for store in &self.kinds {
                store.write().reset();
            }
            self.revision.send_replace(0);
        }
        for store in &self.kinds {
            let (mut start, end) = (store.kind.prefix.clone(), prefix_end(&store.kind.prefix));
            let mut seen = BTreeMap::new();
            loop {
                let page = self.backend.range(&start, &end, PAGE, revision).await?;
                if let Some(last) = page.items.last() {
                    start = format!("{}\0", last.key);
                }
                for item in page.items {
                    let key = &item.key[store.kind.prefix.len()..];
                    let entry = Entry::new(key, &item.value, item.revision, &store.paths);
                    seen.insert(entry.key.clone(), Arc::new(entry));
                }
                if !page.more {
                    break;
                }
            }
            store.write().replace(seen, revision);
        }
        self.revision.send_replace(revision);
        Ok(revision)
    }
}

impl Store {
    fn read(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().expect("no holder panics")
    }
    fn write(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write().expect("no holder panics")
    }
}

impl Objects {
    fn select(&self, filter: &Filter) -> Vec<Arc<Entry>> {
        let wanted = |entry: &&Arc<Entry>| filter.matches(entry);
        if filter.namespace.is_empty() {
            return self.by_key.values().filter(wanted).cloned().collect();
        }
        let start = format!("{}/{}", filter.namespace, filter.name);
        let end = prefix_end(&format!("{}/", filter.namespace));
        let range = self.by_key.range::<str, _>((Bound::Included(&*start), Bound::Excluded(&*end)));
        range
            .map(|(_, entry)| entry)
            .take_while(|e| filter.name.is_empty() || e.name() == filter.name)
            .filter(wanted)
            .cloned()
            .collect()
    }

    fn apply(&mut self, key: &str, now: Option<Arc<Entry>>, revision: i64) {
        let before = match &now {
            Some(entry) => self.by_key.insert(entry.key.clone(), entry.clone()),
            None => self.by_key.remove(key),
        };
        self.applied = revision;
        if now.is_none() && before.is_none() {
            return;
        }
        let last = match (&now, &before) {
            (None, Some(before)) => Some(Arc::new(before.at_revision(revision))),
            _ => None,
        };
        let event = Arc::new(Event { revision, now, before, last });
        self.watchers.tell(&event);
        self.remember(event);
    }

    fn remember(&mut self, event: Arc<Event>) {
        let size = |event: &Event| event.before.as_ref().map_or(0, |entry| entry.bytes.len());
        self.history_bytes += size(&event);
        self.history.push_back(event);
        while self.history.len() > HISTORY_EVENTS || self.history_bytes > HISTORY_BYTES {
            let Some(old) = self.history.pop_front() else { break };
            self.history_bytes -= size(&old);
            self.forgotten = old.revision;
        }
    }

    /// The whole kind was read anew: what differs becomes events at that revision.
    fn replace(&mut self, seen: BTreeMap<Box<str>, Arc<Entry>>, revision: i64) {
        if self.by_key.is_empty() && self.applied == 0 {
            self.by_key = seen;
            self.forgotten = revision;
            return;
        }
        let gone: Vec<Box<str>> = self.by_key.keys().filter(|key| !seen.contains_key(*key)).cloned().collect();
        for key in gone {
            self.apply(&key, None, revision);
        }
        for (key, entry) in seen {
            if self.by_key.get(&key).is_none_or(|old| old.revision != entry.revision) {
                self.apply(&key, Some(entry), revision);
            }
        }
        // What happened in between is told in one leap, so a watch cannot begin in between.
        self.history.clear();
        self.history_bytes = 0;
        self.forgotten = revision;
    }

    fn reset(&mut self) {
        self.watchers.close_all();
        *self = Self::default();
    }
}

impl Watchers {
    fn list(&mut self, filter: &Filter) -> &mut Vec<Arc<Queue>> {
        let node = filter.fields.iter().find(|(at, _, equal)| *at == 0 && *equal);
        match (filter.namespace.as_str(), filter.name.as_str(), node) {
            (namespace, name, _) if !namespace.is_empty() && !name.is_empty() => {
                self.by_key.entry(format!("{namespace}/{name}")).or_default()
            }
            (_, _, Some((_, value, _))) => self.by_field.entry(value.clone()).or_default(),
            ("", "", _) => &mut self.all,
            // A name alone: of an object without a namespace, or of any namespace.
            ("", name, _) => self.by_key.entry(name.to_owned()).or_default(),
            (namespace, _, _) => self.by_namespace.entry(namespace.to_owned()).or_default(),
        }
    }

    fn add(&mut self, queue: Arc<Queue>) {
        self.list(&queue.filter).push(queue);
    }

    fn remove(&mut self, queue: &Arc<Queue>) {
        self.list(&queue.filter).retain(|other| !Arc::ptr_eq(other, queue));
        self.by_namespace.retain(|_, list| !list.is_empty());
        self.by_key.retain(|_, list| !list.is_empty());
        self.by_field.retain(|_, list| !list.is_empty());
    }

    fn tell(&mut self, event: &Arc<Event>) {
        let Some(entry) = event.now.as_ref().or(event.before.as_ref()) else { return };
        let (namespace, name) = (entry.namespace().to_owned(), entry.name().to_owned());
        let push = |list: &mut Vec<Arc<Queue>>| list.retain(|queue| queue.push(event));
        push(&mut self.all);
        if let Some(list) = self.by_namespace.get_mut(&namespace) {
            push(list);
        }
        if let Some(list) = self.by_key.get_mut(&*entry.key) {
            push(list);
        }
        if !namespace.is_empty()
            && let Some(list) = self.by_key.get_mut(&name)
        {
            push(list);
        }
        let field = |entry: &Option<Arc<Entry>>| entry.as_ref().and_then(|e| e.fields.first()).map(ToString::to_string);
        let (now, before) = (field(&event.now), field(&event.before));
        for value in [now.clone(), before.filter(|value| Some(value) != now.as_ref())].into_iter().flatten() {
            if let Some(list) = self.by_field.get_mut(&value) {
                push(list);
            }
        }
    }

    fn close_all(&mut self) {
        let lists = self.by_namespace.values().chain(self.by_key.values()).chain(self.by_field.values());
        self.all.iter().chain(lists.flatten()).for_each(|queue| queue.close());
    }
}

async fn feed(cache: Weak<Cache>) {
    let mut state = State::Listing;
    let outage = Outage::default();
    let mut delay = FIRST_DELAY;
    loop {
        state = match state {
            State::Listing => {
                let Some(cache) = cache.upgrade() else { return };
                match cache.list_all().await {
                    Ok(revision) => State::Watching { from: revision + 1 },
                    Err(error) => outage.began(error, None),
                }
            }
            State::Watching { from } => {
                outage.over();
                delay = FIRST_DELAY;
                let Some(next) = follow(&cache, from, &outage).await else { return };
                next
            }
            State::BackOff { from } => {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(LAST_DELAY);
                let Some(cache) = cache.upgrade() else { return };
                match (from, cache.backend.revision().await) {
                    // A watch from the future would silently show nothing, so it must be the same history.
                    (Some(from), Ok(revision)) if revision >= from - 1 => State::Watching { from },
                    (_, Ok(_)) => State::Listing,
                    (from, Err(error)) => outage.began(error, from),
                }
            }
        };
    }
}

/// Applies changes until the watch ends. `None`: the cache is gone.
async fn follow(cache: &Weak<Cache>, mut from: i64, outage: &Outage) -> Option<State> {
    let backend = cache.upgrade()?.backend.clone();
    let mut changes = match backend.watch(from).await {
        Ok(changes) => changes,
        Err(backend::Error::Compacted(_)) => return Some(State::Listing),
        Err(error) => return Some(outage.began(error, Some(from))),
    };
    while let Some(batch) = changes.recv().await {
        match batch {
            Ok(batch) => {
                from = batch.changes.last().map_or(from, |last| last.revision + 1);
                cache.upgrade()?.apply(batch.changes);
            }
            Err(backend::Error::Compacted(_)) => return Some(State::Listing),
            Err(error) => return Some(outage.began(error, Some(from))),
        }
    }
    Some(State::BackOff { from: Some(from) })
}

/// Says once that the store is away, and once that it is back.
#[derive(Default)]
struct Outage(AtomicBool);

impl Outage {
    fn began(&self, error: backend::Error, from: Option<i64>) -> State {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!("{error}; trying again until it answers");
        }
        State::BackOff { from }
    }

    fn over(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("etcd answers again");
        }
    }
}
