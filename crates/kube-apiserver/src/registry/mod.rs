//! The one implementation of the verbs for all resources: documents in, encoded objects out.
//!
//! It knows nothing of HTTP or gRPC; both call it. What a kind has of rules it asks the kind's strategy.

mod allocate;
mod bind;
mod context;
mod create;
mod delete;
mod manage;
mod observe;
mod peers;
mod read;
mod update;

use std::collections::HashMap;
use std::sync::Arc;

use api::catalog::{Catalog, Resource, Selectable, Served};
use api::status::Status;
use api::strategy::Claim;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde_json::Value;
use storage::{Backend, Cache, CacheError, Entry, Field, Figures, Kind, Store};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::admission::Admission;
use crate::attributes::ResourceAttributes;

pub use context::Context;

pub use allocate::{Ranges, ServiceRange};
pub(crate) use create::random_suffix;
pub use delete::{DeleteOptions, Deletion};
pub use observe::Observed;
pub use read::{ListOptions, Listed, VersionMatch};

/// Where everything is kept in etcd.
const ROOT: &str = "/registry";

pub struct Registry {
    snapshot: watch::Sender<Arc<Snapshot>>,
    backend: Arc<dyn Backend>,
    cache: Arc<Cache>,
    admission: Admission,
    ranges: Ranges,
    /// Seconds that events are kept.
    event_ttl: i64,
}

/// The resources at one time, each with its store. Swapped whole.
struct Snapshot {
    catalog: Arc<Catalog>,
    /// In the order of the catalog; none of what is not stored.
    stores: Vec<Option<Store>>,
}

/// A resource of the catalog, or one object of it.
#[derive(Clone)]
pub struct Target {
    /// As it is stored. The registry knows documents in this version only.
    served: Arc<Served>,
    /// As the request names it.
    form: Arc<Served>,
    store: Store,
    /// Empty for cluster scope and for all namespaces.
    pub namespace: String,
    pub name: String,
}

impl Target {
    pub fn resource(&self) -> &Served {
        &self.served
    }

    /// The version of the request, to which the edge converts.
    pub fn form(&self) -> &Served {
        &self.form
    }

    pub fn form_shared(&self) -> Arc<Served> {
        self.form.clone()
    }

    pub fn named(&self, name: &str) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// The key in the cache.
    fn key(&self) -> String {
        if self.resource().namespaced { format!("{}/{}", self.namespace, self.name) } else { self.name.clone() }
    }

    /// The key in etcd.
    pub(crate) fn path(&self) -> String {
        format!("{}{}", prefix(self.resource()), self.key())
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(self.resource().group, self.resource().plural, &self.name)
    }
}

fn prefix(resource: &Resource) -> String {
    format!("{ROOT}/{}/", resource.qualified())
}

/// The key by which a number or address is taken. One object at a time can hold it.
fn claim_key(claim: &Claim) -> String {
    match claim {
        Claim::ServiceIp(ip) => format!("{ROOT}/claims/serviceips/{ip}"),
        Claim::NodePort(port) => format!("{ROOT}/claims/nodeports/{port}"),
    }
}

/// What the cache holds of a resource.
fn kind(resource: &Resource) -> Kind {
    let field = |field: &Selectable| Field { path: field.path.into(), absent: resource.absent(*field).into() };
    Kind { prefix: prefix(resource), selectable: resource.selectable.iter().map(field).collect() }
}

/// An object as it is now, decoded.
pub(crate) struct Current {
    pub(crate) document: Value,
    pub(crate) revision: i64,
    /// Read from etcd, not from the cache, which may lag.
    fresh: bool,
}

impl Registry {
    pub fn new(
        catalog: Arc<Catalog>,
        backend: Arc<dyn Backend>,
        cache: Arc<Cache>,
        admission: Admission,
        ranges: Ranges,
        event_ttl: i64,
    ) -> Arc<Self> {
        let stores =
            catalog.resources().iter().map(|one| one.review.is_none().then(|| cache.add(&kind(one)))).collect();
        let snapshot = watch::Sender::new(Arc::new(Snapshot { catalog, stores }));
        Arc::new(Self { snapshot, backend, cache, admission, ranges, event_ttl })
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// The resources as they are now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.snapshot().catalog.clone()
    }

