//! Services: their addresses and ports are given once and stay.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::ServiceSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{Claim, Strategy, Want, keep, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, meta::labels, names, pod::number};

pub struct Services;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

fn has_node_ports(kind: &str) -> bool {
    matches!(kind, "NodePort" | "LoadBalancer")
}

impl Strategy for Services {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::dns_1035_label
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
        let kind = spec.get("type").and_then(Value::as_str).unwrap_or("ClusterIP").to_owned();
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let unset = port.get("targetPort").is_none_or(|target| *target == 0 || *target == "");
            if unset && let Some(port) = port.as_object_mut() {
                let number = port.get("port").cloned().unwrap_or_default();
                port.insert("targetPort".into(), number);
            }
        }
        if spec.get("sessionAffinity").is_some_and(|affinity| affinity == "ClientIP") {
            spec.entry("sessionAffinityConfig").or_insert_with(|| json!({"clientIP": {"timeoutSeconds": 10800}}));
        }
        if kind == "ExternalName" {
            return;
        }
        spec.entry("internalTrafficPolicy").or_insert("Cluster".into());
        spec.entry("ipFamilies").or_insert(json!(["IPv4"]));
        spec.entry("ipFamilyPolicy").or_insert("SingleStack".into());
        if has_node_ports(&kind) {
            spec.entry("externalTrafficPolicy").or_insert("Cluster".into());
        }
        if kind == "LoadBalancer" {
            spec.entry("allocateLoadBalancerNodePorts").or_insert(Value::Bool(true));
        }
        // The old field and the list say the same.
        let first = spec.get("clusterIPs").and_then(|ips| ips.get(0)).cloned();
        match (spec.get("clusterIP").cloned(), first) {
            (Some(ip), None) => {
                spec.insert("clusterIPs".into(), json!([ip]));
            }
            (None, Some(ip)) => {
                spec.insert("clusterIP".into(), ip);
            }
            _ => {}
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        meta::fields_mut(object).insert("status".into(), json!({"loadBalancer": {}}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
        let was = &old["spec"];
        if meta::text_at(object, "spec.type") != "LoadBalancer" && object["status"].is_object() {
            object["status"]["loadBalancer"] = json!({});
        }
        meta::object_mut(object, "spec");
        let spec = &mut object["spec"];
        let kind = spec.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        // What the old type had goes with it, unless the new object asks for something else, which is refused below.
        let mut drop_same = |fields: &[&str]| {
            if fields.iter().all(|field| spec.get(field).is_none_or(|value| Some(value) == was.get(field))) {
                let spec = meta::fields_mut(spec);
                fields.iter().for_each(|field| drop(spec.remove(*field)));
            }
        };
        if kind != "LoadBalancer" {
            for field in ["healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"] {
                drop_same(&[field]);
            }
        }
        if kind == "ExternalName" {
            drop_same(&["clusterIP", "clusterIPs"]);
            drop_same(&["ipFamilies"]);
            drop_same(&["ipFamilyPolicy"]);
        } else if spec.get("clusterIP").is_none() && was.get("clusterIP").is_some() {
            let fields = meta::fields_mut(spec);
            for field in ["clusterIP", "clusterIPs"] {
                if let Some(value) = was.get(field) {
                    fields.insert(field.into(), value.clone());
                }
            }
        }
        if !has_node_ports(&kind) {
            // Ports that the old type had are given back, unless the new object asks for one, which is refused below.
            let olds: HashSet<i64> = node_ports(was).collect();
            let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
                if port.get("nodePort").and_then(Value::as_i64).is_some_and(|port| olds.contains(&port)) {
                    port.remove("nodePort");
                }
            }
            if let Some(spec) = spec.as_object_mut() {
                spec.remove("externalTrafficPolicy");
            }
            return;
        }
        let old_ports = was["ports"].as_array().cloned().unwrap_or_default();
        let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter(|port| port.is_object()) {
            if port.get("nodePort").is_some() {
                continue;
            }
            let same = |old: &&Value| old["port"] == port["port"] && old["protocol"] == port["protocol"];
            if let Some(node_port) = old_ports.iter().find(same).and_then(|old| old.get("nodePort")) {
                port["nodePort"] = node_port.clone();
            }
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ServiceSpec = typed(object.get("spec"));
        let kind = spec.type_.as_deref().unwrap_or("");
        if !TYPES.contains(&kind) {
            errors.not_supported(&path.child("type"), kind, &TYPES);
        }
        let headless = spec.cluster_ip.as_deref() == Some("None");
        let ports_path = path.child("ports");
        let ports = spec.ports.as_deref().unwrap_or_default();
        if ports.is_empty() && !headless && kind != "ExternalName" {
            errors.required(&ports_path, "");
        }
        if headless && has_node_ports(kind) {
            let why = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&path.child("clusterIPs").index(0), "None", why);
        }
        if kind == "ExternalName" {
            match spec.external_name.as_deref().map(|name| name.trim_end_matches('.')).unwrap_or("") {
                "" => errors.required(&path.child("externalName"), ""),
                name => errors.extend(&path.child("externalName"), name, names::dns_subdomain(name)),
            }
        }
        let (mut seen, mut numbers, mut node) = (HashSet::new(), HashSet::new(), HashSet::new());
        for (at, port) in ports.iter().enumerate() {
            let path = ports_path.index(at);
            match port.name.as_deref().filter(|name| !name.is_empty()) {
                None if ports.len() > 1 => errors.required(&path.child("name"), ""),
                None => {}
                Some(name) => {
                    errors.extend(&path.child("name"), name, names::dns_label(name));
                    if !seen.insert(name) {
                        errors.duplicate(&path.child("name"), name);
                    }
                }
            }
            number(port.port, &path.child("port"), errors);
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            if !["SCTP", "TCP", "UDP"].contains(&protocol) {
                errors.not_supported(&path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
            }
            match &port.target_port {
                Some(IntOrString::Int(target)) => number(*target, &path.child("targetPort"), errors),
                Some(IntOrString::String(name)) => {
                    errors.extend(&path.child("targetPort"), name, names::port_name(name));
                }
                None => {}
            }
            let app = port.app_protocol.as_deref();
            checks::named_if_set(app, names::qualified_name, &path.child("appProtocol"), errors);
            if !numbers.insert((protocol, port.port)) {
                errors.duplicate(&path, json!({"port": port.port, "protocol": protocol}));
            }
            if let Some(node_port) = port.node_port.filter(|p| *p != 0) {
                if !has_node_ports(kind) {
                    errors.forbidden(&path.child("nodePort"), format!("may not be used when `type` is '{kind}'"));
                } else if !node.insert((protocol, node_port)) {
                    errors.duplicate(&path.child("nodePort"), node_port);
                }
            }
        }
        let affinity = spec.session_affinity.as_deref().unwrap_or("");
        if !["ClientIP", "None"].contains(&affinity) {
            errors.not_supported(&path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
        }
        labels(object["spec"].get("selector"), &path.child("selector"), errors);
        if let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !["", "None"].contains(ip)) {
            checks::ip(ip, &path.child("clusterIPs").index(0), errors);
        }
        let external = path.child("externalIPs");
        for (at, ip) in spec.external_ips.iter().flatten().enumerate() {
            checks::endpoint_ip(ip, &external.index(at), errors);
        }
        addresses(&spec, kind, &path, errors);
        traffic(&spec, kind, &path, errors);
        client_affinity(&spec, &path, errors);
    }

    /// A service keeps its address for as long as it has one.
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let (new, was) = (meta::text_at(object, "spec.clusterIP"), meta::text_at(old, "spec.clusterIP"));
        let external = meta::text_at(object, "spec.type") == "ExternalName";
        if !was.is_empty() && new != was && !external {
            errors.invalid(&path.child("clusterIPs").index(0), new, "may not change once set");
        }
    }

    fn wants(&self, object: &Value) -> Vec<Want> {
        let kind = meta::text_at(object, "spec.type");
        let mut wants = Vec::new();
        if kind == "ExternalName" {
            return wants;
        }
        if meta::text_at(object, "spec.clusterIP").is_empty() {
            wants.push(Want::ServiceIp);
        }
        let allocate = object["spec"]["allocateLoadBalancerNodePorts"] != Value::Bool(false);
        if kind == "NodePort" || (kind == "LoadBalancer" && allocate) {
            let ports = object["spec"]["ports"].as_array().into_iter().flatten().enumerate();
            let unset = ports.filter(|(_, port)| port.get("nodePort").is_none());
            wants.extend(unset.map(|(at, _)| Want::NodePort(at)));
        }
        wants
    }

    fn claims(&self, object: &Value) -> Vec<Claim> {
        let ip = meta::text_at(object, "spec.clusterIP");
        let mut claims = Vec::new();
        if !["", "None"].contains(&ip) {
            claims.push(Claim::ServiceIp(ip.to_owned()));
        }
        claims.extend(node_ports(&object["spec"]).filter_map(|port| i32::try_from(port).ok()).map(Claim::NodePort));
        claims.sort();
        claims.dedup();
        claims
    }
}

