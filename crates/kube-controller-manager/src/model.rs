//! Pods as far as the controllers read them, in little memory; and what all controllers ask of objects.
use client::Stored;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ContainerPort, ObjectReference, Toleration},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use serde::Deserialize;

pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Pod {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Empty until the pod is bound.
    pub node_name: String,
    pub hostname: String,
    pub subdomain: String,
    pub containers: Vec<Container>,
    pub tolerations: Option<Vec<Toleration>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Container {
    pub ports: Option<Vec<ContainerPort>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: String,
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    pub conditions: Option<Vec<PodCondition>>,
    pub container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    pub r#type: String,
    pub status: String,
    pub last_transition_time: Option<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    pub restart_count: i32,
}

impl Stored for Pod {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Pod {
    /// What no controller reads need not take memory.
    pub fn trim(&mut self) {
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.retain(|name, _| name == DELETION_COST);
        }
        self.metadata.annotations.take_if(|annotations| annotations.is_empty());
        self.status.conditions.iter_mut().flatten().for_each(|condition| condition.r#type.shrink_to_fit());
        if let Some(conditions) = &mut self.status.conditions {
            conditions.retain(|condition| condition.r#type == "Ready");
            conditions.shrink_to_fit();
        }
    }

    pub fn is_terminated(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// It counts as a replica.
    pub fn is_active(&self) -> bool {
        !self.is_terminated() && self.metadata.deletion_timestamp.is_none()
    }

    fn ready_condition(&self) -> Option<&PodCondition> {
        self.status.conditions.iter().flatten().find(|condition| condition.r#type == "Ready")
    }

    pub fn is_ready(&self) -> bool {
        self.ready_condition().is_some_and(|condition| condition.status == "True")
    }

    /// Since when it is ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        self.ready_condition()
            .filter(|condition| condition.status == "True")?
            .last_transition_time
            .as_ref()
            .map(|t| t.0)
    }

    pub fn restarts(&self) -> i32 {
        self.status.container_statuses.iter().flatten().map(|status| status.restart_count).sum()
    }
}

pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// The owner that manages the object.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// How events and endpoints name a pod.
pub fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..Default::default()
    }
}
