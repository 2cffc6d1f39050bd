//! The loop: deltas go into the cache and the queue, pods come out of the queue and get a node, bindings run beside it.
use std::{future::pending, sync::Arc, time::Duration};

use client::{Binder, Binding, Change, EventRecorder, EventType, Key, Store, Terms};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    algorithm::Algorithm,
    cache::Cache,
    decisions::Decisions,
    metrics::Metrics,
    model::{Node, Pod, Service},
    plugins::Helps,
    queue::Queue,
    status::Unscheduled,
};

/// A change that the cache or the queue must know.
pub enum Delta {
    Pod(Change<Pod>),
    Node(Change<Node>),
    Service(Change<Service>),
}

/// Changes of the three stores, in order.
pub fn deltas(pods: &Store<Pod>, nodes: &Store<Node>, services: &Store<Service>) -> mpsc::UnboundedReceiver<Delta> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // The receiver is gone only when the daemon ends.
    let forward = sender.clone();
    nodes.on_change(move |change| drop(forward.send(Delta::Node(change.clone()))));
    let forward = sender.clone();
    services.on_change(move |change| drop(forward.send(Delta::Service(change.clone()))));
    pods.on_change(move |change| drop(sender.send(Delta::Pod(change.clone()))));
    receiver
}

/// Where decisions go.
pub struct Outputs {
    pub binder: Binder,
    pub events: EventRecorder,
    pub unscheduled: Unscheduled,
    pub decisions: Decisions,
    pub metrics: Metrics,
}

pub struct Scheduler {
    name: String,
    cache: Cache,
    queue: Queue,
    algorithm: Algorithm,
    rng: SmallRng,
    outputs: Outputs,
    bindings: JoinSet<(Arc<Pod>, Arc<str>, client::Result<()>)>,
}

/// So many bindings may be under way; more pods are decided on when some are done.
const MAX_BINDINGS: usize = 512;
/// So many pods are decided on before other tasks and deltas have their turn.
const BATCH: usize = 32;

impl Scheduler {
    pub fn new(name: String, outputs: Outputs) -> Self {
        Self {
            name,
            cache: Cache::default(),
            queue: Queue::default(),
            algorithm: Algorithm::default(),
            rng: SmallRng::from_os_rng(),
            outputs,
            bindings: JoinSet::new(),
        }
    }

