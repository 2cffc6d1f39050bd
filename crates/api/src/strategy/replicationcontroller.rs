//! Replication controllers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ReplicationControllerSpec;
use serde_json::{Value, json};

use super::{Strategy, keep, pod, template, typed};
use crate::field::{Errors, Path};
use crate::validation::{checks, pod::Owner};

pub struct ReplicationControllers;

impl Strategy for ReplicationControllers {
    fn default(&self, object: &mut Value) {
        let labels = object.pointer("/spec/template/metadata/labels").cloned();
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            if let Some(labels) = &labels
                && spec.get("selector").and_then(Value::as_object).is_none_or(|s| s.is_empty())
            {
                spec.insert("selector".into(), labels.clone());
            }
            if let Some(template) = spec.get_mut("template").and_then(|t| t.get_mut("spec")) {
                pod::default_spec(template);
            }
        }
        if let Some(labels) = labels {
            crate::meta::metadata_mut(object).entry("labels").or_insert(labels);
        }
    }

    /// As upstream does for this oldest of controllers; kubectl asks for more.
    fn orphans_by_default(&self) -> bool {
        true
    }

    fn prepare_for_create(&self, object: &mut Value) {
        crate::meta::fields_mut(object).insert("status".into(), json!({"replicas": 0}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ReplicationControllerSpec = typed(object.get("spec"));
        if spec.replicas.is_some_and(|n| n < 0) {
            errors.invalid(&path.child("replicas"), spec.replicas, "must be greater than or equal to 0");
        }
        if spec.min_ready_seconds.is_some_and(|n| n < 0) {
            errors.invalid(
                &path.child("minReadySeconds"),
                spec.min_ready_seconds,
                "must be greater than or equal to 0",
            );
        }
        let selector = spec.selector.unwrap_or_default();
        if selector.is_empty() {
            errors.required(&path.child("selector"), "");
        }
        let template_path = path.child("template");
        let Some(template) = spec.template else {
            errors.required(&template_path, "");
            return;
        };
        let labels: BTreeMap<String, String> = template.metadata.and_then(|m| m.labels).unwrap_or_default();
        let metadata_path = template_path.child("metadata");
        let labels_path = metadata_path.child("labels");
        if !selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            let why = "`selector` does not match template `labels`";
            errors.invalid(&labels_path, json!(labels), why);
        }
        template::validate(&object["spec"]["template"], Owner::ReplicationController, &template_path, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let fields = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
        checks::counts(object, "status", &fields, errors);
    }
}
