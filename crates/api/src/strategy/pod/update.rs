//! What may change in a pod that exists: images, deadlines, more tolerations; and before it is scheduled, where it may run.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::validation::checks::MAX_INT32;

const MUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
                       `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions \
                       to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it \
                       was previously negative)";

fn list<'a>(spec: &'a Value, field: &str) -> &'a [Value] {
    spec.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn validate(spec: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    for field in ["containers", "initContainers"] {
        if list(spec, field).len() != list(old, field).len() {
            errors.forbidden(&path.child(field), "pod updates may not add or remove containers");
            return;
        }
    }
    if !deadline(spec, old, &path.child("activeDeadlineSeconds"), errors) {
        return;
    }
    tolerations(spec, old, &path.child("tolerations"), errors);
    let gated = !list(old, "schedulingGates").is_empty();
    let gates = path.child("schedulingGates");
    for gate in list(spec, "schedulingGates").iter().filter(|gate| !list(old, "schedulingGates").contains(gate)) {
        let name = gate.get("name").and_then(Value::as_str).unwrap_or("");
        errors.forbidden(&gates, format!("only deletion is allowed, but found new scheduling gate '{name}'"));
    }
    if normal(spec, old, gated) != normal(old, old, gated) {
        errors.forbidden(&path, MUTABLE);
    }
}

/// False where there is nothing more to say.
fn deadline(spec: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) -> bool {
    let of = |spec: &Value| spec.get("activeDeadlineSeconds").and_then(Value::as_i64);
    match (of(spec), of(old)) {
        (Some(new), _) if !(0..=MAX_INT32).contains(&new) => {
            errors.invalid(path, new, format!("must be between 0 and {MAX_INT32}, inclusive"));
            false
        }
        (Some(new), Some(was)) if was < new => {
            errors.invalid(path, new, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            errors.invalid(path, Value::Null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn tolerations(spec: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(fields) = toleration.as_object_mut() {
            fields.remove("tolerationSeconds");
        }
        toleration.to_string()
    };
    let new: std::collections::HashSet<String> = list(spec, "tolerations").iter().map(without_seconds).collect();
    if !list(old, "tolerations").iter().all(|was| new.contains(&without_seconds(was))) {
        errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
    }
}

/// The spec without what may change.
fn normal(spec: &Value, old: &Value, gated: bool) -> Value {
    let mut spec = spec.clone();
    let Some(fields) = spec.as_object_mut() else { return spec };
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        fields.remove(field);
    }
    for list in ["containers", "initContainers"] {
        for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                container.remove("image");
            }
        }
    }
    let was = old.get("terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    if was < 0 && [1, was].contains(&fields.get("terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0)) {
        fields.remove("terminationGracePeriodSeconds");
    }
    // A pod that waits for its gates has not been scheduled, so where it may run can still be said.
    if gated {
        fields.remove("nodeSelector");
        fields.remove("affinity");
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn table() {
        let old = json!({"containers": [{"name": "a", "image": "1"}], "nodeName": "n", "activeDeadlineSeconds": 100,
            "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
            "terminationGracePeriodSeconds": -5});
        for (field, value, told) in [
            ("containers", json!([{"name": "a", "image": "2"}]), ""),
            (
                "containers",
                json!([{"name": "b", "image": "1"}]),
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,",
            ),
            ("containers", json!([]), "spec.containers: Forbidden: pod updates may not add or remove containers"),
            (
                "initContainers",
                json!([{"name": "i"}]),
                "spec.initContainers: Forbidden: pod updates may not add or remove containers",
            ),
            ("nodeName", json!("m"), "spec: Forbidden: pod updates may not change fields"),
            ("nodeSelector", json!({"a": "b"}), "spec: Forbidden: pod updates may not change fields"),
            ("activeDeadlineSeconds", json!(50), ""),
            (
                "activeDeadlineSeconds",
                json!(101),
                "spec.activeDeadlineSeconds: Invalid value: 101: must be less than or equal to previous value",
            ),
            (
                "activeDeadlineSeconds",
                json!(null),
                "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
            ),
            (
                "activeDeadlineSeconds",
                json!(1i64 << 40),
                "spec.activeDeadlineSeconds: Invalid value: 1099511627776: must be between 0 and 2147483647, inclusive",
            ),
            (
                "tolerations",
                json!([]),
                "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
            ),
            (
                "tolerations",
                json!([{"operator": "Exists"}, {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}]),
                "",
            ),
            ("terminationGracePeriodSeconds", json!(1), ""),
            ("terminationGracePeriodSeconds", json!(2), "spec: Forbidden: pod updates may not change fields"),
            (
                "schedulingGates",
                json!([{"name": "g"}]),
                "spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling gate 'g'",
            ),
        ] {
            let mut new = old.clone();
            new[field] = value.clone();
            if value.is_null() {
                new.as_object_mut().unwrap().remove(field);
            }
            let mut errors = Errors::default();
            validate(&new, &old, &mut errors);
            let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            let as_told = all.first().map_or(told.is_empty(), |first| !told.is_empty() && first.starts_with(told));
            assert!(as_told, "{field} {value}: {all:?}");
        }
        let gated = json!({"schedulingGates": [{"name": "g"}]});
        let mut errors = Errors::default();
        validate(&json!({"nodeSelector": {"a": "b"}}), &gated, &mut errors);
        assert!(errors.is_empty(), "{errors:?}");
    }
}
