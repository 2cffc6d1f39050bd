//! `networking.k8s.io`.

use super::{Resource, STATUS, Version, also, row};
use crate::conversion::networking::INGRESS;
use crate::{columns, strategy};

const GROUP: &str = "networking.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            namespaced: false,
            generation: true,
            columns: columns::INGRESS_CLASSES,
            strategy: &strategy::IngressClasses,
            ..row(GROUP, "v1", "IngressClass", "ingressclasses")
        }
        .shown_as([also(GROUP, "v1beta1", "IngressClass")]),
        Resource {
            short_names: &["ing"],
            subresources: &[STATUS],
            generation: true,
            columns: columns::INGRESSES,
            strategy: &strategy::Ingresses,
            ..row(GROUP, "v1", "Ingress", "ingresses")
        }
        .shown_as([
            Version { conversion: &INGRESS, ..also("extensions", "v1beta1", "Ingress") },
            Version { conversion: &INGRESS, ..also(GROUP, "v1beta1", "Ingress") },
        ]),
        Resource {
            short_names: &["ip"],
            namespaced: false,
            columns: columns::IP_ADDRESSES,
            strategy: &strategy::IpAddresses,
            ..row(GROUP, "v1", "IPAddress", "ipaddresses")
        },
        Resource {
            short_names: &["netpol"],
            generation: true,
            columns: columns::NETWORK_POLICIES,
            strategy: &strategy::NetworkPolicies,
            ..row(GROUP, "v1", "NetworkPolicy", "networkpolicies")
        }
        .shown_as([also("extensions", "v1beta1", "NetworkPolicy")]),
        Resource {
            namespaced: false,
            subresources: &[STATUS],
            columns: columns::SERVICE_CIDRS,
            strategy: &strategy::ServiceCidrs,
            ..row(GROUP, "v1", "ServiceCIDR", "servicecidrs")
        },
    ]
}
