//! The mirrors that the garbage collector reads, whatever their type.
use std::sync::Arc;

use client::{Object, PartialObject, ResourceRef, Store, Stored};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{
    catalog::{CATALOG, Entry},
    stores::{BY_OWNER, BY_UID},
};

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
    pub entry: &'static Entry,
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
}

/// One mirrored resource, with the indexes of [`crate::stores::owned`].
pub struct Source {
    entry: &'static Entry,
    mirror: Box<dyn Mirror>,
}

impl Source {
    pub fn new<K: Object>(store: &Store<K>) -> Self {
        Self::of(K::RESOURCE, store)
    }

    /// Of a mirror that has only a part of each object. The resource must be of the catalog.
    pub fn of<K: Stored>(resource: ResourceRef, store: &Store<K>) -> Self {
        let entry = CATALOG.iter().find(|entry| entry.resource == resource).expect("the resource is in the catalog");
        Self { entry, mirror: Box::new(store.clone()) }
    }

    pub fn by_uid(&self, uid: &str) -> Option<View> {
        self.by_index(BY_UID, uid).pop()
    }

    pub fn by_owner(&self, uid: &str) -> Vec<View> {
        self.by_index(BY_OWNER, uid)
    }

    fn by_index(&self, index: &str, value: &str) -> Vec<View> {
        let found = self.mirror.by_index(index, value);
        found.into_iter().map(|object| View { entry: self.entry, object }).collect()
    }

    pub fn watch(&self, handler: OnChange) {
        self.mirror.watch(handler);
    }
}

/// The metadata of each object, without what nobody here reads.
pub fn trim(object: &mut PartialObject) {
    object.metadata.annotations = None;
    object.metadata.labels = None;
    object.api_version = String::new();
    object.kind = String::new();
}
