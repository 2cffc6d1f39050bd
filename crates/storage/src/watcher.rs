//! One watcher: what it wants to see, and its bounded queue of events.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::selector::{FieldSelector, Selector};
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::entry::Entry;

/// A watcher that was just served waits this long for more. The first event of a burst goes out at once; of the others
/// several go together, as each wake-up, frame and write costs as much as many events.
const PACE: Duration = Duration::from_millis(2);
/// Events that a watcher may be behind before it is closed. It may then begin again from a list.
const QUEUE_LIMIT: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Added,
    Modified,
    Deleted,
}

impl EventType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A change of one object. The same event is shared by all who see it.
#[derive(Debug)]
pub struct Event {
    pub revision: i64,
    /// The object after the change; `None` when it was deleted.
    pub(crate) now: Option<Arc<Entry>>,
    /// The object before the change; `None` when it was created.
    pub(crate) before: Option<Arc<Entry>>,
    /// The last state, with the revision of the deletion. Only made for deletions.
    pub(crate) last: Option<Arc<Entry>>,
}

impl Event {
    /// What this event is to someone who sees only what `filter` lets through.
    pub(crate) fn seen_through(&self, filter: &Filter) -> Option<EventType> {
        let now = self.now.as_deref().is_some_and(|entry| filter.matches(entry));
        let before = self.before.as_deref().is_some_and(|entry| filter.matches(entry));
        match (before, now) {
            (false, true) => Some(EventType::Added),
            (true, true) => Some(EventType::Modified),
            (true, false) => Some(EventType::Deleted),
            (false, false) => None,
        }
    }

    /// The object as the watcher is to see it.
    pub fn object(&self, kind: EventType) -> Bytes {
        match (kind, &self.now, &self.last, &self.before) {
            (EventType::Deleted, None, Some(last), _) => last.bytes.clone(),
            // Still there, but out of the watcher's sight.
            (EventType::Deleted, Some(_), _, Some(before)) => before.at_revision(self.revision).bytes,
            (_, Some(now), _, _) => now.bytes.clone(),
            _ => Bytes::new(),
        }
    }

    pub fn key(&self) -> &str {
        self.now.as_ref().or(self.before.as_ref()).map_or("", |entry| &entry.key)
    }
}

/// What of a kind's objects is wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Empty: all namespaces.
    pub namespace: String,
    /// Empty: all names.
    pub name: String,
    pub labels: Selector,
    /// Position in the kind's selectable fields, the value, and whether it must be equal or must not.
    pub fields: Vec<(usize, String, bool)>,
}

/// A field selector names a field that the kind cannot be selected by.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("field label not supported: {0}")]
pub struct UnsupportedField(pub String);

impl Filter {
    /// `selectable`: the kind's fields for selectors, as dotted paths.
    pub fn new(
        namespace: &str,
        name: &str,
        labels: Selector,
        fields: &FieldSelector,
        selectable: &[&str],
    ) -> Result<Self, UnsupportedField> {
        let mut filter = Self { namespace: namespace.into(), name: name.into(), labels, fields: Vec::new() };
        for requirement in fields.requirements() {
            let (field, value, equal) = (requirement.field.as_str(), requirement.value.as_str(), requirement.equal);
            match (field, equal) {
                ("metadata.name", true) if filter.name.is_empty() => filter.name = value.into(),
                ("metadata.namespace", true) if filter.namespace.is_empty() => filter.namespace = value.into(),
                _ => {
                    let at = match field {
                        "metadata.name" => NAME,
                        "metadata.namespace" => NAMESPACE,
                        _ => selectable
                            .iter()
                            .position(|path| *path == field)
                            .ok_or_else(|| UnsupportedField(field.to_owned()))?,
                    };
                    filter.fields.push((at, value.to_owned(), equal));
                }
            }
        }
        Ok(filter)
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || self.namespace == entry.namespace())
            && (self.name.is_empty() || self.name == entry.name())
            && self.fields.iter().all(|(at, value, equal)| (value_at(entry, *at) == value) == *equal)
            && (self.labels.is_everything() || self.labels.matches(&entry.labels))
    }
}

/// Positions that every kind has.
const NAME: usize = usize::MAX;
const NAMESPACE: usize = usize::MAX - 1;

fn value_at(entry: &Entry, at: usize) -> &str {
    match at {
        NAME => entry.name(),
        NAMESPACE => entry.namespace(),
        at => entry.fields.get(at).map_or("", |value| value),
    }
}

pub(crate) struct Queue {
    pub(crate) filter: Filter,
    events: Mutex<VecDeque<(EventType, Arc<Event>)>>,
    closed: AtomicBool,
    wake: Notify,
}

impl Queue {
    pub(crate) fn new(filter: Filter, past: VecDeque<(EventType, Arc<Event>)>) -> Arc<Self> {
        Arc::new(Self { filter, events: Mutex::new(past), closed: AtomicBool::new(false), wake: Notify::new() })
    }

    /// `false` when the watcher is too slow: it is closed, and nobody waits for it.
    pub(crate) fn push(&self, event: &Arc<Event>) -> bool {
        let Some(kind) = event.seen_through(&self.filter) else { return true };
        let mut events = self.events.lock().expect("no holder panics");
        if events.len() >= QUEUE_LIMIT {
            events.clear();
            drop(events);
            self.close();
            return false;
        }
        events.push_back((kind, event.clone()));
        let first = events.len() == 1;
        drop(events);
        if first {
            self.wake.notify_one();
        }
        true
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// The reader's end. Dropping it ends the watch.
pub struct Watcher {
    pub(crate) queue: Arc<Queue>,
    unregister: Box<dyn Fn() + Send + Sync>,
    /// When events were last taken.
    served: Option<Instant>,
}

impl Watcher {
    pub(crate) fn new(queue: Arc<Queue>, unregister: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { queue, unregister, served: None }
    }

    /// Waits until there is something and takes up to `limit` events of it. Empty: the watch is over, as the watcher
    /// was too slow or the cache had to begin anew.
    pub async fn next(&mut self, limit: usize) -> Vec<(EventType, Arc<Event>)> {
        if let Some(served) = self.served {
            tokio::time::sleep_until(served + PACE).await;
        }
        loop {
            let woken = self.queue.wake.notified();
            {
                let mut events = self.queue.events.lock().expect("no holder panics");
                if !events.is_empty() {
                    let many = events.len().min(limit);
                    let taken = events.drain(..many).collect();
                    if !events.is_empty() {
                        self.queue.wake.notify_one();
                    }
                    self.served = Some(Instant::now());
                    return taken;
                }
            }
            if self.queue.closed.load(Ordering::Acquire) {
                return Vec::new();
            }
            woken.await;
        }
    }

    /// What is there already, without waiting.
    pub fn pending(&mut self) -> Vec<(EventType, Arc<Event>)> {
        self.queue.events.lock().expect("no holder panics").drain(..).collect()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.queue.close();
        (self.unregister)();
    }
}
