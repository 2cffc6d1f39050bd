//! A cache over the twin in memory whose watch goes only as far as the test lets it, and what tests say of pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::selector::{FieldSelector, Selector};
use async_trait::async_trait;
use serde_json::json;
use storage::{
    Backend, Batch, Cache, Ended, Error, EventType, Filter, Guard, Kind, Memory, Op, Outcome, Page, Seen, Store,
    Stored, Tip, Watcher,
};
use tokio::sync::{mpsc, watch};

pub const FIELDS: [&str; 2] = ["spec.nodeName", "status.phase"];

pub fn pods() -> Kind {
    kind("pods")
}

pub fn kind(plural: &str) -> Kind {
    Kind { prefix: format!("/registry/{plural}/"), selectable: FIELDS.map(Into::into).to_vec() }
}

/// Holds back batches of the watch and pages of lists while it is shut.
pub struct Gate {
    pub memory: Arc<Memory>,
    open: watch::Sender<bool>,
    lists_open: watch::Sender<bool>,
    pub lists: AtomicU64,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        let (open, lists_open) = (watch::Sender::new(true), watch::Sender::new(true));
        Arc::new(Self { memory: Memory::new(), open, lists_open, lists: AtomicU64::new(0) })
    }

    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    pub fn set_lists_open(&self, open: bool) {
        self.lists_open.send_replace(open);
    }
}

#[async_trait]
impl Backend for Gate {
    async fn tip(&self) -> Result<Tip, Error> {
        self.memory.tip().await
    }
    async fn get(&self, key: &str) -> Result<Option<Stored>, Error> {
        self.memory.get(key).await
    }
    async fn range(&self, start: &str, end: &str, limit: i64, revision: i64) -> Result<Page, Error> {
        let page = self.memory.range(start, end, limit, revision).await;
        self.lists.fetch_add(1, Ordering::SeqCst);
        // The answer is on its way while the gate is shut: what is written meanwhile is not in it.
        let _ = self.lists_open.subscribe().wait_for(|open| *open).await;
        page
    }
    async fn commit(&self, guards: &[Guard], ops: Vec<Op>) -> Result<Outcome, Error> {
        self.memory.commit(guards, ops).await
    }
    async fn watch(&self, from: i64) -> Result<mpsc::Receiver<Result<Batch, Error>>, Error> {
        let mut batches = self.memory.watch(from).await?;
        let (sender, receiver) = mpsc::channel(1);
        let mut open = self.open.subscribe();
        tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                let _ = open.wait_for(|open| *open).await;
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
    async fn compact(&self, revision: i64) -> Result<(), Error> {
        self.memory.compact(revision).await
    }
}

pub async fn cache() -> (Arc<Gate>, Arc<Cache>, Store) {
    let gate = Gate::new();
    let cache = Cache::start(gate.clone());
    let store = cache.add(&pods());
    cache.ready().await;
    (gate, cache, store)
}

pub fn put(key: &str, node: &str, label: &str) -> Op {
    let name = key.rsplit('/').next().unwrap_or_default();
    let pod = json!({"kind": "Pod", "metadata": {"name": name, "labels": {"x": label}}, "spec": {"nodeName": node}});
    Op::Put { key: format!("/registry/{key}"), value: api::meta::encode(&pod).into(), time_to_live: None }
}

pub fn delete(key: &str) -> Op {
    Op::Delete { key: format!("/registry/{key}") }
}

pub async fn commit(backend: &dyn Backend, ops: Vec<Op>) -> i64 {
    match backend.commit(&[], ops).await.unwrap() {
        Outcome::Committed(revision) => revision,
        refused => panic!("{refused:?}"),
    }
}

pub async fn write(backend: &dyn Backend, name: &str, node: &str, label: &str) -> i64 {
    commit(backend, vec![put(&format!("pods/default/{name}"), node, label)]).await
}

pub fn filter(labels: &str, fields: &str) -> Filter {
    let labels: Selector = labels.parse().unwrap();
    let fields: FieldSelector = fields.parse().unwrap();
    Filter::new("", "", labels, &fields, &FIELDS).unwrap()
}

pub async fn some(watcher: &mut Watcher, limit: usize) -> Result<Vec<Seen>, Ended> {
    tokio::time::timeout(Duration::from_secs(20), watcher.next(limit)).await.expect("an event, or the end")
}

pub async fn next(watcher: &mut Watcher) -> (EventType, String, i64) {
    let events = some(watcher, 1).await.expect("the watch goes on");
    let (kind, event) = &events[0];
    (*kind, event.key().to_owned(), event.revision)
}

/// What a client knows after a list and the events after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirror(pub BTreeMap<String, String>);

impl Mirror {
    pub fn of(list: &storage::List) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self(list.entries.iter().map(|entry| (entry.key.to_string(), text(&entry.bytes))).collect())
    }

    /// Panics where an event does not fit what is known.
    pub fn apply(&mut self, seen: &[Seen]) {
        for (kind, event) in seen {
            let object = String::from_utf8(event.object(*kind).to_vec()).unwrap();
            let frame = format!("{{\"type\":\"{}\",\"object\":{object}}}\n", kind.name());
            assert_eq!(event.frame(*kind), frame.as_bytes());
            let key = event.key().to_owned();
            match kind {
                EventType::Added => assert_eq!(self.0.insert(key, object), None, "added twice"),
                EventType::Modified => assert!(self.0.insert(key, object).is_some(), "modified before it was added"),
                EventType::Deleted => assert!(self.0.remove(&key).is_some(), "deleted before it was added"),
            }
        }
    }
}
