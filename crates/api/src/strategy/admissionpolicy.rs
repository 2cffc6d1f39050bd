//! Admission policies in CEL, and what binds them to parameters. The expressions themselves are the evaluator's to compile.

use std::collections::HashSet;

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ParamKind, ParamRef, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec,
};
use serde_json::{Map, Value, json};

use super::webhook::{match_conditions, matched, rule_parts};
use super::{Strategy, begin, keep, part_mut, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{self, checks, names};

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

pub struct ValidatingAdmissionPolicies;

impl Strategy for ValidatingAdmissionPolicies {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = part_mut(object, "spec") {
            policy_defaults(spec);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ValidatingAdmissionPolicySpec = typed(object.get("spec"));
        common(object, &path, errors);
        let (checked, audited) = (spec.validations.unwrap_or_default(), spec.audit_annotations.unwrap_or_default());
        if checked.is_empty() && audited.is_empty() {
            let why = "validations or auditAnnotations must be non-empty; at least one of them is required";
            errors.required(&path.child("validations"), why);
            errors.required(&path.child("auditAnnotations"), why);
        }
        let list = path.child("validations");
        for (at, one) in checked.iter().enumerate() {
            let path = list.index(at);
            if one.expression.trim().is_empty() {
                errors.required(&path.child("expression"), "expression is not specified");
            }
            if one.message.as_deref().is_some_and(|message| message.contains('\n')) {
                errors.invalid(&path.child("message"), one.message.as_deref(), "message must not contain line breaks");
            }
            checks::supported_if_set(one.reason.as_deref(), &REASONS, &path.child("reason"), errors);
        }
        let (list, mut seen) = (path.child("auditAnnotations"), HashSet::new());
        for (at, one) in audited.iter().enumerate() {
            let path = list.index(at);
            checks::named(&one.key, names::qualified_name, &path.child("key"), errors);
            if !seen.insert(one.key.as_str()) {
                errors.duplicate(&path.child("key"), one.key.as_str());
            }
            let place = path.child("valueExpression");
            if one.value_expression.trim().is_empty() {
                errors.required(&place, "valueExpression is not specified");
            }
        }
    }
}

pub struct MutatingAdmissionPolicies;

impl Strategy for MutatingAdmissionPolicies {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = part_mut(object, "spec") {
            policy_defaults(spec);
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        common(object, &path, errors);
        let list = path.child("mutations");
        let mutations = meta::at(object, "spec.mutations").and_then(Value::as_array);
        if mutations.is_none_or(Vec::is_empty) {
            errors.required(&list, "mutations must contain at least one item");
        }
        for (at, one) in mutations.into_iter().flatten().enumerate() {
            let path = list.index(at);
            let kind = meta::text_at(one, "patchType");
            checks::supported(kind, &["ApplyConfiguration", "JSONPatch"], &path.child("patchType"), errors);
            for (of, field) in [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")] {
                let place = path.child(field);
                match one.get(field) {
                    Some(_) if of != kind => {
                        errors.invalid(&place, "", format!("{field} must not be set when patchType is {kind}"));
                    }
                    None if of == kind => errors.required(&place, &format!("must be specified when patchType is {of}")),
                    Some(set) if meta::text_at(set, "expression").trim().is_empty() => {
                        errors.required(&place.child("expression"), "expression is not specified");
                    }
                    _ => {}
                }
            }
        }
        let policy = meta::text_at(object, "spec.reinvocationPolicy");
        checks::supported(policy, &["IfNeeded", "Never"], &path.child("reinvocationPolicy"), errors);
    }
}

/// Of policies that judge, or of those that change objects.
pub struct AdmissionPolicyBindings {
    pub validating: bool,
}

impl Strategy for AdmissionPolicyBindings {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        if let Some(resources) = spec.get_mut("matchResources") {
            match_defaults(meta::fields_mut(resources));
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ValidatingAdmissionPolicyBindingSpec = typed(object.get("spec"));
        let policy = spec.policy_name.as_str();
        checks::named(policy, names::dns_subdomain, &path.child("policyName"), errors);
        if let Some(param) = &spec.param_ref {
            param_ref(param, &path.child("paramRef"), errors);
        }
        if let Some(resources) = &spec.match_resources {
            match_resources(resources, &path.child("matchResources"), errors);
        }
        if !self.validating {
            return;
        }
        let (list, actions) = (path.child("validationActions"), spec.validation_actions);
        if actions.is_empty() {
            errors.required(&list, "at least one validation action is required");
        }
        let mut seen = HashSet::new();
        for (at, action) in actions.iter().enumerate() {
            checks::supported(action, &ACTIONS, &list.index(at), errors);
            if !seen.insert(action.as_str()) {
                errors.duplicate(&list.index(at), action.as_str());
            }
        }
        if seen.contains("Deny") && seen.contains("Warn") {
            let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
            errors.invalid(&list, actions.clone(), why);
        }
    }
}

fn policy_defaults(spec: &mut Map<String, Value>) {
    spec.entry("failurePolicy").or_insert("Fail".into());
    if let Some(resources) = spec.get_mut("matchConstraints") {
        match_defaults(meta::fields_mut(resources));
    }
}

fn match_defaults(resources: &mut Map<String, Value>) {
    resources.entry("matchPolicy").or_insert("Equivalent".into());
    resources.entry("namespaceSelector").or_insert_with(|| json!({}));
    resources.entry("objectSelector").or_insert_with(|| json!({}));
}

/// What both sorts of policies have.
fn common(object: &Value, path: &Path<'_>, errors: &mut Errors) {
    let spec: ValidatingAdmissionPolicySpec = typed(object.get("spec"));
    let policy = spec.failure_policy.as_deref().unwrap_or("");
    checks::supported(policy, &["Fail", "Ignore"], &path.child("failurePolicy"), errors);
    if let Some(kind) = &spec.param_kind {
        param_kind(kind, &path.child("paramKind"), errors);
    }
    let place = path.child("matchConstraints");
    match &spec.match_constraints {
        None => errors.required(&place, ""),
        Some(resources) => {
            if resources.resource_rules.as_ref().is_none_or(Vec::is_empty) {
                errors.required(&place.child("resourceRules"), "");
            }
            match_resources(resources, &place, errors);
        }
    }
    let conditions = spec.match_conditions.unwrap_or_default();
    match_conditions(&conditions, &path.child("matchConditions"), errors);
    let (list, mut seen) = (path.child("variables"), HashSet::new());
    for (at, variable) in spec.variables.iter().flatten().enumerate() {
        let path = list.index(at);
        checks::required(&variable.name, &path.child("name"), errors);
        if !seen.insert(variable.name.as_str()) {
            errors.duplicate(&path.child("name"), variable.name.as_str());
        }
        if variable.expression.trim().is_empty() {
            errors.required(&path.child("expression"), "expression is not specified");
        }
    }
}

fn param_kind(kind: &ParamKind, path: &Path<'_>, errors: &mut Errors) {
    let version = kind.api_version.as_deref().unwrap_or("");
    checks::required(version, &path.child("apiVersion"), errors);
    let name = kind.kind.as_deref().unwrap_or("");
    checks::named(name, |name| names::dns_1035_label(&name.to_lowercase()), &path.child("kind"), errors);
}

fn param_ref(param: &ParamRef, path: &Path<'_>, errors: &mut Errors) {
    let name = param.name.as_deref().unwrap_or("");
    match (&param.selector, name) {
        (None, "") => errors.required(path, "one of name or selector must be specified"),
        (None, name) => errors.extend(&path.child("name"), name, names::path_segment(name)),
        (Some(selector), name) => {
            validation::label_selector(Some(selector), &path.child("selector"), errors);
            if !name.is_empty() {
                errors.forbidden(&path.child("name"), "name and selector are mutually exclusive");
            }
        }
    }
    let place = path.child("parameterNotFoundAction");
    match param.parameter_not_found_action.as_deref().unwrap_or("") {
        "" => errors.required(&place, ""),
        action => checks::supported(action, &["Allow", "Deny"], &place, errors),
    }
}

fn match_resources(resources: &MatchResources, path: &Path<'_>, errors: &mut Errors) {
    let policy = resources.match_policy.as_deref().unwrap_or("");
    checks::supported(policy, &["Equivalent", "Exact"], &path.child("matchPolicy"), errors);
    validation::label_selector(resources.namespace_selector.as_ref(), &path.child("namespaceSelector"), errors);
    validation::label_selector(resources.object_selector.as_ref(), &path.child("objectSelector"), errors);
    for (field, rules) in
        [("resourceRules", &resources.resource_rules), ("excludeResourceRules", &resources.exclude_resource_rules)]
    {
        let list = path.child(field);
        for (at, rule) in rules.iter().flatten().enumerate() {
            named_rule(rule, &list.index(at), errors);
        }
    }
}

fn named_rule(rule: &NamedRuleWithOperations, path: &Path<'_>, errors: &mut Errors) {
    let (list, mut seen) = (path.child("resourceNames"), HashSet::new());
    for (at, name) in rule.resource_names.iter().flatten().enumerate() {
        errors.extend(&list.index(at), name, names::path_segment(name));
        if !seen.insert(name) {
            errors.duplicate(&list.index(at), name.as_str());
        }
    }
    let of = |list: &'_ Option<Vec<String>>| list.clone().unwrap_or_default();
    matched(&of(&rule.operations), path, errors);
    let (groups, versions, resources) = (of(&rule.api_groups), of(&rule.api_versions), of(&rule.resources));
    rule_parts(&groups, &versions, &resources, rule.scope.as_deref(), path, errors);
}

#[cfg(test)]
mod tests;
