//! Pods, nodes and services as far as scheduling reads them, in little memory. Quantities and selectors are parsed once, when
//! an object comes in.
mod affinity;
mod resources;
mod wire;

use std::collections::BTreeMap;

use client::Stored;
use k8s_openapi::{
    api::core::v1::{ObjectReference, Taint, Toleration},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Deserialize;

pub use affinity::NodeAffinity;
pub use resources::Resources;

pub type Labels = BTreeMap<String, String>;

/// A port of the node that a pod wants for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub protocol: String,
    /// `0.0.0.0` is every address.
    pub address: String,
    pub port: i32,
}

impl HostPort {
    pub fn conflicts(&self, other: &HostPort) -> bool {
        const EVERY: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == EVERY || other.address == EVERY)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "wire::Pod")]
pub struct Pod {
    pub metadata: ObjectMeta,
    pub requests: Resources,
    pub ports: Vec<HostPort>,
    pub tolerations: Vec<Toleration>,
    pub affinity: NodeAffinity,
    pub priority: i32,
    /// Empty until the pod is bound.
    pub node_name: String,
    pub scheduler_name: String,
    /// Succeeded or failed: it takes nothing of its node any more.
    pub finished: bool,
    /// It is not to be scheduled yet.
    pub gated: bool,
    /// The message of its condition `PodScheduled=False`.
    pub unscheduled_message: Option<String>,
}

impl Pod {
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub fn labels(&self) -> Option<&Labels> {
        self.metadata.labels.as_ref()
    }

    pub fn controller(&self) -> Option<&str> {
        let owners = self.metadata.owner_references.iter().flatten();
        owners.filter(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str()).next()
    }

    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
            uid: self.metadata.uid.clone(),
            resource_version: self.metadata.resource_version.clone(),
            field_path: None,
        }
    }
}

impl Stored for Pod {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "wire::Node")]
pub struct Node {
    pub metadata: ObjectMeta,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Resources,
    pub max_pods: i64,
}

impl Stored for Node {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "wire::Service")]
pub struct Service {
    pub metadata: ObjectMeta,
    /// Empty when the service selects nothing.
    pub selector: Labels,
}

impl Stored for Service {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What scheduling does not read of the metadata need not take memory.
pub fn trim(meta: &mut ObjectMeta) {
    meta.annotations = None;
    meta.generate_name = None;
    meta.self_link = None;
    meta.finalizers = None;
    meta.managed_fields = None;
    meta.owner_references.iter_mut().flatten().for_each(|owner| {
        owner.api_version = String::new();
        owner.kind = String::new();
        owner.name = String::new();
    });
}
