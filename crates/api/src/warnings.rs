//! What is not wrong but most likely not meant: warnings for the client that wrote an object, in upstream's words.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::field::Path;
use crate::meta;
use crate::quantity::Quantity;

/// A client that sees this many has seen enough.
const MOST: usize = 50;

/// Warnings about an object of this kind that fits its schema.
pub fn for_object(kind: &str, object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    match kind {
        "Pod" => {
            annotations(object, &mut warnings);
            if let Some(spec) = object.get("spec") {
                pod(spec, &Path::new("spec"), &mut warnings);
            }
        }
        "ReplicationController" | "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
            template(object, &["spec", "template", "spec"], &mut warnings);
        }
        "CronJob" => template(object, &["spec", "jobTemplate", "spec", "template", "spec"], &mut warnings),
        "PodTemplate" => template(object, &["template", "spec"], &mut warnings),
        "Ingress" => {
            let annotations = meta::at(object, "metadata.annotations");
            if annotations.is_some_and(|all| all.get("kubernetes.io/ingress.class").is_some()) {
                let why = "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
                warnings.push(why.to_owned());
            }
        }
        "Service" => service(object, &mut warnings),
        "Node" => node(object, &mut warnings),
        _ => {}
    }
    warnings.truncate(MOST);
    warnings
}

/// The pods of a template that stands at this path.
fn template(object: &Value, path: &[&str], warnings: &mut Vec<String>) {
    if let Some(spec) = path.iter().try_fold(object, |value, step| value.get(step)) {
        pod(spec, &Path::new(&path.join(".")), warnings);
    }
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn annotations(object: &Value, warnings: &mut Vec<String>) {
    let all = meta::at(object, "metadata.annotations").and_then(Value::as_object);
    for name in all.into_iter().flatten().map(|(name, _)| name) {
        let instead = match name.as_str() {
            "scheduler.alpha.kubernetes.io/critical-pod" => "use the \"priorityClassName\" field instead",
            "seccomp.security.alpha.kubernetes.io/pod" => "use the \"seccompProfile\" field instead",
            name if name.starts_with("container.seccomp.security.alpha.kubernetes.io/") => {
                "use the \"seccompProfile\" field instead"
            }
            name if name.starts_with("container.apparmor.security.beta.kubernetes.io/") => {
                "use the \"appArmorProfile\" field instead"
            }
            _ => continue,
        };
        let since = match name.as_str() {
            "scheduler.alpha.kubernetes.io/critical-pod" => "non-functional in v1.16+",
            name if name.contains("apparmor") => "deprecated since v1.30",
            _ => "non-functional in v1.27+",
        };
        warnings.push(format!("metadata.annotations[{name}]: {since}; {instead}"));
    }
}

fn pod(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let empty_names = |field: &str, warnings: &mut Vec<String>| {
        for (at, reference) in items(spec, field).iter().enumerate() {
            if text(reference, "name").is_empty() {
                let path = path.child(field);
                warnings.push(format!("{}: invalid empty name {:?}", path.index(at).child("name"), ""));
            }
        }
    };
    empty_names("imagePullSecrets", warnings);
    labels_of_nodes(spec.get("nodeSelector").and_then(Value::as_object), &path.child("nodeSelector"), warnings);
    let (volumes, mut seen) = (path.child("volumes"), HashSet::new());
    for (at, volume) in items(spec, "volumes").iter().enumerate() {
        let path = volumes.index(at);
        for (kind, since) in [
            ("gitRepo", "deprecated in v1.11"),
            ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
            ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
            ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
            ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
            ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
            ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
            ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
            ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
        ] {
            if volume.get(kind).is_some() {
                warnings.push(format!("{}: {since}", path.child(kind)));
            }
        }
    }
    for list in ["initContainers", "containers"] {
        let path = path.child(list);
        for (at, one) in items(spec, list).iter().enumerate() {
            container(one, &path.index(at), warnings);
            ports(one, list, &path.index(at), &mut seen, warnings);
        }
    }
    let (path, mut seen) = (path.child("hostAliases"), HashSet::new());
    for (at, alias) in items(spec, "hostAliases").iter().enumerate() {
        if !seen.insert(text(alias, "ip")) {
            warnings.push(format!("{}: duplicate ip {:?}", path.index(at).child("ip"), text(alias, "ip")));
        }
    }
}

fn container<'a>(container: &'a Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let (env, mut seen) = (path.child("env"), HashSet::new());
    for (at, var) in items(container, "env").iter().enumerate() {
        let name: &'a str = text(var, "name");
        if !seen.insert(name) {
            let why = format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                env.index(at)
            );
            warnings.push(why);
        }
    }
    let resources = path.child("resources");
    for list in ["limits", "requests"] {
        let path = resources.child(list);
        let amounts = container.get("resources").and_then(|r| r.get(list)).and_then(Value::as_object);
        for (name, amount) in amounts.into_iter().flatten() {
            let amount = amount.as_str().unwrap_or("");
            let fractional = amount.parse::<Quantity>().is_ok_and(|amount| !amount.is_integer());
            if fractional && ["memory", "ephemeral-storage"].contains(&name.as_str()) {
                let path = path.key(name);
                warnings.push(format!("{path}: fractional byte value {amount:?} is invalid, must be an integer"));
            }
        }
    }
}

