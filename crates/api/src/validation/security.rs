//! The rules for security contexts of pods and containers.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext};

use super::checks::{MAX_INT32, between, descending, supported_if_set};
use super::names;
use crate::field::{Errors, Path};

const IDS: (i64, i64) = (0, MAX_INT32);

pub fn pod(spec: &PodSpec, context: &PodSecurityContext, path: &Path<'_>, errors: &mut Errors) {
    between(context.run_as_user, IDS, &path.child("runAsUser"), errors);
    between(context.run_as_group, IDS, &path.child("runAsGroup"), errors);
    between(context.fs_group, IDS, &path.child("fsGroup"), errors);
    let groups = path.child("supplementalGroups");
    for (at, group) in context.supplemental_groups.iter().flatten().enumerate() {
        between(Some(*group), IDS, &groups.index(at), errors);
    }
    for (field, value, values) in [
        ("fsGroupChangePolicy", &context.fs_group_change_policy, ["Always", "OnRootMismatch"]),
        ("supplementalGroupsPolicy", &context.supplemental_groups_policy, ["Merge", "Strict"]),
        ("seLinuxChangePolicy", &context.se_linux_change_policy, ["MountOption", "Recursive"]),
    ] {
        supported_if_set(value.as_deref(), &values, &path.child(field), errors);
    }
    seccomp(context.seccomp_profile.as_ref(), &path.child("seccompProfile"), errors);
    app_armor(context.app_armor_profile.as_ref(), &path.child("appArmorProfile"), errors);
    let (mut seen, list) = (HashSet::new(), path.child("sysctls"));
    for (at, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let path = list.index(at);
        let name = sysctl.name.as_str();
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !names::is_sysctl(name) {
            let why = format!("must have at most 253 characters and match regex {}", names::SYSCTL);
            errors.invalid(&path.child("name"), name, why);
        } else if !seen.insert(name.replace('/', ".")) {
            errors.duplicate(&path.child("name"), name);
        }
        let (net, ipc) = (spec.host_network == Some(true), spec.host_ipc == Some(true));
        if net && name.starts_with("net.") {
            errors.invalid(&path.child("name"), name, "may not be specified when 'hostNetwork' is true");
        }
        if ipc && ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."].iter().any(|p| name.starts_with(p)) {
            errors.invalid(&path.child("name"), name, "may not be specified when 'hostIPC' is true");
        }
    }
}

pub fn container(context: &SecurityContext, path: &Path<'_>, errors: &mut Errors) {
    between(context.run_as_user, IDS, &path.child("runAsUser"), errors);
    between(context.run_as_group, IDS, &path.child("runAsGroup"), errors);
    supported_if_set(context.proc_mount.as_deref(), &["Default", "Unmasked"], &path.child("procMount"), errors);
    seccomp(context.seccomp_profile.as_ref(), &path.child("seccompProfile"), errors);
    app_armor(context.app_armor_profile.as_ref(), &path.child("appArmorProfile"), errors);
    if context.allow_privilege_escalation == Some(false) {
        let shown = || serde_json::to_value(context).unwrap_or_default();
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(path, shown(), why);
        }
        let added = context.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_ref());
        if added.is_some_and(|added| added.iter().any(|name| name == "CAP_SYS_ADMIN")) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(path, shown(), why);
        }
    }
}

fn seccomp(profile: Option<&SeccompProfile>, path: &Path<'_>, errors: &mut Errors) {
    let Some(profile) = profile else { return };
    let local = profile.localhost_profile.as_deref();
    let place = path.child("localhostProfile");
    match profile.type_.as_str() {
        "Localhost" => match local.unwrap_or("") {
            "" => errors.required(&place, "must be set when seccomp type is Localhost "),
            local => descending(local, &place, errors),
        },
        kind => {
            if let Some(local) = local {
                errors.invalid(&place, local, "can only be set when seccomp type is Localhost");
            }
            if kind.is_empty() {
                errors.required(&path.child("type"), "type is required when seccompProfile is set");
            } else if !["RuntimeDefault", "Unconfined"].contains(&kind) {
                errors.not_supported(&path.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
            }
        }
    }
}

fn app_armor(profile: Option<&AppArmorProfile>, path: &Path<'_>, errors: &mut Errors) {
    let Some(profile) = profile else { return };
    let local = profile.localhost_profile.as_deref();
    let place = path.child("localhostProfile");
    match profile.type_.as_str() {
        "Localhost" => {
            if local.unwrap_or("").trim().is_empty() {
                errors.required(&place, "must be set when AppArmor type is Localhost");
            }
        }
        kind => {
            if let Some(local) = local {
                errors.invalid(&place, local, "can only be set when AppArmor type is Localhost");
            }
            if kind.is_empty() {
                errors.required(&path.child("type"), "type is required when appArmorProfile is set");
            } else if !["RuntimeDefault", "Unconfined"].contains(&kind) {
                errors.not_supported(&path.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
            }
        }
    }
}