    /// How the cache of each resource is.
    pub fn figures(&self) -> Vec<(Arc<Resource>, Figures)> {
        let snapshot = self.snapshot();
        let all = snapshot.catalog.resources().iter().zip(&snapshot.stores);
        all.filter_map(|(resource, store)| Some((resource.clone(), store.as_ref()?.figures()))).collect()
    }

    /// The resources as they are now, and again whenever they have changed.
    pub fn catalogs(&self) -> impl Stream<Item = Arc<Catalog>> + Send + 'static {
        WatchStream::new(self.snapshot.subscribe()).map(|snapshot| snapshot.catalog.clone())
    }

    /// Serves the resources of this catalog from now on. What stays keeps its store and its watches; the watches of what goes end.
    pub fn serve(&self, catalog: Arc<Catalog>) {
        let snapshot = self.snapshot();
        let before = snapshot.catalog.resources().iter().zip(&snapshot.stores);
        let mut before: HashMap<_, _> =
            before.filter_map(|(one, store)| Some(((one.qualified(), one.selectable), store.clone()?))).collect();
        let stores = catalog.resources().iter().map(|resource| {
            let kept = before.remove(&(resource.qualified(), resource.selectable));
            resource.review.is_none().then(|| kept.unwrap_or_else(|| self.cache.add(&kind(resource))))
        });
        let stores = stores.collect();
        before.values().for_each(|store| self.cache.remove(store));
        self.snapshot.send_replace(Arc::new(Snapshot { catalog, stores }));
    }

    /// A resource in one of its versions, or one object of it. Only what has namespaces lies in one.
    pub fn target(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Target, Status> {
        let snapshot = self.snapshot();
        let form = snapshot.catalog.find(group, version, plural).ok_or_else(Status::no_such_resource)?.clone();
        let served = snapshot.catalog.stored_form(&form).clone();
        let namespace = if served.namespaced { namespace } else { "" };
        let store = snapshot.stores[served.at].clone();
        let store = store.ok_or_else(|| Status::method_not_allowed(served.group, served.plural, "store"))?;
        Ok(Target { namespace: namespace.into(), name: name.into(), served, form, store })
    }

    /// What a request is about.
    pub fn target_of(&self, about: &ResourceAttributes) -> Result<Target, Status> {
        self.target(&about.group, &about.version, &about.resource, &about.namespace, &about.name)
    }

    /// Whether the store answers.
    pub async fn store_health(&self) -> Result<String, String> {
        self.backend.tip().await.map(|_| "ok".to_owned()).map_err(|error| error.to_string())
    }

    /// From the cache unless it must be fresh.
    pub(crate) async fn current(&self, target: &Target, fresh: bool) -> Result<Current, Status> {
        if !fresh && let Some(entry) = target.store.get(&target.key()) {
            return Ok(Current { document: parse(&entry.bytes)?, revision: entry.revision, fresh: false });
        }
        let stored = self.backend.get(&target.path()).await.map_err(backend_status)?;
        let stored = stored.ok_or_else(|| target.not_found())?;
        current_of(&stored)
    }
}

fn current_of(stored: &storage::Stored) -> Result<Current, Status> {
    let document = parse(&api::meta::splice_version(&stored.value, stored.revision))?;
    Ok(Current { document, revision: stored.revision, fresh: true })
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|e| Status::internal(format!("etcd holds an object that is not JSON: {e}")))
}

/// Written bytes as they are served.
fn served(stored: &[u8], revision: i64) -> Bytes {
    api::meta::splice_version(stored, revision).into()
}

pub(crate) fn backend_status(error: storage::Error) -> Status {
    match error {
        storage::Error::Unavailable { .. } | storage::Error::OtherCluster(_) => Status::unavailable(error.to_string()),
        storage::Error::TimedOut { .. } => Status::timeout(error.to_string()),
        storage::Error::Compacted(_) => Status::expired(
            "The provided continue parameter is too old to display a consistent list result. \
             You must start a new list without the continue parameter.",
        ),
        storage::Error::Refused(why) => Status::internal(why),
    }
}

pub(crate) fn cache_status(error: CacheError) -> Status {
    match error {
        CacheError::Backend(error) => backend_status(error),
        CacheError::Expired { .. } => Status::expired(error.to_string()),
        CacheError::Future { .. } => Status::version_too_large(error.to_string()),
        CacheError::NotReady => Status::unavailable(error.to_string()),
    }
}

/// Entries and their revision are what reads return; the bytes are shared with the cache.
pub type Object = Arc<Entry>;
