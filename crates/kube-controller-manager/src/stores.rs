//! The reflectors that the controllers share, each with the indexes that some controller reads.
use client::{Key, Reflector, Stored};
use k8s_openapi::api::core::v1::{ReplicationController, Service};

use crate::{endpoints, model::Pod, replicas, replication};

/// Pods by the node that they run on.
pub const BY_NODE: &str = "node";

pub fn pods(reflector: Reflector<Pod>) -> Reflector<Pod> {
    owned(reflector)
        .trim(Pod::trim)
        .index(replicas::BY_CONTROLLER, replicas::controller_index)
        .index(replicas::ORPHANS, replicas::orphan_index)
        .index(endpoints::BY_LABEL, endpoints::label_index)
        .index(BY_NODE, |pod: &Pod| vec![pod.spec.node_name.clone()])
}

pub fn replication_controllers(reflector: Reflector<ReplicationController>) -> Reflector<ReplicationController> {
    owned(reflector).index(replication::BY_NAMESPACE, |one: &ReplicationController| {
        one.metadata.namespace.clone().into_iter().collect()
    })
}

pub fn services(reflector: Reflector<Service>) -> Reflector<Service> {
    owned(reflector).index(endpoints::BY_SELECTOR, endpoints::selector_index)
}

/// Objects by the uid of each owner; and by their own uid.
pub const BY_OWNER: &str = "owner";
pub const BY_UID: &str = "uid";

/// The indexes that the garbage collector reads.
pub fn owned<K: Stored>(reflector: Reflector<K>) -> Reflector<K> {
    reflector
        .index(BY_OWNER, |object: &K| {
            object.meta().owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
        })
        .index(BY_UID, |object: &K| object.meta().uid.clone().into_iter().collect())
}

/// `<namespace>/<label>=<value>`, as the label indexes have it.
pub fn label_value(namespace: &str, label: &str, value: &str) -> String {
    format!("{}={value}", Key::new(namespace, label))
}
