//! The rows of the other core kinds.

use serde_json::Value;

use super::{AGE, Column, NAME, containers, count, integer, list, number, or_none, pairs, since, some_of, text, wide};
use crate::meta::{at, text_at};

pub const SERVICES: &[Column] = &[
    NAME,
    text("Type", "How the service is reached.", |s, _| text_at(s, "spec.type").into()),
    text("Cluster-IP", "Its address inside the cluster.", |s, _| or_none(text_at(s, "spec.clusterIP").to_owned())),
    text("External-IP", "Its addresses outside.", |s, _| external_ip(s).into()),
    text("Port(s)", "Its ports, with those of the nodes.", |s, _| or_none(service_ports(s))),
    AGE,
    wide(text("Selector", "The labels of its pods.", |s, _| or_none(pairs(at(s, "spec.selector"))))),
];

pub const REPLICATION_CONTROLLERS: &[Column] = &[
    NAME,
    integer("Desired", "Pods wanted.", |rc, _| number(rc, "spec.replicas")),
    integer("Current", "Pods that exist.", |rc, _| number(rc, "status.replicas")),
    integer("Ready", "Pods that are ready.", |rc, _| number(rc, "status.readyReplicas")),
    AGE,
    wide(text("Containers", "Names of the template's containers.", |rc, _| containers(rc, "spec.template", "name"))),
    wide(text("Images", "Images of the template's containers.", |rc, _| containers(rc, "spec.template", "image"))),
    wide(text("Selector", "The labels of its pods.", |rc, _| or_none(pairs(at(rc, "spec.selector"))))),
];

pub const NODES: &[Column] = &[
    NAME,
    text("Status", "Whether the node is ready for pods.", |n, _| node_status(n).into()),
    text("Roles", "From the labels node-role.kubernetes.io/….", |n, _| or_none(roles(n))),
    AGE,
    text("Version", "The kubelet's version.", |n, _| text_at(n, "status.nodeInfo.kubeletVersion").into()),
    wide(text("Internal-IP", "Its address inside the cluster.", |n, _| or_none(node_address(n, "InternalIP")))),
    wide(text("External-IP", "Its address outside.", |n, _| or_none(node_address(n, "ExternalIP")))),
    wide(text("OS-Image", "Its operating system.", |n, _| unknown(n, "status.nodeInfo.osImage"))),
    wide(text("Kernel-Version", "Its kernel.", |n, _| unknown(n, "status.nodeInfo.kernelVersion"))),
    wide(text("Container-Runtime", "What runs its containers.", |n, _| {
        unknown(n, "status.nodeInfo.containerRuntimeVersion")
    })),
];

pub const NAMESPACES: &[Column] =
    &[NAME, text("Status", "Active or Terminating.", |n, _| text_at(n, "status.phase").into()), AGE];

pub const ENDPOINTS: &[Column] = &[NAME, text("Endpoints", "The ready addresses.", |e, _| or_none(endpoints(e))), AGE];

pub const CONFIG_MAPS: &[Column] =
    &[NAME, integer("Data", "How many keys it has.", |c, _| (count(c, "data") + count(c, "binaryData")).into()), AGE];

pub const SECRETS: &[Column] = &[
    NAME,
    text("Type", "What the secret is for.", |s, _| s["type"].as_str().unwrap_or("").into()),
    integer("Data", "How many keys it has.", |s, _| count(s, "data").into()),
    AGE,
];

pub const LEASES: &[Column] =
    &[NAME, text("Holder", "Who holds the lease.", |l, _| text_at(l, "spec.holderIdentity").into()), AGE];

pub const EVENTS: &[Column] = &[
    text("Last Seen", "When it happened last.", |e, now| since(last_seen(e), now).into()),
    text("Type", "Normal or Warning.", |e, _| text_at(e, "type").into()),
    text("Reason", "Why, in a word.", |e, _| text_at(e, "reason").into()),
    text("Object", "What it happened to.", |e, _| about(e).into()),
    wide(text("Subobject", "The part that it happened to.", |e, _| text_at(e, "involvedObject.fieldPath").into())),
    wide(text("Source", "Who tells it.", |e, _| source(e).into())),
    text("Message", "Why, in a sentence.", |e, _| text_at(e, "message").trim().into()),
    wide(text("First Seen", "When it happened first.", |e, now| since(first_seen(e), now).into())),
    wide(integer("Count", "How often.", |e, _| at(e, "count").cloned().unwrap_or(1.into()))),
    wide(NAME),
];

fn unknown(object: &Value, path: &str) -> Value {
    match text_at(object, path) {
        "" => "<unknown>".into(),
        text => text.into(),
    }
}

fn external_ip(service: &Value) -> String {
    let external: Vec<&str> = list(service, "spec.externalIPs").iter().filter_map(Value::as_str).collect();
    match text_at(service, "spec.type") {
        "ExternalName" => text_at(service, "spec.externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = list(service, "status.loadBalancer.ingress").iter();
            let mut all: Vec<&str> = ingress.filter_map(|i| i["ip"].as_str().or(i["hostname"].as_str())).collect();
            all.extend(external);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ if external.is_empty() => "<none>".to_owned(),
        _ => external.join(","),
    }
}

fn service_ports(service: &Value) -> String {
    let port = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_i64().filter(|n| *n != 0) {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    };
    list(service, "spec.ports").iter().map(port).collect::<Vec<_>>().join(",")
}

fn node_status(node: &Value) -> String {
    let ready = list(node, "status.conditions").iter().find(|c| c["type"] == "Ready");
    let mut words = vec![match ready.and_then(|c| c["status"].as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if at(node, "spec.unschedulable") == Some(&Value::Bool(true)) {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Value) -> String {
    let labels = at(node, "metadata.labels").and_then(Value::as_object).into_iter().flatten();
    let roles = labels.filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) if !role.is_empty() => Some(role),
        _ if key == "kubernetes.io/role" => value.as_str(),
        _ => None,
    });
    roles.collect::<Vec<_>>().join(",")
}

fn node_address(node: &Value, kind: &str) -> String {
    let address = list(node, "status.addresses").iter().find(|a| a["type"] == kind);
    address.and_then(|a| a["address"].as_str()).unwrap_or("").to_owned()
}

fn endpoints(endpoints: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(endpoints, "subsets") {
        for address in list(subset, "addresses") {
            let ip = address["ip"].as_str().unwrap_or("");
            match list(subset, "ports") {
                [] => all.push(ip.to_owned()),
                ports => all.extend(ports.iter().map(|port| format!("{ip}:{}", port["port"]))),
            }
        }
    }
    some_of(&all, 3)
}

fn last_seen(event: &Value) -> &str {
    let series = text_at(event, "series.lastObservedTime");
    let times = [series, text_at(event, "lastTimestamp"), text_at(event, "eventTime"), first_seen(event)];
    times.into_iter().find(|time| !time.is_empty()).unwrap_or("")
}

fn first_seen(event: &Value) -> &str {
    match text_at(event, "firstTimestamp") {
        "" => text_at(event, "eventTime"),
        time => time,
    }
}

fn about(event: &Value) -> String {
    let kind = text_at(event, "involvedObject.kind").to_lowercase();
    format!("{kind}/{}", text_at(event, "involvedObject.name"))
}

fn source(event: &Value) -> String {
    let component = match text_at(event, "source.component") {
        "" => text_at(event, "reportingComponent"),
        component => component,
    };
    match text_at(event, "source.host") {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    }
}
