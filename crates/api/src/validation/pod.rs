//! The rules for pods and pod templates.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, HTTPGetAction, PodSpec, Probe, ResourceRequirements, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names;
use crate::field::{Errors, Path};
use crate::quantity::Quantity;

/// `template`: the rules for a controller's template, where only `Always` makes sense.
pub fn validate(spec: &PodSpec, path: &Path<'_>, template: bool, errors: &mut Errors) {
    let volumes = validate_volumes(spec.volumes.as_deref().unwrap_or_default(), &path.child("volumes"), errors);
    let mut seen = HashSet::new();
    let containers = path.child("containers");
    if spec.containers.is_empty() {
        errors.required(&containers, "");
    }
    for (at, container) in spec.containers.iter().enumerate() {
        validate_container(container, &containers.index(at), &volumes, &mut seen, false, errors);
    }
    let init = path.child("initContainers");
    for (at, container) in spec.init_containers.iter().flatten().enumerate() {
        validate_container(container, &init.index(at), &volumes, &mut seen, true, errors);
    }
    host_ports(spec, &containers, errors);

    let restart = spec.restart_policy.as_deref().unwrap_or("");
    if template {
        supported(restart, &["Always"], &path.child("restartPolicy"), errors);
    } else {
        supported(restart, &["Always", "OnFailure", "Never"], &path.child("restartPolicy"), errors);
    }
    let dns = spec.dns_policy.as_deref().unwrap_or("");
    supported(dns, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], &path.child("dnsPolicy"), errors);
    not_negative(spec.termination_grace_period_seconds, &path.child("terminationGracePeriodSeconds"), errors);
    if let Some(deadline) = spec.active_deadline_seconds
        && !(1..=i64::from(u32::MAX)).contains(&deadline)
    {
        let path = path.child("activeDeadlineSeconds");
        errors.invalid(&path, deadline, format!("must be between 1 and {}, inclusive", u32::MAX));
    }
    let selector = path.child("nodeSelector");
    for (key, value) in spec.node_selector.iter().flatten() {
        errors.extend(&selector, key, names::qualified_name(key));
        errors.extend(&selector, value, names::label_value(value));
    }
    for (field, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(value) = value {
            errors.extend(&path.child(field), value, names::dns_label(value));
        }
    }
    if let Some(node) = spec.node_name.as_deref().filter(|n| !n.is_empty()) {
        errors.extend(&path.child("nodeName"), node, names::dns_subdomain(node));
    }
    let tolerations = path.child("tolerations");
    for (at, toleration) in spec.tolerations.iter().flatten().enumerate() {
        let path = tolerations.index(at);
        let operator = toleration.operator.as_deref().unwrap_or("Equal");
        let key = toleration.key.as_deref().unwrap_or("");
        supported(operator, &["Equal", "Exists"], &path.child("operator"), errors);
        if key.is_empty() && operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&path.child("operator"), operator, why);
        } else if !key.is_empty() {
            errors.extend(&path.child("key"), key, names::qualified_name(key));
        }
        if operator == "Exists" && toleration.value.as_deref().is_some_and(|v| !v.is_empty()) {
            let value = toleration.value.as_deref().unwrap_or("");
            errors.invalid(&path.child("operator"), value, "value must be empty when `operator` is 'Exists'");
        }
        if let Some(effect) = toleration.effect.as_deref().filter(|e| !e.is_empty()) {
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            supported(effect, &effects, &path.child("effect"), errors);
        }
    }
}

fn supported(value: &str, values: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    } else if !values.contains(&value) {
        errors.not_supported(path, value, values);
    }
}

fn not_negative(value: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.filter(|v| *v < 0) {
        errors.invalid(path, value, "must be greater than or equal to 0");
    }
}

