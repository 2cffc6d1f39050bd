//! Controller revisions: what a controller's template once was.

use serde_json::Value;

use super::{Strategy, immutable};
use crate::field::{Errors, Path};
use crate::validation::checks;

pub struct ControllerRevisions;

impl Strategy for ControllerRevisions {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let revision = object.get("revision").and_then(Value::as_i64);
        checks::not_negative(revision, &Path::new("revision"), errors);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        if object.get("data").is_none() {
            errors.required(&Path::new("data"), "data is mandatory");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("data"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use serde_json::json;

    #[test]
    fn table() {
        assert_eq!(create("ControllerRevision", json!({"data": null})), ["data: Required value: data is mandatory"]);
        assert_eq!(create("ControllerRevision", json!({"revision": -1})).len(), 1);
        assert_eq!(update("ControllerRevision", json!({"revision": 2})), [""; 0]);
        assert_eq!(
            update("ControllerRevision", json!({"data": {"x": "y"}})),
            ["data: Invalid value: {\"a\":1,\"x\":\"y\"}: field is immutable"]
        );
    }
}
