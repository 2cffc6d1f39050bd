//! The mirrors that the garbage collector reads, whatever their type: those that other controllers have, and one of its own for
//! each other resource that kube-apiserver tells of.
use std::sync::{Arc, PoisonError, RwLock};

use client::{ApiResource, Client, Discovery, Object, PartialObject, Reflector, ResourceRef, Store, Stored};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio_util::sync::CancellationToken;

use crate::stores::{self, BY_OWNER, BY_UID};

trait HasMeta: Send + Sync {
    fn object_meta(&self) -> &ObjectMeta;
}

impl<K: Stored> HasMeta for K {
    fn object_meta(&self) -> &ObjectMeta {
        self.meta()
    }
}

/// The metadata of an object in a mirror.
#[derive(Clone)]
pub struct View {
    pub resource: ResourceRef,
    object: Arc<dyn HasMeta>,
}

impl View {
    pub fn meta(&self) -> &ObjectMeta {
        self.object.object_meta()
    }
}

/// Before and after.
pub type OnChange = Arc<dyn Fn(Option<&ObjectMeta>, Option<&ObjectMeta>) + Send + Sync>;

trait Mirror: Send + Sync {
    fn by_index(&self, index: &str, value: &str) -> Vec<Arc<dyn HasMeta>>;
    fn watch(&self, handler: OnChange);
    fn is_live(&self) -> bool;
}

impl<K: Stored> Mirror for Store<K> {
    fn by_index(&self, index: &str, value: &str) -> Vec<Arc<dyn HasMeta>> {
        Store::by_index(self, index, value).into_iter().map(|object| object as Arc<dyn HasMeta>).collect()
    }

    fn watch(&self, handler: OnChange) {
        self.on_change(move |change| {
            let meta = |object: Option<&'_ Arc<K>>| object.map(|object| object.meta().clone());
            let (before, after) = (change.before(), change.after());
            // Most changes are of a status.
            let same = |old: &Arc<K>, new: &Arc<K>| {
                let (old, new) = (old.meta(), new.meta());
                old.owner_references == new.owner_references
                    && old.deletion_timestamp == new.deletion_timestamp
                    && old.finalizers == new.finalizers
            };
            if !before.zip(after).is_some_and(|(old, new)| same(old, new)) {
                handler(meta(before).as_ref(), meta(after).as_ref());
            }
        });
    }

    fn is_live(&self) -> bool {
        Store::is_live(self)
    }
}

/// One mirrored resource, with the indexes of [`crate::stores::owned`].
pub struct Source {
    resource: ResourceRef,
    mirror: Box<dyn Mirror>,
    /// Ends a mirror of the collector's own when it goes.
    _own: Option<tokio_util::sync::DropGuard>,
}

impl Source {
    pub fn new<K: Object>(store: &Store<K>) -> Self {
        Self::of(K::RESOURCE, store)
    }

    /// Of a mirror that has only a part of each object.
    pub fn of<K: Stored>(resource: ResourceRef, store: &Store<K>) -> Self {
        Self { resource, mirror: Box::new(store.clone()), _own: None }
    }

    /// A mirror of the metadata alone, which ends with the source.
    fn own(client: &Client, resource: ResourceRef, token: &CancellationToken) -> Self {
        let reflector = stores::owned(Reflector::<PartialObject>::of(client, resource)).trim(trim);
        let (store, token) = (reflector.store(), token.child_token());
        tokio::spawn(reflector.run(token.clone()));
        Self { resource, mirror: Box::new(store), _own: Some(token.drop_guard()) }
    }

    fn by_index(&self, index: &str, value: &str) -> Vec<View> {
        let found = self.mirror.by_index(index, value);
        found.into_iter().map(|object| View { resource: self.resource, object }).collect()
    }
}

/// All sources at a time.
#[derive(Clone, Default)]
pub struct Sources(Arc<RwLock<Vec<Source>>>);

impl Sources {
    pub fn new(given: Vec<Source>, handler: &OnChange) -> Self {
        given.iter().for_each(|source| source.mirror.watch(handler.clone()));
        Self(Arc::new(RwLock::new(given)))
    }

    pub fn by_uid(&self, uid: &str) -> Option<View> {
        self.read().iter().find_map(|source| source.by_index(BY_UID, uid).pop())
    }

    pub fn by_owner(&self, uid: &str) -> Vec<View> {
        self.read().iter().flat_map(|source| source.by_index(BY_OWNER, uid)).collect()
    }

    /// A resource whose mirror is not full, or is old: what depends on whom is not known.
    pub fn behind(&self) -> Option<ResourceRef> {
        self.read().iter().find(|source| !source.mirror.is_live()).map(|source| source.resource)
    }

    /// Mirrors what there is from now on.
    pub async fn follow(self, client: Client, mut discovery: Discovery, handler: OnChange, token: CancellationToken) {
        loop {
            let resources = discovery.resources().await;
            self.adjust(&client, &resources, &handler, &token);
            tokio::select! {
                () = discovery.changed() => {}
                () = token.cancelled() => return,
            }
        }
    }

    fn adjust(&self, client: &Client, resources: &[ApiResource], handler: &OnChange, token: &CancellationToken) {
        let mut sources = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let wanted = |resource: ResourceRef| resources.iter().any(|one| one.resource == resource);
        sources.retain(|source| source._own.is_none() || wanted(source.resource));
        for one in resources.iter().filter(|one| collects(one)) {
            let known = |source: &Source| {
                (source.resource.group, source.resource.resource) == (one.resource.group, one.resource.resource)
            };
            if !sources.iter().any(known) {
                let source = Source::own(client, one.resource, token);
                source.mirror.watch(handler.clone());
                sources.push(source);
            }
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Source>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events go by their age.
fn collects(resource: &ApiResource) -> bool {
    let all = ["delete", "list", "watch"].iter().all(|verb| resource.can(verb));
    all && !(resource.resource.resource == "events" && ["", "events.k8s.io"].contains(&resource.resource.group))
}

/// The metadata of each object, without what nobody here reads.
fn trim(object: &mut PartialObject) {
    object.metadata.annotations = None;
    object.metadata.labels = None;
    object.api_version = String::new();
    object.kind = String::new();
}
