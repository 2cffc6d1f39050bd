//! Priority classes.

use serde_json::Value;

use super::{Strategy, immutable};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::checks;

pub struct PriorityClasses;

const HIGHEST: i64 = 1_000_000_000;

/// Names, values and descriptions of the classes that every cluster has.
pub const SYSTEM_PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2 * HIGHEST + 1000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2 * HIGHEST,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

impl Strategy for PriorityClasses {
    fn may_delete(&self, object: &Value) -> Result<(), String> {
        match SYSTEM_PRIORITY_CLASSES.iter().any(|(name, ..)| *name == meta::name(object)) {
            true => Err("this is a system priority class and cannot be deleted".into()),
            false => Ok(()),
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (name, value) = (meta::name(object), object.get("value").and_then(Value::as_i64).unwrap_or(0));
        let known = SYSTEM_PRIORITY_CLASSES.iter().any(|(system, priority, _)| *system == name && *priority == value);
        if name.starts_with("system-") && !known {
            let why = "priority class names with 'system-' prefix are reserved for system use only";
            errors.forbidden(&Path::new("metadata").child("name"), why);
        } else if !name.starts_with("system-") && value > HIGHEST {
            let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
            errors.forbidden(&Path::new("value"), why);
        }
        let policy = object.get("preemptionPolicy").and_then(Value::as_str).unwrap_or("");
        let path = Path::new("preemptionPolicy");
        checks::supported(policy, &["Never", "PreemptLowerPriority"], &path, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if object.get("value") != old.get("value") {
            errors.forbidden(&Path::new("value"), "may not be changed in an update.");
        }
        immutable(object, old, &Path::new("preemptionPolicy"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use serde_json::json;

    #[test]
    fn table() {
        assert_eq!(made("PriorityClass", json!({}))["preemptionPolicy"], "PreemptLowerPriority");
        assert_eq!(
            create("PriorityClass", json!({"value": 1_000_000_001})),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        );
        assert_eq!(create("PriorityClass", json!({"metadata": {"name": "system-x"}})).len(), 1);
        let critical = json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000});
        assert_eq!(create("PriorityClass", critical), [""; 0]);
        assert_eq!(
            update("PriorityClass", json!({"value": 5})),
            ["value: Forbidden: may not be changed in an update."]
        );
    }
}
