//! Events: what happened to an object, and the line that tells it to watchers, made once for all of them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::entry::{self, Entry};
use crate::filter::Filter;

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

/// What stands around the object in a watch's line.
pub(crate) fn envelope(kind: EventType) -> (&'static [u8], &'static [u8]) {
    let before: &[u8] = match kind {
        EventType::Added => b"{\"type\":\"ADDED\",\"object\":",
        EventType::Modified => b"{\"type\":\"MODIFIED\",\"object\":",
        EventType::Deleted => b"{\"type\":\"DELETED\",\"object\":",
    };
    (before, b"}\n")
}

/// A change of one object. The same event is shared by all who see it.
#[derive(Debug)]
pub struct Event {
    pub revision: i64,
    /// The object after the change; `None` when it was deleted.
    now: Option<Arc<Entry>>,
    /// The object before the change; `None` when it was created.
    before: Option<Arc<Entry>>,
    /// By [`EventType`]. One of them is the rule; labels that change make others.
    frames: [OnceLock<Bytes>; 3],
}

impl Event {
    /// `frame`: if it was made together with the entry.
    pub(crate) fn new(
        revision: i64,
        before: Option<Arc<Entry>>,
        now: Option<Arc<Entry>>,
        frame: Option<(EventType, Bytes)>,
    ) -> Self {
        let mut frames = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
        if let Some((kind, frame)) = frame {
            frames[kind as usize] = frame.into();
        }
        Self { revision, now, before, frames }
    }

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

    /// The line of a JSON watch. The object of a deletion is its last state, with the revision of the deletion; it may
    /// still be there, out of the watcher's sight.
    pub fn frame(&self, kind: EventType) -> Bytes {
        let make = || {
            let (begin, end) = envelope(kind);
            let entry = if kind == EventType::Deleted { &self.before } else { &self.now };
            let size = entry.as_ref().map_or(0, |entry| entry.bytes.len());
            let mut frame = Vec::with_capacity(begin.len() + size + end.len() + 20);
            frame.extend_from_slice(begin);
            match entry {
                Some(entry) if kind == EventType::Deleted => entry::at_revision(&mut frame, entry, self.revision),
                Some(entry) => frame.extend_from_slice(&entry.bytes),
                None => {}
            }
            frame.extend_from_slice(end);
            frame.into()
        };
        self.frames[kind as usize].get_or_init(make).clone()
    }

    /// The object as the watcher is to see it.
    pub fn object(&self, kind: EventType) -> Bytes {
        match (kind, &self.now) {
            (EventType::Added | EventType::Modified, Some(now)) => now.bytes.clone(),
            _ => {
                let (frame, (begin, end)) = (self.frame(kind), envelope(kind));
                frame.slice(begin.len()..frame.len() - end.len())
            }
        }
    }

    /// The entry after the change, for [`Entry::other`]; `None` when the event is a deletion.
    pub fn entry(&self, kind: EventType) -> Option<&Arc<Entry>> {
        self.now.as_ref().filter(|_| kind != EventType::Deleted)
    }

    pub fn key(&self) -> &str {
        self.states().next().map_or("", |entry| &entry.key)
    }

    /// The object after and before the change.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.now.iter().chain(&self.before)
    }

    /// Bytes that are kept for this event alone: the state before it. What is now is in the cache anyway.
    pub(crate) fn weight(&self) -> usize {
        self.before.as_ref().map_or(0, |entry| entry.bytes.len())
    }
}