    /// Follows the deltas until the token is cancelled; places pods during the terms.
    pub async fn run(mut self, mut deltas: mpsc::UnboundedReceiver<Delta>, mut terms: Terms, token: CancellationToken) {
        let mut term: Option<CancellationToken> = None;
        loop {
            let now = Instant::now();
            let mut due = self.queue.ripen(now);
            term.take_if(|term| term.is_cancelled());
            if term.is_some() && self.bindings.len() < MAX_BINDINGS && self.place_some(now) {
                due = Some(now);
            }
            self.outputs.metrics.set_depths(self.queue.depths(), self.cache.pod_count(), self.cache.node_count());
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = token.cancelled() => return,
                delta = deltas.recv() => match delta {
                    Some(delta) => self.apply(delta),
                    None => return token.cancelled().await,
                },
                Some(bound) = self.bindings.join_next() => match bound {
                    Ok((pod, node, result)) => self.bound(&pod, &node, result),
                    Err(error) => tracing::error!("a binding: {error}"),
                },
                granted = terms.current(), if term.is_none() => term = Some(granted),
                _ = async { if let Some(term) = &term { term.cancelled().await } }, if term.is_some() => {}
                _ = timer => {}
            }
            // All that has come meanwhile is known before the next decision.
            while let Ok(delta) = deltas.try_recv() {
                self.apply(delta);
            }
        }
    }

    /// Tells whether there is more.
    fn place_some(&mut self, now: Instant) -> bool {
        for _ in 0..BATCH {
            match self.queue.pop(now) {
                Some(pod) => self.place(pod, now),
                None => return false,
            }
        }
        true
    }

    fn place(&mut self, pod: Arc<Pod>, now: Instant) {
        let started = std::time::Instant::now();
        let decision = self.algorithm.decide(&pod, &self.cache, &mut self.rng);
        let outcome = decision.outcome.clone();
        self.outputs.decisions.keep(&pod, decision);
        self.outputs.metrics.decided(outcome.is_ok(), started.elapsed());
        match outcome {
            Ok(node) => {
                // Assumed: the next decision counts with it.
                self.cache.add_pod(pod.clone(), &node);
                let binder = self.outputs.binder.clone();
                let binding = Binding {
                    namespace: pod.namespace().to_owned(),
                    pod: pod.metadata.name.clone().unwrap_or_default(),
                    uid: pod.uid().to_owned(),
                    node: node.to_string(),
                };
                self.bindings.spawn(async move {
                    let result = binder.bind(binding).await;
                    (pod, node, result)
                });
            }
            Err(error) => {
                self.outputs.unscheduled.report(&pod, &error.message);
                self.outputs.events.record(pod.reference(), EventType::Warning, "FailedScheduling", error.message);
                self.queue.wait(pod.uid(), error.helped_by, now);
            }
        }
    }

    fn bound(&mut self, pod: &Pod, node: &str, result: client::Result<()>) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.queue.remove(pod.uid());
                let key = Key::new(pod.namespace(), pod.metadata.name.as_deref().unwrap_or_default());
                let message = format!("Successfully assigned {key} to {node}");
                self.outputs.events.record(pod.reference(), EventType::Normal, "Scheduled", message);
            }
            Err(error) => {
                self.outputs.metrics.binding_failed();
                self.cache.remove_pod(pod.uid());
                self.queue.happened(Helps::PodGone, now);
                if error.is_not_found() {
                    return self.queue.remove(pod.uid());
                }
                tracing::warn!("pod {}/{:?}: binding to {node}: {error}", pod.namespace(), pod.metadata.name);
                if !error.is_unavailable() {
                    let message = format!("Binding rejected: {error}");
                    self.outputs.events.record(pod.reference(), EventType::Warning, "FailedScheduling", message);
                }
                self.queue.retry(pod.uid(), now);
            }
        }
    }

    fn apply(&mut self, delta: Delta) {
        let now = Instant::now();
        match delta {
            Delta::Pod(change) => self.apply_pod(&change, now),
            Delta::Node(Change::Added(node)) => {
                self.cache.set_node(node);
                self.queue.happened(Helps::Allocatable, now);
                self.queue.happened(Helps::NodeProperties, now);
            }
            Delta::Node(Change::Modified { old, new }) => {
                let more = old.allocatable != new.allocatable || old.max_pods != new.max_pods;
                let other = old.metadata.labels != new.metadata.labels
                    || old.taints != new.taints
                    || old.unschedulable != new.unschedulable;
                self.cache.set_node(new);
                if more {
                    self.queue.happened(Helps::Allocatable, now);
                }
                if other {
                    self.queue.happened(Helps::NodeProperties, now);
                }
            }
            Delta::Node(Change::Deleted(node)) => {
                self.cache.remove_node(node.metadata.name.as_deref().unwrap_or_default());
            }
            Delta::Service(change) => {
                let selector = |service: Option<&Arc<Service>>| service.map(|service| service.selector.clone());
                if selector(change.before()) != selector(change.after()) {
                    self.cache.set_service(change.object(), change.after().is_some());
                }
            }
        }
    }

    fn apply_pod(&mut self, change: &Change<Pod>, now: Instant) {
        // A pod of the same name may have taken the place of another.
        if let Some(old) = change.before()
            && old.uid() != change.object().uid()
        {
            self.forget(old, now);
        }
        match change.after() {
            Some(pod) if !pod.finished && !pod.node_name.is_empty() => {
                self.queue.remove(pod.uid());
                self.cache.add_pod(pod.clone(), &pod.node_name);
            }
            Some(pod) if self.is_ours(pod) => {
                // What is assumed stays so until its binding has an answer.
                if !self.cache.has_pod(pod.uid()) {
                    self.queue.set(pod.clone(), now);
                }
            }
            _ => self.forget(change.object(), now),
        }
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        let name = if pod.scheduler_name.is_empty() { "default-scheduler" } else { &pod.scheduler_name };
        name == self.name && !pod.finished && !pod.gated && pod.metadata.deletion_timestamp.is_none()
    }

    fn forget(&mut self, pod: &Pod, now: Instant) {
        self.queue.remove(pod.uid());
        if self.cache.remove_pod(pod.uid()) {
            self.queue.happened(Helps::PodGone, now);
        }
    }
}

/// Waits for the stores: a decision made on half the cluster would be a wrong one.
pub async fn live(pods: &Store<Pod>, nodes: &Store<Node>, services: &Store<Service>) {
    let wait = async {
        nodes.wait_live().await;
        services.wait_live().await;
        pods.wait_live().await;
    };
    tokio::pin!(wait);
    while tokio::time::timeout(Duration::from_secs(30), &mut wait).await.is_err() {
        tracing::info!("waiting for the watches of pods, nodes and services");
    }
}

#[cfg(test)]
mod tests;
