//! Config maps and secrets.

use serde_json::Value;

use super::{Strategy, immutable};
use crate::field::{Errors, Path};
use crate::meta;
use crate::schema::decode::read_json;
use crate::validation::{checks, names};

/// All values of an object together, in bytes.
const DATA_LIMIT: usize = 1024 * 1024;

pub struct ConfigMaps;
pub struct Secrets;

/// What base64 text stands for, in bytes.
fn decoded_size(text: &str) -> usize {
    text.len() / 4 * 3 - text.bytes().rev().take_while(|b| *b == b'=').count().min(2).min(text.len() / 4 * 3)
}

/// `whole`: where a size that is too large is told.
fn keys_and_size(object: &Value, fields: &[&str], whole: &str, errors: &mut Errors) {
    let mut size = 0;
    for field in fields {
        let path = Path::new(field);
        for (key, value) in object.get(*field).and_then(Value::as_object).into_iter().flatten() {
            errors.extend(&path.key(key), key, names::config_key(key));
            let text = value.as_str().unwrap_or("");
            // A config map's `data` is the one that holds plain text.
            size += if *field == "data" && whole.is_empty() { text.len() } else { decoded_size(text) };
        }
    }
    if size > DATA_LIMIT {
        errors.too_long(&Path::new(whole), DATA_LIMIT);
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

/// The secret itself is never shown.
fn is_json(encoded: &str, path: &Path<'_>, errors: &mut Errors) {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    if let Err(error) = read_json(&bytes, &mut Vec::new()) {
        errors.invalid(path, "<secret contents redacted>", error.to_string());
    }
}

impl Strategy for ConfigMaps {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        keys_and_size(object, &["data", "binaryData"], "", errors);
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
        keys_and_size(object, &["data"], "data", errors);
        let data = Path::new("data");
        let has = |key: &str| object.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
        let kind = object.get("type").and_then(Value::as_str).unwrap_or("");
        let required: &[&str] = match kind {
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
            "kubernetes.io/basic-auth" if has("username").is_none() && has("password").is_none() => {
                &["username", "password"]
            }
            _ => &[],
        };
        for key in required {
            match has(key) {
                None => errors.required(&data.key(key), ""),
                Some(text) if key.starts_with(".docker") => is_json(text, &data.key(key), errors),
                Some(_) => {}
            }
        }
        if kind == "kubernetes.io/service-account-token" {
            const ACCOUNT: &str = "kubernetes.io/service-account.name";
            let annotations = meta::at(object, "metadata.annotations");
            let account = annotations.and_then(|all| all.get(ACCOUNT)).and_then(Value::as_str).unwrap_or("");
            let metadata = Path::new("metadata");
            checks::required(account, &metadata.child("annotations").key(ACCOUNT), errors);
        }
    }
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("type"), errors);
        unchanged_if_immutable(object, old, &["data"], errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_secrets_of_a_type_must_hold() {
        for (kind, data, told) in [
            ("Opaque", json!({}), vec![]),
            ("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "e30="}), vec![]),
            (
                "kubernetes.io/dockerconfigjson",
                json!({".dockerconfigjson": "bm9uc2Vuc2U="}),
                vec!["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\""],
            ),
            ("kubernetes.io/dockercfg", json!({}), vec!["data[.dockercfg]: Required value"]),
            ("kubernetes.io/tls", json!({"tls.crt": ""}), vec!["data[tls.key]: Required value"]),
            (
                "kubernetes.io/basic-auth",
                json!({}),
                vec!["data[username]: Required value", "data[password]: Required value"],
            ),
            ("kubernetes.io/basic-auth", json!({"username": "eA=="}), vec![]),
            ("kubernetes.io/ssh-auth", json!({}), vec!["data[ssh-privatekey]: Required value"]),
            (
                "kubernetes.io/service-account-token",
                json!({}),
                vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
        ] {
            let mut errors = Errors::default();
            Secrets.validate(&json!({"type": kind, "data": data}), &mut errors);
            let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            assert_eq!(all.len(), told.len(), "{kind}: {all:?}");
            assert!(all.iter().zip(&told).all(|(is, wanted)| is.starts_with(wanted)), "{kind}: {all:?}");
        }
    }

    #[test]
    fn sizes_are_those_of_what_is_stored() {
        for (text, size) in [("", 0), ("eA==", 1), ("eHk=", 2), ("eHl6", 3), ("=", 0), ("====", 1)] {
            assert_eq!(decoded_size(text), size, "{text}");
        }
    }
}
