//! Resource quotas.

use k8s_openapi::api::core::v1::ResourceQuotaSpec;
use serde_json::{Value, json};

use super::{Strategy, begin, keep, typed};
use crate::field::{Errors, Path};
use crate::quantity::Quantity;
use crate::validation::{checks, names};

pub struct ResourceQuotas;

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Counted by the piece.
const COUNTED: [&str; 10] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
    "resourceclaims",
];
const MEASURED: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "storage"];

impl Strategy for ResourceQuotas {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ResourceQuotaSpec = typed(object.get("spec"));
        amounts(object, "spec", "hard", errors);
        let list = path.child("scopes");
        let scopes = spec.scopes.unwrap_or_default();
        for _ in scopes.iter().filter(|scope| !SCOPES.contains(&scope.as_str())) {
            errors.invalid(&list, scopes.clone(), "unsupported scope");
        }
        for (one, other) in [("Terminating", "NotTerminating"), ("BestEffort", "NotBestEffort")] {
            let has = |scope: &str| scopes.iter().any(|own| own == scope);
            if has(one) && has(other) {
                errors.invalid(&list, scopes.clone(), "conflicting scopes");
            }
        }
        let path = path.child("scopeSelector");
        let list = path.child("matchExpressions");
        let selector = spec.scope_selector.and_then(|selector| selector.match_expressions);
        for (at, one) in selector.into_iter().flatten().enumerate() {
            let path = list.index(at);
            if !SCOPES.contains(&one.scope_name.as_str()) {
                errors.invalid(&path.child("scopeName"), one.scope_name.as_str(), "unsupported scope");
            }
            let values = one.values.unwrap_or_default();
            let place = path.child("values");
            match one.operator.as_str() {
                "In" | "NotIn" if values.is_empty() => {
                    let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                    errors.required(&place, why);
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    let why = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
                    errors.invalid(&place, values, why);
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        super::immutable(object, old, &path.child("scopes"), errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        amounts(object, "status", "hard", errors);
        amounts(object, "status", "used", errors);
    }
}

fn amounts(object: &Value, part: &str, field: &str, errors: &mut Errors) {
    let path = Path::new(part);
    let list = path.child(field);
    let amounts = object.get(part).and_then(|part| part.get(field)).and_then(Value::as_object);
    for (name, amount) in amounts.into_iter().flatten() {
        let place = list.key(name);
        errors.extend(&place, name, names::qualified_name(name));
        let measured = name.trim_start_matches("requests.").trim_start_matches("limits.");
        let standard =
            COUNTED.contains(&name.as_str()) || MEASURED.contains(&measured) || measured.starts_with("hugepages-");
        if !name.contains('/') && !standard {
            errors.invalid(&place, name.as_str(), "must be a standard resource for quota");
        }
        let amount = amount.as_str().unwrap_or("");
        match amount.parse::<Quantity>() {
            Ok(amount) if amount.is_negative() => errors.invalid(&place, amount.to_string(), checks::NOT_NEGATIVE),
            Ok(amount) if COUNTED.contains(&name.as_str()) && !amount.is_integer() => {
                errors.invalid(&place, amount.to_string(), "must be an integer");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, status, update};
    use serde_json::json;

    #[test]
    fn table() {
        for (spec, told) in [
            (
                json!({"hard": {"pods": "-1"}}),
                "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (json!({"hard": {"pods": "500m"}}), "spec.hard[pods]: Invalid value: \"500m\": must be an integer"),
            (
                json!({"hard": {"time": "1"}}),
                "spec.hard[time]: Invalid value: \"time\": must be a standard resource for quota",
            ),
            (
                json!({"scopes": ["Terminating", "NotTerminating"]}),
                "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes",
            ),
            (json!({"scopes": ["X"]}), "spec.scopes: Invalid value: [\"X\"]: unsupported scope"),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
                "spec.scopeSelector.matchExpressions[0].values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
        ] {
            assert_eq!(create("ResourceQuota", json!({"spec": spec})), [told]);
        }
        let hard = json!({"count/widgets.example.com": "4", "requests.cpu": "500m", "limits.memory": "1Gi"});
        assert_eq!(create("ResourceQuota", json!({"spec": {"hard": hard}})), [""; 0]);
        assert_eq!(update("ResourceQuota", json!({"spec": {"scopes": ["BestEffort"]}})).len(), 1);
        assert_eq!(status("ResourceQuota", json!({"status": {"used": {"pods": "-1"}}})).len(), 1);
    }
}
