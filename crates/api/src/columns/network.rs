//! The rows of what leads traffic to pods.

use serde_json::Value;

use super::{AGE, Column, NAME, label_selector, list, some_of, text, text_or, texts};
use crate::meta::{at, text_at};

pub const INGRESSES: &[Column] = &[
    NAME,
    text("Class", "Who serves it.", |i, _| text_or(i, "spec.ingressClassName", "<none>")),
    text("Hosts", "The hosts of its rules.", |i, _| hosts(i).into()),
    text("Address", "Where it is reached.", |i, _| addresses(i).into()),
    text("Ports", "The ports that are open.", |i, _| {
        if list(i, "spec.tls").is_empty() { "80" } else { "80, 443" }.into()
    }),
    AGE,
];

pub const INGRESS_CLASSES: &[Column] = &[
    NAME,
    text("Controller", "Who serves the class.", |c, _| text_at(c, "spec.controller").into()),
    text("Parameters", "What configures it.", |c, _| parameters(c)),
    AGE,
];

pub const NETWORK_POLICIES: &[Column] =
    &[NAME, text("Pod-Selector", "What selects its pods.", |p, _| label_selector(at(p, "spec.podSelector"))), AGE];

pub const ENDPOINT_SLICES: &[Column] = &[
    NAME,
    text("AddressType", "The kind of its addresses.", |s, _| text_at(s, "addressType").into()),
    text("Ports", "The ports of all its endpoints.", |s, _| {
        unset(&list(s, "ports").iter().map(port).collect::<Vec<_>>())
    }),
    text("Endpoints", "Their addresses.", |s, _| {
        let all = list(s, "endpoints").iter().flat_map(|endpoint| texts(endpoint, "addresses"));
        unset(&all.map(str::to_owned).collect::<Vec<_>>())
    }),
    AGE,
];

pub const SERVICE_CIDRS: &[Column] =
    &[NAME, text("CIDRs", "The ranges of service addresses.", |s, _| texts(s, "spec.cidrs").join(",").into()), AGE];

pub const IP_ADDRESSES: &[Column] = &[NAME, text("ParentRef", "What has the address.", |ip, _| parent(ip)), AGE];

fn hosts(ingress: &Value) -> String {
    let rules = list(ingress, "spec.rules");
    let named = rules.iter().take(3).filter_map(|rule| rule.get("host")).filter_map(Value::as_str);
    let named: Vec<&str> = named.filter(|host| !host.is_empty()).collect();
    match rules.len() {
        _ if named.is_empty() => "*".to_owned(),
        0..=3 => named.join(","),
        many => format!("{} + {} more...", named.join(","), many - 3),
    }
}

fn addresses(ingress: &Value) -> String {
    let all = list(ingress, "status.loadBalancer.ingress").iter();
    let mut all: Vec<&str> = all.filter_map(|i| i.get("ip").or(i.get("hostname")).and_then(Value::as_str)).collect();
    all.sort_unstable();
    all.dedup();
    all.join(",")
}

fn parameters(class: &Value) -> Value {
    let Some(parameters) = at(class, "spec.parameters") else { return "<none>".into() };
    let (kind, name) = (text_at(parameters, "kind"), text_at(parameters, "name"));
    match parameters.get("apiGroup").and_then(Value::as_str) {
        Some(group) => format!("{kind}.{group}/{name}").into(),
        None => format!("{kind}/{name}").into(),
    }
}

fn port(port: &Value) -> String {
    match (port.get("port"), port.get("name").and_then(Value::as_str)) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) if !name.is_empty() => name.to_owned(),
        _ => "*".to_owned(),
    }
}

fn unset(all: &[String]) -> Value {
    if all.is_empty() { "<unset>".into() } else { some_of(all, 3).into() }
}

fn parent(address: &Value) -> Value {
    let Some(parent) = at(address, "spec.parentRef") else { return "<none>".into() };
    let of = |field: &str| text_at(parent, field);
    let resource =
        if of("group").is_empty() { of("resource").to_owned() } else { format!("{}.{}", of("resource"), of("group")) };
    let parts = [&resource.to_lowercase(), of("namespace"), of("name")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::cells;
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let rules = json!([{"host": "a"}, {"host": "b"}, {}, {"host": "d"}, {"host": "e"}]);
        let balanced = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"hostname": "h"}]}});
        let ingress = |rules: Value| json!({"metadata": {"name": "x"}, "spec": {"rules": rules, "tls": [{}]}, "status": balanced});
        assert_eq!(cells(INGRESSES, &ingress(rules)), "x <none> a,b + 2 more... 10.0.0.2,h 80, 443 <unknown>");
        assert_eq!(cells(INGRESSES, &ingress(json!([{}]))), "x <none> * 10.0.0.2,h 80, 443 <unknown>");
        let class = json!({"metadata": {"name": "x"}, "spec": {"controller": "a.b/c",
            "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}});
        assert_eq!(cells(INGRESS_CLASSES, &class), "x a.b/c K.g/n <unknown>");
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|ip| json!({"addresses": [ip]}));
        let slice = json!({"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": addresses,
            "ports": [{"port": 80, "name": "http"}, {"name": ""}]});
        assert_eq!(cells(ENDPOINT_SLICES, &slice), "x IPv4 80,* 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... <unknown>");
        assert_eq!(cells(ENDPOINT_SLICES, &json!({"metadata": {"name": "x"}})), "x  <unset> <unset> <unknown>");
        let address = json!({"metadata": {"name": "10.0.0.1"},
            "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}}});
        assert_eq!(cells(IP_ADDRESSES, &address), "10.0.0.1 services/default/kubernetes <unknown>");
        assert_eq!(cells(NETWORK_POLICIES, &json!({"spec": {"podSelector": {}}})), " <none> <unknown>");
    }
}
