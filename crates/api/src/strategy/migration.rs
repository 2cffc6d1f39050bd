//! Storage version migrations.

use serde_json::{Value, json};

use super::{Strategy, begin, immutable, keep};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::checks;

pub struct StorageVersionMigrations;

impl Strategy for StorageVersionMigrations {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let path = path.child("resource");
        checks::required(meta::text_at(object, "spec.resource.resource"), &path.child("resource"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("spec"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use serde_json::json;

    #[test]
    fn table() {
        let none = json!({"spec": {"resource": {"resource": ""}}});
        assert_eq!(create("StorageVersionMigration", none), ["spec.resource.resource: Required value"]);
        let other = json!({"spec": {"resource": {"resource": "pods"}}});
        assert!(update("StorageVersionMigration", other)[0].ends_with("field is immutable"));
    }
}
