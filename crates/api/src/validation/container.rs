//! The rules for containers.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, VolumeMount};

use super::checks::{descending, ip, named, port_number, required, supported, supported_if_set};
use super::{env, names, probe, resources, security};
use crate::field::{Errors, Path};

/// What containers of a pod share, and may refer to.
pub struct Surroundings<'a> {
    pub volumes: &'a HashSet<&'a str>,
    pub claims: &'a HashSet<&'a str>,
    pub grace: i64,
}

pub fn validate<'a>(
    container: &'a Container,
    path: &Path<'_>,
    around: &Surroundings<'_>,
    seen: &mut HashSet<&'a str>,
    init: bool,
    errors: &mut Errors,
) {
    let name = path.child("name");
    named(&container.name, names::dns_label, &name, errors);
    if !seen.insert(container.name.as_str()) && !container.name.is_empty() {
        errors.duplicate(&name, container.name.as_str());
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
    if let Some(policy) = container.termination_message_policy.as_deref()
        && !["File", "FallbackToLogsOnError"].contains(&policy)
    {
        let why = "must be 'File' or 'FallbackToLogsOnError'";
        errors.invalid(&path.child("terminationMessagePolicy"), policy, why);
    }
    ports(container.ports.as_deref().unwrap_or_default(), &path.child("ports"), errors);
    env::validate(container.env.as_deref().unwrap_or_default(), &path.child("env"), errors);
    env::validate_from(container.env_from.as_deref().unwrap_or_default(), &path.child("envFrom"), errors);
    mounts(container, path, around, errors);
    if let Some(amounts) = &container.resources {
        resources::validate(amounts, around.claims, &path.child("resources"), errors);
    }
    if let Some(context) = &container.security_context {
        security::container(context, &path.child("securityContext"), errors);
    }
    hooks(container, path, around, init, errors);
}

/// Init containers run to their end; only those that stay can have probes and hooks.
fn hooks(container: &Container, path: &Path<'_>, around: &Surroundings<'_>, init: bool, errors: &mut Errors) {
    const RUNS_TO_ITS_END: &str = "may not be set for init containers without restartPolicy=Always";
    let stays = !init || container.restart_policy.as_deref() == Some("Always");
    if let Some(policy) = container.restart_policy.as_deref() {
        if init {
            supported(policy, &["Always"], &path.child("restartPolicy"), errors);
        } else {
            errors.forbidden(&path.child("restartPolicy"), "may not be set for non-init containers");
        }
    }
    if let Some(lifecycle) = &container.lifecycle {
        let path = path.child("lifecycle");
        if stays {
            probe::lifecycle(lifecycle, around.grace, &path, errors);
        } else {
            errors.forbidden(&path, RUNS_TO_ITS_END);
        }
    }
    for (field, kind, probe) in [
        ("livenessProbe", probe::Kind::Liveness, &container.liveness_probe),
        ("readinessProbe", probe::Kind::Readiness, &container.readiness_probe),
        ("startupProbe", probe::Kind::Startup, &container.startup_probe),
    ] {
        let Some(probe) = probe else { continue };
        let path = path.child(field);
        if stays {
            probe::validate(probe, kind, &path, errors);
        } else {
            errors.forbidden(&path, RUNS_TO_ITS_END);
        }
    }
}

fn ports(ports: &[ContainerPort], path: &Path<'_>, errors: &mut Errors) {
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
            port_number(port.container_port, &path.child("containerPort"), errors);
        }
        if let Some(host) = port.host_port.filter(|p| *p != 0) {
            port_number(host, &path.child("hostPort"), errors);
        }
        if let Some(address) = port.host_ip.as_deref().filter(|address| !address.is_empty()) {
            ip(address, &path.child("hostIP"), errors);
        }
        let protocol = port.protocol.as_deref().unwrap_or("");
        supported(protocol, &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
    }
}

fn mounts(container: &Container, path: &Path<'_>, around: &Surroundings<'_>, errors: &mut Errors) {
    let list = path.child("volumeMounts");
    let (mut points, mut devices) = (HashSet::new(), HashSet::new());
    for (at, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = list.index(at);
        if mount.name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !around.volumes.contains(mount.name.as_str()) {
            errors.not_found(&path.child("name"), mount.name.as_str());
        }
        required(&mount.mount_path, &path.child("mountPath"), errors);
        if !points.insert(mount.mount_path.as_str()) {
            errors.invalid(&path.child("mountPath"), mount.mount_path.as_str(), "must be unique");
        }
        let (sub, expr) = (mount.sub_path.as_deref().unwrap_or(""), mount.sub_path_expr.as_deref().unwrap_or(""));
        descending(sub, &path.child("subPath"), errors);
        if !expr.is_empty() && !sub.is_empty() {
            errors.invalid(&path.child("subPathExpr"), expr, "subPathExpr and subPath are mutually exclusive");
        }
        descending(expr, &path.child("subPathExpr"), errors);
        propagation(mount, container, &path, errors);
    }
    let list = path.child("volumeDevices");
    for (at, device) in container.volume_devices.iter().flatten().enumerate() {
        let path = list.index(at);
        if device.name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !around.volumes.contains(device.name.as_str()) {
            errors.not_found(&path.child("name"), device.name.as_str());
        }
        let place = path.child("devicePath");
        required(&device.device_path, &place, errors);
        descending(device.device_path.trim_start_matches('/'), &place, errors);
        if !devices.insert(device.device_path.as_str()) {
            errors.invalid(&place, device.device_path.as_str(), "must be unique");
        }
        if points.contains(device.device_path.as_str()) {
            let why = "must not already exist as a path in volumeMounts";
            errors.invalid(&place, device.device_path.as_str(), why);
        }
    }
}

fn propagation(mount: &VolumeMount, container: &Container, path: &Path<'_>, errors: &mut Errors) {
    let modes = ["Bidirectional", "HostToContainer", "None"];
    let place = path.child("mountPropagation");
    supported_if_set(mount.mount_propagation.as_deref(), &modes, &place, errors);
    let privileged = container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
    if mount.mount_propagation.as_deref() == Some("Bidirectional") && !privileged {
        errors.forbidden(&place, "Bidirectional mount propagation is available only to privileged containers");
    }
    if let Some(policy) = mount.recursive_read_only.as_deref() {
        let place = path.child("recursiveReadOnly");
        supported_if_set(Some(policy), &["Disabled", "Enabled", "IfPossible"], &place, errors);
        if policy != "Disabled" && mount.read_only != Some(true) {
            errors.forbidden(&place, "may only be specified when readOnly is true");
        }
    }
}
