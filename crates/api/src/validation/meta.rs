//! The rules for `metadata`, the same for all kinds.

use serde_json::Value;

use super::names;
use crate::field::{Errors, Path};
use crate::meta;

/// All annotations of an object together, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

pub fn validate(object: &Value, namespaced: bool, name_rule: impl Fn(&str) -> Vec<String>, errors: &mut Errors) {
    let path = Path::new("metadata");
    let Some(metadata) = object.get("metadata") else {
        errors.required(&path.child("name"), "name or generateName is required");
        return;
    };
    let name = meta::name(object);
    let generate = meta::text(object, "generateName");
    if !generate.is_empty() {
        // What is generated ends in a letter or digit, so a trailing dash is fine here.
        let probe = format!("{}a", generate.trim_end_matches('-'));
        errors.extend(&path.child("generateName"), generate, name_rule(&probe));
    }
    if name.is_empty() {
        errors.required(&path.child("name"), "name or generateName is required");
    } else {
        errors.extend(&path.child("name"), name, name_rule(name));
    }
    let namespace = meta::namespace(object);
    if namespaced {
        if namespace.is_empty() {
            errors.required(&path.child("namespace"), "");
        } else {
            errors.extend(&path.child("namespace"), namespace, names::dns_label(namespace));
        }
    } else if !namespace.is_empty() {
        errors.forbidden(&path.child("namespace"), "not allowed on this type");
    }
    labels(metadata.get("labels"), &path.child("labels"), errors);
    annotations(metadata.get("annotations"), &path.child("annotations"), errors);
    for (at, finalizer) in meta::finalizers(object).iter().enumerate() {
        let list = path.child("finalizers");
        errors.extend(&list.index(at), finalizer, names::qualified_name(finalizer));
        if !finalizer.contains('/') && !["foregroundDeletion", "kubernetes", "orphan"].contains(finalizer) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.invalid(&list.index(at), *finalizer, why);
        }
    }
    owners(metadata.get("ownerReferences"), &path.child("ownerReferences"), errors);
}

pub fn labels(labels: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or("");
        errors.extend(path, key, names::qualified_name(key));
        errors.extend(path, value, names::label_value(value));
    }
}

pub fn annotations(annotations: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        errors.extend(path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errors.too_long(path, ANNOTATIONS_LIMIT);
    }
}

fn owners(owners: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    let mut controllers = 0;
    for (at, owner) in owners.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = path.index(at);
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).unwrap_or("").is_empty() {
                errors.required(&path.child(field), "must not be empty");
            }
        }
        controllers += usize::from(owner.get("controller") == Some(&Value::Bool(true)));
    }
    if controllers > 1 {
        errors.invalid(path, owners.cloned().unwrap_or_default(), "Only one reference can have Controller set to true");
    }
}

/// What an update must not change.
pub fn validate_update(object: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("metadata");
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        let (new, was) = (meta::text(object, field), meta::text(old, field));
        if new != was {
            errors.invalid(&path.child(field), new, "field is immutable");
        }
    }
    if meta::is_deleting(old) {
        let was = meta::finalizers(old);
        let added: Vec<String> =
            meta::finalizers(object).iter().filter(|f| !was.contains(f)).map(|f| format!("{f:?}")).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.forbidden(&path.child("finalizers"), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finalizers() {
        let old =
            json!({"metadata": {"name": "x", "deletionTimestamp": "2026-11-20T17:10:44Z", "finalizers": ["a.b/c"]}});
        let mut new = old.clone();
        new["metadata"]["finalizers"] = json!(["a.b/c", "d.e/f", "g.h/i"]);
        let mut errors = Errors::default();
        validate_update(&new, &old, &mut errors);
        let told: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
              finalizers []string{\"d.e/f\", \"g.h/i\"}"
            ]
        );
        let mut errors = Errors::default();
        let object = json!({"metadata": {"name": "x", "finalizers": ["orphan", "mine"]}});
        validate(&object, false, names::dns_subdomain, &mut errors);
        assert_eq!(
            errors.0[0].to_string(),
            "metadata.finalizers[1]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully \
             qualified"
        );
    }
}
