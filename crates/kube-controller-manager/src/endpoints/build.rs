//! What the endpoints of a service are. Pure.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::model::{Pod, name, pod_reference};

const HEADLESS: &str = "service.kubernetes.io/headless";

/// A service without a selector selects nothing.
pub(super) fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else { return false };
    let same_namespace = service.metadata.namespace == pod.metadata.namespace;
    let labels = pod.metadata.labels.as_ref();
    let has = |(key, value): (&String, &String)| labels.is_some_and(|labels| labels.get(key) == Some(value));
    same_namespace && selector.iter().all(has)
}

/// Whether a change of a pod can be a change of any endpoints.
pub(super) fn matters(old: &Pod, new: &Pod) -> bool {
    old.metadata.labels != new.metadata.labels
        || old.metadata.uid != new.metadata.uid
        || old.metadata.deletion_timestamp.is_some() != new.metadata.deletion_timestamp.is_some()
        || old.spec != new.spec
        || old.status.pod_ip != new.status.pod_ip
        || old.is_ready() != new.is_ready()
        || old.is_terminated() != new.is_terminated()
}

/// Who writes the object, as upstream's controller tells it.
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

pub(super) fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY.0)).is_some_and(|by| by == MANAGED_BY.1)
}

/// The service's labels, one that tells who writes the object, and one that tells a service without an address.
pub(super) fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

type PortKey = (Option<String>, i32, Option<String>, Option<String>);

/// Addresses with the same ports go together; `None` when there are none.
pub(super) fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Option<Vec<EndpointSubset>> {
    let spec = service.spec.clone().unwrap_or_default();
    let unready_too = spec.publish_not_ready_addresses == Some(true);
    let mut addresses = Vec::new();
    let mut by_port: BTreeMap<Option<PortKey>, BTreeSet<usize>> = BTreeMap::new();
    let ports = spec.ports.unwrap_or_default();
    for pod in pods {
        let going = pod.metadata.deletion_timestamp.is_some();
        if pod.status.pod_ip.is_empty() || pod.is_terminated() || (going && !unready_too) {
            continue;
        }
        let index = addresses.len();
        addresses.push((address(service, pod), unready_too || pod.is_ready()));
        if ports.is_empty() && is_headless(service) {
            by_port.entry(None).or_default().insert(index);
        }
        for port in &ports {
            let Some(number) = target(port, pod) else { continue };
            let protocol = port.protocol.clone().or_else(|| Some("TCP".to_owned()));
            let key = (port.name.clone(), number, protocol, port.app_protocol.clone());
            by_port.entry(Some(key)).or_default().insert(index);
        }
    }

    let mut together: BTreeMap<BTreeSet<usize>, Vec<PortKey>> = BTreeMap::new();
    for (port, indexes) in by_port {
        together.entry(indexes).or_default().extend(port);
    }
    let mut subsets: Vec<_> = together.into_iter().map(|(indexes, ports)| subset(&addresses, indexes, ports)).collect();
    // A stable order: the same pods never look like a change.
    subsets.sort_by_cached_key(|subset| format!("{:?}", (&subset.ports, &subset.addresses)));
    (!subsets.is_empty()).then_some(subsets)
}

fn subset(addresses: &[(EndpointAddress, bool)], indexes: BTreeSet<usize>, ports: Vec<PortKey>) -> EndpointSubset {
    let of = |wanted: bool| {
        let chosen = indexes.iter().map(|index| &addresses[*index]).filter(|(_, ready)| *ready == wanted);
        let mut chosen: Vec<_> = chosen.map(|(address, _)| address.clone()).collect();
        let uid = |address: &EndpointAddress| address.target_ref.as_ref().and_then(|target| target.uid.clone());
        chosen.sort_by(|a, b| (&a.ip, uid(a)).cmp(&(&b.ip, uid(b))));
        (!chosen.is_empty()).then_some(chosen)
    };
    let port = |(name, port, protocol, app_protocol): PortKey| EndpointPort { name, port, protocol, app_protocol };
    let ports: Vec<_> = ports.into_iter().map(port).collect();
    EndpointSubset { addresses: of(true), not_ready_addresses: of(false), ports: (!ports.is_empty()).then_some(ports) }
}

fn address(service: &Service, pod: &Pod) -> EndpointAddress {
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == name(&service.metadata);
    EndpointAddress {
        ip: pod.status.pod_ip.clone(),
        hostname: named.then(|| pod.spec.hostname.clone()),
        node_name: Some(pod.spec.node_name.clone()).filter(|node| !node.is_empty()),
        target_ref: Some(pod_reference(pod)),
    }
}

/// The port of the pod: a number, or the name of a port of one of its containers.
fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(wanted)) => {
            let protocol = |protocol: &Option<String>| protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            let ports = pod.spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
            let mut found = ports.filter(|one| {
                one.name.as_deref() == Some(wanted) && protocol(&one.protocol) == protocol(&port.protocol)
            });
            found.next().map(|one| one.container_port)
        }
    }
}
