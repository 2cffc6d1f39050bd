//! The garbage collector: objects go when all their owners have gone.
//!
//! It keeps no graph of its own. The mirrors have an index by owner and one by uid, and each decision reads them anew; only
//! that an owner does not exist is asked of kube-apiserver, for a mirror may lag behind.
mod plan;
mod sources;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use client::{Client, Error, Next, PartialObject, Patch, WorkQueue};
use daemon::LogOnce;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, OwnerReference, Preconditions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::plan::{Action, Finalizing, OwnerState, finalizing, owner_state, plan};
use self::sources::View;
pub use self::sources::{Source, trim};
use crate::{
    catalog,
    model::{name, namespace, uid},
};

/// So many owners are remembered to have gone; a uid never comes back.
const REMEMBERED: usize = 4096;

#[derive(Clone)]
pub struct GarbageCollector {
    client: Client,
    sources: Arc<Vec<Source>>,
    /// By uid.
    queue: WorkQueue<String>,
    gone: Arc<Mutex<HashSet<String>>>,
    log: Arc<LogOnce>,
}

impl GarbageCollector {
    pub fn new(client: &Client, sources: Vec<Source>) -> Self {
        let this = Self {
            client: client.clone(),
            sources: Arc::new(sources),
            queue: WorkQueue::default(),
            gone: Arc::default(),
            log: Arc::default(),
        };
        for source in this.sources.iter() {
            let watcher = this.clone();
            source.watch(Arc::new(move |before, after| watcher.changed(before, after)));
        }
        this
    }

    pub async fn run(self, workers: usize, token: CancellationToken) {
        let this = self.clone();
        let work = move |uid: String| {
            let this = this.clone();
            async move { this.sync(&uid).await }
        };
        self.queue.run("garbage collector, uid", workers, token, work).await;
    }

    fn find(&self, uid: &str) -> Option<View> {
        self.sources.iter().find_map(|source| source.by_uid(uid))
    }

    fn dependents(&self, owner: &str) -> Vec<View> {
        self.sources.iter().flat_map(|source| source.by_owner(owner)).collect()
    }

    fn changed(&self, before: Option<&ObjectMeta>, after: Option<&ObjectMeta>) {
        let owners =
            |meta: Option<&ObjectMeta>| meta.and_then(|meta| meta.owner_references.clone()).unwrap_or_default();
        let (old, new) = (owners(before), owners(after));
        if let Some(after) = after {
            let owners_differ = old != new;
            if owners_differ || finalizing(after).is_some() {
                self.queue.add(uid(after).to_owned());
            }
        } else if let Some(before) = before {
            for dependent in self.dependents(uid(before)) {
                self.queue.add(uid(dependent.meta()).to_owned());
            }
        }
        // An owner that waits for its dependents has one less, or one that it need not wait for.
        if old != new {
            for owner in old {
                let waits = |view: &View| finalizing(view.meta()) == Some(Finalizing::Foreground);
                if self.find(&owner.uid).as_ref().is_some_and(waits) {
                    self.queue.add(owner.uid);
                }
            }
        }
    }

    async fn sync(&self, uid: &str) -> Result<Next, Error> {
        let Some(item) = self.find(uid) else { return Ok(Next::Done) };
        let done = match finalizing(item.meta()) {
            Some(Finalizing::Orphan) => self.orphan(&item).await,
            Some(Finalizing::Foreground) => self.wait_for_dependents(&item).await,
            None if item.meta().deletion_timestamp.is_some() => Ok(()),
            None => self.judge(&item).await,
        };
        match done {
            // Decided on what is no longer so: the mirror will show it.
            Err(error) if error.is_conflict() => Ok(Next::Retry),
            Err(error) if error.is_not_found() => Ok(Next::Done),
            result => result.map(|()| Next::Done),
        }
    }

