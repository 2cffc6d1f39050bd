//! What the kubelet asks of the API for its pods, so that the workers can be run against a scripted cluster.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, PodStatus, Secret, Service};

use crate::pod::PodRef;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClusterError {
    /// There is no such object (any more), or another one has its name.
    #[error("{0}")]
    Gone(String),
    /// Worth trying again.
    #[error("{0}")]
    Failed(String),
}

/// An event about a pod, or one of its containers.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
    /// The container's name, where the event is about one.
    pub container: Option<String>,
}

impl Occurrence {
    pub fn normal(reason: &'static str, container: Option<&str>, message: impl Into<String>) -> Self {
        Self { warning: false, reason, message: message.into(), container: container.map(str::to_owned) }
    }

    pub fn warning(reason: &'static str, container: Option<&str>, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, container, message) }
    }
}

#[async_trait]
pub trait Cluster: Send + Sync + 'static {
    async fn update_status(&self, pod: &PodRef, status: &PodStatus) -> Result<(), ClusterError>;
    /// For good: nothing of the pod is left on the node.
    async fn delete_pod(&self, pod: &PodRef) -> Result<(), ClusterError>;
    async fn config_map(&self, namespace: &str, name: &str) -> Result<ConfigMap, ClusterError>;
    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, ClusterError>;
    /// Of the namespace, as they are now.
    fn services(&self, namespace: &str) -> Vec<Arc<Service>>;
    /// Told for people; never waits.
    fn tell(&self, pod: &PodRef, occurrence: Occurrence);
}
