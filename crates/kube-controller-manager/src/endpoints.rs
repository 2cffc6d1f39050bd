//! Endpoints: the addresses of the pods behind each service.
//!
//! Services without a selector are left alone: their endpoints are somebody else's.
mod build;

use client::{Change, Client, Error, Key, Next, Store, Stored, WorkQueue};
use k8s_openapi::{
    api::core::v1::{Endpoints, Service},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{Pod, namespace},
    stores::label_value,
};

/// Pods by `<namespace>/<label>=<value>`, one entry for each label.
pub const BY_LABEL: &str = "label";
/// Services by the first pair of their selector, written alike.
pub const BY_SELECTOR: &str = "selector";

pub fn label_index(pod: &Pod) -> Vec<String> {
    let labels = pod.metadata.labels.iter().flatten();
    labels.map(|(label, value)| label_value(namespace(&pod.metadata), label, value)).collect()
}

pub fn selector_index(service: &Service) -> Vec<String> {
    let selector = service.spec.iter().flat_map(|spec| spec.selector.iter().flatten());
    selector.map(|(label, value)| label_value(namespace(&service.metadata), label, value)).take(1).collect()
}

#[derive(Clone)]
pub struct EndpointsController {
    client: Client,
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
    queue: WorkQueue<Key>,
}

impl EndpointsController {
    pub fn new(client: &Client, services: &Store<Service>, pods: &Store<Pod>, endpoints: &Store<Endpoints>) -> Self {
        let this = Self {
            client: client.clone(),
            services: services.clone(),
            pods: pods.clone(),
            endpoints: endpoints.clone(),
            queue: WorkQueue::default(),
        };
        let queue = this.queue.clone();
        services.on_change(move |change| queue.add(change.object().key()));
        // Ours that somebody has changed, and what is left over of services that have gone. Endpoints that somebody made
        // without a service are theirs.
        let (queue, known) = (this.queue.clone(), services.clone());
        endpoints.on_change(move |change| {
            let key = change.object().key();
            if known.by_key(&key).is_some() || build::is_ours(change.object()) {
                queue.add(key);
            }
        });
        let watcher = this.clone();
        pods.on_change(move |change| watcher.pod_changed(change));
        this
    }

    pub async fn run(self, workers: usize, token: CancellationToken) {
        let this = self.clone();
        let work = move |key| {
            let this = this.clone();
            async move { this.sync(key).await }
        };
        self.queue.run("endpoints", workers, token, work).await;
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        if let Change::Modified { old, new } = change
            && !build::matters(old, new)
        {
            return;
        }
        for pod in change.before().into_iter().chain(change.after()) {
            for value in label_index(pod) {
                for service in self.services.by_index(BY_SELECTOR, &value) {
                    if build::selects(&service, pod) {
                        self.queue.add(service.key());
                    }
                }
            }
        }
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let current = self.endpoints.by_key(&key);
        let Some(service) = self.services.by_key(&key) else {
            if let Some(current) = current {
                self.delete(&key, &current).await?;
            }
            return Ok(Next::Done);
        };
        let Some(selector) = selector_index(&service).pop() else { return Ok(Next::Done) };
        let mut pods = self.pods.by_index(BY_LABEL, &selector);
        pods.retain(|pod| build::selects(&service, pod));
        let subsets = build::subsets(&service, &pods);
        let old_labels = current.as_ref().and_then(|current| current.metadata.labels.as_ref());
        let labels = build::labels(&service);
        let unchanged = old_labels.cloned().unwrap_or_default() == labels;
        match current {
            None => {
                let metadata = ObjectMeta {
                    name: Some(key.name.clone()),
                    namespace: Some(key.namespace.clone()),
                    labels: Some(labels),
                    ..Default::default()
                };
                match self.client.create(&Endpoints { metadata, subsets }).await {
                    // The namespace is going, and the service with it.
                    Err(error) if error.is_namespace_terminating() => Ok(Next::Done),
                    Err(error) if error.is_already_exists() => Ok(Next::Retry),
                    result => result.map(|_| Next::Done),
                }
            }
            Some(current) if current.subsets == subsets && unchanged => Ok(Next::Done),
            Some(current) => {
                let metadata = ObjectMeta { labels: Some(labels), ..current.metadata.clone() };
                match self.client.update(&Endpoints { metadata, subsets }).await {
                    // The store lags behind: what is in it will come soon.
                    Err(error) if error.is_conflict() || error.is_not_found() => Ok(Next::Retry),
                    result => result.map(|_| Next::Done),
                }
            }
        }
    }

    async fn delete(&self, key: &Key, current: &Endpoints) -> Result<(), Error> {
        let preconditions = Preconditions { uid: current.metadata.uid.clone(), resource_version: None };
        let options = DeleteOptions { preconditions: Some(preconditions), ..Default::default() };
        match self.client.delete::<Endpoints>(&key.namespace, &key.name, &options).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