fn addresses(spec: &ServiceSpec, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let listed = spec.cluster_ips.as_deref().unwrap_or_default();
    let place = path.child("clusterIPs");
    if kind == "ExternalName" {
        if !listed.is_empty() || spec.cluster_ip.as_deref().is_some_and(|ip| !ip.is_empty()) {
            errors.forbidden(&place, "may not be set when `type` is 'ExternalName'");
        }
        return;
    }
    match (listed.first(), spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty())) {
        (Some(first), Some(ip)) if first != ip => {
            errors.invalid(&place, listed, "first value must match `clusterIP`");
        }
        _ => {}
    }
    if listed.len() > 2 {
        errors.invalid(&place, listed, "may only hold up to 2 values");
    }
    for (at, ip) in listed.iter().enumerate().skip(1) {
        checks::ip(ip, &place.index(at), errors);
    }
    let (place, mut seen) = (path.child("ipFamilies"), HashSet::new());
    for (at, family) in spec.ip_families.iter().flatten().enumerate() {
        checks::supported(family, &["IPv4", "IPv6"], &place.index(at), errors);
        if !seen.insert(family) {
            errors.duplicate(&place.index(at), family.as_str());
        }
    }
    let policies = ["SingleStack", "PreferDualStack", "RequireDualStack"];
    checks::supported_if_set(spec.ip_family_policy.as_deref(), &policies, &path.child("ipFamilyPolicy"), errors);
}

