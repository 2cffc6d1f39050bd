//! The objects of one kind as they are served, and the watches of them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::backend::{Change, prefix_end};
use crate::entry::Entry;
use crate::event::{Event, EventType};
use crate::filter::Filter;
use crate::index::{Inbox, Index, Topic};
use crate::progress::{CacheError, Progress};
use crate::ring::Ring;
use crate::scan::Selectable;
use crate::watcher::Watcher;

/// Watchers are woken at once by the first event of a burst, and then this often: each wake-up, frame and write costs as
/// much as many events. One timer serves all watchers of a kind.
const PACE: Duration = Duration::from_millis(2);

/// A kind of objects in the store.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Where its keys begin, with a slash at the end. No kind's prefix begins with another's.
    pub prefix: String,
    /// Fields that selectors may name. Watches that want one value of the first are found by it.
    pub selectable: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Field {
    /// Dotted.
    pub path: String,
    /// Its value in objects that lack it.
    pub absent: String,
}

impl From<&str> for Field {
    fn from(path: &str) -> Self {
        Self { path: path.into(), absent: String::new() }
    }
}

#[derive(Debug)]
pub struct List {
    pub revision: i64,
    pub entries: Vec<Arc<Entry>>,
}

/// How a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub objects: usize,
    /// Everything up to here is in it.
    pub revision: i64,
    /// Changes that it was told of since it was made.
    pub events: u64,
    /// Watches that ended because they were too slow.
    pub overtaken: u64,
}

/// A handle for the objects of one kind.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) prefix: Box<str>,
    pub(crate) selectable: Selectable,
    pub(crate) progress: Arc<Progress>,
    /// Locked before `recent`.
    objects: RwLock<Objects>,
    recent: RwLock<Recent>,
    /// The ring's position up to which watchers were woken.
    pub(crate) pulse: watch::Sender<u64>,
    filled: watch::Sender<bool>,
    pub(crate) overtaken: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Objects {
    by_key: BTreeSet<ByKey>,
    filled: bool,
    era: u64,
    /// Everything up to here is in `by_key`.
    revision: i64,
    /// When it was last read as a whole. Nothing is known of what happened before.
    listed: i64,
    /// The last change since then.
    changed: i64,
    /// Changes that came while it was read for the first time.
    held: Vec<Change>,
}

/// What watchers look at.
#[derive(Default)]
pub(crate) struct Recent {
    pub(crate) ring: Ring,
    pub(crate) index: Index,
    /// Grows when all watches end.
    pub(crate) epoch: u64,
    pub(crate) removed: bool,
    /// Everything up to here is in the ring.
    pub(crate) revision: i64,
    /// Position up to which watchers were woken.
    pub(crate) shown: u64,
    last_pulse: Option<Instant>,
    pulse_is_due: bool,
}

/// An entry in the order of the keys.
struct ByKey(Arc<Entry>);

impl Store {
    pub(crate) fn new(kind: &Kind, progress: Arc<Progress>) -> Self {
        Self(Arc::new(Inner {
            prefix: kind.prefix.as_str().into(),
            selectable: Selectable::new(&kind.selectable),
            progress,
            objects: RwLock::default(),
            recent: RwLock::default(),
            pulse: watch::Sender::new(0),
            filled: watch::Sender::new(false),
            overtaken: AtomicU64::new(0),
        }))
    }

    /// It has been filled from etcd.
    pub fn is_ready(&self) -> bool {
        *self.0.filled.borrow() && self.0.progress.revision() > 0
    }

    pub async fn ready(&self) {
        // Only fails when the sender goes, and `self` holds it.
        let _ = self.0.filled.subscribe().wait_for(|filled| *filled).await;
        self.0.progress.until(|reached| reached.revision > 0).await;
    }

    /// Waits until this store shows at least what etcd holds now.
    pub async fn catch_up(&self) -> Result<i64, CacheError> {
        let revision = self.0.progress.catch_up().await?;
        self.wait_for(revision).await?;
        Ok(revision)
    }

    /// Waits until this store has the revision.
    pub async fn wait_for(&self, revision: i64) -> Result<(), CacheError> {
        self.0.progress.wait_for(revision).await?;
        if !self.is_ready() {
            let ready = tokio::time::timeout(crate::progress::CATCH_UP, self.ready()).await;
            ready.map_err(|_| CacheError::NotReady)?;
        }
        Ok(())
    }

