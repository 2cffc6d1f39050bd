//! Replication controllers: so many pods that a selector matches.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::selector::Selector;
use client::{Change, Client, Error, EventRecorder, Key, Next, Patch, Store, WorkQueue, object_reference};
use jiff::Timestamp;
use k8s_openapi::{
    Resource,
    api::core::v1::{ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus},
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{Pod, controller, name, namespace, uid},
    replicas::{Counts, Owner, Replicas, count},
};

/// Replication controllers by namespace.
pub const BY_NAMESPACE: &str = "namespace";

#[derive(Clone)]
pub struct Replication {
    client: Client,
    controllers: Store<ReplicationController>,
    replicas: Replicas,
    queue: WorkQueue<Key>,
}

impl Replication {
    pub fn new(
        client: &Client,
        controllers: &Store<ReplicationController>,
        pods: &Store<Pod>,
        events: EventRecorder,
    ) -> Self {
        let this = Self {
            client: client.clone(),
            controllers: controllers.clone(),
            replicas: Replicas::new(client, pods, events),
            queue: WorkQueue::default(),
        };
        let queue = this.queue.clone();
        controllers.on_change(move |change| queue.add(client::Stored::key(change.object().as_ref())));
        let watcher = this.clone();
        pods.on_change(move |change| watcher.pod_changed(change));
        this
    }

    pub async fn run(self, workers: usize, token: CancellationToken) {
        self.replicas.expectations.forget_all();
        let this = self.clone();
        let work = move |key| {
            let this = this.clone();
            async move { this.sync(key).await }
        };
        self.queue.run("replicationcontroller", workers, token, work).await;
    }

    fn owner_of(&self, pod: &Pod) -> Option<Key> {
        let owner = controller(&pod.metadata).filter(|owner| owner.kind == ReplicationController::KIND)?;
        let key = Key::new(namespace(&pod.metadata), &owner.name);
        let found = self.controllers.by_key(&key)?;
        (uid(&found.metadata) == owner.uid).then_some(key)
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let expectations = &self.replicas.expectations;
        match change {
            Change::Added(pod) => {
                if let Some(owner) = controller(&pod.metadata).filter(|one| one.kind == ReplicationController::KIND) {
                    expectations.creation_seen(&Key::new(namespace(&pod.metadata), &owner.name));
                }
            }
            Change::Modified { old, new } => {
                // What it belonged to before must know as well.
                if old.metadata.owner_references != new.metadata.owner_references
                    && let Some(key) = self.owner_of(old)
                {
                    self.queue.add(key);
                }
            }
            Change::Deleted(_) => {}
        }
        let pod = change.object();
        let going = pod.metadata.deletion_timestamp.is_some() || matches!(change, Change::Deleted(_));
        match self.owner_of(pod) {
            Some(key) => {
                if going {
                    expectations.deletion_seen(&key, uid(&pod.metadata));
                }
                self.queue.add(key);
            }
            None if controller(&pod.metadata).is_none() && !going => self.wake_matching(pod),
            None => {}
        }
    }

    /// A pod without a controller may be adopted.
    fn wake_matching(&self, pod: &Pod) {
        for one in self.controllers.by_index(BY_NAMESPACE, namespace(&pod.metadata)) {
            if selector(&one).matches_option(pod.metadata.labels.as_ref()) {
                self.queue.add(client::Stored::key(one.as_ref()));
            }
        }
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(found) = self.controllers.by_key(&key) else {
            self.replicas.expectations.forget(&key);
            return Ok(Next::Done);
        };
        let owner = owner(&key, &found);
        let outcome = self.replicas.sync(&owner).await?;
        let template = owner.template.metadata.and_then(|meta| meta.labels).unwrap_or_default();
        let min_ready = found.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
        let min_ready = Duration::from_secs(min_ready.try_into().unwrap_or_default());
        let now = Timestamp::now();
        let counts = count(&outcome.active, &template, min_ready, now);
        let failure = outcome.failure.as_ref().map(|(reason, error)| (*reason, error.to_string()));
        let new = status(&found, counts, failure, now);
        if found.status.as_ref() != Some(&new) {
            self.write_status(&found, new).await?;
        }
        match outcome.failure {
            Some((_, error)) => Err(error),
            None => Ok(counts.next.map_or(Next::Done, Next::After)),
        }
    }

    /// A patch: nobody else writes this status, so no conflict is worth a retry.
    async fn write_status(
        &self,
        found: &ReplicationController,
        status: ReplicationControllerStatus,
    ) -> Result<(), Error> {
        let meta = &found.metadata;
        let mut patch = json!({"metadata": {"uid": meta.uid}, "status": status});
        // What is not in a merge patch stays; conditions that are over must go.
        if status.conditions.is_none() {
            patch["status"]["conditions"] = json!(null);
        }
        let done = self
            .client
            .patch::<ReplicationController>(namespace(meta), name(meta), Patch::Merge, &patch, "status")
            .await;
        match done {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn selector(found: &ReplicationController) -> Selector {
    let labels: Option<&BTreeMap<_, _>> = found.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    // Validation does not let an empty selector through; it must not match everything.
    labels.filter(|labels| !labels.is_empty()).map_or_else(Selector::nothing, Selector::from_labels)
}

fn owner(key: &Key, found: &Arc<ReplicationController>) -> Owner {
    let spec = found.spec.clone().unwrap_or_default();
    Owner {
        key: key.clone(),
        reference: OwnerReference {
            api_version: ReplicationController::API_VERSION.to_owned(),
            kind: ReplicationController::KIND.to_owned(),
            name: key.name.clone(),
            uid: uid(&found.metadata).to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        },
        object: object_reference(found.as_ref()),
        selector: selector(found),
        desired: spec.replicas.unwrap_or(1).max(0) as usize,
        template: spec.template.unwrap_or_default(),
        deleting: found.metadata.deletion_timestamp.is_some(),
    }
}

fn status(
    found: &ReplicationController,
    counts: Counts,
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> ReplicationControllerStatus {
    const FAILURE: &str = "ReplicaFailure";
    let old = found.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.unwrap_or_default();
    let known = conditions.iter().any(|condition| condition.type_ == FAILURE);
    match failure {
        None => conditions.retain(|condition| condition.type_ != FAILURE),
        // The first reason stays until the failure is over.
        Some((reason, message)) if !known => conditions.push(ReplicationControllerCondition {
            type_: FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        }),
        Some(_) => {}
    }
    // Zeros are left out, as upstream's encoding does, except for the replicas.
    let some = |count: i32| (count > 0).then_some(count);
    ReplicationControllerStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: some(counts.fully_labeled).or(old.fully_labeled_replicas.map(|_| 0)),
        ready_replicas: some(counts.ready).or(old.ready_replicas.map(|_| 0)),
        available_replicas: some(counts.available).or(old.available_replicas.map(|_| 0)),
        observed_generation: found.metadata.generation.max(old.observed_generation),
        conditions: (!conditions.is_empty()).then_some(conditions),
    }
}

#[cfg(test)]
mod tests;
