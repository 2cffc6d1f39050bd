//! Endpoint slices.

use std::collections::HashSet;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use serde_json::Value;

use super::{Strategy, immutable, typed};
use crate::field::{Errors, Path};
use crate::validation::{checks, names};

pub struct EndpointSlices;

const TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const MOST_ENDPOINTS: usize = 1000;
const MOST_PORTS: usize = 20_000;
const MOST_ADDRESSES: usize = 100;
const MOST_HINTS: usize = 8;

impl Strategy for EndpointSlices {
    fn counts(&self) -> &'static [&'static str] {
        &["labels"]
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let slice: EndpointSlice = typed(Some(object));
        let path = Path::new("addressType");
        let kind = slice.address_type.as_str();
        checks::supported(kind, &TYPES, &path, errors);
        let list = Path::new("endpoints");
        let endpoints = slice.endpoints.unwrap_or_default();
        if endpoints.len() > MOST_ENDPOINTS {
            errors.too_many(&list, endpoints.len(), MOST_ENDPOINTS);
            return;
        }
        for (at, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(endpoint, kind, &list.index(at), errors);
        }
        ports(slice.ports.as_deref().unwrap_or_default(), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("addressType"), errors);
    }
}

fn validate_endpoint(endpoint: &Endpoint, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("addresses");
    match endpoint.addresses.len() {
        0 => errors.required(&list, "must contain at least 1 address"),
        1..=MOST_ADDRESSES => {}
        many => errors.too_many(&list, many, MOST_ADDRESSES),
    }
    for (at, address) in endpoint.addresses.iter().take(MOST_ADDRESSES).enumerate() {
        let place = list.index(at);
        match (kind, address.parse::<IpAddr>()) {
            ("FQDN", _) => errors.extend(&place, address, names::dns_subdomain(address)),
            ("IPv4", Ok(IpAddr::V6(_)) | Err(_)) => {
                errors.invalid(&place, address.as_str(), "must be a valid IPv4 address")
            }
            ("IPv6", Ok(IpAddr::V4(_)) | Err(_)) => {
                errors.invalid(&place, address.as_str(), "must be a valid IPv6 address")
            }
            _ => checks::endpoint_ip(address, &place, errors),
        }
    }
    checks::named_if_set(endpoint.node_name.as_deref(), names::dns_subdomain, &path.child("nodeName"), errors);
    checks::named_if_set(endpoint.hostname.as_deref(), names::dns_label, &path.child("hostname"), errors);
    let topology = path.child("deprecatedTopology");
    for (key, value) in endpoint.deprecated_topology.iter().flatten() {
        errors.extend(&topology, key, names::qualified_name(key));
        errors.extend(&topology, value, names::label_value(value));
    }
    let Some(hints) = &endpoint.hints else { return };
    let path = path.child("hints");
    let list = path.child("forZones");
    let zones = hints.for_zones.as_deref().unwrap_or_default();
    if zones.len() > MOST_HINTS {
        errors.too_many(&list, zones.len(), MOST_HINTS);
        return;
    }
    let mut seen = HashSet::new();
    for (at, zone) in zones.iter().enumerate() {
        let path = list.index(at);
        let place = path.child("name");
        if !seen.insert(&zone.name) {
            errors.duplicate(&place, zone.name.as_str());
        }
        errors.extend(&place, &zone.name, names::label_value(&zone.name));
    }
}

fn ports(ports: &[EndpointPort], errors: &mut Errors) {
    let list = Path::new("ports");
    if ports.len() > MOST_PORTS {
        errors.too_many(&list, ports.len(), MOST_PORTS);
        return;
    }
    let mut seen = HashSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = list.index(at);
        let name = port.name.as_deref().unwrap_or("");
        if !name.is_empty() {
            errors.extend(&path.child("name"), name, names::dns_label(name));
        }
        if !seen.insert(name) {
            errors.duplicate(&path.child("name"), name);
        }
        let protocol = port.protocol.as_deref().unwrap_or("");
        checks::supported(protocol, &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
        if let Some(number) = port.port {
            checks::port_number(number, &path.child("port"), errors);
        }
        let app = port.app_protocol.as_deref();
        checks::named_if_set(app, names::qualified_name, &path.child("appProtocol"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use serde_json::json;

    #[test]
    fn table() {
        let port = &made("EndpointSlice", json!({"ports": [{"port": 80}]}))["ports"][0];
        assert_eq!(*port, json!({"name": "", "protocol": "TCP", "port": 80}));
        for (change, told) in [
            (json!({"addressType": ""}), "addressType: Required value"),
            (
                json!({"endpoints": [{"addresses": []}]}),
                "endpoints[0].addresses: Required value: must contain at least 1 address",
            ),
            (
                json!({"endpoints": [{"addresses": ["fd00::1"]}]}),
                "endpoints[0].addresses[0]: Invalid value: \"fd00::1\": must be a valid IPv4 address",
            ),
            (
                json!({"endpoints": [{"addresses": ["127.0.0.1"]}]}),
                "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (json!({"ports": [{}, {}]}), "ports[1].name: Duplicate value: \"\""),
            (
                json!({"ports": [{"protocol": "X"}]}),
                "ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ),
        ] {
            assert_eq!(create("EndpointSlice", change), [told]);
        }
        let moved = json!({"addressType": "FQDN", "endpoints": []});
        assert_eq!(update("EndpointSlice", moved), ["addressType: Invalid value: \"FQDN\": field is immutable"]);
    }
}
