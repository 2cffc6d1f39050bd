//! Values of a pod's own fields and resources, for variables and for files of downward API volumes.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use crate::pod;

/// What a pod may ask about the node it runs on, and what the kubelet knows before the API does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    pub name: String,
    pub address: String,
    /// None until the sandbox has one.
    pub pod_ip: Option<String>,
    /// What a limit that is not set means.
    pub allocatable: BTreeMap<String, Quantity>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FieldError {
    #[error("unsupported fieldPath: {0}")]
    Unsupported(String),
    #[error("container {0} not found")]
    NoContainer(String),
    #[error("unsupported container resource: {0}")]
    Resource(String),
    #[error("{value}: {source}")]
    Quantity { value: String, source: api::quantity::ParseError },
}

pub fn field(pod: &Pod, path: &str, node: &NodeFacts) -> Result<String, FieldError> {
    let meta = &pod.metadata;
    let spec = pod::spec(pod);
    let pod_ip = || node.pod_ip.clone().unwrap_or_default();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|start| start.split_once("['")) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(FieldError::Unsupported(path.to_owned())),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => node.name.clone(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => node.address.clone(),
        "status.podIP" | "status.podIPs" => pod_ip(),
        _ => return Err(FieldError::Unsupported(path.to_owned())),
    })
}

/// `key="value"` lines, sorted.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// The container in whose place the selector of a volume asks.
pub fn resource_of(pod: &Pod, selector: &ResourceFieldSelector, node: &NodeFacts) -> Result<String, FieldError> {
    let name = selector.container_name.as_deref().unwrap_or_default();
    let container = pod::container(pod, name).ok_or_else(|| FieldError::NoContainer(name.to_owned()))?;
    resource(pod, container, selector, node)
}

pub fn resource(
    pod: &Pod,
    own: &Container,
    selector: &ResourceFieldSelector,
    node: &NodeFacts,
) -> Result<String, FieldError> {
    let container = match selector.container_name.as_deref() {
        Some(name) => pod::container(pod, name).ok_or_else(|| FieldError::NoContainer(name.to_owned()))?,
        None => own,
    };
    let unknown = || FieldError::Resource(selector.resource.clone());
    let (which, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = container.resources.as_ref();
    let list = match which {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => return Err(unknown()),
    };
    let parse = |q: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| {
        Quantity::try_from(q).map_err(|source| FieldError::Quantity { value: q.0.clone(), source })
    };
    let value = match list.and_then(|list| list.get(name)) {
        Some(quantity) => Some(parse(quantity)?),
        // A limit that is not set is what the node has.
        None if which == "limits" => node.allocatable.get(name).copied(),
        None => None,
    };
    let value = value.map_or(0, Quantity::nano_value);
    let divisor = match &selector.divisor {
        Some(divisor) if divisor.0 != "0" && !divisor.0.is_empty() => parse(divisor)?.nano_value(),
        _ => 1_000_000_000,
    };
    // Rounded up, so that no process is told that it has none.
    Ok(if divisor == 0 { 0 } else { (value + divisor - 1).div_euclid(divisor) }.to_string())
}