    pub fn figures(&self) -> Figures {
        let objects = self.0.objects();
        let events = self.0.recent().ring.end();
        Figures {
            objects: objects.by_key.len(),
            revision: self.0.progress.revision().max(objects.revision),
            events,
            overtaken: self.0.overtaken.load(Relaxed),
        }
    }

    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.0.objects().by_key.get(key).map(|by_key| by_key.0.clone())
    }

    /// What the cache holds now, in the order of the keys. Callers that need it fresh call [`Self::catch_up`] before.
    pub fn list(&self, filter: &Filter) -> List {
        let published = self.0.progress.revision();
        let objects = self.0.objects();
        List { revision: published.max(objects.revision), entries: objects.select(filter) }
    }

    /// The list and every change after it.
    pub fn list_and_watch(&self, filter: Filter) -> (List, Watcher) {
        let published = self.0.progress.revision();
        let objects = self.0.objects();
        let list = List { revision: published.max(objects.revision), entries: objects.select(&filter) };
        // Changes are made under both locks, and one of them is held.
        let watcher = match Topic::of(&filter) {
            None => {
                let recent = self.0.recent();
                Watcher::at_ring(&self.0, &recent, filter, recent.ring.end(), 0)
            }
            Some(topic) => self.register(&mut self.0.recent_mut(), topic, filter, 0, |ring| ring.end()),
        };
        (list, watcher)
    }

    /// Every change after a revision.
    pub fn watch(&self, filter: Filter, after: i64) -> Result<Watcher, CacheError> {
        let known = |recent: &Recent| match recent.ring.forgotten() {
            oldest if after < oldest => Err(CacheError::Expired { asked: after, oldest }),
            _ => Ok(()),
        };
        match Topic::of(&filter) {
            None => {
                let recent = self.0.recent();
                known(&recent)?;
                Ok(Watcher::at_ring(&self.0, &recent, filter, recent.ring.after(after), after))
            }
            Some(topic) => {
                let mut recent = self.0.recent_mut();
                known(&recent)?;
                Ok(self.register(&mut recent, topic, filter, after, |ring| ring.after(after)))
            }
        }
    }

    fn register(
        &self,
        recent: &mut Recent,
        topic: Topic,
        filter: Filter,
        after: i64,
        from: impl Fn(&Ring) -> u64,
    ) -> Watcher {
        let ring = &recent.ring;
        let wanted = |at: &u64| ring.get(*at).is_some_and(|event| event.seen_through(&filter).is_some());
        let inbox = Inbox::new((from(ring)..ring.end()).filter(wanted).collect());
        recent.index.add(topic, inbox.clone(), recent.shown);
        Watcher::at_inbox(&self.0, recent, filter, inbox, after)
    }

    /// True when nothing of this kind was changed after the revision, as far back as the cache knows: not before it
    /// last read everything, as what was deleted before leaves no trace.
    pub fn unchanged_since(&self, revision: i64) -> bool {
        let published = self.0.progress.revision();
        let objects = self.0.objects();
        let known = objects.listed..=objects.revision.max(published);
        objects.filled && known.contains(&revision) && objects.changed <= revision
    }

    /// An object as the backend has it, in the form in which the cache holds objects of this kind.
    pub fn entry(&self, key: &str, stored: &[u8], revision: i64) -> Entry {
        Entry::new(key, stored, revision, &self.0.selectable)
    }
}

impl Inner {
    fn objects(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().expect("no holder panics")
    }
    fn objects_mut(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write().expect("no holder panics")
    }
    pub(crate) fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().expect("no holder panics")
    }
    pub(crate) fn recent_mut(&self) -> RwLockWriteGuard<'_, Recent> {
        self.recent.write().expect("no holder panics")
    }

    pub(crate) fn needs_filling(&self) -> bool {
        !self.objects().filled && !self.recent().removed
    }

    /// Changes in the order of their revisions, whole revisions only: readers see all of them or none.
    pub(crate) fn apply(self: &Arc<Self>, changes: Vec<Change>) {
        let mut objects = self.objects_mut();
        if objects.filled {
            objects.apply(self, &mut self.recent_mut(), changes);
            drop(objects);
            self.pulse_soon();
        } else {
            objects.held.extend(changes);
        }
    }

    /// The whole kind as it was at the revision. `first`: only if it was not filled meanwhile.
    pub(crate) fn fill(self: &Arc<Self>, seen: Vec<Arc<Entry>>, revision: i64, era: u64, first: bool) {
        let mut objects = self.objects_mut();
        let (anew, filled) = (era != objects.era, objects.filled);
        if filled && (first || (!anew && objects.revision >= revision)) {
            return;
        }
        let mut recent = self.recent_mut();
        let held = std::mem::take(&mut objects.held);
        if anew || !filled {
            *objects =
                Objects { by_key: seen.into_iter().map(ByKey).collect(), filled: true, era, ..Objects::default() };
            recent.ring.clear(revision);
            recent.epoch += 1;
            recent.index.wake_all();
            recent.shown = recent.ring.end();
        } else {
            objects.replace(&mut recent, seen, revision);
        }
        (objects.revision, objects.listed, recent.revision) = (revision, revision, revision);
        recent.ring.forget(revision);
        objects.apply(self, &mut recent, held);
        drop((recent, objects));
        self.filled.send_replace(true);
        if anew || !filled {
            self.pulse.send_modify(|_| ());
        }
        self.pulse_soon();
    }

    /// Ends all watches. What is held can still be read by who has a handle.
    pub(crate) fn remove(&self) {
        let mut recent = self.recent_mut();
        recent.removed = true;
        recent.epoch += 1;
        recent.index.wake_all();
        drop(recent);
        self.pulse.send_modify(|_| ());
    }

    fn pulse_soon(self: &Arc<Self>) {
        let mut recent = self.recent_mut();
        if recent.pulse_is_due || recent.shown == recent.ring.end() {
            return;
        }
        let now = Instant::now();
        match recent.last_pulse.map(|last| last + PACE).filter(|due| *due > now) {
            None => self.pulse(recent, now),
            Some(due) => {
                recent.pulse_is_due = true;
                let store = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep_until(due).await;
                    store.pulse(store.recent_mut(), Instant::now());
                });
            }
        }
    }

    fn pulse(&self, mut recent: RwLockWriteGuard<'_, Recent>, now: Instant) {
        recent.pulse_is_due = false;
        recent.last_pulse = Some(now);
        recent.shown = recent.ring.end();
        recent.index.pulse();
        let shown = recent.shown;
        drop(recent);
        self.pulse.send_replace(shown);
    }
}

