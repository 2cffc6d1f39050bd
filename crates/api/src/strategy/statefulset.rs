//! Stateful sets.

use k8s_openapi::api::apps::v1::StatefulSetSpec;
use serde_json::{Map, Value, json};

use super::deployment::{at_most, collisions};
use super::{Strategy, begin, items_mut, keep, part_mut, persistentvolumeclaim, template, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{amount, checks, pod::Owner};

pub struct StatefulSets;

const ORDERS: [&str; 2] = ["OrderedReady", "Parallel"];
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

impl Strategy for StatefulSets {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        let strategy = meta::fields_mut(spec.entry("updateStrategy").or_insert_with(|| json!({})));
        if strategy.entry("type").or_insert("RollingUpdate".into()) == "RollingUpdate" {
            let rolling = meta::fields_mut(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
            rolling.entry("partition").or_insert(0.into());
        }
        let kept = spec.entry("persistentVolumeClaimRetentionPolicy").or_insert_with(|| json!({}));
        let kept = meta::fields_mut(kept);
        for when in ["whenDeleted", "whenScaled"] {
            kept.entry(when).or_insert("Retain".into());
        }
        for claim in items_mut(spec, "volumeClaimTemplates") {
            claim.insert("kind".into(), "PersistentVolumeClaim".into());
            claim.insert("apiVersion".into(), "v1".into());
            let status = meta::fields_mut(claim.entry("status").or_insert_with(|| json!({})));
            status.entry("phase").or_insert("Pending".into());
            if let Some(spec) = claim.get_mut("spec") {
                persistentvolumeclaim::default_spec(spec);
            }
        }
        template::default(spec.get_mut("template"));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"replicas": 0, "availableReplicas": 0}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: StatefulSetSpec = typed(object.get("spec"));
        let order = spec.pod_management_policy.as_deref().unwrap_or("");
        let place = path.child("podManagementPolicy");
        match order {
            "" => errors.required(&place, ""),
            order if !ORDERS.contains(&order) => {
                errors.invalid(&place, order, format!("must be '{}' or '{}'", ORDERS[0], ORDERS[1]));
            }
            _ => {}
        }
        updates(&spec, object, &path.child("updateStrategy"), errors);
        if let Some(policy) = &spec.persistent_volume_claim_retention_policy {
            let path = path.child("persistentVolumeClaimRetentionPolicy");
            for (field, value) in [("whenDeleted", &policy.when_deleted), ("whenScaled", &policy.when_scaled)] {
                let value = value.as_deref().unwrap_or("");
                if !["Retain", "Delete"].contains(&value) {
                    errors.not_supported(&path.child(field), value, &["Delete", "Retain"]);
                }
            }
        }
        checks::counts(object, "spec", &["replicas", "minReadySeconds", "revisionHistoryLimit"], errors);
        if let Some(start) = spec.ordinals.and_then(|ordinals| ordinals.start) {
            let ordinals = path.child("ordinals");
            checks::not_negative(Some(start.into()), &ordinals.child("start"), errors);
        }
        template::validate_selected(&object["spec"], Owner::StatefulSet, "statefulset", &path, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let fixed = |object: &Value| {
            let fields = object["spec"].as_object().into_iter().flatten();
            let fixed = fields.filter(|(name, _)| !MUTABLE.contains(&name.as_str()));
            fixed.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
        };
        if fixed(object) != fixed(old) {
            let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                       'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                       'minReadySeconds' are forbidden";
            errors.forbidden(&Path::new("spec"), why);
        }
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        checks::counts(object, "status", &["replicas", "observedGeneration", "collisionCount"], errors);
        checks::counts(object, "status", &parts, errors);
        at_most(object, &parts, "replicas", "cannot be greater than status.replicas", errors);
        let why = "cannot be greater than status.readyReplicas";
        at_most(object, &["availableReplicas"], "readyReplicas", why, errors);
        collisions(object, old, errors);
    }
}

fn updates(spec: &StatefulSetSpec, object: &Value, path: &Path<'_>, errors: &mut Errors) {
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    let place = path.child("rollingUpdate");
    let shown = |field: &str| meta::at(object, field).cloned().unwrap_or_default();
    match (strategy.type_.as_deref().unwrap_or(""), strategy.rolling_update) {
        ("", _) => errors.required(path, ""),
        ("OnDelete", None) => {}
        ("OnDelete", Some(_)) => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.invalid(&place, shown("spec.updateStrategy.rollingUpdate"), why);
        }
        ("RollingUpdate", rolling) => {
            let Some(rolling) = rolling else { return };
            checks::not_negative(rolling.partition.map(i64::from), &place.child("partition"), errors);
            if let Some(unavailable) = &rolling.max_unavailable {
                let place = place.child("maxUnavailable");
                amount::positive(Some(unavailable), &place, errors);
                if amount::is_zero(Some(unavailable)) {
                    errors.invalid(&place, amount::shown(unavailable), "cannot be 0");
                }
                amount::at_most_all(Some(unavailable), &place, errors);
            }
        }
        _ => errors.invalid(path, shown("spec.updateStrategy"), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use super::*;

    #[test]
    fn defaults() {
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
        let set = made("StatefulSet", json!({"spec": {"volumeClaimTemplates": [claim]}}));
        let spec = &set["spec"];
        assert_eq!(spec["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
        assert_eq!(spec["podManagementPolicy"], "OrderedReady");
        let kept = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
        assert_eq!(spec["persistentVolumeClaimRetentionPolicy"], kept);
        let claim = &spec["volumeClaimTemplates"][0];
        assert_eq!((&claim["kind"], &claim["status"]["phase"]), (&json!("PersistentVolumeClaim"), &json!("Pending")));
        assert_eq!(claim["spec"]["volumeMode"], "Filesystem");
    }

    #[test]
    fn refused() {
        for (spec, told) in [
            (
                json!({"podManagementPolicy": "Random"}),
                "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
            ),
            (
                json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}}),
                "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'",
            ),
            (
                json!({"updateStrategy": {"rollingUpdate": {"partition": -1}}}),
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                json!({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Keep"}}),
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Keep\": supported values: \"Delete\", \"Retain\"",
            ),
            (
                json!({"ordinals": {"start": -1}}),
                "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
            ),
        ] {
            assert_eq!(create("StatefulSet", json!({"spec": spec})), [told]);
        }
        assert_eq!(update("StatefulSet", json!({"spec": {"replicas": 3, "minReadySeconds": 2}})), [""; 0]);
        let forbidden = update("StatefulSet", json!({"spec": {"serviceName": "other"}}));
        assert!(forbidden[0].starts_with("spec: Forbidden: updates to statefulset spec for fields other than"));
    }
}
