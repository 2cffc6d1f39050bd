//! Services of v1beta1: no spec, and the first port in the service itself.

use serde_json::{Map, Value, json};

use super::metadata;
use crate::conversion::{Conversion, SAME, each, rename};
use crate::meta::fields_mut;

/// What is not a part of the spec.
const OWN: [&str; 5] = ["apiVersion", "kind", "metadata", "status", "spec"];
/// The first port, as it stands in the service.
const FIRST: [(&str, &str); 4] =
    [("portName", "name"), ("port", "port"), ("protocol", "protocol"), ("containerPort", "targetPort")];

pub const SERVICE: Conversion = Conversion {
    to_stored: |document| {
        each(document, "ports[]", &mut |port| rename(port, "containerPort", "targetPort"));
        let fields = fields_mut(document);
        metadata::to_stored(fields);
        fields.remove("proxyPort");
        let mut status = Map::new();
        for (here, stored) in [("loadBalancerStatus", "loadBalancer"), ("conditions", "conditions")] {
            status.extend(fields.remove(here).map(|value| (stored.to_owned(), value)));
        }
        let first = FIRST.map(|(here, stored)| (stored, fields.remove(here)));
        let ports = fields.get("ports").and_then(Value::as_array).is_some_and(|ports| !ports.is_empty());
        if !ports && first.iter().any(|(name, value)| *name == "port" && value.is_some()) {
            let port = first.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            let port: Map<String, Value> = port.filter(|(_, value)| *value != "").collect();
            fields.insert("ports".into(), json!([port]));
        }
        addresses_to_stored(fields);
        let spec = fields.keys().filter(|name| !OWN.contains(&name.as_str())).cloned().collect::<Vec<_>>();
        let spec: Map<String, Value> = spec.into_iter().filter_map(|name| fields.remove_entry(&name)).collect();
        fields.insert("spec".into(), spec.into());
        if !status.is_empty() {
            fields.insert("status".into(), status.into());
        }
    },
    from_stored: |document| {
        let fields = fields_mut(document);
        metadata::from_stored(fields);
        if let Some(Value::Object(mut status)) = fields.remove("status") {
            rename(&mut status, "loadBalancer", "loadBalancerStatus");
            fields.extend(status);
        }
        if let Some(Value::Object(mut spec)) = fields.remove("spec") {
            addresses_from_stored(&mut spec);
            if let Some(first) = spec.get("ports").and_then(|ports| ports.get(0)).and_then(Value::as_object) {
                let shown =
                    FIRST.iter().filter_map(|(here, stored)| Some(((*here).to_owned(), first.get(*stored)?.clone())));
                fields.extend(shown.collect::<Vec<_>>());
            }
            fields.extend(spec);
        }
        each(document, "ports[]", &mut |port| rename(port, "targetPort", "containerPort"));
    },
    ..SAME
};

/// Of v1beta1's service and of v1beta3's spec.
pub(super) fn addresses_to_stored(fields: &mut Map<String, Value>) {
    rename(fields, "portalIP", "clusterIP");
    rename(fields, "deprecatedPublicIPs", "externalIPs");
    rename(fields, "publicIPs", "externalIPs");
    let wants = fields.remove("createExternalLoadBalancer").is_some_and(|wants| wants == true);
    if wants && fields.get("type").is_none_or(|kind| *kind == "") {
        fields.insert("type".into(), "LoadBalancer".into());
    }
}

pub(super) fn addresses_from_stored(fields: &mut Map<String, Value>) {
    rename(fields, "clusterIP", "portalIP");
    if fields.get("type").is_some_and(|kind| *kind == "LoadBalancer") {
        fields.insert("createExternalLoadBalancer".into(), true.into());
    }
    rename(fields, "externalIPs", "publicIPs");
}
