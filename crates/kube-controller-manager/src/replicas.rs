//! Keeps so many pods of a template: what replication controllers and, by another kind, replica sets do.
//!
//! Does not own the status of the owner, nor which owners there are.
mod claim;
mod expectations;
mod order;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::selector::Selector;
use client::{Client, Error, EventRecorder, EventType, Key, Store};
use k8s_openapi::{
    api::core::v1::{ObjectReference, Pod as ApiPod, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, OwnerReference, Preconditions},
};
use serde_json::json;
use tokio::task::JoinSet;

pub use claim::{Claim, claims};
pub use expectations::Expectations;

use crate::model::{Pod, controller, name, uid};

/// By controller's uid.
pub const BY_CONTROLLER: &str = "controller";
/// Pods without a controller, by namespace.
pub const ORPHANS: &str = "orphans";
/// So many pods are made or deleted before the owner is looked at anew.
pub const BURST: usize = 500;
/// The first batch of creations; each following one is twice as large, so that a template which is refused is refused once.
const FIRST_BATCH: usize = 1;

/// Who has the replicas.
#[derive(Clone, Debug)]
pub struct Owner {
    pub key: Key,
    pub reference: OwnerReference,
    pub object: ObjectReference,
    pub selector: Selector,
    pub desired: usize,
    pub template: PodTemplateSpec,
    pub deleting: bool,
}

/// What to do about the number of pods.
#[derive(Debug, PartialEq)]
pub enum Plan {
    Nothing,
    Create(usize),
    Delete(Vec<Arc<Pod>>),
}

pub fn plan(desired: usize, active: &[Arc<Pod>]) -> Plan {
    if active.len() < desired {
        return Plan::Create((desired - active.len()).min(BURST));
    }
    let surplus = (active.len() - desired).min(BURST);
    if surplus == 0 { Plan::Nothing } else { Plan::Delete(order::first_to_go(active, surplus)) }
}

/// The pods of an owner after it was looked at.
#[derive(Debug)]
pub struct Outcome {
    pub active: Vec<Arc<Pod>>,
    /// Why the number of pods could not be made right.
    pub failure: Option<(&'static str, Error)>,
}

#[derive(Clone)]
pub struct Replicas {
    client: Client,
    pods: Store<Pod>,
    events: EventRecorder,
    pub expectations: Expectations,
}

impl Replicas {
    pub fn new(client: &Client, pods: &Store<Pod>, events: EventRecorder) -> Self {
        Self { client: client.clone(), pods: pods.clone(), events, expectations: Expectations::default() }
    }

    /// Claims the owner's pods and makes their number right, unless earlier changes have not been seen yet.
    pub async fn sync(&self, owner: &Owner) -> Result<Outcome, Error> {
        // Asked before the pods are read: what is fulfilled now is in the store.
        let fulfilled = self.expectations.fulfilled(&owner.key);
        let pods = self.claim(owner).await?;
        let active: Vec<_> = pods.into_iter().filter(|pod| pod.is_active()).collect();
        let mut failure = None;
        if fulfilled && !owner.deleting {
            failure = match plan(owner.desired, &active) {
                Plan::Nothing => None,
                Plan::Create(count) => self.create(owner, count).await.err().map(|error| ("FailedCreate", error)),
                Plan::Delete(pods) => self.delete(owner, pods).await.err().map(|error| ("FailedDelete", error)),
            };
        }
        Ok(Outcome { active, failure })
    }

    /// The pods that the owner controls; adopts those that fit and have no controller, releases those that fit no more.
    async fn claim(&self, owner: &Owner) -> Result<Vec<Arc<Pod>>, Error> {
        let mut candidates = self.pods.by_index(BY_CONTROLLER, &owner.reference.uid);
        candidates.retain(|pod| pod.metadata.namespace.as_deref() == Some(&owner.key.namespace));
        if !owner.deleting {
            candidates.extend(self.pods.by_index(ORPHANS, &owner.key.namespace));
        }
        let mut owned = Vec::with_capacity(candidates.len());
        for (pod, claim) in claims(owner, candidates) {
            match claim {
                Claim::Keep => owned.push(pod),
                Claim::Adopt => {
                    let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
                    owners.push(owner.reference.clone());
                    if self.set_owners(&pod, owners).await? {
                        owned.push(pod);
                    }
                }
                Claim::Release => {
                    let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
                    owners.retain(|one| one.uid != owner.reference.uid);
                    self.set_owners(&pod, owners).await?;
                }
            }
        }
        Ok(owned)
    }

