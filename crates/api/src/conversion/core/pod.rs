//! Pods and replication controllers of v1beta1: a desired state with a manifest, and a current state.

use serde_json::{Map, Value, json};

use super::{container, metadata};
use crate::conversion::{Conversion, SAME, each, rename};
use crate::meta::{fields_mut, object_mut};

pub const POD: Conversion = Conversion {
    check: |document| manifests(document, "/desiredState/manifest"),
    to_stored: |document| {
        let fields = fields_mut(document);
        metadata::to_stored(fields);
        let spec = spec_of(fields);
        fields.insert("spec".into(), spec);
        if let Some(state) = fields.remove("currentState") {
            let status = status_to_stored(state, &order(fields));
            if !status.is_empty() {
                fields.insert("status".into(), status.into());
            }
        }
    },
    from_stored: |document| {
        let fields = fields_mut(document);
        let id = name_and_uid(fields);
        metadata::from_stored(fields);
        if let Some(spec) = fields.remove("spec") {
            let host = spec.get("nodeName").cloned();
            state_of(fields, spec, id);
            if let Some(host) = host {
                object_mut(document, "currentState").insert("host".into(), host);
            }
        }
        if let Some(status) = fields_mut(document).remove("status") {
            let state = status_from_stored(status);
            object_mut(document, "currentState").extend(state);
        }
    },
    ..SAME
};

pub const REPLICATION_CONTROLLER: Conversion = Conversion {
    check: |document| manifests(document, "/desiredState/podTemplate/desiredState/manifest"),
    to_stored: |document| {
        let fields = fields_mut(document);
        metadata::to_stored(fields);
        rename(fields, "currentState", "status");
        let Some(Value::Object(mut state)) = fields.remove("desiredState") else { return };
        rename(&mut state, "replicaSelector", "selector");
        if let Some(Value::Object(mut template)) = state.remove("podTemplate") {
            let mut inner = match template.remove("metadata") {
                Some(Value::Object(inner)) => inner,
                _ => Map::new(),
            };
            for name in ["labels", "annotations"] {
                inner.extend(template.remove(name).map(|value| (name.to_owned(), value)));
            }
            let spec = spec_of(&mut template);
            state.insert("template".into(), json!({"metadata": inner, "spec": spec}));
        }
        fields.insert("spec".into(), state.into());
    },
    from_stored: |document| {
        let fields = fields_mut(document);
        metadata::from_stored(fields);
        rename(fields, "status", "currentState");
        let Some(Value::Object(mut spec)) = fields.remove("spec") else { return };
        rename(&mut spec, "selector", "replicaSelector");
        if let Some(Value::Object(mut stored)) = spec.remove("template") {
            let mut template = Map::new();
            if let Some(Value::Object(mut inner)) = stored.remove("metadata") {
                for name in ["labels", "annotations"] {
                    template.extend(inner.remove(name).map(|value| (name.to_owned(), value)));
                }
                if !inner.is_empty() {
                    template.insert("metadata".into(), inner.into());
                }
            }
            if let Some(spec) = stored.remove("spec") {
                state_of(&mut template, spec, [json!(""), Value::Null]);
            }
            spec.insert("podTemplate".into(), template.into());
        }
        fields.insert("desiredState".into(), spec.into());
    },
    ..SAME
};

fn manifests(document: &Value, path: &str) -> Result<(), String> {
    let manifest = document.pointer(path);
    let containers = ["containers", "initContainers"].into_iter().filter_map(|list| manifest?.get(list)?.as_array());
    containers.flatten().try_for_each(container::check)
}

/// The spec out of a desired state, and of what stands beside it.
fn spec_of(fields: &mut Map<String, Value>) -> Value {
    let mut state = match fields.remove("desiredState") {
        Some(Value::Object(state)) => state,
        _ => Map::new(),
    };
    let mut spec = state.remove("manifest").unwrap_or_else(|| json!({}));
    container::all(&mut spec, true);
    let spec_fields = fields_mut(&mut spec);
    ["version", "id", "uuid"].into_iter().for_each(|name| drop(spec_fields.remove(name)));
    if let Some(policy) = spec_fields.remove("restartPolicy") {
        let kinds = [("always", "Always"), ("never", "Never"), ("onFailure", "OnFailure")];
        if let Some((_, policy)) = kinds.iter().find(|(kind, _)| policy.get(*kind).is_some()) {
            spec_fields.insert("restartPolicy".into(), (*policy).into());
        }
    }
    if let Some(host) = state.remove("host") {
        spec_fields.insert("nodeName".into(), host);
    }
    if let Some(account) = fields.remove("serviceAccount") {
        spec_fields.insert("serviceAccount".into(), account.clone());
        spec_fields.insert("serviceAccountName".into(), account);
    }
    if let Some(selector) = fields.remove("nodeSelector") {
        spec_fields.insert("nodeSelector".into(), selector);
    }
    spec
}

