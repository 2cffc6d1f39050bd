//! Endpoints.

use k8s_openapi::api::core::v1::EndpointSubset;
use serde_json::Value;

use super::{Strategy, typed};
use crate::field::{Errors, Path};
use crate::validation::{checks, names};

pub struct EndpointsRules;

impl Strategy for EndpointsRules {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("subsets");
        let subsets: Vec<EndpointSubset> = typed(object.get("subsets"));
        for (at, subset) in subsets.iter().enumerate() {
            let path = path.index(at);
            let (ready, not_ready) = (subset.addresses.as_deref(), subset.not_ready_addresses.as_deref());
            if ready.unwrap_or_default().is_empty() && not_ready.unwrap_or_default().is_empty() {
                errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
            }
            for (field, list) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
                for (at, address) in list.unwrap_or_default().iter().enumerate() {
                    let list_path = path.child(field);
                    let item = list_path.index(at);
                    let path = item.child("ip");
                    checks::endpoint_ip(&address.ip, &path, errors);
                    checks::named_if_set(
                        address.hostname.as_deref(),
                        names::dns_label,
                        &item.child("hostname"),
                        errors,
                    );
                    let node = address.node_name.as_deref();
                    checks::named_if_set(node, names::dns_subdomain, &item.child("nodeName"), errors);
                }
            }
            let several = subset.ports.as_ref().is_some_and(|ports| ports.len() > 1);
            for (at, port) in subset.ports.iter().flatten().enumerate() {
                let ports = path.child("ports");
                let path = ports.index(at);
                match port.name.as_deref().unwrap_or("") {
                    "" if several => errors.required(&path.child("name"), ""),
                    "" => {}
                    name => errors.extend(&path.child("name"), name, names::dns_label(name)),
                }
                checks::port_number(port.port, &path.child("port"), errors);
                let protocol = port.protocol.as_deref().unwrap_or("");
                checks::supported(protocol, &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
                let app = port.app_protocol.as_deref();
                checks::named_if_set(app, names::qualified_name, &path.child("appProtocol"), errors);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses() {
        for (ip, why) in [
            ("10.0.0.1", ""),
            ("1.2.3", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ] {
            let object = json!({"subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 1, "protocol": "TCP"}]}]});
            let mut errors = Errors::default();
            EndpointsRules.validate(&object, &mut errors);
            let told = errors.0.first().map(|error| error.detail.as_str()).unwrap_or("");
            assert_eq!(told, why, "{ip}");
            assert!(errors.0.iter().all(|error| error.path == "subsets[0].addresses[0].ip"), "{ip}");
        }
    }
}
