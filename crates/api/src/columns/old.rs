//! The columns that kubectl printed in the days of v1beta1 and v1beta3. As all columns, they are made of what is stored.

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, NAME, containers, integer, list, number, or_none, pairs, text, texts};
use crate::meta::{self, at, text_at};

const TEMPLATE: &str = "spec.template";

pub const MINIONS: &[Column] = &[NAME];

pub const PODS_V1BETA1: &[Column] = &[
    NAME,
    text("Image(s)", "Images of the pod's containers.", |pod, _| pod_containers(pod, "image")),
    text("Host", "The node, and its address.", |pod, _| host(pod)),
    text("Labels", "Labels of the pod.", |pod, _| or_none(pairs(at(pod, "metadata.labels")))),
    text("Status", "What the pod does.", |pod, _| match text_at(pod, "status.phase") {
        "Pending" | "" => "Waiting".into(),
        "Failed" => "Terminated".into(),
        phase => phase.into(),
    }),
];

pub const PODS_V1BETA3: &[Column] = &[
    Column { name: "Pod", ..NAME },
    text("IP", "Address of the pod.", |pod, _| text_at(pod, "status.podIP").into()),
    text("Container(s)", "Names of the pod's containers.", |pod, _| pod_containers(pod, "name")),
    text("Image(s)", "Images of the pod's containers.", |pod, _| pod_containers(pod, "image")),
    text("Host", "The node, and its address.", |pod, _| host(pod)),
    text("Labels", "Labels of the pod.", |pod, _| or_none(pairs(at(pod, "metadata.labels")))),
    text("Status", "What the pod does.", |pod, _| text_at(pod, "status.phase").into()),
    text("Created", "How long ago the pod was made.", |pod, now| ago(meta::text(pod, "creationTimestamp"), now).into()),
    text("Message", "Why it is as it is.", |pod, _| text_at(pod, "status.message").into()),
];

pub const CONTROLLERS_V1BETA1: &[Column] = &[
    NAME,
    text("Image(s)", "Images of the template's containers.", |rc, _| containers(rc, TEMPLATE, "image")),
    text("Selector", "What selects its pods.", |rc, _| or_none(pairs(at(rc, "spec.selector")))),
    integer("Replicas", "Pods wanted.", |rc, _| number(rc, "spec.replicas")),
];

pub const CONTROLLERS_V1BETA3: &[Column] = &[
    Column { name: "Controller", ..NAME },
    text("Container(s)", "Names of the template's containers.", |rc, _| containers(rc, TEMPLATE, "name")),
    text("Image(s)", "Images of the template's containers.", |rc, _| containers(rc, TEMPLATE, "image")),
    text("Selector", "What selects its pods.", |rc, _| or_none(pairs(at(rc, "spec.selector")))),
    integer("Replicas", "Pods wanted.", |rc, _| number(rc, "spec.replicas")),
];

const LABELS: Column = text("Labels", "Labels of the service.", |o, _| or_none(pairs(at(o, "metadata.labels"))));
const SELECTOR: Column = text("Selector", "What selects its pods.", |o, _| or_none(pairs(at(o, "spec.selector"))));

pub const SERVICES_V1BETA1: &[Column] = &[
    NAME,
    LABELS,
    SELECTOR,
    text("IP", "Address of the service.", |service, _| text_at(service, "spec.clusterIP").into()),
    integer("Port", "The first port.", |service, _| {
        list(service, "spec.ports").first().map_or(0.into(), |port| number(port, "port"))
    }),
];

pub const SERVICES_V1BETA3: &[Column] = &[
    NAME,
    LABELS,
    SELECTOR,
    text("IP(s)", "Addresses of the service.", |service, _| {
        let mut addresses = vec![text_at(service, "spec.clusterIP")];
        addresses.extend(texts(service, "spec.externalIPs"));
        addresses.join(",").into()
    }),
    text("Port(s)", "Ports and their protocols.", |service, _| {
        let port = |port: &Value| format!("{}/{}", number(port, "port"), text_at(port, "protocol"));
        list(service, "spec.ports").iter().map(port).collect::<Vec<_>>().join(",").into()
    }),
];

fn pod_containers(pod: &Value, field: &str) -> Value {
    list(pod, "spec.containers").iter().map(|container| text_at(container, field)).collect::<Vec<_>>().join(",").into()
}

fn host(pod: &Value) -> Value {
    match text_at(pod, "spec.nodeName") {
        "" => "<unassigned>".into(),
        node => format!("{node}/{}", text_at(pod, "status.hostIP")).into(),
    }
}

/// The time since then in words, as it was told then.
fn ago(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else { return "<unknown>".to_owned() };
    let seconds = now.as_second().saturating_sub(then.as_second());
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{minutes} minutes"),
        3600..7200 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 3 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cells(columns: &[Column], object: &Value) -> Vec<String> {
        let now = "2026-11-26T08:00:00Z".parse().unwrap();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        columns.iter().map(|column| text((column.cell)(object, now))).collect()
    }

    #[test]
    fn pods_and_services_as_they_were_printed() {
        let pod = json!({"metadata": {"name": "p", "labels": {"name": "x"}, "creationTimestamp": "2026-11-26T07:59:05Z"},
            "spec": {"nodeName": "centos2", "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Pending", "podIP": "10.0.1.2", "hostIP": "192.168.1.112"}});
        assert_eq!(cells(PODS_V1BETA1, &pod), ["p", "i", "centos2/192.168.1.112", "name=x", "Waiting"]);
        let third = ["p", "10.0.1.2", "c", "i", "centos2/192.168.1.112", "name=x", "Pending", "55 seconds", ""];
        assert_eq!(cells(PODS_V1BETA3, &pod), third);
        let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.254.0.9", "selector": {"name": "x"},
            "ports": [{"port": 6379, "protocol": "TCP"}]}});
        assert_eq!(cells(SERVICES_V1BETA1, &service), ["s", "<none>", "name=x", "10.254.0.9", "6379"]);
        assert_eq!(cells(SERVICES_V1BETA3, &service), ["s", "<none>", "name=x", "10.254.0.9", "6379/TCP"]);
        assert_eq!(cells(PODS_V1BETA1, &json!({}))[2], "<unassigned>");
    }

    #[test]
    fn times_are_told_in_words() {
        let now: Timestamp = "2026-11-26T08:00:00Z".parse().unwrap();
        for (then, told) in [
            ("2026-11-26T07:59:05Z", "55 seconds"),
            ("2026-11-26T06:59:00Z", "About an hour"),
            ("2026-11-26T07:30:00Z", "30 minutes"),
            ("2026-11-20T08:00:00Z", "6 days"),
            ("2027-11-20T08:00:00Z", "Less than a second"),
            ("x", "<unknown>"),
        ] {
            assert_eq!(ago(then, now), told, "{then}");
        }
    }
}