fn validate_volumes<'a>(volumes: &'a [Volume], path: &Path<'_>, errors: &mut Errors) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    for (at, volume) in volumes.iter().enumerate() {
        let path = path.index(at);
        let name = path.child("name");
        if volume.name.is_empty() {
            errors.required(&name, "");
        } else {
            errors.extend(&name, &volume.name, names::dns_label(&volume.name));
            if !seen.insert(volume.name.as_str()) {
                errors.duplicate(&name, volume.name.as_str());
            }
        }
        let sources = serde_json::to_value(volume).ok();
        let sources = sources.as_ref().and_then(|v| v.as_object()).map_or(0, |fields| fields.len());
        // `name` is one of them.
        match sources {
            0 | 1 => errors.required(&path, "must specify a volume type"),
            2 => {}
            _ => errors.forbidden(&path, "may not specify more than 1 volume type"),
        }
        if let Some(host_path) = &volume.host_path {
            let path = path.child("hostPath");
            let path = path.child("path");
            if host_path.path.is_empty() {
                errors.required(&path, "");
            } else if host_path.path.split('/').any(|part| part == "..") {
                errors.invalid(&path, host_path.path.as_str(), "must not contain '..'");
            }
        }
        if let Some(secret) = &volume.secret
            && secret.secret_name.as_deref().unwrap_or("").is_empty()
        {
            errors.required(&path.child("secret").child("secretName"), "");
        }
        if let Some(config) = &volume.config_map
            && config.name.is_empty()
        {
            errors.required(&path.child("configMap").child("name"), "");
        }
    }
    seen
}

fn validate_container<'a>(
    container: &'a Container,
    path: &Path<'_>,
    volumes: &HashSet<&str>,
    seen: &mut HashSet<&'a str>,
    init: bool,
    errors: &mut Errors,
) {
    let name = path.child("name");
    if container.name.is_empty() {
        errors.required(&name, "");
    } else {
        errors.extend(&name, &container.name, names::dns_label(&container.name));
        if !seen.insert(container.name.as_str()) {
            errors.duplicate(&name, container.name.as_str());
        }
    }
    let image = container.image.as_deref().unwrap_or("");
    if image.is_empty() {
        errors.required(&path.child("image"), "");
    } else if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
    if let Some(policy) = container.image_pull_policy.as_deref() {
        supported(policy, &["Always", "IfNotPresent", "Never"], &path.child("imagePullPolicy"), errors);
    }
    validate_ports(container.ports.as_deref().unwrap_or_default(), &path.child("ports"), errors);
    let env = path.child("env");
    for (at, var) in container.env.iter().flatten().enumerate() {
        validate_env(var, &env.index(at), errors);
    }
    let mounts = path.child("volumeMounts");
    let mut points = HashSet::new();
    for (at, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = mounts.index(at);
        if mount.name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !volumes.contains(mount.name.as_str()) {
            errors.not_found(&path.child("name"), mount.name.as_str());
        }
        if mount.mount_path.is_empty() {
            errors.required(&path.child("mountPath"), "");
        } else if !points.insert(mount.mount_path.as_str()) {
            errors.invalid(&path.child("mountPath"), mount.mount_path.as_str(), "must be unique");
        }
        if let Some(sub) = mount.sub_path.as_deref() {
            if sub.starts_with('/') {
                errors.invalid(&path.child("subPath"), sub, "must be a relative path");
            } else if sub.split('/').any(|part| part == "..") {
                errors.invalid(&path.child("subPath"), sub, "must not contain '..'");
            }
        }
    }
    if let Some(resources) = &container.resources {
        validate_resources(resources, &path.child("resources"), errors);
    }
    for (field, probe) in [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ] {
        let Some(probe) = probe else { continue };
        let path = path.child(field);
        if init && container.restart_policy.is_none() {
            errors.forbidden(&path, "may not be set for init containers without restartPolicy=Always");
        }
        validate_probe(probe, &path, field != "readinessProbe", errors);
    }
}

fn validate_ports(ports: &[ContainerPort], path: &Path<'_>, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = path.index(at);
        if let Some(name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            errors.extend(&path.child("name"), name, names::port_name(name));
            if !seen.insert(name) {
                errors.duplicate(&path.child("name"), name);
            }
        }
        if port.container_port == 0 {
            errors.required(&path.child("containerPort"), "");
        } else {
            number(port.container_port, &path.child("containerPort"), errors);
        }
        if let Some(host) = port.host_port.filter(|p| *p != 0) {
            number(host, &path.child("hostPort"), errors);
        }
        let protocol = port.protocol.as_deref().unwrap_or("");
        supported(protocol, &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
    }
}

pub fn number(port: i32, path: &Path<'_>, errors: &mut Errors) {
    for problem in names::port_number(i64::from(port)) {
        errors.invalid(path, port, problem);
    }
}

