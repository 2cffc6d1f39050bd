//! What v1beta1 has in the object itself: name, namespace, versions and times. And the forms of lists and refusals.

use serde_json::{Map, Value, json};

use crate::meta::fields_mut;

/// Fields of today's metadata that have their name in v1beta1 too.
const SAME: [&str; 13] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "namespace",
    "ownerReferences",
    "selfLink",
    "uid",
    "name",
];

/// The metadata out of the object's own fields.
pub(super) fn to_stored(fields: &mut Map<String, Value>) {
    let mut metadata = Map::new();
    for name in SAME {
        if let Some(value) = fields.remove(if name == "name" { "id" } else { name }) {
            metadata.insert(name.into(), value);
        }
    }
    match fields.remove("resourceVersion") {
        Some(Value::Number(version)) if version.as_i64() != Some(0) => {
            metadata.insert("resourceVersion".into(), version.to_string().into());
        }
        _ => {}
    }
    fields.insert("metadata".into(), metadata.into());
}

/// The metadata as the object's own fields. Who manages what is the server's to remember.
pub(super) fn from_stored(fields: &mut Map<String, Value>) {
    let Some(Value::Object(mut metadata)) = fields.remove("metadata") else { return };
    for name in SAME {
        if let Some(value) = metadata.remove(name) {
            fields.insert(if name == "name" { "id" } else { name }.into(), value);
        }
    }
    version(&metadata, fields);
}

fn version(metadata: &Map<String, Value>, fields: &mut Map<String, Value>) {
    let version = metadata.get("resourceVersion").and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok());
    if let Some(version) = version {
        fields.insert("resourceVersion".into(), version.into());
    }
}

/// The envelope of a list: its metadata is a part of it, and the time of its creation is not known.
pub fn list(list: &mut Value) {
    let fields = fields_mut(list);
    let Some(Value::Object(mut metadata)) = fields.remove("metadata") else { return };
    version(&metadata, fields);
    metadata.remove("resourceVersion");
    fields.extend(metadata);
    fields.insert("creationTimestamp".into(), Value::Null);
}

/// A refusal, or what a request that answers nothing else is answered with.
pub fn status(status: &mut Value) {
    let fields = fields_mut(status);
    fields.remove("metadata");
    fields.insert("apiVersion".into(), "v1beta1".into());
    fields.insert("creationTimestamp".into(), json!(null));
    if let Some(details) = fields.get_mut("details").and_then(Value::as_object_mut)
        && let Some(name) = details.remove("name")
    {
        details.insert("id".into(), name);
    }
}
