//! The rules for ephemeral containers: they come to a pod that runs, take nothing of their own and never end it.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, PodSpec};

use super::container::{self, Surroundings};
use super::pod::Owner;
use crate::field::{Errors, Path};

const NOT_HERE: &str = "cannot be set for an Ephemeral Container";

pub fn validate<'a>(
    spec: &'a PodSpec,
    path: &Path<'_>,
    around: &Surroundings<'_>,
    seen: &mut HashSet<&'a str>,
    owner: Owner,
    errors: &mut Errors,
) {
    let list = path.child("ephemeralContainers");
    let containers = spec.ephemeral_containers.as_deref().unwrap_or_default();
    if owner != Owner::None {
        if !containers.is_empty() {
            errors.forbidden(&list, "ephemeral containers not allowed in pod template");
        }
        return;
    }
    for (at, one) in containers.iter().enumerate() {
        let path = list.index(at);
        let common = common(one);
        container::validate(&common, &path, around, &mut HashSet::new(), false, errors);
        if !one.name.is_empty() && !seen.insert(&one.name) {
            errors.duplicate(&path.child("name"), one.name.as_str());
        }
        let target = one.target_container_name.as_deref().unwrap_or("");
        let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        if !target.is_empty() && !all.into_iter().any(|container| container.name == target) {
            errors.not_found(&path.child("targetContainerName"), target);
        }
        for (field, set) in [
            ("ports", one.ports.is_some()),
            ("livenessProbe", one.liveness_probe.is_some()),
            ("readinessProbe", one.readiness_probe.is_some()),
            ("startupProbe", one.startup_probe.is_some()),
            ("lifecycle", one.lifecycle.is_some()),
            ("resources", one.resources.as_ref().is_some_and(|r| r.limits.is_some() || r.requests.is_some())),
            ("resizePolicy", one.resize_policy.is_some()),
            ("restartPolicy", one.restart_policy.is_some()),
        ] {
            if set {
                errors.forbidden(&path.child(field), NOT_HERE);
            }
        }
        let mounts = path.child("volumeMounts");
        for (at, mount) in one.volume_mounts.iter().flatten().enumerate() {
            for (field, set) in [("subPath", mount.sub_path.is_some()), ("subPathExpr", mount.sub_path_expr.is_some())]
            {
                if set {
                    errors.forbidden(&mounts.index(at).child(field), NOT_HERE);
                }
            }
        }
    }
}

/// What it shares with other containers and may have.
fn common(one: &EphemeralContainer) -> Container {
    let one = one.clone();
    Container {
        name: one.name,
        image: one.image,
        image_pull_policy: one.image_pull_policy,
        termination_message_policy: one.termination_message_policy,
        env: one.env,
        env_from: one.env_from,
        volume_mounts: one.volume_mounts,
        volume_devices: one.volume_devices,
        security_context: one.security_context,
        ..Container::default()
    }
}
