//! The recent events of a kind, once for all of its watchers. A watcher is a position in it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::Event;

/// Events that a watcher may be behind before it is overtaken: this many, or this many bytes of former states.
const MAX_EVENTS: usize = 16 * 1024;
const MAX_BYTES: usize = 16 * 1024 * 1024;

#[derive(Default)]
pub(crate) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Position of the first event.
    base: u64,
    bytes: usize,
    /// Changes up to this revision can no longer be told to who begins now.
    forgotten: i64,
}

impl Ring {
    /// Position of the next event.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn forgotten(&self) -> i64 {
        self.forgotten
    }

    /// From now on a watch cannot begin before this revision. Watchers that run keep their events.
    pub(crate) fn forget(&mut self, revision: i64) {
        self.forgotten = self.forgotten.max(revision);
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(old) = self.events.pop_front() else { break };
            self.bytes -= old.weight();
            self.base += 1;
            self.forget(old.revision);
        }
    }

    /// Another history begins at this revision.
    pub(crate) fn clear(&mut self, revision: i64) {
        *self = Self { base: self.end(), forgotten: revision, ..Self::default() };
    }

    /// `None` when it is no longer there.
    pub(crate) fn get(&self, position: u64) -> Option<&Arc<Event>> {
        self.events.get(usize::try_from(position.checked_sub(self.base)?).ok()?)
    }

    /// Position of the first event after a revision.
    pub(crate) fn after(&self, revision: i64) -> u64 {
        self.base + self.events.partition_point(|event| event.revision <= revision) as u64
    }
}
