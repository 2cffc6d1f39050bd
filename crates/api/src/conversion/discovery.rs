//! `discovery.k8s.io/v1beta1`: where an endpoint is was told by labels of topology.

use serde_json::{Map, Value};

use super::{Conversion, each};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

pub const ENDPOINT_SLICE: Conversion = Conversion {
    to_stored: |document| each(document, "endpoints[]", &mut to_fields),
    from_stored: |document| each(document, "endpoints[]", &mut to_topology),
    ..super::SAME
};

fn to_fields(endpoint: &mut Map<String, Value>) {
    let Some(Value::Object(mut topology)) = endpoint.remove("topology") else { return };
    if let Some(zone) = topology.remove(ZONE) {
        endpoint.insert("zone".into(), zone);
    }
    // A name that differs from the node's is something else that somebody wanted to say.
    if topology.get(HOSTNAME).is_some_and(|name| endpoint.get("nodeName") == Some(name)) {
        topology.remove(HOSTNAME);
    }
    if !topology.is_empty() {
        endpoint.insert("deprecatedTopology".into(), topology.into());
    }
}

fn to_topology(endpoint: &mut Map<String, Value>) {
    let mut topology = match endpoint.remove("deprecatedTopology") {
        Some(Value::Object(topology)) => topology,
        _ => Map::new(),
    };
    if let Some(zone) = endpoint.remove("zone") {
        topology.insert(ZONE.into(), zone);
    }
    if let Some(node) = endpoint.get("nodeName") {
        topology.entry(HOSTNAME).or_insert(node.clone());
    }
    if !topology.is_empty() {
        endpoint.insert("topology".into(), topology.into());
    }
}