fn traffic(spec: &ServiceSpec, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let policies = ["Cluster", "Local"];
    let external = spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    if let Some(policy) = spec.external_traffic_policy.as_deref() {
        let place = path.child("externalTrafficPolicy");
        if has_node_ports(kind) || (kind == "ClusterIP" && external) {
            checks::supported(policy, &policies, &place, errors);
        } else {
            errors.invalid(&place, policy, "may only be set for externally-accessible services");
        }
    }
    let place = path.child("internalTrafficPolicy");
    checks::supported_if_set(spec.internal_traffic_policy.as_deref(), &policies, &place, errors);
    let only = "may only be used when `type` is 'LoadBalancer'";
    let balanced = kind == "LoadBalancer";
    let place = path.child("loadBalancerSourceRanges");
    for (at, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        if !balanced {
            errors.forbidden(&place, only);
            break;
        }
        checks::cidr(range.trim(), &place.index(at), errors);
    }
    if spec.allocate_load_balancer_node_ports.is_some() && !balanced {
        errors.forbidden(&path.child("allocateLoadBalancerNodePorts"), only);
    }
    if let Some(class) = spec.load_balancer_class.as_deref() {
        let place = path.child("loadBalancerClass");
        if balanced {
            errors.extend(&place, class, names::qualified_name(class));
        } else {
            errors.forbidden(&place, only);
        }
    }
    if let Some(port) = spec.health_check_node_port.filter(|port| *port != 0) {
        let place = path.child("healthCheckNodePort");
        if !balanced || spec.external_traffic_policy.as_deref() != Some("Local") {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&place, port, why);
        } else {
            number(port, &place, errors);
        }
    }
}

