//! `apps/v1beta1`, `apps/v1beta2` and `extensions/v1beta1`: workloads with other defaults than today's, and two fields that became annotations.

use serde_json::{Map, Value, json};

use super::{Conversion, annotate, number_in, part, take_annotation};
use crate::meta::{self, fields_mut};

/// What a deployment is to be rolled back to. Its controller does it and takes the annotation away.
pub const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub const EXTENSIONS_DEPLOYMENT: Conversion = Conversion {
    default: |document| {
        labels_of_template(document);
        rollout(document, &1.into(), true);
    },
    to_stored: rollback_to_annotation,
    from_stored: rollback_of_annotation,
    ..super::SAME
};

pub const DEPLOYMENT_V1BETA1: Conversion = Conversion {
    default: |document| {
        labels_of_template(document);
        rollout(document, &"25%".into(), false);
    },
    to_stored: rollback_to_annotation,
    from_stored: rollback_of_annotation,
    ..super::SAME
};

pub const EXTENSIONS_DAEMON_SET: Conversion = Conversion {
    default: |document| {
        labels_of_template(document);
        update_strategy(document);
    },
    to_stored: |document| {
        let generation = part(document, "spec").and_then(|spec| spec.remove("templateGeneration"));
        if let Some(generation) = generation.and_then(|value| value.as_i64()) {
            annotate(document, TEMPLATE_GENERATION, generation.to_string());
        }
    },
    from_stored: |document| {
        // Zero is not written in this version, so it stays where it is.
        let Some(generation) = number_in(document, TEMPLATE_GENERATION).filter(|number| *number != 0) else { return };
        if let Some(spec) = part(document, "spec") {
            spec.insert("templateGeneration".into(), generation.into());
            take_annotation(document, TEMPLATE_GENERATION);
        }
    },
    ..super::SAME
};

pub const EXTENSIONS_REPLICA_SET: Conversion = Conversion { default: labels_of_template, ..super::SAME };

pub const STATEFUL_SET_V1BETA1: Conversion = Conversion {
    default: |document| {
        labels_of_template(document);
        update_strategy(document);
    },
    ..super::SAME
};

/// The labels of the template are those of the object and of its selector, where it has none.
fn labels_of_template(document: &mut Value) {
    let labels = meta::at(document, "spec.template.metadata.labels").filter(|labels| labels.is_object()).cloned();
    let Some(labels) = labels else { return };
    if let Some(spec) = part(document, "spec") {
        spec.entry("selector").or_insert_with(|| json!({"matchLabels": labels}));
    }
    let metadata = meta::metadata_mut(document);
    if metadata.get("labels").and_then(Value::as_object).is_none_or(Map::is_empty) {
        metadata.insert("labels".into(), labels);
    }
}

/// `step`: how many pods more and less than wanted there may be. `any`: whatever the strategy's type is, a rolling update that is there is
/// made whole.
fn rollout(document: &mut Value, step: &Value, any: bool) {
    let Some(spec) = part(document, "spec") else { return };
    let strategy = fields_mut(spec.entry("strategy").or_insert_with(|| json!({})));
    let rolling = strategy.entry("type").or_insert("RollingUpdate".into()) == "RollingUpdate";
    if rolling || (any && strategy.contains_key("rollingUpdate")) {
        let update = fields_mut(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
        for most in ["maxUnavailable", "maxSurge"] {
            update.entry(most).or_insert(step.clone());
        }
    }
}

/// Pods stayed as they were until somebody deleted them.
fn update_strategy(document: &mut Value) {
    if let Some(spec) = part(document, "spec") {
        let strategy = fields_mut(spec.entry("updateStrategy").or_insert_with(|| json!({})));
        strategy.entry("type").or_insert("OnDelete".into());
    }
}

fn rollback_to_annotation(document: &mut Value) {
    let to = part(document, "spec").and_then(|spec| spec.remove("rollbackTo"));
    if let Some(to) = to {
        // Revision 0, the last one, is not written.
        let revision = to.get("revision").and_then(Value::as_i64).unwrap_or(0);
        annotate(document, ROLLBACK_TO, revision.to_string());
    }
}

fn rollback_of_annotation(document: &mut Value) {
    let Some(revision) = number_in(document, ROLLBACK_TO) else { return };
    if let Some(spec) = part(document, "spec") {
        let to = if revision == 0 { json!({}) } else { json!({"revision": revision}) };
        spec.insert("rollbackTo".into(), to);
        take_annotation(document, ROLLBACK_TO);
    }
}

/// A deployment that is asked to go back to a revision. The request may bring annotations.
pub fn roll_back(deployment: &Value, request: &Value) -> Value {
    let mut asked = deployment.clone();
    for (name, text) in request.get("updatedAnnotations").and_then(Value::as_object).into_iter().flatten() {
        annotate(&mut asked, name, text.as_str().unwrap_or("").to_owned());
    }
    let revision = meta::at(request, "rollbackTo.revision").and_then(Value::as_i64).unwrap_or(0);
    annotate(&mut asked, ROLLBACK_TO, revision.to_string());
    asked
}
