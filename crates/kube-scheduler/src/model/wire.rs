//! Objects as they come in, and what is made of them.
use std::collections::BTreeMap;

use api::quantity::{ParseError, Quantity};
use k8s_openapi::{
    api::core::v1::{Affinity, PodSchedulingGate, ResourceRequirements, Taint, Toleration},
    apimachinery::pkg::{api::resource::Quantity as ApiQuantity, apis::meta::v1::ObjectMeta},
};
use serde::Deserialize;

use super::{HostPort, Labels, NodeAffinity, Resources};

#[derive(Deserialize)]
pub(super) struct Pod {
    #[serde(default)]
    metadata: ObjectMeta,
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
    #[serde(default)]
    scheduler_name: String,
    priority: Option<i32>,
    node_selector: Option<Labels>,
    affinity: Option<Affinity>,
    tolerations: Option<Vec<Toleration>>,
    #[serde(default)]
    containers: Vec<Container>,
    init_containers: Option<Vec<Container>>,
    overhead: Option<BTreeMap<String, ApiQuantity>>,
    scheduling_gates: Option<Vec<PodSchedulingGate>>,
    #[serde(default)]
    host_network: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    resources: Option<ResourceRequirements>,
    ports: Option<Vec<Port>>,
    restart_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    container_port: i32,
    #[serde(default)]
    host_port: i32,
    #[serde(default, rename = "hostIP")]
    host_ip: String,
    protocol: Option<String>,
}

#[derive(Default, Deserialize)]
struct PodStatus {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
    message: Option<String>,
}

impl TryFrom<Pod> for super::Pod {
    type Error = ParseError;

    fn try_from(pod: Pod) -> Result<Self, ParseError> {
        let Pod { mut metadata, spec, status } = pod;
        super::trim(&mut metadata);
        let scheduled = status.conditions.into_iter().flatten().find(|condition| condition.r#type == "PodScheduled");
        Ok(Self {
            requests: requests(&spec)?,
            ports: host_ports(&spec),
            affinity: NodeAffinity::new(spec.node_selector, spec.affinity.as_ref()),
            tolerations: spec.tolerations.unwrap_or_default(),
            priority: spec.priority.unwrap_or_default(),
            node_name: spec.node_name,
            scheduler_name: spec.scheduler_name,
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            gated: spec.scheduling_gates.is_some_and(|gates| !gates.is_empty()),
            unscheduled_message: scheduled.filter(|one| one.status == "False").and_then(|one| one.message),
            metadata,
        })
    }
}

/// The sum of the containers, or what the largest step of the start needs if that is more; and the overhead.
fn requests(spec: &PodSpec) -> Result<Resources, ParseError> {
    let of = |container: &Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        Resources::of_container(requests.unwrap_or(&BTreeMap::new()))
    };
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container)?);
    }
    // An init container that restarts stays beside all that come after it.
    let mut staying = Resources::default();
    let mut largest_step = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut step = of(container)?;
        step.add(&staying);
        if container.restart_policy.as_deref() == Some("Always") {
            staying = step.clone();
        }
        largest_step.raise(&step);
    }
    total.add(&staying);
    total.raise(&largest_step);
    if let Some(overhead) = &spec.overhead {
        total.add(&Resources::parse(overhead)?);
    }
    Ok(total)
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let host_port = |port: &Port| {
        let number = if spec.host_network && port.host_port == 0 { port.container_port } else { port.host_port };
        (number > 0).then(|| HostPort {
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            address: if port.host_ip.is_empty() { "0.0.0.0".to_owned() } else { port.host_ip.clone() },
            port: number,
        })
    };
    ports.filter_map(host_port).collect()
}

#[derive(Deserialize)]
pub(super) struct Node {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
struct NodeSpec {
    #[serde(default)]
    unschedulable: bool,
    taints: Option<Vec<Taint>>,
}

#[derive(Default, Deserialize)]
struct NodeStatus {
    allocatable: Option<BTreeMap<String, ApiQuantity>>,
}

impl TryFrom<Node> for super::Node {
    type Error = ParseError;

    fn try_from(node: Node) -> Result<Self, ParseError> {
        let Node { mut metadata, spec, status } = node;
        super::trim(&mut metadata);
        let allocatable = status.allocatable.unwrap_or_default();
        let max_pods = allocatable.get("pods").map(Quantity::try_from).transpose()?;
        Ok(Self {
            metadata,
            unschedulable: spec.unschedulable,
            taints: spec.taints.unwrap_or_default(),
            allocatable: Resources::parse(&allocatable)?,
            max_pods: max_pods.map_or(0, Quantity::value),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Service {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
struct ServiceSpec {
    selector: Option<Labels>,
}

impl From<Service> for super::Service {
    fn from(service: Service) -> Self {
        let Service { mut metadata, spec } = service;
        super::trim(&mut metadata);
        metadata.labels = None;
        Self { metadata, selector: spec.selector.unwrap_or_default() }
    }
}
