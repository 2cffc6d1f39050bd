//! From one version of a kind to another: pure functions on documents, a file for each group. A conversion goes between a version and the
//! one that is stored; what a version can't say is carried in annotations where upstream does so, and nothing is lost on the way.
//!
//! Documents that come in were fitted to their version's schema; what is converted is fitted to the stored one's by the caller. Documents that go
//! out may hold anything, as etcd may.

pub mod apps;
pub mod autoscaling;
pub mod core;
pub mod discovery;
pub mod events;
pub mod networking;
pub mod policy;

use serde_json::{Map, Value};

use crate::meta;

/// Between a version and the stored one.
pub struct Conversion {
    /// Why a document says two things at once and can't be converted, if so.
    pub check: fn(&Value) -> Result<(), String>,
    /// Defaults of the version that its schema cannot express. Idempotent.
    pub default: fn(&mut Value),
    pub to_stored: fn(&mut Value),
    pub from_stored: fn(&mut Value),
}

/// Documents of both versions look the same.
pub const SAME: Conversion =
    Conversion { check: |_| Ok(()), default: nothing, to_stored: nothing, from_stored: nothing };

fn nothing(_: &mut Value) {}

/// The field by its other name. Of two values the one that has the new name already stays.
fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.entry(to).or_insert(value);
    }
}

/// The objects at the end of a path such as `spec.rules[].http.paths[]`, whatever lies on the way.
fn each(value: &mut Value, path: &str, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Some(fields) = value.as_object_mut() else { return };
    if path.is_empty() {
        return change(fields);
    }
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    match step.strip_suffix("[]") {
        None => {
            if let Some(inner) = fields.get_mut(step) {
                each(inner, rest, change);
            }
        }
        Some(list) => {
            let items = fields.get_mut(list).and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| each(item, rest, change));
        }
    }
}

/// The fields of an object, where it is there.
fn part<'a>(document: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    document.get_mut(name).and_then(Value::as_object_mut)
}

fn annotation<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    document.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

fn annotate(document: &mut Value, name: &str, text: String) {
    let metadata = meta::metadata_mut(document);
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    meta::fields_mut(annotations).insert(name.into(), text.into());
}

/// Takes an annotation away, and the map with the last one.
fn take_annotation(document: &mut Value, name: &str) -> Option<String> {
    let metadata = part(document, "metadata")?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let Some(Value::String(text)) = annotations.remove(name) else { return None };
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    Some(text)
}

/// The whole number in an annotation, if it is written as it would be written again.
fn number_in(document: &Value, name: &str) -> Option<i64> {
    let text = annotation(document, name)?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests;
