//! One watcher: a position in its kind's ring of recent events, and a filter.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use crate::event::{Event, EventType};
use crate::filter::Filter;
use crate::index::{Inbox, Topic};
use crate::store::{Inner, Recent};

pub type Seen = (EventType, Arc<Event>);

/// Why a watch is over. Clients list again: their resource version has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    #[error("the watch was too slow: events that it has not seen are no longer kept")]
    Overtaken,
    #[error("etcd was replaced or restored from a backup: its resource versions began anew")]
    Reset,
    #[error("the resource is no longer served, or was defined anew")]
    Removed,
}

/// Dropping it ends the watch.
pub struct Watcher {
    store: Arc<Inner>,
    filter: Filter,
    /// The store's when the watch began.
    epoch: u64,
    /// Events up to this revision are not wanted.
    after: i64,
    place: Place,
}

enum Place {
    /// The next event to look at, and what tells that there are more.
    Ring(u64, watch::Receiver<u64>),
    Inbox(Arc<Inbox>),
}

impl Watcher {
    /// `from`: position in the ring.
    pub(crate) fn at_ring(store: &Arc<Inner>, recent: &Recent, filter: Filter, from: u64, after: i64) -> Self {
        let place = Place::Ring(from, store.pulse.subscribe());
        Self { store: store.clone(), filter, epoch: recent.epoch, after, place }
    }

    pub(crate) fn at_inbox(store: &Arc<Inner>, recent: &Recent, filter: Filter, inbox: Arc<Inbox>, after: i64) -> Self {
        Self { store: store.clone(), filter, epoch: recent.epoch, after, place: Place::Inbox(inbox) }
    }

    /// Waits until there is something and takes up to `limit` events of it, or more if they share a revision: who was
    /// told a part of a revision could not go on from it.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Seen>, Ended> {
        loop {
            if let Place::Ring(_, pulse) = &mut self.place {
                pulse.mark_unchanged();
            }
            let seen = self.take(limit, |recent| recent.shown)?.0;
            if !seen.is_empty() {
                return Ok(seen);
            }
            match &mut self.place {
                // Only fails when the sender goes, and `self` holds it.
                Place::Ring(_, pulse) => drop(pulse.changed().await),
                Place::Inbox(inbox) => inbox.wake.notified().await,
            }
        }
    }

    /// What is there already, up to `limit` as in [`Self::next`], and the revision up to which the watcher then has been
    /// told everything: what a bookmark may say.
    pub fn bookmark(&mut self, limit: usize) -> Result<(Vec<Seen>, i64), Ended> {
        // Asked before the ring is looked at: what is published is in it.
        let published = self.store.progress.revision();
        let (seen, reached) = self.take(limit, |recent| recent.ring.end())?;
        let told = seen.last().map_or(0, |(_, event)| event.revision);
        let revision = reached.map_or(told, |reached| reached.max(published)).max(self.after);
        Ok((seen, revision))
    }

    fn take(&mut self, limit: usize, until: impl Fn(&Recent) -> u64) -> Result<(Vec<Seen>, Option<i64>), Ended> {
        let taken = self.look(limit, until);
        if matches!(taken, Err(Ended::Overtaken)) {
            self.store.overtaken.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Events before the position that `until` tells; and, if nothing was left, the revision of the store.
    fn look(&mut self, limit: usize, until: impl Fn(&Recent) -> u64) -> Result<(Vec<Seen>, Option<i64>), Ended> {
        let Self { store, filter, epoch, after, place } = self;
        let recent = store.recent();
        if recent.epoch != *epoch {
            return Err(if recent.removed { Ended::Removed } else { Ended::Reset });
        }
        let until = until(&recent);
        let mut seen: Vec<Seen> = Vec::new();
        let mut look = |event: &Arc<Event>| {
            if seen.len() >= limit && seen.last().is_some_and(|(_, last)| last.revision != event.revision) {
                return false;
            }
            if event.revision > *after
                && let Some(kind) = event.seen_through(filter)
            {
                seen.push((kind, event.clone()));
            }
            true
        };
        let mut all = true;
        match place {
            Place::Ring(next, _) => {
                while all && *next < until {
                    all = look(recent.ring.get(*next).ok_or(Ended::Overtaken)?);
                    *next += u64::from(all);
                }
            }
            Place::Inbox(inbox) => {
                let mut letters = inbox.lock();
                while all && let Some(position) = letters.positions.front().copied().filter(|at| *at < until) {
                    all = look(recent.ring.get(position).ok_or(Ended::Overtaken)?);
                    if all {
                        letters.positions.pop_front();
                    }
                }
            }
        }
        Ok((seen, all.then_some(recent.revision)))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let (Place::Inbox(inbox), Some(topic)) = (&self.place, Topic::of(&self.filter)) {
            self.store.recent_mut().index.remove(topic, inbox);
        }
    }
}
