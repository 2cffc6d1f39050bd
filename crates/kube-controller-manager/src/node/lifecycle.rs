//! Watches over nodes: those that fall silent are marked, and their pods leave.
//!
//! How long a node has been silent is measured on the own clock, by changes of its status and its lease.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use client::{Change, Client, Error, EventRecorder, Next, Patch, Store, Stored, WorkQueue, object_reference};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Node, Pod as ApiPod},
    },
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions, Time},
};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    eviction::leaves_at,
    health::{self, Grace, Readiness},
};
use crate::{
    model::{Pod, name, namespace, pod_reference, uid},
    stores::BY_NODE,
};

/// Where the leases of nodes are.
const LEASES: &str = "kube-node-lease";

#[derive(Clone)]
pub struct Lifecycle {
    client: Client,
    nodes: Store<Node>,
    pods: Store<Pod>,
    events: EventRecorder,
    grace: Grace,
    period: Duration,
    /// When each node was heard of last.
    heard: Arc<Mutex<HashMap<String, Instant>>>,
    queue: WorkQueue<String>,
}

impl Lifecycle {
    pub fn new(
        client: &Client,
        nodes: &Store<Node>,
        leases: &Store<Lease>,
        pods: &Store<Pod>,
        events: EventRecorder,
        (grace, period): (Grace, Duration),
    ) -> Self {
        let this = Self {
            client: client.clone(),
            nodes: nodes.clone(),
            pods: pods.clone(),
            events,
            grace,
            period,
            heard: Arc::default(),
            queue: WorkQueue::default(),
        };
        let watcher = this.clone();
        nodes.on_change(move |change| watcher.node_changed(change));
        let watcher = this.clone();
        leases.on_change(move |change| {
            let meta = &change.object().metadata;
            if namespace(meta) == LEASES && change.after().is_some() {
                watcher.heard_of(name(meta));
            }
        });
        let watcher = this.clone();
        pods.on_change(move |change| {
            // A pod that is bound to a node which it does not tolerate must leave at once.
            let bound = |pod: &Pod| pod.spec.node_name.clone();
            if let Some(pod) = change.after()
                && change.before().is_none_or(|old| bound(old) != bound(pod))
                && !pod.spec.node_name.is_empty()
            {
                watcher.queue.add(bound(pod));
            }
        });
        this
    }

