//! The rules for where pods may and shall run: selectors of nodes and pods, tolerations, spreading.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{
    Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, Toleration, TopologySpreadConstraint,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use super::checks::supported_if_set;
use super::names;
use crate::field::{Errors, Path};

pub const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const NO_OPERATOR: &str = "not a valid selector operator";
const WEIGHT: &str = "must be in the range 1-100";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn validate(affinity: &Affinity, path: &Path<'_>, errors: &mut Errors) {
    if let Some(node) = &affinity.node_affinity {
        let path = path.child("nodeAffinity");
        if let Some(required) = &node.required_during_scheduling_ignored_during_execution {
            let path = path.child(REQUIRED);
            let path = path.child("nodeSelectorTerms");
            if required.node_selector_terms.is_empty() {
                errors.required(&path, "must have at least one node selector term");
            }
            for (at, term) in required.node_selector_terms.iter().enumerate() {
                node_term(term, &path.index(at), errors);
            }
        }
        let list = path.child(PREFERRED);
        let preferred = node.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        for (at, term) in preferred.enumerate() {
            let path = list.index(at);
            if !(1..=100).contains(&term.weight) {
                errors.invalid(&path.child("weight"), term.weight, WEIGHT);
            }
            node_term(&term.preference, &path.child("preference"), errors);
        }
    }
    if let Some(pods) = &affinity.pod_affinity {
        let path = path.child("podAffinity");
        pod_terms(pods.required_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
        weighted(pods.preferred_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let path = path.child("podAntiAffinity");
        pod_terms(pods.required_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
        weighted(pods.preferred_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
    }
}

fn node_term(term: &NodeSelectorTerm, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("matchExpressions");
    for (at, requirement) in term.match_expressions.iter().flatten().enumerate() {
        expression(requirement, &list.index(at), errors);
    }
    let list = path.child("matchFields");
    for (at, requirement) in term.match_fields.iter().flatten().enumerate() {
        field(requirement, &list.index(at), errors);
    }
}

fn expression(requirement: &NodeSelectorRequirement, path: &Path<'_>, errors: &mut Errors) {
    let values = requirement.values.as_deref().unwrap_or_default();
    let place = path.child("values");
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(&place, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden(&place, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.required(&place, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(&path.child("operator"), other, NO_OPERATOR),
    }
    errors.extend(&path.child("key"), &requirement.key, names::qualified_name(&requirement.key));
    if ["In", "NotIn"].contains(&requirement.operator.as_str()) {
        for (at, value) in values.iter().enumerate() {
            errors.extend(&place.index(at), value, names::label_value(value));
        }
    }
}

/// Nodes are selected by one field: their name.
fn field(requirement: &NodeSelectorRequirement, path: &Path<'_>, errors: &mut Errors) {
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() != 1 => {
            let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.required(&path.child("values"), why);
        }
        "In" | "NotIn" => {}
        other => errors.invalid(&path.child("operator"), other, NO_OPERATOR),
    }
    if requirement.key != "metadata.name" {
        errors.invalid(&path.child("key"), requirement.key.as_str(), "not a valid field selector key");
        return;
    }
    let list = path.child("values");
    for (at, value) in values.iter().enumerate() {
        errors.extend(&list.index(at), value, names::dns_subdomain(value));
    }
}

fn pod_terms(terms: Option<&[PodAffinityTerm]>, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child(REQUIRED);
    for (at, term) in terms.unwrap_or_default().iter().enumerate() {
        pod_term(term, &list.index(at), errors);
    }
}

fn weighted(terms: Option<&[WeightedPodAffinityTerm]>, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child(PREFERRED);
    for (at, term) in terms.unwrap_or_default().iter().enumerate() {
        let path = list.index(at);
        if !(1..=100).contains(&term.weight) {
            errors.invalid(&path.child("weight"), term.weight, WEIGHT);
        }
        pod_term(&term.pod_affinity_term, &path.child("podAffinityTerm"), errors);
    }
}

fn pod_term(term: &PodAffinityTerm, path: &Path<'_>, errors: &mut Errors) {
    label_selector(term.label_selector.as_ref(), &path.child("labelSelector"), errors);
    label_selector(term.namespace_selector.as_ref(), &path.child("namespaceSelector"), errors);
    let list = path.child("namespaces");
    for (at, name) in term.namespaces.iter().flatten().enumerate() {
        errors.extend(&list.index(at), name, names::dns_label(name));
    }
    topology_key(&term.topology_key, path, errors);
}

fn topology_key(key: &str, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("topologyKey");
    if key.is_empty() {
        errors.required(&path, "can not be empty");
    } else {
        errors.extend(&path, key, names::qualified_name(key));
    }
}

pub fn label_selector(selector: Option<&LabelSelector>, path: &Path<'_>, errors: &mut Errors) {
    let Some(selector) = selector else { return };
    let labels = path.child("matchLabels");
    for (key, value) in selector.match_labels.iter().flatten() {
        errors.extend(&labels, key, names::qualified_name(key));
        errors.extend(&labels, value, names::label_value(value));
    }
    let list = path.child("matchExpressions");
    for (at, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let path = list.index(at);
        let values = requirement.values.as_deref().unwrap_or_default();
        let place = path.child("values");
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&place, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(&place, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, NO_OPERATOR),
        }
        errors.extend(&path.child("key"), &requirement.key, names::qualified_name(&requirement.key));
        for (at, value) in values.iter().enumerate() {
            errors.extend(&place.index(at), value, names::label_value(value));
        }
    }
}

pub fn tolerations(tolerations: &[Toleration], path: &Path<'_>, errors: &mut Errors) {
    for (at, toleration) in tolerations.iter().enumerate() {
        let path = path.index(at);
        let text = |value: &'_ Option<String>| value.clone().unwrap_or_default();
        let (key, value) = (text(&toleration.key), text(&toleration.value));
        let (operator, effect) = (text(&toleration.operator), text(&toleration.effect));
        if !key.is_empty() {
            errors.extend(&path.child("key"), &key, names::qualified_name(&key));
        } else if operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&path.child("operator"), operator.as_str(), why);
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect.as_str(), why);
        }
        match operator.as_str() {
            "" | "Equal" => errors.extend(&path.child("operator"), &value, names::label_value(&value)),
            "Exists" if !value.is_empty() => {
                errors.invalid(&path.child("operator"), value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            other => errors.not_supported(&path.child("operator"), other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect.as_str()) {
            errors.not_supported(&path.child("effect"), &effect, &EFFECTS);
        }
    }
}

pub fn spreading(constraints: &[TopologySpreadConstraint], path: &Path<'_>, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (at, constraint) in constraints.iter().enumerate() {
        let path = path.index(at);
        let action = constraint.when_unsatisfiable.as_str();
        if constraint.max_skew <= 0 {
            errors.invalid(&path.child("maxSkew"), constraint.max_skew, "must be greater than zero");
        }
        topology_key(&constraint.topology_key, &path, errors);
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&action) {
            errors.not_supported(&path.child("whenUnsatisfiable"), action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        if let Some(domains) = constraint.min_domains {
            if domains <= 0 {
                errors.invalid(&path.child("minDomains"), domains, "must be greater than zero");
            }
            if action == "ScheduleAnyway" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.invalid(&path.child("minDomains"), domains, why);
            }
        }
        if !seen.insert((constraint.topology_key.as_str(), action)) {
            errors.duplicate(&path, json!({"topologyKey": constraint.topology_key, "whenUnsatisfiable": action}));
        }
        for (field, policy) in [
            ("nodeAffinityPolicy", &constraint.node_affinity_policy),
            ("nodeTaintsPolicy", &constraint.node_taints_policy),
        ] {
            supported_if_set(policy.as_deref(), &["Honor", "Ignore"], &path.child(field), errors);
        }
        label_selector(constraint.label_selector.as_ref(), &path.child("labelSelector"), errors);
    }
}
