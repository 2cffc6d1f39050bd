//! Horizontal pod autoscalers.

mod metric;

use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerSpec};
use serde_json::{Map, Value, json};

use super::{Strategy, begin, keep, part_mut, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, names};

pub struct HorizontalPodAutoscalers;

const LONGEST_PERIOD: i64 = 1800;
const LONGEST_WINDOW: i64 = 3600;

impl Strategy for HorizontalPodAutoscalers {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            spec.insert("metrics".into(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
        }
        let Some(behavior) = spec.get_mut("behavior") else { return };
        let behavior = meta::fields_mut(behavior);
        let percent = || json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        rules(behavior, "scaleUp", json!([pods, percent()]));
        if let Some(up) = behavior.get_mut("scaleUp").and_then(Value::as_object_mut) {
            up.entry("stabilizationWindowSeconds").or_insert(0.into());
        }
        rules(behavior, "scaleDown", json!([percent()]));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"desiredReplicas": 0}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: HorizontalPodAutoscalerSpec = typed(object.get("spec"));
        if let Some(least) = spec.min_replicas.filter(|least| *least < 1) {
            errors.invalid(&path.child("minReplicas"), least, "must be greater than or equal to 1");
        }
        let most = path.child("maxReplicas");
        if spec.max_replicas < 1 {
            errors.invalid(&most, spec.max_replicas, "must be greater than 0");
        }
        if spec.min_replicas.is_some_and(|least| spec.max_replicas < least) {
            errors.invalid(&most, spec.max_replicas, "must be greater than or equal to `minReplicas`");
        }
        let target = path.child("scaleTargetRef");
        checks::named(&spec.scale_target_ref.kind, names::path_segment, &target.child("kind"), errors);
        checks::named(&spec.scale_target_ref.name, names::path_segment, &target.child("name"), errors);
        let metrics = path.child("metrics");
        for (at, metric) in spec.metrics.iter().flatten().enumerate() {
            metric::validate(metric, &metrics.index(at), errors);
        }
        let Some(behavior) = &spec.behavior else { return };
        let path = path.child("behavior");
        for (field, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
            if let Some(rules) = rules {
                scaling(rules, &path.child(field), errors);
            }
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        checks::counts(object, "status", &["currentReplicas", "desiredReplicas"], errors);
    }
}

/// What is said of one direction, with the rest of what holds without it.
fn rules(behavior: &mut Map<String, Value>, direction: &str, policies: Value) {
    let rules = meta::fields_mut(behavior.entry(direction).or_insert_with(|| json!({})));
    rules.entry("selectPolicy").or_insert("Max".into());
    if rules.get("policies").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        rules.insert("policies".into(), policies);
    }
}

fn scaling(rules: &HPAScalingRules, path: &Path<'_>, errors: &mut Errors) {
    let window = path.child("stabilizationWindowSeconds");
    if let Some(seconds) = rules.stabilization_window_seconds.map(i64::from) {
        checks::not_negative(Some(seconds), &window, errors);
        if seconds > LONGEST_WINDOW {
            errors.invalid(&window, seconds, format!("must be less than or equal to {LONGEST_WINDOW}"));
        }
    }
    let select = rules.select_policy.as_deref();
    checks::supported_if_set(select, &["Disabled", "Max", "Min"], &path.child("selectPolicy"), errors);
    let list = path.child("policies");
    if rules.policies.as_ref().is_none_or(Vec::is_empty) {
        errors.required(&list, "must specify at least one Policy");
    }
    for (at, policy) in rules.policies.iter().flatten().enumerate() {
        let path = list.index(at);
        checks::supported(&policy.type_, &["Percent", "Pods"], &path.child("type"), errors);
        if policy.value <= 0 {
            errors.invalid(&path.child("value"), policy.value, "must be greater than zero");
        }
        let (place, seconds) = (path.child("periodSeconds"), i64::from(policy.period_seconds));
        if seconds <= 0 {
            errors.invalid(&place, seconds, "must be greater than zero");
        } else if seconds > LONGEST_PERIOD {
            errors.invalid(&place, seconds, format!("must be less than or equal to {LONGEST_PERIOD}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made};
    use super::*;

    #[test]
    fn defaults() {
        let spec = &made("HorizontalPodAutoscaler", json!({}))["spec"];
        assert_eq!(spec["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        assert_eq!(spec["minReplicas"], 1);
        assert_eq!(spec.get("behavior"), None);
        let behaving =
            made("HorizontalPodAutoscaler", json!({"spec": {"behavior": {"scaleUp": {"selectPolicy": "Min"}}}}));
        let behavior = &behaving["spec"]["behavior"];
        assert_eq!(behavior["scaleUp"]["selectPolicy"], "Min");
        assert_eq!(behavior["scaleUp"]["policies"].as_array().unwrap().len(), 2);
        assert_eq!(behavior["scaleDown"]["policies"][0]["value"], 100);
    }

    #[test]
    fn refused() {
        let metric = |metric: Value| json!({"metrics": [metric]});
        for (spec, told) in [
            (json!({"minReplicas": 0}), "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"),
            (
                json!({"minReplicas": 5, "maxReplicas": 4}),
                "spec.maxReplicas: Invalid value: 4: must be greater than or equal to `minReplicas`",
            ),
            (json!({"scaleTargetRef": {"name": ""}}), "spec.scaleTargetRef.name: Required value"),
            (
                json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 4000}}}),
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
            ),
            (
                json!({"behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1}]}}}),
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
            ),
            (
                metric(json!({"type": "Resource"})),
                "spec.metrics[0].resource: Required value: must populate information for the given metric source",
            ),
            (
                metric(json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue"}}})),
                "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
            ),
        ] {
            assert_eq!(create("HorizontalPodAutoscaler", json!({"spec": spec})), [told]);
        }
    }
}
