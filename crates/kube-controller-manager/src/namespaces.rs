//! Namespaces that are being deleted: all that lies in them goes first, then the namespace itself.
use std::time::Duration;

use client::{ApiResource, Client, Discovery, Error, Next, PartialObject, ResourceRef, Selectors, Store, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions, Time},
};
use tokio_util::sync::CancellationToken;

use crate::model::{name, uid};

/// What keeps the namespace until its content has gone.
const FINALIZER: &str = "kubernetes";
/// How soon a namespace that still has content is looked at again.
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct Namespaces {
    client: Client,
    discovery: Discovery,
    namespaces: Store<Namespace>,
    queue: WorkQueue<String>,
}

/// What is left in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Left {
    /// How many objects of which resource.
    counts: Vec<(String, usize)>,
    /// How many objects have which finalizer.
    finalizers: Vec<(String, usize)>,
    /// What could not be deleted, and why.
    failures: Vec<String>,
}

impl Left {
    fn is_nothing(&self) -> bool {
        self.counts.is_empty() && self.failures.is_empty()
    }

    fn saw(&mut self, resource: ResourceRef, objects: &[PartialObject]) {
        if !objects.is_empty() {
            self.counts.push((resource.to_string(), objects.len()));
        }
        for finalizer in objects.iter().flat_map(|object| object.metadata.finalizers.iter().flatten()) {
            match self.finalizers.iter_mut().find(|(known, _)| known == finalizer) {
                Some((_, count)) => *count += 1,
                None => self.finalizers.push((finalizer.clone(), 1)),
            }
        }
    }
}

/// The conditions of a namespace with that left in it, in upstream's words. Times of conditions that have not changed stay.
fn conditions(old: &[NamespaceCondition], left: &Left, now: Timestamp) -> Vec<NamespaceCondition> {
    let listed = |list: &[(String, usize)], text: &dyn Fn(&str, usize) -> String| {
        list.iter().map(|(name, count)| text(name, *count)).collect::<Vec<_>>().join(", ")
    };
    let resources = listed(&left.counts, &|name, count| format!("{name} has {count} resource instances"));
    let finalizers = listed(&left.finalizers, &|name, count| format!("{name} in {count} resource instances"));
    let wanted = [
        (
            "NamespaceDeletionDiscoveryFailure",
            String::new(),
            ("DiscoveryFailed", "ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            String::new(),
            ("GroupVersionParsingFailed", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            match left.failures.is_empty() {
                true => String::new(),
                false => format!(
                    "Failed to delete all resource types, {} remaining: {}",
                    left.failures.len(),
                    left.failures.join(", ")
                ),
            },
            (
                "ContentDeletionFailed",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        (
            "NamespaceContentRemaining",
            if resources.is_empty() { resources } else { format!("Some resources are remaining: {resources}") },
            ("SomeResourcesRemain", "ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            if finalizers.is_empty() {
                finalizers
            } else {
                format!("Some content in the namespace has finalizers remaining: {finalizers}")
            },
            ("SomeFinalizersRemain", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ];
    let condition = |(kind, trouble, (bad, good, well)): (&str, String, (&str, &str, &str))| {
        let (status, reason, message) =
            if trouble.is_empty() { ("False", good, well.to_owned()) } else { ("True", bad, trouble) };
        let before = old.iter().find(|one| one.type_ == kind && one.status == status);
        NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: before.and_then(|one| one.last_transition_time.clone()).or(Some(Time(now))),
        }
    };
    wanted.into_iter().map(condition).collect()
}

impl Namespaces {
    pub fn new(client: &Client, discovery: &Discovery, namespaces: &Store<Namespace>) -> Self {
        let queue = WorkQueue::default();
        let discovery = discovery.clone();
        let this = Self { client: client.clone(), discovery, namespaces: namespaces.clone(), queue };
        let queue = this.queue.clone();
        namespaces.on_change(move |change| {
            if let Some(namespace) = change.after()
                && namespace.metadata.deletion_timestamp.is_some()
            {
                queue.add(name(&namespace.metadata).to_owned());
            }
        });
        this
    }

    pub async fn run(self, workers: usize, token: CancellationToken) {
        let this = self.clone();
        let work = move |name: String| {
            let this = this.clone();
            async move { this.sync(&name).await }
        };
        self.queue.run("namespace", workers, token, work).await;
    }

    async fn sync(&self, name: &str) -> Result<Next, Error> {
        let Some(namespace) = self.namespaces.get("", name) else { return Ok(Next::Done) };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref()).unwrap_or_default();
        if namespace.metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|one| one == FINALIZER) {
            return Ok(Next::Done);
        }
        let left = self.empty(name).await;
        let mut namespace = (*namespace).clone();
        if left.is_nothing() {
            let finalizers = namespace.spec.get_or_insert_default().finalizers.get_or_insert_default();
            finalizers.retain(|one| one != FINALIZER);
            return match self.client.update_subresource(&namespace, "finalize").await {
                Err(error) if error.is_not_found() => Ok(Next::Done),
                Err(error) if error.is_conflict() => Ok(Next::Retry),
                result => result.map(|_| Next::Done),
            };
        }
        let old = namespace.status.clone().unwrap_or_default();
        let conditions = conditions(old.conditions.as_deref().unwrap_or_default(), &left, Timestamp::now());
        if old.conditions.as_ref() != Some(&conditions) {
            namespace.status = Some(NamespaceStatus { conditions: Some(conditions), ..old });
            match self.client.update_status(&namespace).await {
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                result => drop(result?),
            }
        }
        Ok(Next::After(AGAIN))
    }

    /// Asks for the deletion of all that is in the namespace, and tells what is still there.
    async fn empty(&self, namespace: &str) -> Left {
        let mut left = Left::default();
        let resources = self.discovery.clone().resources().await;
        let wanted = |one: &&ApiResource| one.namespaced && one.can("list") && one.can("delete");
        for entry in resources.iter().filter(wanted) {
            if let Err(error) = self.empty_of(namespace, entry.resource, &mut left).await {
                left.failures.push(format!("{}: {error}", entry.resource));
            }
        }
        left
    }

    async fn empty_of(&self, namespace: &str, resource: ResourceRef, left: &mut Left) -> Result<(), Error> {
        let selectors = Selectors { namespace: namespace.to_owned(), ..Default::default() };
        let before = self.client.list_partial::<PartialObject>(resource, &selectors).await?.items;
        if before.is_empty() {
            return Ok(());
        }
        for object in before.iter().filter(|object| object.metadata.deletion_timestamp.is_none()) {
            let preconditions = Preconditions { uid: Some(uid(&object.metadata).to_owned()), resource_version: None };
            let options = DeleteOptions {
                preconditions: Some(preconditions),
                propagation_policy: Some("Background".to_owned()),
                ..Default::default()
            };
            match self.client.delete_resource(resource, namespace, name(&object.metadata), &options).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        let after = self.client.list_partial::<PartialObject>(resource, &selectors).await?.items;
        left.saw(resource, &after);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
