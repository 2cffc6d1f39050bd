//! The cluster as kube-apiserver has it: the calls of the pod workers over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use client::{Client, Error, EventRecorder, EventType, Patch, Reflector, Store};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, Pod, PodStatus, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterError, Occurrence};
use crate::pod::PodRef;

const BY_NAMESPACE: &str = "namespace";

pub struct ApiCluster {
    client: Client,
    services: Store<Service>,
    recorder: EventRecorder,
}

impl ApiCluster {
    pub fn new(client: Client, services: Store<Service>, recorder: EventRecorder) -> Self {
        Self { client, services, recorder }
    }
}

/// Mirrors the services, as much of them as a container's environment needs.
pub fn services(client: &Client) -> Reflector<Service> {
    Reflector::new(client)
        .trim(|service: &mut Service| {
            service.status = None;
            service.metadata.annotations = None;
            service.metadata.labels = None;
        })
        .index(BY_NAMESPACE, |service| service.metadata.namespace.iter().cloned().collect())
}

fn failed(error: Error) -> ClusterError {
    if error.is_not_found() {
        return ClusterError::Gone(error.to_string());
    }
    if error.is_invalid() {
        // Asking again changes nothing, and another pod of this name has another uid.
        tracing::warn!("{error}");
        return ClusterError::Gone(error.to_string());
    }
    ClusterError::Failed(error.to_string())
}

/// The status as a patch that touches nothing of the other writers'.
fn status_patch(pod: &PodRef, status: &PodStatus) -> Result<Value, ClusterError> {
    let mut status = serde_json::to_value(status).map_err(|error| ClusterError::Gone(error.to_string()))?;
    // These lists are merged by the addresses, and an old address must not stay.
    for list in ["podIPs", "hostIPs"] {
        if let Some(Value::Array(items)) = status.get_mut(list) {
            items.insert(0, json!({"$patch": "replace"}));
        }
    }
    Ok(json!({"metadata": {"uid": pod.uid}, "status": status}))
}

#[async_trait]
impl Cluster for ApiCluster {
    async fn update_status(&self, pod: &PodRef, status: &PodStatus) -> Result<(), ClusterError> {
        let patch = status_patch(pod, status)?;
        let resource = <Pod as client::Object>::RESOURCE;
        let patched =
            self.client.patch_resource(resource, &pod.namespace, &pod.name, Patch::Strategic, &patch, "status").await;
        patched.map(drop).map_err(failed)
    }

    async fn delete_pod(&self, pod: &PodRef) -> Result<(), ClusterError> {
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(pod.uid.clone()), ..Default::default() }),
            ..Default::default()
        };
        match self.client.delete::<Pod>(&pod.namespace, &pod.name, &options).await {
            // Another pod has the name by now: ours is gone.
            Err(error) if error.is_conflict() => Err(ClusterError::Gone(error.to_string())),
            other => other.map_err(failed),
        }
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<ConfigMap, ClusterError> {
        self.client.get(namespace, name).await.map_err(failed)
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, ClusterError> {
        self.client.get(namespace, name).await.map_err(failed)
    }

    fn services(&self, namespace: &str) -> Vec<Arc<Service>> {
        self.services.by_index(BY_NAMESPACE, namespace)
    }

    fn tell(&self, pod: &PodRef, occurrence: Occurrence) {
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
            field_path: occurrence.container.map(|name| format!("spec.containers{{{name}}}")),
            resource_version: None,
        };
        let kind = if occurrence.warning { EventType::Warning } else { EventType::Normal };
        self.recorder.record(about, kind, occurrence.reason, occurrence.message);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodIP;

    use super::*;

    #[test]
    fn a_new_address_replaces_the_old_one() {
        let pod = PodRef { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        let status = PodStatus { pod_ips: Some(vec![PodIP { ip: "10.1.0.2".into() }]), ..Default::default() };
        let patch = status_patch(&pod, &status).unwrap();
        assert_eq!(
            patch,
            json!({"metadata": {"uid": "u"}, "status": {"podIPs": [{"$patch": "replace"}, {"ip": "10.1.0.2"}]}})
        );
    }
}
