//! Pods that nobody else deletes: of nodes that have gone, deleted before they had a node, and too many terminated ones.
use std::{collections::HashMap, sync::Arc, time::Duration};

use client::{Client, Error, Store, Stored};
use daemon::LogOnce;
use k8s_openapi::{
    api::core::v1::{Node, Pod as ApiPod},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::{Pod, name, namespace};

/// How often pods are looked at; nothing here is urgent.
const PERIOD: Duration = Duration::from_secs(20);
/// A node must have been gone for so long: it may only have been made anew.
const QUARANTINE: Duration = Duration::from_secs(40);

#[derive(Clone)]
pub struct PodGc {
    client: Client,
    pods: Store<Pod>,
    nodes: Store<Node>,
    threshold: usize,
}

/// The pods to delete. `gone_since` are the nodes that are not there, and since when.
fn plan(
    pods: &[Arc<Pod>],
    gone_since: &HashMap<String, Instant>,
    threshold: usize,
    now: Instant,
) -> Vec<(Arc<Pod>, &'static str)> {
    let mut plan = Vec::new();
    let mut terminated = Vec::new();
    for pod in pods {
        let node = &pod.spec.node_name;
        if gone_since.get(node).is_some_and(|since| now.duration_since(*since) >= QUARANTINE) {
            plan.push((pod.clone(), "its node has gone"));
        } else if node.is_empty() && pod.metadata.deletion_timestamp.is_some() {
            plan.push((pod.clone(), "it is deleted and has no node"));
        } else if pod.is_terminated() {
            terminated.push(pod.clone());
        }
    }
    if threshold > 0 && terminated.len() > threshold {
        terminated.sort_by_cached_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.key()));
        let surplus = terminated.len() - threshold;
        plan.extend(terminated.into_iter().take(surplus).map(|pod| (pod, "too many pods have terminated")));
    }
    plan
}

impl PodGc {
    pub fn new(client: &Client, pods: &Store<Pod>, nodes: &Store<Node>, threshold: usize) -> Self {
        Self { client: client.clone(), pods: pods.clone(), nodes: nodes.clone(), threshold }
    }

    pub async fn run(self, token: CancellationToken) {
        let log = LogOnce::new();
        let mut ticks = tokio::time::interval(PERIOD);
        let mut gone_since: HashMap<String, Instant> = HashMap::new();
        loop {
            tokio::select! {
                _ = token.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (pods, now) = (self.pods.list(), Instant::now());
            let named = pods.iter().map(|pod| &pod.spec.node_name).filter(|node| !node.is_empty());
            let gone = named.filter(|node| self.nodes.get("", node).is_none());
            gone_since = gone.map(|node| (node.clone(), gone_since.get(node).copied().unwrap_or(now))).collect();
            for (pod, why) in plan(&pods, &gone_since, self.threshold, now) {
                match self.delete(&pod).await {
                    Ok(()) => tracing::info!("pod {} deleted: {why}", pod.key()),
                    Err(error) => {
                        log.trouble(format_args!("pods can't be cleared away: {error}"));
                        break;
                    }
                }
            }
        }
    }

    /// At once: nobody is there who could end it gracefully.
    async fn delete(&self, pod: &Pod) -> Result<(), Error> {
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let options =
            DeleteOptions { preconditions: Some(preconditions), grace_period_seconds: Some(0), ..Default::default() };
        match self.client.delete::<ApiPod>(namespace(&pod.metadata), name(&pod.metadata), &options).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, meta: Value, node: &str, phase: &str) -> Arc<Pod> {
        let mut json = json!({"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": phase}});
        json["metadata"]["name"] = name.into();
        Arc::new(serde_json::from_value(json).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_cleared_away() {
        let (start, now) = (Instant::now(), Instant::now() + QUARANTINE);
        let created = |time: &str| json!({"creationTimestamp": time});
        let pods = [
            pod("there", json!({}), "n", "Running"),
            pod("orphan", json!({}), "gone", "Running"),
            pod("perhaps", json!({}), "just-gone", "Running"),
            pod("unplaced", json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), "", "Pending"),
            pod("pending", json!({}), "", "Pending"),
            pod("new", created("2026-01-01T00:00:02Z"), "n", "Succeeded"),
            pod("old", created("2026-01-01T00:00:01Z"), "n", "Failed"),
        ];
        let gone = HashMap::from([("gone".to_owned(), start), ("just-gone".to_owned(), now)]);
        let names = |threshold| {
            let plan = plan(&pods, &gone, threshold, now);
            plan.iter().map(|(pod, _)| name(&pod.metadata).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["orphan", "unplaced", "old"]);
        assert_eq!(names(0), ["orphan", "unplaced"]);
    }
}
