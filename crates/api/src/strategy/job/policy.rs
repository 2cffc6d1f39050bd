//! When a job has failed and when it has succeeded, before all of its pods have.

use std::collections::HashSet;

use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyRule};
use serde_json::{Map, Value};

use super::super::items_mut;
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, names};

const MOST_RULES: usize = 20;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

pub(super) fn default(spec: &mut Map<String, Value>) {
    let Some(policy) = spec.get_mut("podFailurePolicy") else { return };
    for rule in items_mut(meta::fields_mut(policy), "rules") {
        for pattern in items_mut(rule, "onPodConditions") {
            pattern.entry("status").or_insert("True".into());
        }
    }
}

pub(super) fn validate(spec: &JobSpec, path: &Path<'_>, errors: &mut Errors) {
    if let Some(policy) = &spec.pod_failure_policy {
        let (whole, path) = (path, path.child("podFailurePolicy"));
        let rules = path.child("rules");
        if policy.rules.len() > MOST_RULES {
            errors.too_many(&rules, policy.rules.len(), MOST_RULES);
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            failure_rule(rule, spec, &rules.index(at), errors);
        }
        let restart = spec.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref()).unwrap_or("");
        if restart != "Never" {
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            let template = whole.child("template");
            let pod = template.child("spec");
            errors.invalid(&pod.child("restartPolicy"), restart, why);
        }
    }
    if let Some(policy) = &spec.success_policy {
        let path = path.child("successPolicy");
        if spec.completion_mode.as_deref() != Some("Indexed") {
            errors.invalid(&path, Value::Null, "requires indexed completion mode");
            return;
        }
        let rules = path.child("rules");
        if policy.rules.is_empty() {
            errors.required(&rules, "at least one rules must be specified when the successPolicy is specified");
        }
        if policy.rules.len() > MOST_RULES {
            errors.too_many(&rules, policy.rules.len(), MOST_RULES);
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            let path = rules.index(at);
            if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
                errors.required(&path, "at least one of succeededCount or succeededIndexes must be specified");
            }
            checks::not_negative(rule.succeeded_count.map(i64::from), &path.child("succeededCount"), errors);
        }
    }
}

fn failure_rule(rule: &PodFailurePolicyRule, spec: &JobSpec, path: &Path<'_>, errors: &mut Errors) {
    let action = path.child("action");
    checks::supported(&rule.action, &ACTIONS, &action, errors);
    if rule.action == "FailIndex" && spec.backoff_limit_per_index.is_none() {
        errors.invalid(&action, "FailIndex", "requires the backoffLimitPerIndex to be set");
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    match (&rule.on_exit_codes, patterns.is_empty()) {
        (None, true) => {
            errors.invalid(path, Value::Null, "specifying one of OnExitCodes and OnPodConditions is required")
        }
        (Some(_), false) => {
            errors.invalid(path, Value::Null, "specifying both OnExitCodes and OnPodConditions is not supported");
        }
        _ => {}
    }
    let list = path.child("onPodConditions");
    for (at, pattern) in patterns.iter().enumerate() {
        let path = list.index(at);
        errors.extend(&path.child("type"), &pattern.type_, names::qualified_name(&pattern.type_));
        let status = pattern.status.as_deref().unwrap_or("");
        checks::supported(status, &["False", "True", "Unknown"], &path.child("status"), errors);
    }
    let Some(codes) = &rule.on_exit_codes else { return };
    let path = path.child("onExitCodes");
    checks::supported(&codes.operator, &["In", "NotIn"], &path.child("operator"), errors);
    if let Some(name) = codes.container_name.as_deref() {
        let pod = spec.template.spec.as_ref();
        let known = pod.is_some_and(|pod| {
            pod.containers.iter().chain(pod.init_containers.iter().flatten()).any(|container| container.name == name)
        });
        if !known {
            let why = "must be one of the container or initContainer names in the pod template";
            errors.invalid(&path.child("containerName"), name, why);
        }
    }
    let values = path.child("values");
    if codes.values.is_empty() {
        errors.invalid(&values, codes.values.clone(), "at least one value is required");
    } else if codes.values.len() > 255 {
        errors.too_many(&values, codes.values.len(), 255);
    }
    let mut seen = HashSet::new();
    for (at, code) in codes.values.iter().enumerate() {
        if codes.operator == "In" && *code == 0 {
            errors.invalid(&values.index(at), 0, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            errors.duplicate(&values.index(at), *code);
        }
    }
    if !codes.values.is_sorted() {
        errors.invalid(&values, codes.values.clone(), "must be ordered");
    }
}
