//! Endpoints.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::EndpointSubset;
use serde_json::Value;

use super::{Strategy, typed};
use crate::field::{Errors, Path};
use crate::validation::{names, pod::number};

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
                    match address.ip.parse::<IpAddr>() {
                        Err(_) => errors.invalid(&path, address.ip.as_str(), "must be a valid IP address"),
                        Ok(ip) if ip.is_loopback() => {
                            errors.invalid(&path, address.ip.as_str(), "may not be in the loopback range");
                        }
                        Ok(_) => {}
                    }
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
                number(port.port, &path.child("port"), errors);
            }
        }
    }
}
