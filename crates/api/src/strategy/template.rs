//! Pod templates: by themselves, and as parts of what makes pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

use super::{Strategy, pod, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::selector::Selector;
use crate::validation::{self, pod::Owner};

pub struct PodTemplates;

impl Strategy for PodTemplates {
    fn default(&self, object: &mut Value) {
        default(object.get_mut("template"));
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        validate(&object["template"], Owner::PodTemplate, &Path::new("template"), errors);
    }
}

/// The defaults of a template that depend on other fields.
pub(super) fn default(template: Option<&mut Value>) {
    if let Some(spec) = template.and_then(|template| template.get_mut("spec")) {
        pod::default_spec(spec);
    }
}

pub(super) fn validate(template: &Value, owner: Owner, path: &Path<'_>, errors: &mut Errors) {
    let metadata = path.child("metadata");
    validation::meta::labels(meta::at(template, "metadata.labels"), &metadata.child("labels"), errors);
    let annotations = meta::at(template, "metadata.annotations");
    validation::meta::annotations(annotations, &metadata.child("annotations"), errors);
    let spec = template.get("spec");
    validation::pod::validate(&typed(spec), &path.child("spec"), owner, errors);
}

/// A selector that selects something, and the template that it has to select.
pub(super) fn validate_selected(spec: &Value, owner: Owner, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let place = path.child("selector");
    let template_path = path.child("template");
    match spec.get("selector") {
        None => errors.required(&place, ""),
        Some(value) => {
            let selector: LabelSelector = typed(Some(value));
            validation::label_selector(Some(&selector), &place, errors);
            let empty = |list: usize| list == 0;
            if empty(selector.match_labels.as_ref().map_or(0, BTreeMap::len))
                && empty(selector.match_expressions.as_ref().map_or(0, Vec::len))
            {
                errors.invalid(&place, value.clone(), format!("empty selector is invalid for {kind}"));
            } else {
                matches(&selector, spec, &template_path, errors);
            }
        }
    }
    validate(&spec["template"], owner, &template_path, errors);
}

/// Whether the selector finds the pods of the template.
pub(super) fn matches(selector: &LabelSelector, spec: &Value, template: &Path<'_>, errors: &mut Errors) {
    let template_spec: PodTemplateSpec = typed(spec.get("template"));
    let labels = template_spec.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
    // One that is no selector has been told of.
    if Selector::try_from(selector).is_ok_and(|selector| !selector.matches(&labels)) {
        let metadata = template.child("metadata");
        errors.invalid(&metadata.child("labels"), json!(labels), "`selector` does not match template `labels`");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::create;
    use super::*;

    #[test]
    fn table() {
        for (change, told) in [
            (json!({}), vec![]),
            (json!({"template": {"spec": {"containers": null}}}), vec!["template.spec.containers: Required value"]),
            (json!({"template": {"spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 3}}}), vec![]),
        ] {
            assert_eq!(create("PodTemplate", change), told);
        }
    }
}