fn client_affinity(spec: &ServiceSpec, path: &Path<'_>, errors: &mut Errors) {
    const LONGEST: i32 = 86400;
    let place = path.child("sessionAffinityConfig");
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        if spec.session_affinity_config.is_some() {
            errors.forbidden(&place, "must not be set when session affinity is None");
        }
        return;
    }
    let client = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let Some(seconds) = client.and_then(|client| client.timeout_seconds) else {
        errors.required(&place, "when session affinity type is ClientIP");
        return;
    };
    if !(1..=LONGEST).contains(&seconds) {
        let why = format!("must be greater than 0 and less than {LONGEST}");
        errors.invalid(&place.child("clientIP").child("timeoutSeconds"), seconds, why);
    }
}

fn node_ports(spec: &Value) -> impl Iterator<Item = i64> {
    let ports = spec.get("ports").and_then(Value::as_array).into_iter().flatten();
    ports.filter_map(|port| port.get("nodePort").and_then(Value::as_i64)).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        json!({"metadata": {"name": "s", "namespace": "default"}, "spec": spec})
    }

    #[test]
    fn target_port_left_out_equals_port_and_ports_are_wanted() {
        let mut s = service(json!({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}));
        Services.default(&mut s);
        assert_eq!(s["spec"]["ports"][0]["targetPort"], 80);
        assert_eq!(Services.wants(&s), [Want::ServiceIp, Want::NodePort(0)]);
    }

    #[test]
    fn refused() {
        for (change, told) in [
            (json!({}), ""),
            (
                json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 99999}}}),
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 99999: must be greater than 0 and less than 86400",
            ),
            (
                json!({"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 9}}}),
                "spec.sessionAffinityConfig: Forbidden: must not be set when session affinity is None",
            ),
            (
                json!({"externalIPs": ["127.0.0.1"]}),
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range",
            ),
            (
                json!({"externalTrafficPolicy": "Local"}),
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for",
            ),
            (
                json!({"internalTrafficPolicy": "X"}),
                "spec.internalTrafficPolicy: Unsupported value: \"X\": supported values: \"Cluster\", \"Local\"",
            ),
            (json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}), "spec.loadBalancerSourceRanges: Forbidden"),
            (
                json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/88"]}),
                "spec.loadBalancerSourceRanges[0]: Invalid value",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`",
            ),
            (json!({"clusterIP": "1.2.3"}), "spec.clusterIPs[0]: Invalid value: \"1.2.3\": must be a valid IP address"),
            (json!({"ipFamilies": ["IPv5"]}), "spec.ipFamilies[0]: Unsupported value: \"IPv5\""),
            (
                json!({"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.0.0.1"}),
                "spec.clusterIPs: Forbidden",
            ),
        ] {
            let mut spec =
                json!({"type": "ClusterIP", "sessionAffinity": "None", "ports": [{"port": 80, "protocol": "TCP"}]});
            spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let mut errors = Errors::default();
            Services.validate(&service(spec), &mut errors);
            let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            let as_told = all.first().map_or(told.is_empty(), |first| !told.is_empty() && first.starts_with(told));
            assert!(as_told, "{told}: {all:?}");
        }
    }

    #[test]
    fn address_and_node_ports_stay_when_an_update_leaves_them_out() {
        let old = service(json!({"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}));
        let mut new = service(json!({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}));
        Services.prepare_for_update(&mut new, &old);
        assert_eq!(new["spec"]["clusterIP"], "10.0.0.9");
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
        assert_eq!(Services.claims(&new), [Claim::ServiceIp("10.0.0.9".into()), Claim::NodePort(30001)]);

        let mut moved = new.clone();
        moved["spec"]["clusterIP"] = "10.0.0.10".into();
        let mut errors = Errors::default();
        Services.validate_update(&moved, &old, &mut errors);
        assert!(errors.0[0].to_string().contains("may not change once set"));
    }
}
