//! Config maps and secrets.

use serde_json::Value;

use super::{Strategy, immutable};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::names;

/// All values of an object together, in bytes.
const DATA_LIMIT: usize = 1024 * 1024;

pub struct ConfigMaps;
pub struct Secrets;

fn keys_and_size(object: &Value, fields: &[&str], errors: &mut Errors) {
    let mut size = 0;
    for field in fields {
        let path = Path::new(field);
        for (key, value) in object.get(*field).and_then(Value::as_object).into_iter().flatten() {
            errors.extend(&path.key(key), key, names::config_key(key));
            size += value.as_str().map_or(0, str::len);
        }
    }
    if size > DATA_LIMIT {
        errors.too_long(&Path::new(""), DATA_LIMIT);
    }
}

/// Once `immutable` is set, neither it nor the data change.
fn unchanged_if_immutable(object: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return;
    }
    if object.get("immutable") != Some(&Value::Bool(true)) {
        errors.forbidden(&Path::new("immutable"), "field is immutable when `immutable` is set");
    }
    for field in fields {
        if object.get(*field) != old.get(*field) {
            errors.forbidden(&Path::new(field), "field is immutable when `immutable` is set");
        }
    }
}

impl Strategy for ConfigMaps {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        keys_and_size(object, &["data", "binaryData"], errors);
        let binary = object.get("binaryData").and_then(Value::as_object);
        for key in object.get("data").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
            if binary.is_some_and(|binary| binary.contains_key(key)) {
                let data = Path::new("data");
                errors.invalid(&data.key(key), key.as_str(), "duplicate of key present in binaryData");
            }
        }
    }
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        unchanged_if_immutable(object, old, &["data", "binaryData"], errors);
    }
}

impl Strategy for Secrets {
    /// `stringData` is a convenience for writers: it goes into `data` and is never read back.
    fn default(&self, object: &mut Value) {
        let Some(plain) = object.as_object_mut().and_then(|fields| fields.remove("stringData")) else { return };
        let Value::Object(plain) = plain else { return };
        let data = meta::object_mut(object, "data");
        for (key, value) in plain {
            use base64::Engine;
            let text = value.as_str().unwrap_or("");
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(text).into());
        }
    }
    fn validate(&self, object: &Value, errors: &mut Errors) {
        keys_and_size(object, &["data"], errors);
        let data = Path::new("data");
        let required: &[&str] = match object["type"].as_str().unwrap_or("") {
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
            _ => &[],
        };
        for key in required {
            if object["data"].get(*key).is_none() {
                errors.required(&data.key(key), "");
            }
        }
    }
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("type"), errors);
        unchanged_if_immutable(object, old, &["data"], errors);
    }
}
