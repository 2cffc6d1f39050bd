//! Classes of storage, and of the attributes of volumes.

use serde_json::{Map, Value};

use super::{Strategy, immutable};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, names};

const MOST_PARAMETERS: usize = 512;
const LARGEST_PARAMETERS: usize = 256 * 1024;

pub struct StorageClasses;

impl Strategy for StorageClasses {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("provisioner");
        let provisioner = meta::text_at(object, "provisioner");
        checks::named(provisioner, |name| names::qualified_name(&name.to_lowercase()), &path, errors);
        parameters(object, false, errors);
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or("");
        let path = Path::new("reclaimPolicy");
        checks::supported(text("reclaimPolicy"), &["Delete", "Retain"], &path, errors);
        let path = Path::new("volumeBindingMode");
        checks::supported(text("volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"], &path, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        for (field, why) in [
            ("parameters", "updates to parameters are forbidden."),
            ("provisioner", "updates to provisioner are forbidden."),
            ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
        ] {
            if object.get(field) != old.get(field) {
                errors.forbidden(&Path::new(field), why);
            }
        }
        immutable(object, old, &Path::new("volumeBindingMode"), errors);
    }
}

pub struct VolumeAttributesClasses;

impl Strategy for VolumeAttributesClasses {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (path, driver) = (Path::new("driverName"), meta::text_at(object, "driverName"));
        checks::named(driver, |name| names::qualified_name(&name.to_lowercase()), &path, errors);
        parameters(object, true, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        for field in ["driverName", "parameters"] {
            immutable(object, old, &Path::new(field), errors);
        }
    }
}

fn parameters(object: &Value, required: bool, errors: &mut Errors) {
    let (path, none) = (Path::new("parameters"), Map::new());
    let parameters = object.get("parameters").and_then(Value::as_object).unwrap_or(&none);
    if required && parameters.is_empty() {
        errors.required(&path, "must contain at least one key/value pair");
    }
    if parameters.len() > MOST_PARAMETERS {
        errors.too_long(&path, MOST_PARAMETERS);
        return;
    }
    let size = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if parameters.keys().any(String::is_empty) {
        errors.invalid(&path, "", "field must not be empty.");
    }
    if parameters.iter().map(size).sum::<usize>() > LARGEST_PARAMETERS {
        errors.too_long(&path, LARGEST_PARAMETERS);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use serde_json::json;

    #[test]
    fn table() {
        let class = made("StorageClass", json!({}));
        assert_eq!((&class["reclaimPolicy"], &class["volumeBindingMode"]), (&json!("Delete"), &json!("Immediate")));
        assert_eq!(create("StorageClass", json!({"provisioner": ""})), ["provisioner: Required value"]);
        assert_eq!(
            create("StorageClass", json!({"reclaimPolicy": "Recycle"})),
            ["reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\""]
        );
        assert_eq!(
            update("StorageClass", json!({"parameters": {"a": "b"}})),
            ["parameters: Forbidden: updates to parameters are forbidden."]
        );
        assert_eq!(update("StorageClass", json!({"allowVolumeExpansion": true})), [""; 0]);
        assert_eq!(
            create("VolumeAttributesClass", json!({"parameters": null})),
            ["parameters: Required value: must contain at least one key/value pair"]
        );
        assert_eq!(update("VolumeAttributesClass", json!({"driverName": "other"})).len(), 1);
    }
}
