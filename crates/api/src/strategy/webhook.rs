//! The configurations of admission webhooks.

mod client;

use std::collections::HashSet;

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, MutatingWebhook, RuleWithOperations};
use serde_json::{Value, json};

use super::{Strategy, items_mut, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{self, checks, names};

/// Those that change objects, or those that only judge.
pub struct WebhookConfigurations {
    pub mutating: bool,
}

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MOST_CONDITIONS: usize = 64;
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

impl Strategy for WebhookConfigurations {
    fn default(&self, object: &mut Value) {
        for webhook in items_mut(meta::fields_mut(object), "webhooks") {
            for (field, value) in [
                ("failurePolicy", json!("Fail")),
                ("matchPolicy", json!("Equivalent")),
                ("namespaceSelector", json!({})),
                ("objectSelector", json!({})),
                ("timeoutSeconds", json!(10)),
            ] {
                webhook.entry(field).or_insert(value);
            }
            if self.mutating {
                webhook.entry("reinvocationPolicy").or_insert("Never".into());
            }
            if let Some(service) = webhook.get_mut("clientConfig").and_then(|client| client.get_mut("service")) {
                meta::fields_mut(service).entry("port").or_insert(443.into());
            }
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        // Those that change objects have all that the others have, and one field more.
        let webhooks: Vec<MutatingWebhook> = typed(object.get("webhooks"));
        let (list, mut seen) = (Path::new("webhooks"), HashSet::new());
        for (at, webhook) in webhooks.iter().enumerate() {
            let path = list.index(at);
            validate_webhook(webhook, &path, errors);
            if !seen.insert(webhook.name.as_str()) {
                errors.duplicate(&path.child("name"), webhook.name.as_str());
            }
        }
    }
}

fn validate_webhook(webhook: &MutatingWebhook, path: &Path<'_>, errors: &mut Errors) {
    qualified(&webhook.name, &path.child("name"), errors);
    let list = path.child("admissionReviewVersions");
    if webhook.admission_review_versions.is_empty() {
        errors.required(&list, "must specify one of v1, v1beta1");
    } else if !webhook.admission_review_versions.iter().any(|version| REVIEWS.contains(&version.as_str())) {
        let why = "must include at least one of v1, v1beta1";
        errors.invalid(&list, webhook.admission_review_versions.clone(), why);
    }
    let mut seen = HashSet::new();
    for (at, version) in webhook.admission_review_versions.iter().enumerate() {
        errors.extend(&list.index(at), version, names::dns_1035_label(version));
        if !seen.insert(version) {
            errors.invalid(&list.index(at), version.as_str(), "duplicate version");
        }
    }
    rules(webhook.rules.as_deref().unwrap_or_default(), &path.child("rules"), errors);
    checks::supported_if_set(
        webhook.failure_policy.as_deref(),
        &["Fail", "Ignore"],
        &path.child("failurePolicy"),
        errors,
    );
    let policy = webhook.match_policy.as_deref();
    checks::supported_if_set(policy, &["Equivalent", "Exact"], &path.child("matchPolicy"), errors);
    checks::supported(&webhook.side_effects, &["None", "NoneOnDryRun"], &path.child("sideEffects"), errors);
    if let Some(seconds) = webhook.timeout_seconds.filter(|seconds| !(1..=30).contains(seconds)) {
        errors.invalid(&path.child("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds");
    }
    validation::label_selector(webhook.namespace_selector.as_ref(), &path.child("namespaceSelector"), errors);
    validation::label_selector(webhook.object_selector.as_ref(), &path.child("objectSelector"), errors);
    let policy = webhook.reinvocation_policy.as_deref();
    checks::supported_if_set(policy, &["IfNeeded", "Never"], &path.child("reinvocationPolicy"), errors);
    client::validate(&webhook.client_config, &path.child("clientConfig"), errors);
    let conditions = webhook.match_conditions.as_deref().unwrap_or_default();
    match_conditions(conditions, &path.child("matchConditions"), errors);
}

/// At least three labels, so that names of two owners do not meet.
fn qualified(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    errors.extend(path, name, names::dns_subdomain(name));
    if name.split('.').count() < 3 {
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots");
    }
}

fn rules(rules: &[RuleWithOperations], list: &Path<'_>, errors: &mut Errors) {
    for (at, rule) in rules.iter().enumerate() {
        let operations = rule.operations.as_deref().unwrap_or_default();
        let path = list.index(at);
        matched(operations, &path, errors);
        let text = |list: &'_ Option<Vec<String>>| list.clone().unwrap_or_default();
        let (groups, versions, resources) = (text(&rule.api_groups), text(&rule.api_versions), text(&rule.resources));
        rule_parts(&groups, &versions, &resources, rule.scope.as_deref(), &path, errors);
    }
}

/// The operations of a rule.
pub(super) fn matched(operations: &[String], path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("operations");
    if operations.is_empty() {
        errors.required(&list, "");
    }
    if operations.len() > 1 && operations.iter().any(|operation| operation == "*") {
        errors.invalid(&list, operations, "if '*' is present, must not specify other operations");
    }
    for (at, operation) in operations.iter().enumerate() {
        checks::supported(operation, &OPERATIONS, &list.index(at), errors);
    }
}

pub(super) fn rule_parts(
    groups: &[String],
    versions: &[String],
    resources: &[String],
    scope: Option<&str>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    for (field, values, what) in
        [("apiGroups", groups, "other API groups"), ("apiVersions", versions, "other API versions")]
    {
        let place = path.child(field);
        if values.is_empty() {
            errors.required(&place, "");
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") {
            errors.invalid(&place, values, format!("if '*' is present, must not specify {what}"));
        }
    }
    let list = path.child("apiVersions");
    for (at, _) in versions.iter().enumerate().filter(|(_, version)| version.is_empty()) {
        errors.required(&list.index(at), "");
    }
    let list = path.child("resources");
    if resources.is_empty() {
        errors.required(&list, "");
    }
    for (at, resource) in resources.iter().enumerate() {
        if resource.is_empty() {
            errors.required(&list.index(at), "");
        } else if resource == "*/*" && resources.len() > 1 {
            errors.invalid(&list, resources, "if '*/*' is present, must not specify other resources");
        }
    }
    let scopes = ["*", "Cluster", "Namespaced"];
    checks::supported_if_set(scope, &scopes, &path.child("scope"), errors);
}

pub(super) fn match_conditions(conditions: &[MatchCondition], list: &Path<'_>, errors: &mut Errors) {
    if conditions.len() > MOST_CONDITIONS {
        errors.too_many(list, conditions.len(), MOST_CONDITIONS);
    }
    let mut seen = HashSet::new();
    for (at, condition) in conditions.iter().enumerate() {
        let path = list.index(at);
        checks::named(&condition.name, names::qualified_name, &path.child("name"), errors);
        if !seen.insert(condition.name.as_str()) {
            errors.duplicate(&path.child("name"), condition.name.as_str());
        }
        checks::required(condition.expression.trim(), &path.child("expression"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made};
    use super::*;

    #[test]
    fn table() {
        let webhook = &made("MutatingWebhookConfiguration", json!({}))["webhooks"][0];
        for (field, value) in [
            ("failurePolicy", json!("Fail")),
            ("timeoutSeconds", json!(10)),
            ("reinvocationPolicy", json!("Never")),
            ("objectSelector", json!({})),
        ] {
            assert_eq!(webhook[field], value, "{field}");
        }
        assert_eq!(
            (&webhook["clientConfig"]["service"]["port"], &webhook["rules"][0]["scope"]),
            (&json!(443), &json!("*"))
        );
        for (field, value, told) in [
            (
                "name",
                json!("a.b"),
                "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
            ),
            (
                "timeoutSeconds",
                json!(31),
                "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ),
            (
                "sideEffects",
                json!("Some"),
                "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            ),
            (
                "admissionReviewVersions",
                json!([]),
                "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ),
            (
                "clientConfig",
                json!({}),
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ),
            (
                "clientConfig",
                json!({"url": "http://x/"}),
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            ),
            (
                "matchConditions",
                json!([{"name": "x", "expression": ""}]),
                "webhooks[0].matchConditions[0].expression: Required value",
            ),
            (
                "rules",
                json!([{"operations": ["*", "CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]),
                "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations",
            ),
        ] {
            for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
                let mut webhook = made("ValidatingWebhookConfiguration", json!({}))["webhooks"][0].clone();
                webhook[field] = value.clone();
                assert_eq!(create(kind, json!({"webhooks": [webhook]})), [told]);
            }
        }
    }
}