/// Of a container's ports, those that another port makes doubtful.
fn ports<'a>(
    container: &'a Value,
    list: &str,
    path: &Path<'_>,
    seen: &mut HashSet<(&'a str, u64)>,
    warnings: &mut Vec<String>,
) {
    if list == "initContainers" && text(container, "restartPolicy") != "Always" {
        return;
    }
    let (path, mut own) = (path.child("ports"), HashSet::new());
    for (at, port) in items(container, "ports").iter().enumerate() {
        let number = port.get("containerPort").and_then(Value::as_u64).unwrap_or(0);
        let host = port.get("hostPort").and_then(Value::as_u64).unwrap_or(0);
        let (protocol, path) = (text(port, "protocol"), path.index(at));
        if !own.insert((protocol, number, host, text(port, "hostIP"))) {
            warnings.push(format!("{path}: duplicate port definition"));
        } else if host == 0 && !seen.insert((protocol, number)) {
            warnings
                .push(format!("{path}: duplicate port {number}/{protocol}, only one container of a pod can use it"));
        }
    }
}

fn labels_of_nodes(labels: Option<&Map<String, Value>>, path: &Path<'_>, warnings: &mut Vec<String>) {
    for name in labels.into_iter().flatten().map(|(name, _)| name) {
        let instead = match name.as_str() {
            "beta.kubernetes.io/arch" => "kubernetes.io/arch",
            "beta.kubernetes.io/os" => "kubernetes.io/os",
            "failure-domain.beta.kubernetes.io/region" => "topology.kubernetes.io/region",
            "failure-domain.beta.kubernetes.io/zone" => "topology.kubernetes.io/zone",
            "beta.kubernetes.io/instance-type" => "node.kubernetes.io/instance-type",
            _ => continue,
        };
        let since = if name.ends_with("arch") || name.ends_with("os") { "v1.14" } else { "v1.17" };
        warnings.push(format!("{}: deprecated since {since}; use {instead:?} instead", path.key(name)));
    }
}

fn service(object: &Value, warnings: &mut Vec<String>) {
    let path = Path::new("spec");
    let external = meta::at(object, "spec.externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if meta::text_at(object, "spec.clusterIP") == "None" && external {
        warnings.push("spec.externalIPs is ignored when spec.clusterIP is \"None\"".into());
    }
    if meta::text_at(object, "spec.type") == "ExternalName" && external {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if meta::text_at(object, "spec.type") != "ExternalName" && !meta::text_at(object, "spec.externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if !meta::text_at(object, "spec.loadBalancerIP").is_empty() {
        warnings.push(format!(
            "{}: deprecated in v1.24; use the annotations of your load balancer's provider",
            path.child("loadBalancerIP")
        ));
    }
}

fn node(object: &Value, warnings: &mut Vec<String>) {
    if meta::at(object, "spec.configSource").is_some() {
        let why = "spec.configSource: the feature is removed; the field has no effect";
        warnings.push(why.into());
    }
    if !meta::text_at(object, "spec.externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn table() {
        let pod = |spec: Value| for_object("Pod", &json!({"spec": spec}));
        for (spec, told) in [
            (json!({"containers": [{"name": "a", "env": [{"name": "A"}, {"name": "B"}]}]}), vec![]),
            (
                json!({"containers": [{"resources": {"requests": {"memory": "128m", "cpu": "128m"}}}]}),
                vec![
                    "spec.containers[0].resources.requests[memory]: fractional byte value \"128m\" is invalid, must be an integer",
                ],
            ),
            (
                json!({"containers": [{"env": [{"name": "A"}, {"name": "A"}]}]}),
                vec![
                    "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                ],
            ),
            (
                json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
                vec![
                    "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                ],
            ),
            (json!({"volumes": [{"name": "v", "gitRepo": {}}]}), vec!["spec.volumes[0].gitRepo: deprecated in v1.11"]),
            (json!({"imagePullSecrets": [{}]}), vec!["spec.imagePullSecrets[0].name: invalid empty name \"\""]),
            (
                json!({"containers": [{"ports": [{"containerPort": 80, "protocol": "TCP"}]}, {"ports": [{"containerPort": 80, "protocol": "TCP"}]}]}),
                vec!["spec.containers[1].ports[0]: duplicate port 80/TCP, only one container of a pod can use it"],
            ),
        ] {
            assert_eq!(pod(spec.clone()), told, "{spec}");
        }
        assert_eq!(
            for_object(
                "ReplicationController",
                &json!({"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"memory": "1m"}}}]}}}})
            ),
            [
                "spec.template.spec.containers[0].resources.limits[memory]: fractional byte value \"1m\" is invalid, must be an integer"
            ]
        );
        assert_eq!(for_object("ConfigMap", &json!(null)), Vec::<String>::new());
    }
}
