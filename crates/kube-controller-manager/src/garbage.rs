//! The garbage collector: objects go when all their owners have gone.
//!
//! It keeps no graph of its own. The mirrors have an index by owner and one by uid, and each decision reads them anew; only
//! that an owner does not exist is asked of kube-apiserver, for a mirror may lag behind.
mod plan;
mod sources;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use client::{Client, Discovery, Error, Next, PartialObject, Patch, WorkQueue};
use daemon::LogOnce;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, OwnerReference, Preconditions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::plan::{Action, Finalizing, OwnerState, finalizing, owner_state, plan};
pub use self::sources::Source;
use self::sources::{OnChange, Sources, View};
use crate::model::{name, namespace, uid};

/// So many owners are remembered to have gone; a uid never comes back.
const REMEMBERED: usize = 4096;
/// Who depends on whom is only known when all mirrors are full; then it is asked again.
const BEHIND: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct GarbageCollector {
    client: Client,
    sources: Sources,
    discovery: Discovery,
    on_change: OnChange,
    /// By uid.
    queue: WorkQueue<String>,
    gone: Arc<Mutex<HashSet<String>>>,
    log: Arc<LogOnce>,
}

impl GarbageCollector {
    /// `given`: mirrors that others have. All other resources are mirrored here.
    pub fn new(client: &Client, discovery: &Discovery, given: Vec<Source>) -> Self {
        let queue = WorkQueue::default();
        let later: Arc<OnceLock<Sources>> = Arc::default();
        let (of_sources, told) = (later.clone(), queue.clone());
        let on_change: OnChange = Arc::new(move |before, after| {
            if let Some(sources) = of_sources.get() {
                changed(sources, &told, before, after);
            }
        });
        let sources = later.get_or_init(|| Sources::new(given, &on_change)).clone();
        let discovery = discovery.clone();
        Self { client: client.clone(), sources, discovery, on_change, queue, gone: Arc::default(), log: Arc::default() }
    }

    /// Mirrors what other controllers do not, from the start: leadership then finds them full.
    pub async fn mirror(self, token: CancellationToken) {
        self.sources.follow(self.client, self.discovery, self.on_change, token).await;
    }

    pub async fn run(self, workers: usize, token: CancellationToken) {
        let this = self.clone();
        let work = move |uid: String| {
            let this = this.clone();
            async move { this.sync(&uid).await }
        };
        self.queue.run("garbage collector, uid", workers, token, work).await;
    }

    async fn sync(&self, uid: &str) -> Result<Next, Error> {
        if self.sources.behind().is_some() || !self.discovery.is_known() {
            return Ok(Next::After(BEHIND));
        }
        let Some(item) = self.sources.by_uid(uid) else { return Ok(Next::Done) };
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
        let has_dependents = !self.sources.by_owner(uid(item.meta())).is_empty();
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
                tracing::debug!("{} {namespace}/{name}: its owners have gone", item.resource);
                self.client.delete_resource(item.resource, namespace, name, &options).await
            }
            Action::KeepOwners(remaining) => self.patch(item, json!({"ownerReferences": remaining})).await,
        }
    }

    async fn state_of(&self, owner: &OwnerReference, namespace: &str) -> Result<OwnerState, Error> {
        if let Some(view) = self.sources.by_uid(&owner.uid) {
            return Ok(owner_state(view.meta()));
        }
        if self.gone.lock().unwrap_or_else(PoisonError::into_inner).contains(&owner.uid) {
            return Ok(OwnerState::Absent);
        }
        let Some(entry) = self.discovery.clone().of_kind(&owner.api_version, &owner.kind).await else {
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
        for dependent in self.sources.by_owner(owner) {
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
        let dependents = self.sources.by_owner(owner);
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
        let (resource, patch) = (item.resource, json!({"metadata": metadata}));
        self.client.patch_resource(resource, namespace(meta), name(meta), Patch::Merge, &patch, "").await.map(drop)
    }
}

fn changed(sources: &Sources, queue: &WorkQueue<String>, before: Option<&ObjectMeta>, after: Option<&ObjectMeta>) {
    let owners = |meta: Option<&ObjectMeta>| meta.and_then(|meta| meta.owner_references.clone()).unwrap_or_default();
    let (old, new) = (owners(before), owners(after));
    if let Some(after) = after {
        let owners_differ = old != new;
        if owners_differ || finalizing(after).is_some() {
            queue.add(uid(after).to_owned());
        }
    } else if let Some(before) = before {
        for dependent in sources.by_owner(uid(before)) {
            queue.add(uid(dependent.meta()).to_owned());
        }
    }
    // An owner that waits for its dependents has one less, or one that it need not wait for.
    if old != new {
        for owner in old {
            let waits = |view: &View| finalizing(view.meta()) == Some(Finalizing::Foreground);
            if sources.by_uid(&owner.uid).as_ref().is_some_and(waits) {
                queue.add(owner.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests;
