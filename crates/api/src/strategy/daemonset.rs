//! Daemon sets.

use k8s_openapi::api::apps::v1::DaemonSetUpdateStrategy;
use serde_json::{Value, json};

use super::deployment::collisions;
use super::{Strategy, begin, immutable, keep, part_mut, template, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{amount, checks, pod::Owner};

/// How often the template was changed, where old clients look for it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub struct DaemonSets;

impl Strategy for DaemonSets {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        let strategy = meta::fields_mut(spec.entry("updateStrategy").or_insert_with(|| json!({})));
        if strategy.entry("type").or_insert("RollingUpdate".into()) == "RollingUpdate" {
            let rolling = meta::fields_mut(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
            rolling.entry("maxUnavailable").or_insert(1.into());
            rolling.entry("maxSurge").or_insert(0.into());
        }
        template::default(spec.get_mut("template"));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        let zeros = json!({"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0});
        begin(object, zeros);
        count_template(object, 1);
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
        let was = template_generation(old).unwrap_or(1);
        let changed = meta::at(object, "spec.template") != meta::at(old, "spec.template");
        count_template(object, if changed { was.saturating_add(1) } else { was });
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        template::validate_selected(&object["spec"], Owner::DaemonSet, "daemonset", &path, errors);
        checks::counts(object, "spec", &["minReadySeconds", "revisionHistoryLimit"], errors);
        rollout(&typed(meta::at(object, "spec.updateStrategy")), &path.child("updateStrategy"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        immutable(object, old, &path.child("selector"), errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let counts = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        checks::counts(object, "status", &counts, errors);
        collisions(object, old, errors);
    }
}

fn template_generation(object: &Value) -> Option<i64> {
    let annotations = meta::at(object, "metadata.annotations")?;
    annotations.get(TEMPLATE_GENERATION)?.as_str()?.parse().ok()
}

fn count_template(object: &mut Value, generation: i64) {
    let annotations = meta::metadata_mut(object).entry("annotations").or_insert_with(|| json!({}));
    meta::fields_mut(annotations).insert(TEMPLATE_GENERATION.into(), generation.to_string().into());
}

fn rollout(strategy: &DaemonSetUpdateStrategy, path: &Path<'_>, errors: &mut Errors) {
    let place = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or(""), &strategy.rolling_update) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => errors.required(&place, ""),
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (rolling.max_unavailable.as_ref(), rolling.max_surge.as_ref());
            let (unavailable_path, surge_path) = (place.child("maxUnavailable"), place.child("maxSurge"));
            amount::positive(unavailable, &unavailable_path, errors);
            amount::positive(surge, &surge_path, errors);
            match (amount::is_zero(unavailable), amount::is_zero(surge)) {
                (true, true) => errors.required(&unavailable_path, "cannot be 0 when maxSurge is 0"),
                (false, false) => {
                    let shown = surge.map(amount::shown).unwrap_or_default();
                    errors.invalid(&surge_path, shown, "may not be set when maxUnavailable is non-zero");
                }
                _ => {}
            }
            amount::at_most_all(unavailable, &unavailable_path, errors);
            amount::at_most_all(surge, &surge_path, errors);
        }
        (other, _) => errors.not_supported(&path.child("type"), other, &["OnDelete", "RollingUpdate"]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update, updated};
    use super::*;

    #[test]
    fn the_template_is_counted() {
        let generation = |object: &Value| template_generation(object);
        assert_eq!(generation(&made("DaemonSet", json!({}))), Some(1));
        let changed = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}});
        assert_eq!(generation(&updated("DaemonSet", changed)), Some(2));
        assert_eq!(generation(&updated("DaemonSet", json!({"spec": {"minReadySeconds": 2}}))), Some(1));
    }

    #[test]
    fn refused() {
        let rolling = |rolling: Value| json!({"updateStrategy": {"rollingUpdate": rolling}});
        for (spec, told) in [
            (rolling(json!({"maxSurge": 1, "maxUnavailable": 0})), vec![]),
            (
                rolling(json!({"maxSurge": 1})),
                vec![
                    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
                ],
            ),
            (
                rolling(json!({"maxUnavailable": 0})),
                vec![
                    "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
                ],
            ),
            (
                json!({"updateStrategy": {"type": "X"}}),
                vec![
                    "spec.updateStrategy.type: Unsupported value: \"X\": supported values: \"OnDelete\", \"RollingUpdate\"",
                ],
            ),
        ] {
            assert_eq!(create("DaemonSet", json!({"spec": spec})), told);
        }
        let moved = update(
            "DaemonSet",
            json!({"spec": {"selector": {"matchLabels": {"b": "c"}},
            "template": {"metadata": {"labels": {"b": "c"}}}}}),
        );
        assert_eq!(moved.len(), 1, "{moved:?}");
        assert!(moved[0].ends_with("field is immutable"));
    }
}