impl Objects {
    fn select(&self, filter: &Filter) -> Vec<Arc<Entry>> {
        let wanted = |entry: &&Arc<Entry>| filter.matches(entry);
        if filter.namespace.is_empty() {
            // A name alone is the whole key of an object without a namespace.
            if let Some(entry) = self.by_key.get(filter.name.as_str()) {
                return Some(&entry.0).into_iter().filter(wanted).cloned().collect();
            }
            return self.by_key.iter().map(|by_key| &by_key.0).filter(wanted).cloned().collect();
        }
        if !filter.name.is_empty() {
            let entry = self.by_key.get(format!("{}/{}", filter.namespace, filter.name).as_str());
            return entry.map(|by_key| &by_key.0).into_iter().filter(wanted).cloned().collect();
        }
        let start = format!("{}/", filter.namespace);
        let end = prefix_end(&start);
        let range = self.by_key.range::<str, _>((Bound::Included(&*start), Bound::Excluded(&*end)));
        range.map(|by_key| &by_key.0).filter(wanted).cloned().collect()
    }

    fn apply(&mut self, store: &Inner, recent: &mut Recent, changes: Vec<Change>) {
        for change in changes {
            // What was read as a whole has it already.
            if change.revision <= self.listed {
                continue;
            }
            let key = &change.key[store.prefix.len()..];
            match change.value {
                None => self.put(recent, key, None, None, change.revision),
                Some(value) => {
                    let exists = self.by_key.contains(key);
                    let kind = if exists { EventType::Modified } else { EventType::Added };
                    let (entry, frame) = Entry::framed(kind, key, &value, change.revision, &store.selectable);
                    self.put(recent, key, Some(Arc::new(entry)), Some((kind, frame)), change.revision);
                }
            }
        }
    }

    fn put(
        &mut self,
        recent: &mut Recent,
        key: &str,
        now: Option<Arc<Entry>>,
        frame: Option<(EventType, bytes::Bytes)>,
        revision: i64,
    ) {
        let before = match &now {
            Some(entry) => self.by_key.replace(ByKey(entry.clone())),
            None => self.by_key.take(key),
        };
        (self.revision, self.changed, recent.revision) = (revision, revision, revision);
        if now.is_none() && before.is_none() {
            return;
        }
        let event = Arc::new(Event::new(revision, before.map(|by_key| by_key.0), now, frame));
        let position = recent.ring.end();
        recent.ring.push(event.clone());
        recent.index.tell(&event, position, recent.ring.base());
    }

    /// Everything was read anew: what differs becomes events. Changes have their own revisions and come in that order,
    /// deletions come last, as theirs are not known; so nobody can go on from a revision before he was told all of it.
    fn replace(&mut self, recent: &mut Recent, seen: Vec<Arc<Entry>>, revision: i64) {
        let there: HashSet<&str> = seen.iter().map(|entry| &*entry.key).collect();
        let keys = self.by_key.iter().map(|old| &old.0.key);
        let gone: Vec<Box<str>> = keys.filter(|key| !there.contains(&***key)).cloned().collect();
        let differs = |new: &Arc<Entry>| self.by_key.get(&*new.key).is_none_or(|old| old.0.revision != new.revision);
        let mut changed: Vec<Arc<Entry>> = seen.into_iter().filter(differs).collect();
        changed.sort_by_key(|entry| entry.revision);
        for entry in changed {
            let (key, revision) = (entry.key.clone(), entry.revision);
            self.put(recent, &key, Some(entry), None, revision);
        }
        for key in gone {
            self.put(recent, &key, None, None, revision);
        }
    }
}

impl ByKey {
    fn key(&self) -> &str {
        &self.0.key
    }
}

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        self.key()
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for ByKey {}
impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}
