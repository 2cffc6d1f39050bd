//! Containers and volumes of v1beta1, and what v1beta3 has of a container beside v1.

use serde_json::{Map, Value, json};

use super::amounts;
use crate::conversion::{each, rename};
use crate::meta::fields_mut;

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Who said nothing in the security context has said it in the container. What both say must be the same.
pub(super) fn check(container: &Value) -> Result<(), String> {
    let context = |name: &str| container.get("securityContext").and_then(|context| context.get(name));
    let own = container.get("privileged").and_then(Value::as_bool).unwrap_or(false);
    if own && context("privileged").is_some_and(|privileged| *privileged == false) {
        return Err("container privileged settings do not match security context settings, cannot convert".into());
    }
    if let (Some(own), Some(other)) = (container.get("capabilities"), context("capabilities"))
        && own != other
    {
        return Err("container capability settings do not match security context settings, cannot convert".into());
    }
    Ok(())
}

/// Privileges go into the security context.
pub(super) fn privileges_to_stored(container: &mut Map<String, Value>) {
    for name in ["privileged", "capabilities"] {
        let Some(value) = container.remove(name) else { continue };
        // Emptiness says nothing.
        if value != false && value != json!({}) {
            let context = fields_mut(container.entry("securityContext").or_insert_with(|| json!({})));
            context.entry(name).or_insert(value);
        }
    }
}

pub(super) fn privileges_from_stored(container: &mut Map<String, Value>) {
    for name in ["privileged", "capabilities"] {
        if let Some(value) = container.get("securityContext").and_then(|context| context.get(name)).cloned()
            && value != false
        {
            container.insert(name.into(), value);
        }
    }
}

pub(super) fn to_stored(container: &mut Map<String, Value>) {
    privileges_to_stored(container);
    rename(container, "command", "args");
    rename(container, "entrypoint", "command");
    let (cpu, memory) = (container.remove("cpu"), container.remove("memory"));
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
        ["limits", "requests"].into_iter().for_each(|list| amounts::to_stored(resources.get_mut(list)));
    }
    let has = amounts::limits_of(container);
    let mut limit = |name: &str, text: String| {
        let resources = fields_mut(container.entry("resources").or_insert_with(|| json!({})));
        fields_mut(resources.entry("limits").or_insert_with(|| json!({}))).insert(name.into(), text.into());
    };
    if let Some(milli) = cpu.and_then(|cpu| cpu.as_i64()).filter(|milli| *milli > 0 && Some(*milli) != has.0) {
        limit("cpu", format!("{milli}m"));
    }
    if let Some(bytes) = memory.and_then(|memory| memory.as_i64()).filter(|bytes| *bytes > 0 && Some(*bytes) != has.1) {
        limit("memory", amounts::binary(bytes));
    }
    for probe in PROBES {
        let Some(fields) = container.get_mut(probe).and_then(Value::as_object_mut) else { continue };
        fields.remove("type");
        if fields.remove("enabled").is_some_and(|enabled| enabled == false) {
            container.remove(probe);
        }
    }
    items(container, "env", |variable| {
        let key = variable.remove("key");
        paths_of_today(variable);
        if variable.get("name").is_none_or(|name| *name == "")
            && let Some(key) = key
        {
            variable.insert("name".into(), key);
        }
    });
    items(container, "volumeMounts", |mount| {
        mount.remove("mountType");
        let path = mount.remove("path");
        if mount.get("mountPath").is_none_or(|path| *path == "")
            && let Some(path) = path
        {
            mount.insert("mountPath".into(), path);
        }
    });
    if let Some(policy) = container.get("imagePullPolicy").and_then(Value::as_str) {
        let policy = match policy {
            "PullAlways" => "Always",
            "PullNever" => "Never",
            "PullIfNotPresent" => "IfNotPresent",
            other => other,
        };
        container.insert("imagePullPolicy".into(), policy.to_owned().into());
    }
}