/// A desired state, and what stands beside it, out of a spec.
fn state_of(fields: &mut Map<String, Value>, mut spec: Value, [id, uid]: [Value; 2]) {
    container::all(&mut spec, false);
    let manifest = fields_mut(&mut spec);
    let mut state = Map::new();
    if let Some(host) = manifest.remove("nodeName") {
        state.insert("host".into(), host);
    }
    let account = manifest.remove("serviceAccount");
    if let Some(account) = manifest.remove("serviceAccountName").or(account) {
        fields.insert("serviceAccount".into(), account);
    }
    if let Some(selector) = manifest.remove("nodeSelector") {
        fields.insert("nodeSelector".into(), selector);
    }
    if let Some(policy) = manifest.get("restartPolicy").and_then(Value::as_str) {
        let policy = match policy {
            "Never" => json!({"never": {}}),
            "OnFailure" => json!({"onFailure": {}}),
            _ => json!({"always": {}}),
        };
        manifest.insert("restartPolicy".into(), policy);
    }
    manifest.insert("version".into(), "v1beta1".into());
    manifest.insert("id".into(), id);
    if uid.is_string() {
        manifest.insert("uuid".into(), uid);
    }
    state.insert("manifest".into(), spec);
    fields.insert("desiredState".into(), state.into());
}

fn name_and_uid(fields: &Map<String, Value>) -> [Value; 2] {
    let metadata = |name: &str| fields.get("metadata").and_then(|metadata| metadata.get(name)).cloned();
    [metadata("name").unwrap_or_else(|| json!("")), metadata("uid").unwrap_or_default()]
}

/// The names of the containers, in the order of the spec.
fn order(fields: &Map<String, Value>) -> Vec<String> {
    let containers = fields.get("spec").and_then(|spec| spec.get("containers")).and_then(Value::as_array);
    let name = |container: &Value| container.get("name").and_then(Value::as_str).map(str::to_owned);
    containers.into_iter().flatten().filter_map(name).collect()
}

const PHASES: [(&str, &str); 3] = [("Waiting", "Pending"), ("Terminated", "Failed"), ("", "")];
const STATUSES: [(&str, &str); 2] = [("Full", "True"), ("None", "False")];

/// A word of one version in the other.
fn word(fields: &mut Map<String, Value>, name: &str, words: &[(&str, &str)], stored: bool) {
    let Some(is) = fields.get(name).and_then(Value::as_str) else { return };
    let other = words.iter().find(|(old, new)| is == if stored { *old } else { *new });
    if let Some((old, new)) = other {
        fields.insert(name.into(), if stored { *new } else { *old }.into());
    }
}

/// Conditions of pods and of nodes.
pub(super) fn conditions(holder: &mut Value, list: &str, stored: bool) {
    each(holder, &format!("{list}[]"), &mut |condition| {
        let (from, to) = if stored { ("kind", "type") } else { ("type", "kind") };
        rename(condition, from, to);
        word(condition, "status", &STATUSES, stored);
    });
}

fn states(status: &mut Value, stored: bool) {
    for state in ["state", "lastState"] {
        let (from, to) = if stored { ("termination", "terminated") } else { ("terminated", "termination") };
        each(status, state, &mut |state| rename(state, from, to));
    }
}

fn status_to_stored(mut state: Value, order: &[String]) -> Map<String, Value> {
    conditions(&mut state, "Condition", true);
    let Value::Object(mut status) = state else { return Map::new() };
    // These are shown, and said elsewhere.
    ["host", "manifest"].into_iter().for_each(|name| drop(status.remove(name)));
    rename(&mut status, "status", "phase");
    rename(&mut status, "Condition", "conditions");
    word(&mut status, "phase", &PHASES, true);
    if let Some(Value::Object(info)) = status.remove("info") {
        let place = |name: &String| order.iter().position(|known| known == name).unwrap_or(order.len());
        let mut statuses: Vec<(String, Value)> = info.into_iter().collect();
        statuses.sort_by_key(|(name, _)| place(name));
        let named = statuses.into_iter().map(|(name, mut status)| {
            states(&mut status, true);
            fields_mut(&mut status).insert("name".into(), name.into());
            status
        });
        let named: Vec<Value> = named.collect();
        status.insert("containerStatuses".into(), named.into());
    }
    status
}

fn status_from_stored(mut status: Value) -> Map<String, Value> {
    conditions(&mut status, "conditions", false);
    let Value::Object(mut state) = status else { return Map::new() };
    word(&mut state, "phase", &PHASES, false);
    rename(&mut state, "phase", "status");
    rename(&mut state, "conditions", "Condition");
    if let Some(Value::Array(statuses)) = state.remove("containerStatuses") {
        let named = statuses.into_iter().filter_map(|mut status| {
            states(&mut status, false);
            match fields_mut(&mut status).remove("name") {
                Some(Value::String(name)) => Some((name, status)),
                _ => None,
            }
        });
        let info: Map<String, Value> = named.collect();
        state.insert("info".into(), info.into());
    }
    state
}
