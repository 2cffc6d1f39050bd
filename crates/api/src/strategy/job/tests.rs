//! One row for each rule: a change of a good job, and what is said of it.

use serde_json::{Value, json};

use super::super::testing::{create, made, update};

#[test]
fn defaults() {
    let spec = &made("Job", json!({}))["spec"];
    for (field, value) in [
        ("completions", json!(1)),
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}})),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    let labels = &spec["template"]["metadata"]["labels"];
    assert_eq!((&labels["job-name"], &labels["controller-uid"]), (&json!("sample"), &json!("u-1")));
    let parallel = made("Job", json!({"spec": {"parallelism": 3}}));
    assert_eq!(parallel["spec"].get("completions"), None);
    let labelled = made("Job", json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}));
    assert_eq!(labelled["metadata"]["labels"], json!({"a": "b"}));
}

#[test]
fn refused() {
    for (spec, told) in [
        (json!({"parallelism": -1}), "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
        (
            json!({"template": {"spec": {"restartPolicy": "Always"}}}),
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ),
        (
            json!({"completionMode": "Indexed", "parallelism": 2}),
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            json!({"completionMode": "Other"}),
            "spec.completionMode: Unsupported value: \"Other\": supported values: \"Indexed\", \"NonIndexed\"",
        ),
        (
            json!({"backoffLimitPerIndex": 1}),
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (json!({"manualSelector": true}), "spec.selector: Required value"),
        (
            json!({"template": {"metadata": {"labels": {"job-name": "other"}}}}),
            "spec.template.metadata.labels[job-name]: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u-1\",\"batch.kubernetes.io/job-name\":\"sample\",\"controller-uid\":\"u-1\",\"job-name\":\"other\"}: must be 'sample'",
        ),
        (
            json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}}),
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            json!({"successPolicy": {"rules": [{"succeededCount": 1}]}}),
            "spec.successPolicy: Invalid value: null: requires indexed completion mode",
        ),
    ] {
        assert_eq!(create("Job", json!({"spec": spec})), [told]);
    }
}

#[test]
fn what_may_change() {
    let template = json!({"template": {"spec": {"nodeSelector": {"a": "b"}}}});
    for (spec, told) in [
        (json!({"parallelism": 3, "suspend": true, "backoffLimit": 2}), ""),
        (json!({"completions": 3}), "spec.completions: Invalid value: 3: field is immutable"),
        (json!({"completionMode": "Indexed"}), "spec.completionMode: Invalid value: \"Indexed\": field is immutable"),
        (template, "spec.template: Invalid value: {"),
    ] {
        let all = update("Job", json!({"spec": spec}));
        assert!(all.first().map_or(told.is_empty(), |first| !told.is_empty() && first.starts_with(told)), "{all:?}");
    }
    let placed = |node: &str| -> Value { json!({"spec": {"containers": [], "nodeSelector": {"a": node}}}) };
    assert_eq!(super::without_placement(&placed("b")), super::without_placement(&placed("c")));
}
