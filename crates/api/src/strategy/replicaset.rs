//! Replica sets.

use serde_json::{Value, json};

use super::deployment::at_most;
use super::{Strategy, begin, immutable, keep, part_mut, template};
use crate::field::{Errors, Path};
use crate::validation::{checks, pod::Owner};

pub struct ReplicaSets;

impl Strategy for ReplicaSets {
    fn default(&self, object: &mut Value) {
        template::default(part_mut(object, "spec").and_then(|spec| spec.get_mut("template")));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"replicas": 0}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        checks::counts(object, "spec", &["replicas", "minReadySeconds"], errors);
        // Upstream's words, where sets were once a part of deployments.
        template::validate_selected(&object["spec"], Owner::ReplicaSet, "deployment", &Path::new("spec"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        immutable(object, old, &path.child("selector"), errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        checks::counts(object, "status", &["replicas", "observedGeneration", "terminatingReplicas"], errors);
        checks::counts(object, "status", &parts, errors);
        at_most(object, &parts, "replicas", "cannot be greater than status.replicas", errors);
        at_most(object, &["availableReplicas"], "readyReplicas", "cannot be greater than readyReplicas", errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, status, update};
    use super::*;

    #[test]
    fn table() {
        assert_eq!(create("ReplicaSet", json!({"spec": {"selector": null}})), ["spec.selector: Required value"]);
        assert_eq!(
            create("ReplicaSet", json!({"spec": {"template": {"spec": {"activeDeadlineSeconds": 1}}}})),
            [
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"
            ]
        );
        assert_eq!(update("ReplicaSet", json!({"spec": {"replicas": 0}})), [""; 0]);
        assert_eq!(
            status("ReplicaSet", json!({"status": {"replicas": 3, "readyReplicas": 1, "availableReplicas": 2}})),
            ["status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"]
        );
    }
}