    /// An object whose owners may have gone.
    async fn judge(&self, item: &View) -> Result<(), Error> {
        let mut owners = Vec::new();
        for owner in item.meta().owner_references.iter().flatten() {
            owners.push((owner.clone(), self.state_of(owner, namespace(item.meta())).await?));
        }
        let has_dependents = !self.dependents(uid(item.meta())).is_empty();
        match plan(item.meta(), &owners, has_dependents) {
            Action::Keep => Ok(()),
            Action::Delete(policy) => {
                let preconditions = Preconditions { uid: item.meta().uid.clone(), resource_version: None };
                let options = DeleteOptions {
                    preconditions: Some(preconditions),
                    propagation_policy: Some(policy.to_owned()),
                    ..Default::default()
                };
                let (namespace, name) = (namespace(item.meta()), name(item.meta()));
                tracing::debug!("{} {namespace}/{name}: its owners have gone", item.entry.resource);
                self.client.delete_resource(item.entry.resource, namespace, name, &options).await
            }
            Action::KeepOwners(remaining) => self.patch(item, json!({"ownerReferences": remaining})).await,
        }
    }

    async fn state_of(&self, owner: &OwnerReference, namespace: &str) -> Result<OwnerState, Error> {
        if let Some(view) = self.find(&owner.uid) {
            return Ok(owner_state(view.meta()));
        }
        if self.gone.lock().unwrap_or_else(PoisonError::into_inner).contains(&owner.uid) {
            return Ok(OwnerState::Absent);
        }
        let Some(entry) = catalog::find(&owner.api_version, &owner.kind) else {
            let kind = format!("{} {}", owner.api_version, owner.kind);
            self.log.trouble(format_args!("owners of kind {kind} are not known, and therefore are not collected for"));
            return Ok(OwnerState::Solid);
        };
        let namespace = if entry.namespaced { namespace } else { "" };
        match self.client.get_partial::<PartialObject>(entry.resource, namespace, &owner.name).await {
            Ok(found) if uid(&found.metadata) == owner.uid => return Ok(owner_state(&found.metadata)),
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.len() >= REMEMBERED {
            gone.clear();
        }
        gone.insert(owner.uid.clone());
        Ok(OwnerState::Absent)
    }

    /// The dependents lose the owner, and then it goes without them.
    async fn orphan(&self, item: &View) -> Result<(), Error> {
        let owner = uid(item.meta());
        for dependent in self.dependents(owner) {
            let mut remaining = dependent.meta().owner_references.clone().unwrap_or_default();
            remaining.retain(|one| one.uid != owner);
            match self.patch(&dependent, json!({"ownerReferences": remaining})).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        self.remove_finalizer(item, plan::ORPHAN).await
    }

    /// The owner goes when those dependents have gone that block it; they see themselves that it waits.
    async fn wait_for_dependents(&self, item: &View) -> Result<(), Error> {
        let owner = uid(item.meta());
        let dependents = self.dependents(owner);
        let blocks = |view: &View| {
            let mut owners = view.meta().owner_references.iter().flatten();
            owners.any(|one| one.uid == owner && one.block_owner_deletion == Some(true))
        };
        if !dependents.iter().any(blocks) {
            return self.remove_finalizer(item, plan::FOREGROUND).await;
        }
        for dependent in dependents.iter().filter(|dependent| dependent.meta().deletion_timestamp.is_none()) {
            self.queue.add(uid(dependent.meta()).to_owned());
        }
        Ok(())
    }

    async fn remove_finalizer(&self, item: &View, finalizer: &str) -> Result<(), Error> {
        let mut remaining = item.meta().finalizers.clone().unwrap_or_default();
        remaining.retain(|one| one != finalizer);
        self.patch(item, json!({"finalizers": remaining})).await
    }

    /// Guarded by the version: the decision was about this state of the object.
    async fn patch(&self, item: &View, mut metadata: Value) -> Result<(), Error> {
        let meta = item.meta();
        metadata["uid"] = json!(meta.uid);
        metadata["resourceVersion"] = json!(meta.resource_version);
        let (resource, patch) = (item.entry.resource, json!({"metadata": metadata}));
        self.client.patch_resource(resource, namespace(meta), name(meta), Patch::Merge, &patch, "").await.map(drop)
    }
}

#[cfg(test)]
mod tests;