    /// Fails when the pod has changed meanwhile, for the decision was about another state. `false`: the pod is gone.
    async fn set_owners(&self, pod: &Pod, owners: Vec<OwnerReference>) -> Result<bool, Error> {
        let meta = &pod.metadata;
        let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version,
            "ownerReferences": owners}});
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        match self.client.patch::<ApiPod>(namespace, name(meta), client::Patch::Merge, &patch, "").await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, owner: &Owner, count: usize) -> Result<(), Error> {
        self.expectations.expect_creations(&owner.key, count);
        let pod = Arc::new(pod_of(owner));
        let (mut left, mut batch) = (count, FIRST_BATCH);
        while left > 0 {
            let size = batch.min(left);
            let mut tasks = JoinSet::new();
            for _ in 0..size {
                let (client, pod) = (self.client.clone(), pod.clone());
                tasks.spawn(async move { client.create(&*pod).await });
            }
            let mut failed = None;
            while let Some(result) = tasks.join_next().await {
                match result {
                    Ok(Ok(pod)) => {
                        let message = format!("Created pod: {}", name(&pod.metadata));
                        self.events.record(owner.object.clone(), EventType::Normal, "SuccessfulCreate", message);
                    }
                    Ok(Err(error)) => {
                        self.expectations.creation_seen(&owner.key);
                        failed = Some(error);
                    }
                    Err(error) => {
                        self.expectations.creation_seen(&owner.key);
                        failed = Some(Error::Unavailable(error.to_string()));
                    }
                }
            }
            left -= size;
            batch *= 2;
            if let Some(error) = failed {
                // What was not tried will not be seen.
                (0..left).for_each(|_| self.expectations.creation_seen(&owner.key));
                // A namespace that is going takes no more pods, and there is nothing to be said about it.
                if error.is_namespace_terminating() {
                    return Ok(());
                }
                let message = format!("Error creating: {error}");
                self.events.record(owner.object.clone(), EventType::Warning, "FailedCreate", message);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn delete(&self, owner: &Owner, pods: Vec<Arc<Pod>>) -> Result<(), Error> {
        self.expectations.expect_deletions(&owner.key, pods.iter().map(|pod| uid(&pod.metadata).to_owned()));
        let mut tasks = JoinSet::new();
        for pod in pods {
            let (client, namespace) = (self.client.clone(), owner.key.namespace.clone());
            tasks.spawn(async move {
                let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
                let options = DeleteOptions { preconditions: Some(preconditions), ..Default::default() };
                let result = client.delete::<ApiPod>(&namespace, name(&pod.metadata), &options).await;
                (pod, result)
            });
        }
        let mut failed = None;
        while let Some(Ok((pod, result))) = tasks.join_next().await {
            match result {
                Ok(()) => {
                    let message = format!("Deleted pod: {}", name(&pod.metadata));
                    self.events.record(owner.object.clone(), EventType::Normal, "SuccessfulDelete", message);
                }
                Err(error) => {
                    self.expectations.deletion_seen(&owner.key, uid(&pod.metadata));
                    // Somebody else was faster.
                    if !error.is_not_found() && !error.is_conflict() {
                        let message = format!("Error deleting: {error}");
                        self.events.record(owner.object.clone(), EventType::Warning, "FailedDelete", message);
                        failed = Some(error);
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// A pod of the template; kube-apiserver chooses the end of its name.
fn pod_of(owner: &Owner) -> ApiPod {
    let template = owner.template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        // The controller's name may have capital letters, where an old version made it; a pod's may not.
        generate_name: Some(format!("{}-", owner.key.name.to_ascii_lowercase())),
        namespace: Some(owner.key.namespace.clone()),
        labels: template.labels,
        annotations: template.annotations,
        finalizers: template.finalizers,
        owner_references: Some(vec![owner.reference.clone()]),
        ..Default::default()
    };
    ApiPod { metadata, spec: owner.template.spec.clone(), status: None }
}

/// What the status of the owner counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub replicas: i32,
    pub fully_labeled: i32,
    pub ready: i32,
    pub available: i32,
    /// When a ready pod will be available, if no other event comes before.
    pub next: Option<Duration>,
}

pub fn count(
    active: &[Arc<Pod>],
    template_labels: &BTreeMap<String, String>,
    min_ready: Duration,
    now: jiff::Timestamp,
) -> Counts {
    let mut counts = Counts { replicas: active.len() as i32, ..Counts::default() };
    for pod in active {
        let labels = pod.metadata.labels.as_ref();
        let has = |(key, value): (&String, &String)| labels.is_some_and(|labels| labels.get(key) == Some(value));
        counts.fully_labeled += i32::from(template_labels.iter().all(has));
        if !pod.is_ready() {
            continue;
        }
        counts.ready += 1;
        let since = pod.ready_since().map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default());
        let left = min_ready.saturating_sub(since.unwrap_or_default());
        if min_ready.is_zero() || left.is_zero() {
            counts.available += 1;
        } else {
            counts.next = Some(counts.next.map_or(left, |next| next.min(left)));
        }
    }
    counts
}

/// The values of the two indexes that claiming reads.
pub fn controller_index(pod: &Pod) -> Vec<String> {
    controller(&pod.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
}

pub fn orphan_index(pod: &Pod) -> Vec<String> {
    match controller(&pod.metadata) {
        Some(_) => Vec::new(),
        None => pod.metadata.namespace.clone().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