    fn all_heard(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard_of(&self, node: &str) {
        self.all_heard().insert(node.to_owned(), Instant::now());
    }

    fn node_changed(&self, change: &Change<Node>) {
        let node = change.object();
        let heartbeat = |node: &Node| {
            let conditions = node.status.as_ref().and_then(|status| status.conditions.clone());
            conditions.map(|all| all.into_iter().map(|one| one.last_heartbeat_time).collect::<Vec<_>>())
        };
        match change {
            Change::Deleted(_) => {
                self.all_heard().remove(name(&node.metadata));
            }
            Change::Added(_) => self.heard_of(name(&node.metadata)),
            Change::Modified { old, new } if heartbeat(old) != heartbeat(new) => self.heard_of(name(&node.metadata)),
            Change::Modified { .. } => {}
        }
        self.queue.add(name(&node.metadata).to_owned());
    }

    pub async fn run(self, token: CancellationToken) {
        // What was said before this process led counts as just heard: it was not listening for long enough.
        let now = Instant::now();
        self.all_heard().values_mut().for_each(|heard| *heard = now);
        let this = self.clone();
        let work = move |node: String| {
            let this = this.clone();
            async move { this.sync(&node).await }
        };
        self.queue.run("node", 4, token, work).await;
    }

    async fn sync(&self, name: &str) -> Result<Next, Error> {
        let Some(node) = self.nodes.get("", name) else { return Ok(Next::Done) };
        let silent = self.all_heard().get(name).map_or(Duration::ZERO, Instant::elapsed);
        if let Some(conditions) = health::silence(&node, silent, self.grace) {
            self.mark_silent(&node, conditions).await?;
            return Ok(Next::After(Duration::from_millis(10)));
        }
        // When no node is ready, then it is we who see nothing.
        let evict = self.nodes.list().iter().any(|node| health::readiness(node) == Readiness::Ready);
        if let Some(taints) = health::taints(&node, evict) {
            self.set_taints(&node, taints).await?;
        }
        if health::readiness(&node) == Readiness::Unknown {
            self.mark_pods(&node).await?;
        }
        let next = self.evict(&node).await?;
        Ok(Next::After(next.map_or(self.period, |next| next.min(self.period))))
    }

    async fn mark_silent(
        &self,
        node: &Node,
        conditions: Vec<k8s_openapi::api::core::v1::NodeCondition>,
    ) -> Result<(), Error> {
        let now = Time(Timestamp::now());
        let was_ready = health::readiness(node) == Readiness::Ready;
        let mut all = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        for mut condition in conditions {
            condition.last_transition_time = Some(now.clone());
            match all.iter_mut().find(|known| known.type_ == condition.type_) {
                Some(known) => *known = condition,
                None => all.push(condition),
            }
        }
        let meta = &node.metadata;
        // Guarded: the kubelet may speak again just now.
        let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "status": {"conditions": all}});
        self.client.patch::<Node>("", name(meta), Patch::Merge, &patch, "status").await?;
        if was_ready {
            let message = format!("Node {} status is now: NodeNotReady", name(meta));
            self.events.normal(node, "NodeNotReady", message);
        }
        Ok(())
    }

    async fn set_taints(&self, node: &Node, mut taints: Vec<k8s_openapi::api::core::v1::Taint>) -> Result<(), Error> {
        let old = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        for taint in taints.iter_mut().filter(|taint| taint.time_added.is_none() && !old.contains(taint)) {
            taint.time_added = Some(Time(Timestamp::now()));
        }
        let meta = &node.metadata;
        let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "spec": {"taints": taints}});
        self.client.patch::<Node>("", name(meta), Patch::Merge, &patch, "").await.map(drop)
    }

    /// Pods of a node that says nothing are not ready: services must not send anybody there.
    async fn mark_pods(&self, node: &Node) -> Result<(), Error> {
        for pod in self.pods.by_index(BY_NODE, name(&node.metadata)) {
            if !pod.is_ready() {
                continue;
            }
            let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": Time(Timestamp::now())});
            let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
            let (namespace, pod_name) = (namespace(&pod.metadata), name(&pod.metadata));
            match self.client.patch::<ApiPod>(namespace, pod_name, Patch::Strategic, &patch, "status").await {
                Ok(_) => self.events.record(
                    pod_reference(&pod),
                    client::EventType::Warning,
                    "NodeNotReady",
                    "Node is not ready",
                ),
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Deletes the pods whose time is over; tells when the next one's is.
    async fn evict(&self, node: &Node) -> Result<Option<Duration>, Error> {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        if !taints.iter().any(|taint| taint.effect == "NoExecute") {
            return Ok(None);
        }
        let now = Timestamp::now();
        let mut next: Option<Duration> = None;
        for pod in self.pods.by_index(BY_NODE, name(&node.metadata)) {
            if pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let tolerations = pod.spec.tolerations.as_deref().unwrap_or_default();
            let Some(end) = leaves_at(&taints, tolerations, now) else { continue };
            if end > now {
                let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
                next = Some(next.map_or(left, |next| next.min(left)));
                continue;
            }
            let preconditions = Preconditions { uid: Some(uid(&pod.metadata).to_owned()), resource_version: None };
            let options = DeleteOptions { preconditions: Some(preconditions), ..Default::default() };
            let message = format!("Marking for deletion Pod {}", pod.key());
            self.events.record(pod_reference(&pod), client::EventType::Normal, "TaintManagerEviction", message);
            match self.client.delete::<ApiPod>(namespace(&pod.metadata), name(&pod.metadata), &options).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                _ => {
                    tracing::info!("pod {} leaves node {}", pod.key(), object_reference(node).name.unwrap_or_default())
                }
            }
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests;
