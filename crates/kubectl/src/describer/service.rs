//! Services, and the endpoints behind them.

use serde_json::Value;

use super::text::{Text, items, or_none, plain, text};
use crate::printer::table::labels;

pub fn describe(out: &mut Text, object: &Value, endpoints: &Value) {
    let spec = &object["spec"];
    out.field("Name", text(object, "/metadata/name"));
    out.field("Namespace", text(object, "/metadata/namespace"));
    out.labels(object);
    out.annotations(object);
    out.field("Selector", labels(&spec["selector"]));
    out.field("Type", text(spec, "/type"));
    let optional = [("IP Family Policy", "/ipFamilyPolicy")];
    for (name, pointer) in optional {
        if !text(spec, pointer).is_empty() {
            out.field(name, text(spec, pointer));
        }
    }
    let joined = |value: &Value| items(value).map(plain).collect::<Vec<_>>().join(",");
    for (name, field) in [("IP Families", "ipFamilies")] {
        if !joined(&spec[field]).is_empty() {
            out.field(name, joined(&spec[field]));
        }
    }
    out.field("IP", text(spec, "/clusterIP"));
    let ips = joined(&spec["clusterIPs"]);
    out.field("IPs", or_none(&ips));
    for (name, field) in [("External IPs", "externalIPs")] {
        if !joined(&spec[field]).is_empty() {
            out.field(name, joined(&spec[field]));
        }
    }
    for (name, pointer) in [("Desired LoadBalancer IP", "/loadBalancerIP"), ("External Name", "/externalName")] {
        if !text(spec, pointer).is_empty() {
            out.field(name, text(spec, pointer));
        }
    }
    let ingress = |entry: &Value| {
        let ip = text(entry, "/ip");
        if ip.is_empty() { text(entry, "/hostname").to_owned() } else { ip.to_owned() }
    };
    let ingress: Vec<String> = items(&object["status"]["loadBalancer"]["ingress"]).map(ingress).collect();
    if !ingress.is_empty() {
        out.field("LoadBalancer Ingress", ingress.join(", "));
    }
    for port in items(&spec["ports"]) {
        let protocol = text(port, "/protocol");
        let name = text(port, "/name");
        let name = if name.is_empty() { "<unset>" } else { name };
        out.field("Port", format_args!("{name}\t{}/{protocol}", port["port"]));
        let target = &port["targetPort"];
        let is_set = !target.is_null() && *target != 0 && *target != "";
        out.field("TargetPort", format_args!("{}/{protocol}", plain(if is_set { target } else { &port["port"] })));
        if port["nodePort"].as_i64().unwrap_or(0) != 0 {
            out.field("NodePort", format_args!("{name}\t{}/{protocol}", port["nodePort"]));
        }
        out.field("Endpoints", behind(endpoints, text(port, "/name")));
    }
    out.field("Session Affinity", text(spec, "/sessionAffinity"));
    for (name, pointer) in
        [("External Traffic Policy", "/externalTrafficPolicy"), ("Internal Traffic Policy", "/internalTrafficPolicy")]
    {
        if !text(spec, pointer).is_empty() {
            out.field(name, text(spec, pointer));
        }
    }
    if spec["healthCheckNodePort"].as_i64().unwrap_or(0) != 0 {
        out.field("HealthCheck NodePort", &spec["healthCheckNodePort"]);
    }
}

/// The first three addresses of a port, and how many more.
fn behind(endpoints: &Value, port_name: &str) -> String {
    let mut found = Vec::new();
    for subset in items(&endpoints["subsets"]) {
        for port in items(&subset["ports"]).filter(|port| text(port, "/name") == port_name) {
            found.extend(items(&subset["addresses"]).map(|a| format!("{}:{}", text(a, "/ip"), port["port"])));
        }
    }
    match found.len() {
        0 => "<none>".into(),
        1..=3 => found.join(","),
        count => format!("{} + {} more...", found[..3].join(","), count - 3),
    }
}

pub fn describe_endpoints(out: &mut Text, object: &Value) {
    out.field("Name", text(object, "/metadata/name"));
    out.field("Namespace", text(object, "/metadata/namespace"));
    out.labels(object);
    out.annotations(object);
    out.raw("Subsets:");
    out.inside(|out| {
        for subset in items(&object["subsets"]) {
            for (title, field) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
                let addresses: Vec<&str> = items(&subset[field]).map(|a| text(a, "/ip")).collect();
                out.field(title, or_none(&addresses.join(",")));
            }
            if items(&subset["ports"]).next().is_some() {
                out.line("Ports:");
                out.inside(|out| {
                    out.line("Name\tPort\tProtocol\n    ----\t----\t--------");
                    for port in items(&subset["ports"]) {
                        let name = text(port, "/name");
                        let name = if name.is_empty() { "<unset>" } else { name };
                        out.line(format_args!("{name}\t{}\t{}", port["port"], text(port, "/protocol")));
                    }
                });
            }
            out.raw("");
        }
    });
}
