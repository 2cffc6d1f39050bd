//! Runtime classes.

use k8s_openapi::api::node::v1::RuntimeClass;
use serde_json::Value;

use super::{Strategy, immutable, typed};
use crate::field::{Errors, Path};
use crate::validation::{self, names};

pub struct RuntimeClasses;

impl Strategy for RuntimeClasses {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let class: RuntimeClass = typed(Some(object));
        errors.extend(&Path::new("handler"), &class.handler, names::dns_label(&class.handler));
        let path = Path::new("overhead");
        if let Some(fixed) = class.overhead.and_then(|overhead| overhead.pod_fixed) {
            validation::amounts(&fixed, &path.child("podFixed"), errors);
        }
        let Some(scheduling) = class.scheduling else { return };
        let path = Path::new("scheduling");
        let selector = scheduling.node_selector.map(|labels| labels.into_iter().map(|(k, v)| (k, v.into())).collect());
        let selector = selector.map(Value::Object);
        validation::meta::labels(selector.as_ref(), &path.child("nodeSelector"), errors);
        validation::tolerations(&scheduling.tolerations.unwrap_or_default(), &path.child("tolerations"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("handler"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use serde_json::json;

    #[test]
    fn table() {
        assert!(create("RuntimeClass", json!({"handler": "A b"}))[0].starts_with("handler: Invalid value: \"A b\""));
        let toleration = json!({"scheduling": {"tolerations": [{"operator": "X", "key": "k"}]}});
        assert_eq!(create("RuntimeClass", toleration).len(), 1);
        assert_eq!(
            update("RuntimeClass", json!({"handler": "other"})),
            ["handler: Invalid value: \"other\": field is immutable"]
        );
    }
}
