//! The store's twin in memory, for tests: revisions, guards, history, compaction and expiry as etcd has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::backend::{Backend, Batch, Change, Error, Guard, Op, Outcome, Page, Stored, Tip};

#[derive(Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

struct State {
    cluster: u64,
    revision: i64,
    compacted: i64,
    log: Vec<Change>,
    keys: BTreeMap<String, Stored>,
    watchers: Vec<mpsc::Sender<Result<Batch, Error>>>,
    /// Set by [`Memory::set_available`]: every call fails, as with etcd away.
    away: bool,
}

impl Default for State {
    fn default() -> Self {
        // etcd begins with 1 as well.
        Self {
            cluster: 1,
            revision: 1,
            compacted: 0,
            log: Vec::new(),
            keys: BTreeMap::new(),
            watchers: Vec::new(),
            away: false,
        }
    }
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Plays an outage: while not available all calls fail, and running watches end.
    pub fn set_available(&self, available: bool) {
        let mut state = self.state.lock().expect("no holder panics");
        state.away = !available;
        if !available {
            for watcher in state.watchers.drain(..) {
                // A full queue ends as well: its sender goes.
                let _ = watcher.try_send(Err(away()));
            }
        }
    }

    /// Plays a restored backup: everything after the revision never was, and `cluster` is who answers from now on.
    pub fn restore(&self, revision: i64, cluster: u64) {
        let mut state = self.state.lock().expect("no holder panics");
        state.keys = state.at(revision);
        state.log.retain(|change| change.revision <= revision);
        state.revision = revision;
        state.cluster = cluster;
        state.watchers.clear();
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.state.lock().expect("no holder panics");
        if state.away { Err(away()) } else { Ok(state) }
    }
}

fn away() -> Error {
    Error::Unavailable { endpoints: "memory".into(), why: "set unavailable".into() }
}

impl State {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in &changes {
            match &change.value {
                Some(value) => {
                    let (key, value) = (change.key.clone(), value.clone());
                    self.keys.insert(key.clone(), Stored { key, value, revision: change.revision });
                }
                None => {
                    self.keys.remove(&change.key);
                }
            }
        }
        self.log.extend(changes.iter().cloned());
        let batch = Batch { cluster: self.cluster, changes };
        self.watchers.retain(|watcher| watcher.try_send(Ok(batch.clone())).is_ok());
    }

    fn at(&self, revision: i64) -> BTreeMap<String, Stored> {
        let mut keys = BTreeMap::new();
        for change in self.log.iter().take_while(|change| change.revision <= revision) {
            match &change.value {
                Some(value) => {
                    let (key, value) = (change.key.clone(), value.clone());
                    keys.insert(key.clone(), Stored { key, value, revision: change.revision });
                }
                None => {
                    keys.remove(&change.key);
                }
            }
        }
        keys
    }
}

#[async_trait]
impl Backend for Memory {
    async fn tip(&self) -> Result<Tip, Error> {
        let state = self.state()?;
        Ok(Tip { cluster: state.cluster, revision: state.revision })
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, Error> {
        Ok(self.state()?.keys.get(key).cloned())
    }

    async fn range(&self, start: &str, end: &str, limit: i64, revision: i64) -> Result<Page, Error> {
        let state = self.state()?;
        if revision > 0 && revision < state.compacted {
            return Err(Error::Compacted(state.compacted));
        }
        let keys = if revision > 0 { state.at(revision) } else { state.keys.clone() };
        let revision = if revision > 0 { revision } else { state.revision };
        let mut items: Vec<Stored> = keys.range(start.to_owned()..end.to_owned()).map(|(_, s)| s.clone()).collect();
        let count = items.len() as i64;
        if limit > 0 {
            items.truncate(limit as usize);
        }
        Ok(Page { cluster: state.cluster, revision, more: count > items.len() as i64, count, items })
    }

    async fn commit(&self, guards: &[Guard], ops: Vec<Op>) -> Result<Outcome, Error> {
        let mut state = self.state()?;
        let holds = |guard: &Guard| guard.holds(state.keys.get(guard.key()));
        if !guards.iter().all(holds) {
            return Ok(Outcome::Refused(guards.iter().map(|guard| state.keys.get(guard.key()).cloned()).collect()));
        }
        let revision = state.revision + 1;
        let mut changes = Vec::new();
        for op in ops {
            match op {
                Op::Put { key, value, time_to_live } => {
                    if let Some(seconds) = time_to_live {
                        expire(Arc::downgrade(&self.state), key.clone(), revision, seconds);
                    }
                    changes.push(Change { key, value: Some(value), revision });
                }
                Op::Delete { key } if state.keys.contains_key(&key) => {
                    changes.push(Change { key, value: None, revision });
                }
                Op::Delete { .. } => {}
            }
        }
        if changes.is_empty() {
            return Ok(Outcome::Committed(state.revision));
        }
        state.revision = revision;
        state.apply(changes);
        Ok(Outcome::Committed(revision))
    }

    async fn watch(&self, from: i64) -> Result<mpsc::Receiver<Result<Batch, Error>>, Error> {
        let mut state = self.state()?;
        if from <= state.compacted {
            return Err(Error::Compacted(state.compacted));
        }
        let (sender, receiver) = mpsc::channel(100_000);
        let past: Vec<Change> = state.log.iter().filter(|change| change.revision >= from).cloned().collect();
        // The queue is empty and long.
        let _ = sender.try_send(Ok(Batch { cluster: state.cluster, changes: past }));
        state.watchers.push(sender);
        Ok(receiver)
    }

    async fn compact(&self, revision: i64) -> Result<(), Error> {
        let mut state = self.state()?;
        state.compacted = state.compacted.max(revision);
        Ok(())
    }
}

fn expire(state: std::sync::Weak<Mutex<State>>, key: String, revision: i64, seconds: i64) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds.max(0) as u64)).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = state.lock().expect("no holder panics");
        if state.keys.get(&key).is_some_and(|stored| stored.revision == revision) {
            state.revision += 1;
            let revision = state.revision;
            state.apply(vec![Change { key, value: None, revision }]);
        }
    });
}
