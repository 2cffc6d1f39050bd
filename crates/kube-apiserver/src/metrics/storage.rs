//! What the store of objects is asked for and how long it takes, and what the cache holds of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use async_trait::async_trait;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Metrics;
use storage::{Backend, Batch, Error, Guard, Op, Outcome, Page, Stored, Tip};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{SECONDS, collect, family};
use crate::registry::Registry;

/// As upstream names what is done.
#[derive(Clone, Copy)]
enum Operation {
    Get,
    List,
    Create,
    Update,
    Delete,
    Compact,
    Tip,
}

const OPERATIONS: [&str; 7] = ["get", "list", "create", "update", "delete", "compact", "getCurrentResourceVersion"];

struct Child {
    seconds: Histogram,
    calls: Counter,
    errors: Counter,
}

/// What was asked for of a folder, by operation.
type Children = Arc<[OnceLock<Child>; OPERATIONS.len()]>;
/// By the folder of the keys.
type Folders = HashMap<Box<str>, Children>;

/// A store whose answers are counted.
#[derive(Clone)]
pub struct MeasuredBackend {
    backend: Arc<dyn Backend>,
    folders: Arc<RwLock<Folders>>,
}

impl MeasuredBackend {
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, folders: Arc::default() }
    }

    async fn measure<T>(
        &self,
        operation: Operation,
        children: Children,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let result = call.await;
        let make = || Child { seconds: Histogram::new(SECONDS), calls: Counter::default(), errors: Counter::default() };
        let child = children[operation as usize].get_or_init(make);
        child.calls.inc();
        child.seconds.observe(began.elapsed().as_secs_f64());
        if result.is_err() {
            child.errors.inc();
        }
        result
    }

    /// Those of a key's folder.
    fn children(&self, key: &str) -> Children {
        let name = folder(key);
        if let Some(children) = self.folders.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return children.clone();
        }
        let mut folders = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        folders.entry(name.into()).or_default().clone()
    }
}

/// `pods` of `/registry/pods/default/p`: the server itself names its keys, so there are few.
fn folder(key: &str) -> &str {
    key.strip_prefix("/registry/").and_then(|rest| rest.split('/').next()).unwrap_or("")
}

/// Resource and group of a folder.
fn labels(folder: &str) -> (&str, &str) {
    folder.split_once('.').unwrap_or((folder, ""))
}

#[async_trait]
impl Backend for MeasuredBackend {
    async fn tip(&self) -> Result<Tip, Error> {
        self.measure(Operation::Tip, self.children(""), self.backend.tip()).await
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, Error> {
        self.measure(Operation::Get, self.children(key), self.backend.get(key)).await
    }

    async fn range(&self, start: &str, end: &str, limit: i64, revision: i64) -> Result<Page, Error> {
        self.measure(Operation::List, self.children(start), self.backend.range(start, end, limit, revision)).await
    }

    async fn commit(&self, guards: &[Guard], ops: Vec<Op>) -> Result<Outcome, Error> {
        // The first operation is what the transaction is for; others go with it.
        let (operation, key) = match (ops.first(), guards.first()) {
            (Some(Op::Put { key, .. }), Some(Guard::Absent(_))) => (Operation::Create, key.as_str()),
            (Some(Op::Put { key, .. }), _) => (Operation::Update, key.as_str()),
            (Some(Op::Delete { key }), _) => (Operation::Delete, key.as_str()),
            (None, _) => (Operation::Get, ""),
        };
        let children = self.children(key);
        self.measure(operation, children, self.backend.commit(guards, ops)).await
    }

    async fn watch(&self, from: i64) -> Result<mpsc::Receiver<Result<Batch, Error>>, Error> {
        self.backend.watch(from).await
    }

    async fn compact(&self, revision: i64) -> Result<(), Error> {
        self.measure(Operation::Compact, self.children(""), self.backend.compact(revision)).await
    }
}

impl MeasuredBackend {
    pub fn register(&self, metrics: &mut Metrics) {
        let measured = self.clone();
        collect(metrics, move |encoder| measured.encode(encoder));
    }

    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let folders = self.folders.read().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = folders.iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let children = || {
            sorted.iter().flat_map(|(name, children)| {
                let (resource, group) = labels(name);
                OPERATIONS.iter().zip(children.iter()).filter_map(move |(operation, child)| {
                    let labels = [("operation", *operation), ("group", group), ("resource", resource)];
                    Some((labels, child.get()?))
                })
            })
        };
        let help = "Etcd request latency in seconds for each operation and object type";
        let seconds = children().map(|(labels, child)| (labels, child.seconds.clone()));
        family(&mut encoder, ("etcd_request_duration_seconds", help, MetricType::Histogram), seconds)?;
        let help = "Etcd request counts for each operation and object type";
        let counts = children().map(|(labels, child)| (labels, ConstCounter::new(child.calls.get())));
        family(&mut encoder, ("etcd_requests", help, MetricType::Counter), counts)?;
        let help = "Etcd failed request counts for each operation and object type";
        let errors = children().filter(|(_, child)| child.errors.get() > 0);
        let errors = errors.map(|(labels, child)| (labels, ConstCounter::new(child.errors.get())));
        family(&mut encoder, ("etcd_request_errors", help, MetricType::Counter), errors)
    }
}

