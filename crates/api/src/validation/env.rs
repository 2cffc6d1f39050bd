//! The rules for a container's environment, and for what refers to fields of the pod.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, ObjectFieldSelector, ResourceFieldSelector};

use super::checks::{named, required};
use super::names;
use crate::field::{Errors, Path};
use crate::quantity::Quantity;

/// What an environment variable may show of its pod.
pub const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// What a file may show.
pub const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// What a field selector of pods understands beside those.
const OTHER_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub fn validate(vars: &[EnvVar], path: &Path<'_>, errors: &mut Errors) {
    for (at, var) in vars.iter().enumerate() {
        let path = path.index(at);
        named(&var.name, names::env_var, &path.child("name"), errors);
        value_from(var, &path.child("valueFrom"), errors);
    }
}

fn value_from(var: &EnvVar, path: &Path<'_>, errors: &mut Errors) {
    let Some(from) = &var.value_from else { return };
    let mut sources = 0;
    if let Some(field) = &from.field_ref {
        sources += 1;
        field_ref(field, &ENV_FIELDS, &path.child("fieldRef"), errors);
    }
    if let Some(resource) = &from.resource_field_ref {
        sources += 1;
        resource_field_ref(resource, false, &path.child("resourceFieldRef"), errors);
    }
    if let Some(config) = &from.config_map_key_ref {
        sources += 1;
        key_ref(&config.name, &config.key, &path.child("configMapKeyRef"), errors);
    }
    if let Some(secret) = &from.secret_key_ref {
        sources += 1;
        key_ref(&secret.name, &secret.key, &path.child("secretKeyRef"), errors);
    }
    if let Some(file) = &from.file_key_ref {
        sources += 1;
        let path = path.child("fileKeyRef");
        named(&file.key, names::env_var, &path.child("key"), errors);
        named(&file.volume_name, names::dns_label, &path.child("volumeName"), errors);
        required(&file.path, &path.child("path"), errors);
        super::checks::descending(&file.path, &path.child("path"), errors);
    }
    if sources == 0 {
        let why =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.invalid(path, "", why);
    } else if var.value.as_deref().is_some_and(|value| !value.is_empty()) {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid(path, "", "may not have more than one field specified at a time");
    }
}

fn key_ref(name: &str, key: &str, path: &Path<'_>, errors: &mut Errors) {
    required(name, &path.child("name"), errors);
    named(key, names::config_key, &path.child("key"), errors);
}

pub fn validate_from(vars: &[EnvFromSource], path: &Path<'_>, errors: &mut Errors) {
    for (at, from) in vars.iter().enumerate() {
        let path = path.index(at);
        super::checks::named_if_set(from.prefix.as_deref(), names::env_var, &path.child("prefix"), errors);
        if let Some(config) = &from.config_map_ref {
            let path = path.child("configMapRef");
            required(&config.name, &path.child("name"), errors);
        }
        if let Some(secret) = &from.secret_ref {
            let path = path.child("secretRef");
            required(&secret.name, &path.child("name"), errors);
        }
        match (&from.config_map_ref, &from.secret_ref) {
            (None, None) => errors.invalid(&path, "", "must specify one of: `configMapRef` or `secretRef`"),
            (Some(_), Some(_)) => errors.invalid(&path, "", "may not have more than one field specified at a time"),
            _ => {}
        }
    }
}

pub fn field_ref(field: &ObjectFieldSelector, fields: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let place = path.child("fieldPath");
    if let Some(version) = field.api_version.as_deref().filter(|version| !["", "v1"].contains(version)) {
        errors.invalid(&path.child("apiVersion"), version, "must be v1");
    }
    let name = field.field_path.as_str();
    if name.is_empty() {
        errors.required(&place, "");
        return;
    }
    if let Some((of, key)) = name.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        match of {
            "metadata.annotations" => {
                let key = key.to_lowercase();
                errors.extend(&place, &key, names::qualified_name(&key));
            }
            "metadata.labels" => errors.extend(&place, key, names::qualified_name(key)),
            _ => {
                let why = format!("error converting fieldPath: field label does not support subscript: {name}");
                errors.invalid(&place, name, why);
            }
        }
        return;
    }
    let known = ENV_FIELDS.contains(&name) || VOLUME_FIELDS.contains(&name) || OTHER_FIELDS.contains(&name);
    if !known {
        errors.invalid(&place, name, format!("error converting fieldPath: field label not supported: {name}"));
    } else if !fields.contains(&name) {
        errors.not_supported(&place, name, fields);
    }
}

/// `volume`: a file has no container of its own and must name one.
pub fn resource_field_ref(of: &ResourceFieldSelector, volume: bool, path: &Path<'_>, errors: &mut Errors) {
    let place = path.child("resource");
    let name = of.resource.as_str();
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| name.starts_with(prefix));
    if volume && of.container_name.as_deref().unwrap_or("").is_empty() {
        errors.required(&path.child("containerName"), "");
    } else if name.is_empty() {
        errors.required(&place, "");
    } else if !RESOURCES.contains(&name) && !huge {
        errors.not_supported(&place, name, &RESOURCES);
    }
    let Some(divisor) = of.divisor.as_ref().and_then(|divisor| Quantity::try_from(divisor).ok()) else { return };
    if divisor.is_zero() {
        return;
    }
    let (allowed, of): (&[&str], &str) = match name.split_once('.').map_or("", |(_, resource)| resource) {
        "cpu" => (&["1m", "1"], "cpu"),
        "memory" => (&BYTE_DIVISORS, "memory"),
        "ephemeral-storage" => (&BYTE_DIVISORS, "local ephemeral storage"),
        resource if resource.starts_with("hugepages-") => (&BYTE_DIVISORS, "hugepages"),
        _ => return,
    };
    if !allowed.contains(&divisor.to_string().as_str()) {
        let allowed = match allowed.split_last() {
            Some((last, [one])) => format!("{one} and {last}"),
            _ => allowed.join(", "),
        };
        let why = format!("only divisor's values {allowed} are supported with the {of} resource");
        errors.invalid(&path.child("divisor"), name, why);
    }
}