/// The same port of the host can be had once in a pod.
fn host_ports(spec: &PodSpec, path: &Path<'_>, errors: &mut Errors) {
    let mut taken = HashSet::new();
    for (at, container) in spec.containers.iter().enumerate() {
        let path = path.index(at);
        let path = path.child("ports");
        for (port_at, port) in container.ports.iter().flatten().enumerate() {
            let Some(host) = port.host_port.filter(|p| *p != 0) else { continue };
            let key = format!(
                "{}/{}/{host}",
                port.protocol.as_deref().unwrap_or("TCP"),
                port.host_ip.as_deref().unwrap_or("")
            );
            if !taken.insert(key.clone()) {
                errors.duplicate(&path.index(port_at).child("hostPort"), key);
            }
            if spec.host_network == Some(true) && host != port.container_port {
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(&path.index(port_at).child("containerPort"), port.container_port, why);
            }
        }
    }
}

fn validate_env(var: &EnvVar, path: &Path<'_>, errors: &mut Errors) {
    let name = path.child("name");
    if var.name.is_empty() {
        errors.required(&name, "");
    } else {
        errors.extend(&name, &var.name, names::env_var(&var.name));
    }
    let Some(from) = &var.value_from else { return };
    let path = path.child("valueFrom");
    let sources = usize::from(from.field_ref.is_some())
        + usize::from(from.resource_field_ref.is_some())
        + usize::from(from.config_map_key_ref.is_some())
        + usize::from(from.secret_key_ref.is_some())
        + usize::from(from.file_key_ref.is_some());
    if var.value.as_deref().is_some_and(|v| !v.is_empty()) && sources > 0 {
        errors.invalid(&path, "", "may not be specified when `value` is not empty");
    }
    match sources {
        0 => errors.invalid(
            &path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        1 => {}
        _ => errors.invalid(&path, "", "may not have more than one field specified at a time"),
    }
}

fn validate_resources(resources: &ResourceRequirements, path: &Path<'_>, errors: &mut Errors) {
    let none = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&none);
    let check = |amounts: &BTreeMap<String, ApiQuantity>, path: &Path<'_>, errors: &mut Errors| {
        for (name, amount) in amounts {
            errors.extend(path, name, names::qualified_name(name));
            match Quantity::try_from(amount) {
                Ok(amount) if amount.is_negative() => {
                    errors.invalid(&path.key(name), amount.to_string(), "must be greater than or equal to 0");
                }
                Ok(_) => {}
                Err(error) => errors.invalid(&path.key(name), amount.0.as_str(), error.to_string()),
            }
        }
    };
    check(limits, &path.child("limits"), errors);
    let Some(requests) = &resources.requests else { return };
    check(requests, &path.child("requests"), errors);
    for (name, request) in requests {
        let (Ok(request), Some(Ok(limit))) = (Quantity::try_from(request), limits.get(name).map(Quantity::try_from))
        else {
            continue;
        };
        if request > limit {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            errors.invalid(&path.child("requests"), request.to_string(), why);
        }
    }
}

fn validate_probe(probe: &Probe, path: &Path<'_>, one_success: bool, errors: &mut Errors) {
    let handlers = [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
    match handlers.iter().filter(|set| **set).count() {
        0 => errors.required(path, "must specify a handler type"),
        1 => {}
        _ => errors.forbidden(path, "may not specify more than 1 handler type"),
    }
    if let Some(http) = &probe.http_get {
        validate_http(http, &path.child("httpGet"), errors);
    }
    if let Some(tcp) = &probe.tcp_socket {
        port(&tcp.port, &path.child("tcpSocket").child("port"), errors);
    }
    if let Some(exec) = &probe.exec
        && exec.command.as_deref().unwrap_or_default().is_empty()
    {
        errors.required(&path.child("exec").child("command"), "");
    }
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        not_negative(value.map(i64::from), &path.child(field), errors);
    }
    if one_success && probe.success_threshold.is_some_and(|n| n != 1) {
        errors.invalid(&path.child("successThreshold"), probe.success_threshold, "must be 1");
    }
}

fn validate_http(http: &HTTPGetAction, path: &Path<'_>, errors: &mut Errors) {
    if http.path.as_deref().unwrap_or("").is_empty() {
        errors.required(&path.child("path"), "");
    }
    port(&http.port, &path.child("port"), errors);
    supported(http.scheme.as_deref().unwrap_or(""), &["HTTP", "HTTPS"], &path.child("scheme"), errors);
}

fn port(value: &IntOrString, path: &Path<'_>, errors: &mut Errors) {
    match value {
        IntOrString::Int(port) => number(*port, path, errors),
        IntOrString::String(name) => errors.extend(path, name, names::port_name(name)),
    }
}