/// What the watch cache holds.
pub fn register_cache(registry: &Arc<Registry>, metrics: &mut Metrics) {
    let registry = registry.clone();
    collect(metrics, move |encoder| encode_cache(&registry, encoder));
}

fn encode_cache(registry: &Registry, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
    let figures = registry.figures();
    let named: Vec<_> = figures.iter().map(|(resource, figures)| (resource.qualified(), resource, figures)).collect();
    let two = || {
        named.iter().map(|(_, resource, figures)| {
            ([("group", resource.stored().group), ("resource", resource.plural)], *figures)
        })
    };
    let help = "[DEPRECATED, consider using apiserver_resource_objects instead] Number of stored objects split by kind";
    let objects =
        named.iter().map(|(name, _, figures)| ([("resource", name.as_str())], ConstGauge::new(figures.objects as i64)));
    family(&mut encoder, ("apiserver_storage_objects", help, MetricType::Gauge), objects)?;
    let help = "Number of stored objects split by kind";
    let objects = two().map(|(labels, figures)| (labels, ConstGauge::new(figures.objects as i64)));
    family(&mut encoder, ("apiserver_resource_objects", help, MetricType::Gauge), objects)?;
    let help = "Current resource version of watch cache broken by resource type";
    let revisions = two().map(|(labels, figures)| (labels, ConstGauge::new(figures.revision)));
    family(&mut encoder, ("apiserver_watch_cache_resource_version", help, MetricType::Gauge), revisions)?;
    let help = "Counter of events received in watch cache broken by resource type";
    let events = two().map(|(labels, figures)| (labels, ConstCounter::new(figures.events)));
    family(&mut encoder, ("apiserver_watch_cache_events_received", help, MetricType::Counter), events)?;
    let help = "Counter of watchers closed due to unresponsiveness broken by resource type";
    let ended = two().filter(|(_, figures)| figures.overtaken > 0);
    let ended = ended.map(|(labels, figures)| (labels, ConstCounter::new(figures.overtaken)));
    family(&mut encoder, ("apiserver_terminated_watchers", help, MetricType::Counter), ended)
}

#[cfg(test)]
mod tests {
    use storage::Memory;

    use super::*;

    #[tokio::test]
    async fn the_store_is_measured_by_what_it_is_asked_for() {
        let measured = MeasuredBackend::new(Memory::new());
        let key = || "/registry/leases.coordination.k8s.io/x/l".to_owned();
        let put = |value: &'static [u8]| vec![Op::Put { key: key(), value: value.to_vec().into(), time_to_live: None }];
        let Outcome::Committed(revision) = measured.commit(&[Guard::Absent(key())], put(b"a")).await.unwrap() else {
            panic!("refused")
        };
        measured.commit(&[Guard::Unchanged(key(), revision)], put(b"b")).await.unwrap();
        measured.get(&key()).await.unwrap();
        measured.tip().await.unwrap();
        measured.compact(revision + 1).await.unwrap();
        measured.range("/registry/pods/", "/registry/pods0", 0, revision).await.unwrap_err();
        measured.commit(&[], vec![Op::Delete { key: key() }]).await.unwrap();
        let mut registry = Metrics::default();
        measured.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for (operation, group, resource) in [
            ("create", "coordination.k8s.io", "leases"),
            ("update", "coordination.k8s.io", "leases"),
            ("get", "coordination.k8s.io", "leases"),
            ("delete", "coordination.k8s.io", "leases"),
            ("list", "", "pods"),
            ("compact", "", ""),
            ("getCurrentResourceVersion", "", ""),
        ] {
            let labels = format!("{{operation=\"{operation}\",group=\"{group}\",resource=\"{resource}\"}}");
            assert!(text.contains(&format!("etcd_requests_total{labels} 1\n")), "{labels}: {text}");
            assert!(text.contains(&format!("etcd_request_duration_seconds_count{labels} 1\n")), "{labels}: {text}");
        }
        let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("etcd_request_errors_total")).collect();
        assert_eq!(failed, ["etcd_request_errors_total{operation=\"list\",group=\"\",resource=\"pods\"} 1"]);
    }
}
