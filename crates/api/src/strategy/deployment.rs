//! Deployments.

use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStrategy};
use serde_json::{Value, json};

use super::{Strategy, begin, immutable, keep, part_mut, template, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{amount, checks, pod::Owner};

pub struct Deployments;

impl Strategy for Deployments {
    /// They are copied to the replica sets.
    fn counts(&self) -> &'static [&'static str] {
        &["annotations"]
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        let strategy = meta::fields_mut(spec.entry("strategy").or_insert_with(|| json!({})));
        let kind = strategy.entry("type").or_insert("RollingUpdate".into());
        if kind == "RollingUpdate" {
            let rolling = meta::fields_mut(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
            rolling.entry("maxSurge").or_insert("25%".into());
            rolling.entry("maxUnavailable").or_insert("25%".into());
        }
        template::default(spec.get_mut("template"));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: DeploymentSpec = typed(object.get("spec"));
        let counts = ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"];
        checks::counts(object, "spec", &counts, errors);
        template::validate_selected(&object["spec"], Owner::ReplicaSet, "deployment", &path, errors);
        rollout(&spec.strategy.unwrap_or_default(), &path.child("strategy"), errors);
        if let Some(deadline) = spec.progress_deadline_seconds
            && deadline <= spec.min_ready_seconds.unwrap_or(0)
        {
            let why = "must be greater than minReadySeconds";
            errors.invalid(&path.child("progressDeadlineSeconds"), deadline, why);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        immutable(object, old, &path.child("selector"), errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let counts = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        checks::counts(object, "status", &counts, errors);
        let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        at_most(object, &parts, "replicas", "cannot be greater than status.replicas", errors);
        at_most(object, &["availableReplicas"], "readyReplicas", "cannot be greater than readyReplicas", errors);
        collisions(object, old, errors);
    }
}

fn rollout(strategy: &DeploymentStrategy, path: &Path<'_>, errors: &mut Errors) {
    let place = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or(""), &strategy.rolling_update) {
        ("Recreate", None) => {}
        ("Recreate", Some(_)) => {
            errors.forbidden(&place, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("RollingUpdate", None) => errors.required(&place, "this should be defaulted and never be nil"),
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (rolling.max_unavailable.as_ref(), rolling.max_surge.as_ref());
            let unavailable_path = place.child("maxUnavailable");
            amount::positive(unavailable, &unavailable_path, errors);
            amount::positive(surge, &place.child("maxSurge"), errors);
            if amount::is_zero(unavailable) && amount::is_zero(surge) {
                let shown = unavailable.map(amount::shown).unwrap_or_default();
                errors.invalid(&unavailable_path, shown, "may not be 0 when `maxSurge` is 0");
            }
            amount::at_most_all(unavailable, &unavailable_path, errors);
        }
        (other, _) => errors.not_supported(&path.child("type"), other, &["Recreate", "RollingUpdate"]),
    }
}

/// Parts of the pods are no more than the whole.
pub(super) fn at_most(object: &Value, parts: &[&str], whole: &str, why: &str, errors: &mut Errors) {
    let of = |field: &str| meta::at(object, "status").and_then(|s| s.get(field)).and_then(Value::as_i64).unwrap_or(0);
    let path = Path::new("status");
    for part in parts.iter().filter(|part| of(part) > of(whole)) {
        errors.invalid(&path.child(part), of(part), why);
    }
}

/// Names that were taken are counted up.
pub(super) fn collisions(object: &Value, old: &Value, errors: &mut Errors) {
    let of = |object: &Value| meta::at(object, "status.collisionCount").and_then(Value::as_i64);
    if let Some(was) = of(old)
        && of(object).is_none_or(|now| now < was)
    {
        let path = Path::new("status");
        errors.invalid(&path.child("collisionCount"), of(object), "cannot be decremented");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, status, update};
    use super::*;

    #[test]
    fn defaults() {
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}});
        let spec = &made("Deployment", json!({}))["spec"];
        assert_eq!(spec["strategy"], rolling);
        assert_eq!((&spec["replicas"], &spec["revisionHistoryLimit"]), (&json!(1), &json!(10)));
        assert_eq!(spec["progressDeadlineSeconds"], 600);
        let one = made("Deployment", json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1}}}}));
        assert_eq!(one["spec"]["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": "25%"}));
        let recreate = made("Deployment", json!({"spec": {"strategy": {"type": "Recreate"}}}));
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn refused() {
        for (spec, told) in [
            (json!({"replicas": -1}), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
            (json!({"selector": null}), "spec.selector: Required value"),
            (
                json!({"selector": {"matchLabels": null}}),
                "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
            ),
            (
                json!({"selector": {"matchLabels": {"app": "other"}}}),
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
            ),
            (
                json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}}),
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            (
                json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
            ),
            (
                json!({"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ),
            (
                json!({"strategy": {"type": "Other"}}),
                "spec.strategy.type: Unsupported value: \"Other\": supported values: \"Recreate\", \"RollingUpdate\"",
            ),
            (
                json!({"minReadySeconds": 600}),
                "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
            ),
            (
                json!({"template": {"spec": {"restartPolicy": "Never"}}}),
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ),
        ] {
            assert_eq!(create("Deployment", json!({"spec": spec})), [told]);
        }
        let other = json!({"matchLabels": {"app": "x", "b": "c"}});
        let labels = json!({"app": "x", "b": "c"});
        let moved = json!({"spec": {"selector": other, "template": {"metadata": {"labels": labels}}}});
        assert_eq!(
            update("Deployment", moved),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\",\"b\":\"c\"}}: field is immutable"]
        );
        assert_eq!(update("Deployment", json!({"spec": {"replicas": 5}})), [""; 0]);
        assert_eq!(
            status("Deployment", json!({"status": {"readyReplicas": 2, "replicas": 1, "availableReplicas": 1}})),
            ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]
        );
    }
}
