//! Whether rules give all that other rules give. Pure.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// What of `wanted` the rules of `held` do not give, broken down to single rights.
pub fn covers(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    wanted.iter().flat_map(break_down).filter(|right| !held.iter().any(|rule| gives(rule, right))).collect()
}

fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| Some(vec![text.clone()]);
    let mut rights = Vec::new();
    for verb in &rule.verbs {
        let verbs = vec![verb.clone()];
        for url in rule.non_resource_urls.iter().flatten() {
            rights.push(PolicyRule { verbs: verbs.clone(), non_resource_urls: one(url), ..PolicyRule::default() });
        }
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let right = PolicyRule {
                    verbs: verbs.clone(),
                    api_groups: one(group),
                    resources: one(resource),
                    ..PolicyRule::default()
                };
                match rule.resource_names.as_deref() {
                    None | Some([]) => rights.push(right),
                    Some(names) => {
                        rights
                            .extend(names.iter().map(|name| PolicyRule { resource_names: one(name), ..right.clone() }));
                    }
                }
            }
        }
    }
    rights
}

/// `right` has one entry in each of its lists.
fn gives(rule: &PolicyRule, right: &PolicyRule) -> bool {
    let first = |list: &Option<Vec<String>>| list.as_ref().and_then(|list| list.first()).cloned();
    let within = |list: &[String], one: &str| list.iter().any(|item| item == "*" || item == one);
    if !right.verbs.iter().all(|verb| within(&rule.verbs, verb)) {
        return false;
    }
    if let Some(url) = first(&right.non_resource_urls) {
        return rule.non_resource_urls.iter().flatten().any(|held| match held.strip_suffix('*') {
            Some(prefix) => url.starts_with(prefix),
            None => *held == url,
        });
    }
    let (Some(group), Some(resource)) = (first(&right.api_groups), first(&right.resources)) else { return false };
    let names = rule.resource_names.as_deref().unwrap_or_default();
    let of_resource = rule.resources.iter().flatten().any(|held| {
        let every = |sub: &str| resource.split_once('/').is_some_and(|(_, own)| own == sub);
        *held == "*" || *held == resource || held.strip_prefix("*/").is_some_and(every)
    });
    within(rule.api_groups.as_deref().unwrap_or_default(), &group)
        && of_resource
        && (names.is_empty() || first(&right.resource_names).is_some_and(|name| names.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_missing_is_told_right_by_right() {
        let rules = |rules: Value| serde_json::from_value::<Vec<PolicyRule>>(rules).unwrap();
        let held = rules(json!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"]},
            {"verbs": ["get"], "nonResourceURLs": ["/debug/*"]},
        ]));
        for (wanted, missing) in [
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), 0),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]}), 0),
            (json!({"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]}), 1),
            (json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}), 1),
            (json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["pods"]}), 1),
            (json!({"verbs": ["update"], "apiGroups": ["apps"], "resources": ["deployments/scale", "deployments"]}), 1),
            (
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one", "two"]}),
                1,
            ),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}), 1),
            (json!({"verbs": ["get"], "nonResourceURLs": ["/debug/x", "/debug/*"]}), 0),
            (json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"]}), 1),
        ] {
            assert_eq!(covers(&held, &rules(json!([wanted]))).len(), missing, "{wanted}");
        }
    }
}
