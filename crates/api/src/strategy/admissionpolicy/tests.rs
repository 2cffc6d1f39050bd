//! One row for each rule: a change of a good policy or binding, and what is said of it.

use serde_json::json;

use super::super::testing::{create, made};

#[test]
fn policies() {
    let spec = &made("ValidatingAdmissionPolicy", json!({}))["spec"];
    assert_eq!(
        (&spec["failurePolicy"], &spec["matchConstraints"]["matchPolicy"]),
        (&json!("Fail"), &json!("Equivalent"))
    );
    for (spec, told) in [
        (json!({"matchConstraints": null}), "spec.matchConstraints: Required value"),
        (
            json!({"failurePolicy": "Maybe"}),
            "spec.failurePolicy: Unsupported value: \"Maybe\": supported values: \"Fail\", \"Ignore\"",
        ),
        (
            json!({"validations": [{"expression": " "}]}),
            "spec.validations[0].expression: Required value: expression is not specified",
        ),
        (
            json!({"variables": [{"name": "a", "expression": "1"}, {"name": "a", "expression": "2"}]}),
            "spec.variables[1].name: Duplicate value: \"a\"",
        ),
        (json!({"paramKind": {"kind": "K"}}), "spec.paramKind.apiVersion: Required value"),
    ] {
        assert_eq!(create("ValidatingAdmissionPolicy", json!({"spec": spec})), [told]);
    }
    assert_eq!(create("ValidatingAdmissionPolicy", json!({"spec": {"validations": null}})).len(), 2);
    for (mutation, told) in [
        (
            json!({"patchType": "JSONPatch"}),
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
        ),
        (
            json!({"patchType": "JSONPatch", "jsonPatch": {"expression": ""}}),
            "spec.mutations[0].jsonPatch.expression: Required value: expression is not specified",
        ),
    ] {
        assert_eq!(create("MutatingAdmissionPolicy", json!({"spec": {"mutations": [mutation]}})), [told]);
    }
}

#[test]
fn bindings() {
    for (spec, told) in [
        (json!({"policyName": ""}), "spec.policyName: Required value"),
        (
            json!({"validationActions": []}),
            "spec.validationActions: Required value: at least one validation action is required",
        ),
        (
            json!({"validationActions": ["Deny", "Warn"]}),
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn",
        ),
        (json!({"validationActions": ["Deny", "Deny"]}), "spec.validationActions[1]: Duplicate value: \"Deny\""),
        (
            json!({"paramRef": {"parameterNotFoundAction": "Deny"}}),
            "spec.paramRef: Required value: one of name or selector must be specified",
        ),
        (json!({"paramRef": {"name": "p"}}), "spec.paramRef.parameterNotFoundAction: Required value"),
    ] {
        let all = create("ValidatingAdmissionPolicyBinding", json!({"spec": spec}));
        assert!(all.len() == 1 && all[0].starts_with(told), "{told}: {all:?}");
    }
}
