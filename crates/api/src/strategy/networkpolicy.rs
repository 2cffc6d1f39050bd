//! Network policies.

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{Strategy, part_mut, typed};
use crate::field::{Errors, Path};
use crate::validation::{self, checks, names};

pub struct NetworkPolicies;

impl Strategy for NetworkPolicies {
    /// A policy is of what comes in, and of what goes out if it says anything of that.
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let out = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
            spec.insert("policyTypes".into(), if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: NetworkPolicySpec = typed(object.get("spec"));
        validation::label_selector(spec.pod_selector.as_ref(), &path.child("podSelector"), errors);
        let list = path.child("ingress");
        for (at, rule) in spec.ingress.iter().flatten().enumerate() {
            let path = list.index(at);
            ports(rule.ports.as_deref(), &path.child("ports"), errors);
            peers(rule.from.as_deref(), &path.child("from"), errors);
        }
        let list = path.child("egress");
        for (at, rule) in spec.egress.iter().flatten().enumerate() {
            let path = list.index(at);
            ports(rule.ports.as_deref(), &path.child("ports"), errors);
            peers(rule.to.as_deref(), &path.child("to"), errors);
        }
        let (list, types) = (path.child("policyTypes"), spec.policy_types.unwrap_or_default());
        if types.len() > 2 {
            errors.invalid(&list, types, "may not specify more than two policyTypes");
            return;
        }
        for (at, kind) in types.iter().enumerate() {
            if !["Egress", "Ingress"].contains(&kind.as_str()) {
                errors.not_supported(&list.index(at), kind, &["Egress", "Ingress"]);
            }
        }
    }
}

fn ports(ports: Option<&[NetworkPolicyPort]>, list: &Path<'_>, errors: &mut Errors) {
    for (at, port) in ports.unwrap_or_default().iter().enumerate() {
        let path = list.index(at);
        checks::supported_if_set(port.protocol.as_deref(), &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
        let (place, end) = (path.child("port"), path.child("endPort"));
        match (&port.port, port.end_port) {
            (Some(IntOrString::Int(number)), last) => {
                checks::port_number(*number, &place, errors);
                if let Some(last) = last {
                    if last < *number {
                        errors.invalid(&end, last, "must be greater than or equal to `port`");
                    }
                    checks::port_number(last, &end, errors);
                }
            }
            (Some(IntOrString::String(name)), last) => {
                if let Some(last) = last {
                    errors.invalid(&end, last, "may not be specified when `port` is non-numeric");
                }
                errors.extend(&place, name, names::port_name(name));
            }
            (None, Some(last)) => errors.invalid(&end, last, "may not be specified when `port` is not specified"),
            (None, None) => {}
        }
    }
}

fn peers(peers: Option<&[NetworkPolicyPeer]>, list: &Path<'_>, errors: &mut Errors) {
    for (at, peer) in peers.unwrap_or_default().iter().enumerate() {
        let path = list.index(at);
        let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
        validation::label_selector(peer.pod_selector.as_ref(), &path.child("podSelector"), errors);
        validation::label_selector(peer.namespace_selector.as_ref(), &path.child("namespaceSelector"), errors);
        match &peer.ip_block {
            Some(block) => {
                ip_block(block, &path.child("ipBlock"), errors);
                if selects {
                    errors.forbidden(&path, "may not specify both ipBlock and another peer");
                }
            }
            None if !selects => errors.required(&path, "must specify a peer"),
            None => {}
        }
    }
}

fn ip_block(block: &IPBlock, path: &Path<'_>, errors: &mut Errors) {
    let (place, list) = (path.child("cidr"), path.child("except"));
    if block.cidr.is_empty() {
        errors.required(&place, "");
        return;
    }
    checks::cidr(&block.cidr, &place, errors);
    let Some(whole) = checks::range(&block.cidr) else { return };
    for (at, except) in block.except.iter().flatten().enumerate() {
        let path = list.index(at);
        checks::cidr(except, &path, errors);
        if checks::range(except).is_some_and(|part| !whole.contains(&part) || whole == part) {
            errors.invalid(&path, except.as_str(), "must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made};
    use super::*;

    #[test]
    fn policy_types_follow_the_rules() {
        let types = |spec: Value| made("NetworkPolicy", json!({"spec": spec}))["spec"]["policyTypes"].clone();
        assert_eq!(types(json!({})), json!(["Ingress"]));
        assert_eq!(types(json!({"egress": [{}]})), json!(["Ingress", "Egress"]));
        assert_eq!(types(json!({"egress": [{}], "policyTypes": ["Egress"]})), json!(["Egress"]));
    }

    #[test]
    fn refused() {
        let port = |port: Value| json!({"ingress": [{"ports": [port]}]});
        let peer = |peer: Value| json!({"egress": [{"to": [peer]}]});
        for (spec, told) in [
            (port(json!({"port": 80, "endPort": 90})), ""),
            (
                port(json!({"port": 0})),
                "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                port(json!({"port": 80, "endPort": 79})),
                "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
            ),
            (
                port(json!({"port": "http", "endPort": 79})),
                "spec.ingress[0].ports[0].endPort: Invalid value: 79: may not be specified when `port` is non-numeric",
            ),
            (
                port(json!({"protocol": "ICMP"})),
                "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ),
            (peer(json!({})), "spec.egress[0].to[0]: Required value: must specify a peer"),
            (
                peer(json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}})),
                "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
            ),
            (peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}})), ""),
            (
                peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.1.0.0/16"]}})),
                "spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"11.1.0.0/16\": must be a strict subset of `cidr`",
            ),
            (
                json!({"policyTypes": ["Sideways"]}),
                "spec.policyTypes[0]: Unsupported value: \"Sideways\": supported values: \"Egress\", \"Ingress\"",
            ),
        ] {
            let all = create("NetworkPolicy", json!({"spec": spec}));
            assert_eq!(all, if told.is_empty() { vec![] } else { vec![told] });
        }
    }
}
