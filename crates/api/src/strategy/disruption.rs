//! Pod disruption budgets.

use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use serde_json::{Value, json};

use super::{Strategy, begin, keep, typed};
use crate::field::{Errors, Path};
use crate::validation::{self, amount, checks};

pub struct PodDisruptionBudgets;

impl Strategy for PodDisruptionBudgets {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: PodDisruptionBudgetSpec = typed(object.get("spec"));
        if spec.min_available.is_some() && spec.max_unavailable.is_some() {
            errors.invalid(&path, object["spec"].clone(), "minAvailable and maxUnavailable cannot be both set");
        }
        for (field, value) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
            amount::positive(value.as_ref(), &path.child(field), errors);
            amount::at_most_all(value.as_ref(), &path.child(field), errors);
        }
        validation::label_selector(spec.selector.as_ref(), &path.child("selector"), errors);
        let policy = spec.unhealthy_pod_eviction_policy.as_deref();
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        checks::supported_if_set(policy, &policies, &path.child("unhealthyPodEvictionPolicy"), errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
        checks::counts(object, "status", &counts, errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, status, update};
    use super::*;

    #[test]
    fn table() {
        for (spec, told) in [
            (json!({"minAvailable": null, "maxUnavailable": "30%"}), vec![]),
            (
                json!({"minAvailable": 1, "maxUnavailable": 1, "selector": null}),
                vec![
                    "spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":1}: minAvailable and maxUnavailable cannot be both set",
                ],
            ),
            (
                json!({"minAvailable": -1}),
                vec!["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                json!({"minAvailable": "200%"}),
                vec!["spec.minAvailable: Invalid value: \"200%\": must not be greater than 100%"],
            ),
            (
                json!({"unhealthyPodEvictionPolicy": "Never"}),
                vec![
                    "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
                ],
            ),
        ] {
            assert_eq!(create("PodDisruptionBudget", json!({"spec": spec})), told);
        }
        assert_eq!(update("PodDisruptionBudget", json!({"spec": {"minAvailable": 2}})), [""; 0]);
        assert_eq!(status("PodDisruptionBudget", json!({"status": {"expectedPods": -1}})).len(), 1);
    }
}
