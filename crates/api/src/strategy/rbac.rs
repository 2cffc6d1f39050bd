//! Roles and their bindings.

use k8s_openapi::api::rbac::v1::{AggregationRule, PolicyRule, RoleRef, Subject};
use serde_json::Value;

use super::{Strategy, typed};
use crate::field::{Errors, Path};
use crate::validation::{self, names};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Of one namespace, or of the cluster.
pub struct Roles {
    pub namespaced: bool,
}

impl Strategy for Roles {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::path_segment
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let rules: Vec<PolicyRule> = typed(object.get("rules"));
        let path = Path::new("rules");
        for (at, rule) in rules.iter().enumerate() {
            self.rule(rule, &path.index(at), errors);
        }
        let Some(aggregation) = object.get("aggregationRule").filter(|_| !self.namespaced) else { return };
        let aggregation: AggregationRule = typed(Some(aggregation));
        let path = Path::new("aggregationRule");
        let (list, selectors) =
            (path.child("clusterRoleSelectors"), aggregation.cluster_role_selectors.unwrap_or_default());
        if selectors.is_empty() {
            errors.required(&list, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for (at, selector) in selectors.iter().enumerate() {
            validation::label_selector(Some(selector), &list.index(at), errors);
        }
    }
}

impl Roles {
    fn rule(&self, rule: &PolicyRule, path: &Path<'_>, errors: &mut Errors) {
        let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
        if rule.verbs.is_empty() {
            errors.required(&path.child("verbs"), "verbs must contain at least one value");
        }
        if let Some(urls) = rule.non_resource_urls.as_ref().filter(|urls| !urls.is_empty()) {
            let place = path.child("nonResourceURLs");
            if self.namespaced {
                errors.invalid(&place, urls.clone(), "namespaced rules cannot apply to non-resource URLs");
            }
            if !empty(&rule.api_groups) || !empty(&rule.resources) || !empty(&rule.resource_names) {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                errors.invalid(&place, urls.clone(), why);
            }
            return;
        }
        if empty(&rule.api_groups) {
            errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if empty(&rule.resources) {
            errors.required(&path.child("resources"), "resource rules must supply at least one resource");
        }
    }
}

/// Of one namespace, or of the cluster.
pub struct RoleBindings {
    pub namespaced: bool,
}

impl Strategy for RoleBindings {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::path_segment
    }

    fn default(&self, object: &mut Value) {
        if let Some(role) = object.get_mut("roleRef").and_then(Value::as_object_mut) {
            role.entry("apiGroup").or_insert_with(|| GROUP.into());
        }
        for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
            let people = matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group"));
            if let Some(subject) = subject.as_object_mut().filter(|_| people) {
                subject.entry("apiGroup").or_insert_with(|| GROUP.into());
            }
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let role: RoleRef = typed(object.get("roleRef"));
        let path = Path::new("roleRef");
        let group = role.api_group.as_deref().unwrap_or("");
        if group != GROUP {
            errors.not_supported(&path.child("apiGroup"), group, &[GROUP]);
        }
        let kinds: &[&str] = if self.namespaced { &["ClusterRole", "Role"] } else { &["ClusterRole"] };
        if !kinds.contains(&role.kind.as_str()) {
            errors.not_supported(&path.child("kind"), &role.kind, kinds);
        }
        if role.name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            errors.extend(&path.child("name"), &role.name, names::path_segment(&role.name));
        }
        let subjects: Vec<Subject> = typed(object.get("subjects"));
        let path = Path::new("subjects");
        for (at, subject) in subjects.iter().enumerate() {
            self.subject(subject, &path.index(at), errors);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if object.get("roleRef") != old.get("roleRef") {
            let now = object.get("roleRef").cloned().unwrap_or_default();
            errors.invalid(&Path::new("roleRef"), now, "cannot change roleRef");
        }
    }
}

impl RoleBindings {
    fn subject(&self, subject: &Subject, path: &Path<'_>, errors: &mut Errors) {
        if subject.name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        let group = subject.api_group.as_deref().unwrap_or("");
        let wanted = match subject.kind.as_str() {
            "ServiceAccount" => {
                if !subject.name.is_empty() {
                    errors.extend(&path.child("name"), &subject.name, names::dns_subdomain(&subject.name));
                }
                if !self.namespaced && subject.namespace.as_deref().unwrap_or("").is_empty() {
                    errors.required(&path.child("namespace"), "");
                }
                ""
            }
            "User" | "Group" => GROUP,
            kind => {
                errors.not_supported(&path.child("kind"), kind, &["ServiceAccount", "User", "Group"]);
                return;
            }
        };
        if group != wanted {
            errors.not_supported(&path.child("apiGroup"), group, &[wanted]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(strategy: &dyn Strategy, mut object: Value) -> Vec<String> {
        strategy.default(&mut object);
        let mut errors = Errors::default();
        strategy.validate(&object, &mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_of_resources_or_of_paths() {
        let role = |rule: Value| json!({"rules": [rule]});
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/x"]});
        assert_eq!(found(&Roles { namespaced: false }, role(paths.clone())), [""; 0]);
        for (namespaced, rule, expected) in [
            (
                true,
                paths,
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            ),
            (
                false,
                json!({"verbs": [], "apiGroups": [""], "resources": ["pods"]}),
                "rules[0].verbs: Required value: verbs must contain at least one value",
            ),
            (
                false,
                json!({"verbs": ["get"], "resources": ["pods"]}),
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            ),
            (
                false,
                json!({"verbs": ["get"], "apiGroups": [""]}),
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ),
        ] {
            assert_eq!(found(&Roles { namespaced }, role(rule)), [expected]);
        }
        let none = json!({"aggregationRule": {"clusterRoleSelectors": []}});
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        let told = format!("aggregationRule.clusterRoleSelectors: Required value: {why}");
        assert_eq!(found(&Roles { namespaced: false }, none), [told]);
    }

    #[test]
    fn bindings_name_a_role_and_subjects_of_known_kinds() {
        let binding =
            |kind: &str, subject: Value| json!({"roleRef": {"kind": kind, "name": "r"}, "subjects": [subject]});
        let user = json!({"kind": "User", "name": "u"});
        let account = json!({"kind": "ServiceAccount", "name": "sa"});
        let (own, all) = (RoleBindings { namespaced: true }, RoleBindings { namespaced: false });
        assert_eq!(found(&own, binding("Role", user.clone())), [""; 0]);
        assert_eq!(found(&own, binding("Role", account.clone())), [""; 0]);
        assert_eq!(found(&all, binding("ClusterRole", user.clone())), [""; 0]);
        let supported = "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"";
        assert_eq!(found(&all, binding("Role", user)), [supported]);
        assert_eq!(found(&all, binding("ClusterRole", account)), ["subjects[0].namespace: Required value"]);
        assert_eq!(found(&own, binding("Role", json!({"kind": "Robot", "name": "x"}))).len(), 1);
        assert_eq!(found(&own, binding("Role", json!({"kind": "Group", "name": "x", "apiGroup": "y"}))).len(), 1);
        let mut errors = Errors::default();
        own.validate_update(&json!({"roleRef": {"name": "a"}}), &json!({"roleRef": {"name": "b"}}), &mut errors);
        assert_eq!(errors.0[0].to_string(), "roleRef: Invalid value: {\"name\":\"a\"}: cannot change roleRef");
    }
}
