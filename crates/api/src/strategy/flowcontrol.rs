//! Priority and fairness: which requests belong together, and what each kind of them may take.

use k8s_openapi::api::flowcontrol::v1::{
    FlowSchemaSpec, LimitResponse, PolicyRulesWithSubjects, PriorityLevelConfigurationSpec, Subject,
};
use serde_json::{Value, json};

use super::{Strategy, begin, keep, part_mut, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, names};

const EXEMPT: &str = "exempt";
const LAST: i32 = 10_000;
const MOST_QUEUES: i32 = 10_000_000;

pub struct FlowSchemas;

impl Strategy for FlowSchemas {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        if spec.get("matchingPrecedence").is_none_or(|precedence| *precedence == 0) {
            spec.insert("matchingPrecedence".into(), 1000.into());
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
        let spec: FlowSchemaSpec = typed(object.get("spec"));
        let (place, precedence) = (path.child("matchingPrecedence"), spec.matching_precedence.unwrap_or(0));
        if precedence <= 0 {
            errors.invalid(&place, precedence, "must be a positive value");
        }
        if precedence > LAST {
            errors.invalid(&place, precedence, format!("must not be greater than {LAST}"));
        }
        if precedence == 1 && meta::name(object) != EXEMPT {
            errors.invalid(&place, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
        }
        if let Some(method) = &spec.distinguisher_method {
            let path = path.child("distinguisherMethod");
            checks::supported(&method.type_, &["ByNamespace", "ByUser"], &path.child("type"), errors);
        }
        let level = path.child("priorityLevelConfiguration");
        let name = spec.priority_level_configuration.name.as_str();
        if name.is_empty() {
            errors.required(&level.child("name"), "must reference a priority level");
        } else {
            errors.extend(&level.child("name"), name, names::dns_subdomain(name));
        }
        let list = path.child("rules");
        for (at, one) in spec.rules.iter().flatten().enumerate() {
            rule(one, &list.index(at), errors);
        }
    }
}

fn rule(rule: &PolicyRulesWithSubjects, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("subjects");
    if rule.subjects.is_empty() {
        errors.required(&list, "subjects must contain at least one value");
    }
    for (at, one) in rule.subjects.iter().enumerate() {
        subject(one, &list.index(at), errors);
    }
    let (resources, urls) =
        (rule.resource_rules.as_deref().unwrap_or_default(), rule.non_resource_rules.as_deref().unwrap_or_default());
    if resources.is_empty() && urls.is_empty() {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let list = path.child("resourceRules");
    for (at, one) in resources.iter().enumerate() {
        let path = list.index(at);
        filled(&one.verbs, &path.child("verbs"), "verbs must contain at least one value", errors);
        filled(&one.api_groups, &path.child("apiGroups"), "resource rules must supply at least one api group", errors);
        filled(&one.resources, &path.child("resources"), "resource rules must supply at least one resource", errors);
        if one.namespaces.as_ref().is_none_or(Vec::is_empty) && one.cluster_scope != Some(true) {
            let why = "resource rules that are not cluster scoped must supply at least one namespace";
            errors.required(&path.child("namespaces"), why);
        }
    }
    let list = path.child("nonResourceRules");
    for (at, one) in urls.iter().enumerate() {
        let path = list.index(at);
        filled(&one.verbs, &path.child("verbs"), "verbs must contain at least one value", errors);
        let why = "nonResourceURLs must contain at least one value";
        filled(&one.non_resource_urls, &path.child("nonResourceURLs"), why, errors);
    }
}

fn filled(list: &[String], path: &Path<'_>, why: &str, errors: &mut Errors) {
    if list.is_empty() {
        errors.required(path, why);
    }
    if list.len() > 1 && list.iter().any(|value| value == "*") {
        errors.invalid(path, list, "if '*' is present, must not specify other values");
    }
}

fn subject(subject: &Subject, path: &Path<'_>, errors: &mut Errors) {
    checks::supported(&subject.kind, &["Group", "ServiceAccount", "User"], &path.child("kind"), errors);
    for (kind, field, set) in [
        ("Group", "group", subject.group.is_some()),
        ("ServiceAccount", "serviceAccount", subject.service_account.is_some()),
        ("User", "user", subject.user.is_some()),
    ] {
        let place = path.child(field);
        if kind == subject.kind && !set {
            errors.required(&place, &format!("{field} is required when subject kind is '{kind}'"));
        } else if kind != subject.kind && set {
            errors.forbidden(&place, format!("{field} is forbidden when subject kind is not '{kind}'"));
        }
    }
    if let Some(group) = &subject.group {
        let path = path.child("group");
        checks::required(&group.name, &path.child("name"), errors);
    }
    if let Some(user) = &subject.user {
        let path = path.child("user");
        checks::required(&user.name, &path.child("name"), errors);
    }
    if let Some(account) = &subject.service_account {
        let path = path.child("serviceAccount");
        checks::required(&account.name, &path.child("name"), errors);
        checks::named(&account.namespace, names::dns_label, &path.child("namespace"), errors);
    }
}

pub struct PriorityLevelConfigurations;

impl Strategy for PriorityLevelConfigurations {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        if let Some(exempt) = spec.get_mut("exempt").and_then(Value::as_object_mut) {
            exempt.entry("nominalConcurrencyShares").or_insert(0.into());
            exempt.entry("lendablePercent").or_insert(0.into());
        }
        let Some(limited) = spec.get_mut("limited").and_then(Value::as_object_mut) else { return };
        limited.entry("nominalConcurrencyShares").or_insert(30.into());
        limited.entry("lendablePercent").or_insert(0.into());
        let queuing = limited.get_mut("limitResponse").and_then(|response| response.get_mut("queuing"));
        let Some(queuing) = queuing.and_then(Value::as_object_mut) else { return };
        for (field, value) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
            if queuing.get(field).is_none_or(|set| *set == 0) {
                queuing.insert(field.into(), value.into());
            }
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
        let spec: PriorityLevelConfigurationSpec = typed(object.get("spec"));
        let (kind, place) = (spec.type_.as_str(), path.child("type"));
        checks::supported(kind, &["Exempt", "Limited"], &place, errors);
        if (meta::name(object) == EXEMPT) != (kind == "Exempt") && ["Exempt", "Limited"].contains(&kind) {
            errors.invalid(&place, kind, "must be 'Exempt' if and only if `name` is 'exempt'");
        }
        let (limited_path, exempt_path) = (path.child("limited"), path.child("exempt"));
        if kind == "Exempt" && spec.limited.is_some() {
            errors.forbidden(&limited_path, "must be nil if the type is not Limited");
        }
        if kind == "Limited" && spec.exempt.is_some() {
            errors.forbidden(&exempt_path, "must be nil if the type is Limited");
        }
        if kind == "Limited" && spec.limited.is_none() {
            errors.required(&limited_path, "must not be empty when type is Limited");
        }
        if let Some(exempt) = &spec.exempt {
            shares(exempt.nominal_concurrency_shares, exempt.lendable_percent, &exempt_path, errors);
        }
        if let Some(limited) = &spec.limited {
            shares(limited.nominal_concurrency_shares, limited.lendable_percent, &limited_path, errors);
            if let Some(percent) = limited.borrowing_limit_percent.filter(|percent| *percent < 0) {
                let place = limited_path.child("borrowingLimitPercent");
                errors.invalid(&place, percent, "if specified, must be a non-negative integer");
            }
            let response = &limited.limit_response;
            limit_response(response, &limited_path.child("limitResponse"), errors);
        }
    }
}

fn shares(shares: Option<i32>, lendable: Option<i32>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(shares) = shares.filter(|shares| *shares < 0) {
        errors.invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    checks::between(lendable.map(i64::from), (0, 100), &path.child("lendablePercent"), errors);
}

fn limit_response(response: &LimitResponse, path: &Path<'_>, errors: &mut Errors) {
    let place = path.child("queuing");
    match (response.type_.as_str(), &response.queuing) {
        ("Reject", Some(_)) => errors.forbidden(&place, "must be nil if limited.limitResponse.type is not Limited"),
        ("Queue", None) => errors.required(&place, "must not be empty if limited.limitResponse.type is Queue"),
        ("Queue", Some(queuing)) => {
            let [limit, queues, hand] =
                [queuing.queue_length_limit, queuing.queues, queuing.hand_size].map(|number| number.unwrap_or(0));
            for (field, number) in [("queueLengthLimit", limit), ("queues", queues), ("handSize", hand)] {
                if number <= 0 {
                    errors.invalid(&place.child(field), number, "must be positive");
                }
            }
            if queues > MOST_QUEUES {
                let why = format!("must not be greater than {MOST_QUEUES}");
                errors.invalid(&place.child("queues"), queues, why);
            }
            if hand > queues {
                let why = format!("should not be greater than queues ({queues})");
                errors.invalid(&place.child("handSize"), hand, why);
            }
        }
        ("Reject", None) => {}
        (other, _) => checks::supported(other, &["Queue", "Reject"], &path.child("type"), errors),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made};
    use super::*;

    #[test]
    fn schemas() {
        assert_eq!(
            made("FlowSchema", json!({"spec": {"matchingPrecedence": null}}))["spec"]["matchingPrecedence"],
            1000
        );
        for (spec, told) in [
            (
                json!({"matchingPrecedence": 1}),
                "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            ),
            (
                json!({"priorityLevelConfiguration": {"name": ""}}),
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            ),
            (
                json!({"rules": [{"subjects": [{"kind": "User", "user": {"name": "u"}}]}]}),
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ),
            (
                json!({"rules": [{"subjects": [{"kind": "User"}], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}),
                "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            ),
        ] {
            assert_eq!(create("FlowSchema", json!({"spec": spec})), [told]);
        }
    }

    #[test]
    fn levels() {
        let level = made("PriorityLevelConfiguration", json!({}));
        let limited = &level["spec"]["limited"];
        assert_eq!(
            (&limited["nominalConcurrencyShares"], &limited["limitResponse"]["queuing"]["queues"]),
            (&json!(30), &json!(64))
        );
        for (spec, told) in [
            (
                json!({"type": "Exempt", "limited": null}),
                "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
            ),
            (json!({"limited": null}), "spec.limited: Required value: must not be empty when type is Limited"),
            (
                json!({"limited": {"limitResponse": {"queuing": {"queues": 4}}}}),
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)",
            ),
            (
                json!({"limited": {"lendablePercent": 101}}),
                "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            ),
            (
                json!({"limited": {"limitResponse": {"type": "Reject"}}}),
                "spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited",
            ),
        ] {
            assert_eq!(create("PriorityLevelConfiguration", json!({"spec": spec})), [told]);
        }
    }
}