pub(super) fn from_stored(container: &mut Map<String, Value>) {
    privileges_from_stored(container);
    rename(container, "command", "entrypoint");
    rename(container, "args", "command");
    let (cpu, memory) = amounts::limits_of(container);
    if let Some(milli) = cpu.filter(|milli| i32::try_from(*milli).is_ok() && *milli > 0) {
        container.insert("cpu".into(), milli.into());
    }
    if let Some(bytes) = memory.filter(|bytes| *bytes > 0) {
        container.insert("memory".into(), bytes.into());
    }
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
        ["limits", "requests"].into_iter().for_each(|list| amounts::from_stored(resources.get_mut(list)));
    }
    for probe in PROBES {
        let Some(fields) = container.get_mut(probe).and_then(Value::as_object_mut) else { continue };
        let kinds = [("httpGet", "http"), ("tcpSocket", "tcp"), ("exec", "exec")];
        if let Some((_, kind)) = kinds.iter().find(|(handler, _)| fields.contains_key(*handler)) {
            fields.insert("type".into(), (*kind).into());
        }
    }
    items(container, "env", |variable| {
        if let Some(name) = variable.get("name").cloned() {
            variable.insert("key".into(), name);
        }
    });
    items(container, "volumeMounts", |mount| {
        if let Some(path) = mount.get("mountPath").cloned() {
            mount.insert("path".into(), path);
        }
    });
    if let Some(policy) = container.get("imagePullPolicy").and_then(Value::as_str) {
        let policy = match policy {
            "Always" => "PullAlways",
            "Never" => "PullNever",
            "IfNotPresent" => "PullIfNotPresent",
            other => other,
        };
        container.insert("imagePullPolicy".into(), policy.to_owned().into());
    }
}

fn items(container: &mut Map<String, Value>, list: &str, change: impl Fn(&mut Map<String, Value>)) {
    let items = container.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut).for_each(change);
}

/// References to fields of the pod are of version 1 now, whose names for them are the same.
pub(super) fn paths_of_today(variable: &mut Map<String, Value>) {
    let reference = variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"));
    if let Some(version) = reference.and_then(|reference| reference.get_mut("apiVersion"))
        && version.as_str().is_some_and(|version| version.starts_with("v1beta"))
    {
        *version = "v1".into();
    }
}

/// A volume's source stands in the volume today.
pub(super) fn volume_to_stored(volume: &mut Map<String, Value>) {
    let Some(Value::Object(mut source)) = volume.remove("source") else { return };
    rename(&mut source, "hostDir", "hostPath");
    rename(&mut source, "persistentDisk", "gcePersistentDisk");
    if let Some(secret) = source.get_mut("secret").and_then(Value::as_object_mut)
        && let Some(name) = secret.remove("target").and_then(|target| target.get("id").cloned())
    {
        secret.insert("secretName".into(), name);
    }
    volume.extend(source);
}

pub(super) fn volume_from_stored(volume: &mut Map<String, Value>) {
    let name = volume.remove("name");
    let mut source = std::mem::take(volume);
    rename(&mut source, "hostPath", "hostDir");
    rename(&mut source, "gcePersistentDisk", "persistentDisk");
    if let Some(secret) = source.get_mut("secret").and_then(Value::as_object_mut)
        && let Some(name) = secret.remove("secretName")
    {
        secret.insert("target".into(), json!({"kind": "Secret", "id": name}));
    }
    volume.extend(name.map(|name| ("name".to_owned(), name)));
    volume.insert("source".into(), source.into());
}

/// `true`: to the form that is stored.
pub(super) fn all(spec: &mut Value, stored: bool) {
    for list in ["containers[]", "initContainers[]"] {
        each(spec, list, &mut |container| if stored { to_stored(container) } else { from_stored(container) });
    }
    each(spec, "volumes[]", &mut |volume| if stored { volume_to_stored(volume) } else { volume_from_stored(volume) });
}
