//! What is refused: unknown and duplicate fields, keys that are none, changes of what does not change.

use serde_json::{Value, json};

use super::{MERGE, delete, get, names, patch, post, put, there};
use crate::common::Api;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// A body of text, as no JSON value has a field twice.
async fn send(api: &Api, method: &str, path: &str, media: &str, body: &str) -> (u16, String) {
    let (code, said) = api.call(method, path, media, body.as_bytes()).await;
    let said: Value = serde_json::from_slice(&said).unwrap();
    (code, said["message"].as_str().unwrap_or("").to_owned())
}

fn deployment(metadata: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"web"{metadata}}},"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},
        "template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}{spec}}}}}"#
    )
}

/// Conformance: "Server side field validation, typed object"
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_duplicate_fields_are_refused_by_name() {
    let api = Api::start().await;
    let bad = deployment("", r#","unknownField":"x","replicas":1,"replicas":2,"paused":true,"paused":false"#);
    let all =
        ["unknown field \"spec.unknownField\"", "duplicate field \"spec.replicas\"", "duplicate field \"spec.paused\""];
    let strict = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let (code, said) = send(&api, "POST", &strict, "application/json", &bad).await;
    assert_eq!(code, 400, "{said}");
    assert!(all.iter().all(|one| said.contains(one)), "{said}");
    assert_eq!(get(&api, &format!("{DEPLOYMENTS}/web")).await.0, 404);
    // Whoever only wants to be warned, or not even that, is served.
    for validation in ["Warn", "Ignore"] {
        let path = format!("{DEPLOYMENTS}?dryRun=All&fieldValidation={validation}");
        assert_eq!(send(&api, "POST", &path, "application/json", &bad).await.0, 201, "{validation}");
    }
    post(&api, DEPLOYMENTS, serde_json::from_str(&deployment("", "")).unwrap()).await;
    let one = format!("{DEPLOYMENTS}/web?fieldValidation=Strict");
    for (method, media) in [
        ("PUT", "application/json"),
        ("PATCH", MERGE),
        ("PATCH", super::STRATEGIC),
        ("PATCH", "application/apply-patch+yaml"),
    ] {
        let path = if media.contains("apply") { format!("{one}&fieldManager=x&force=true") } else { one.clone() };
        let (code, said) = send(&api, method, &path, media, &bad).await;
        assert!([400, 422].contains(&code), "{media}: {code} {said}");
        // Of YAML with a field twice nothing else is said.
        let told = said.contains("unknown field \"spec.unknownField\"")
            || media.contains("yaml") && said.contains("duplicate field");
        assert!(told, "{method} {media}: {code} {said}");
    }
}

/// Conformance: "Server side field validation, typed unknown metadata"
#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_of_metadata_are_refused_at_the_root_and_in_templates() {
    let api = Api::start().await;
    let strict = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let mut bad = deployment(r#","unknownMeta":"x""#, "");
    bad = bad.replace(r#""metadata":{"labels":{"a":"b"}}"#, r#""metadata":{"unknownSubMeta":"x","labels":{"a":"b"}}"#);
    let (code, said) = send(&api, "POST", &strict, "application/json", &bad).await;
    assert_eq!(code, 400, "{said}");
    for field in ["metadata.unknownMeta", "spec.template.metadata.unknownSubMeta"] {
        assert!(said.contains(&format!("unknown field \"{field}\"")), "{said}");
    }
}

/// Conformance: "ConfigMap, with empty-key"
/// Conformance: "Secrets, with empty-key"
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_empty() {
    let api = Api::start().await;
    for (plural, value) in [("configmaps", "value-1"), ("secrets", "dmFsdWUtMQ==")] {
        let path = format!("/api/v1/namespaces/default/{plural}");
        let (code, said) = api.json("POST", &path, &json!({"metadata": {"name": "x"}, "data": {"": value}})).await;
        assert_eq!((code, &said["reason"]), (422, &json!("Invalid")), "{said}");
        assert_eq!(said["details"]["causes"][0]["field"], "data[]", "{said}");
    }
}

/// Conformance: "ConfigMap Volume, immutability"
/// Conformance: "Secrets Volume, immutability"
#[tokio::test(flavor = "multi_thread")]
async fn what_is_immutable_stays_so_and_as_it_is() {
    let api = Api::start().await;
    for (plural, values) in [("configmaps", ["a", "b"]), ("secrets", ["YQ==", "Yg=="])] {
        let all = format!("/api/v1/namespaces/default/{plural}");
        let one = format!("{all}/fixed");
        let mut object = post(&api, &all, json!({"metadata": {"name": "fixed"}, "data": {"k": values[0]}})).await;
        object["data"]["k"] = values[1].into();
        let mut object = put(&api, &one, &object).await;
        object["immutable"] = true.into();
        let fixed = put(&api, &one, &object).await;
        let other = |change: &dyn Fn(&mut Value)| {
            let mut other = fixed.clone();
            change(&mut other);
            other
        };
        for bad in [
            other(&|object| object["data"]["k"] = values[0].into()),
            other(&|object| object["data"]["another"] = values[0].into()),
            other(&|object| object["immutable"] = false.into()),
            other(&|object| drop(object.as_object_mut().unwrap().remove("immutable"))),
        ] {
            let (code, said) = api.json("PUT", &one, &bad).await;
            assert_eq!(code, 422, "{said}");
        }
        let labelled = other(&|object| object["metadata"]["labels"] = json!({"still": "mine"}));
        put(&api, &one, &labelled).await;
        assert_eq!(there(get(&api, &one).await)["data"]["k"], values[1]);
        delete(&api, &one).await;
    }
}

/// Conformance: "Scheduler, Verify PriorityClass endpoints"
#[tokio::test(flavor = "multi_thread")]
async fn a_priority_is_what_it_is_and_its_description_is_not() {
    let api = Api::start().await;
    let all = "/apis/scheduling.k8s.io/v1/priorityclasses";
    for (name, value) in [("p1", 1), ("p2", 2)] {
        post(&api, all, json!({"metadata": {"name": name}, "value": value, "description": name})).await;
    }
    let found = names(&api, all).await;
    assert!(found.contains(&"p1".to_owned()) && found.contains(&"p2".to_owned()), "{found:?}");
    let one = format!("{all}/p1");
    patch(&api, &one, MERGE, json!({"description": "patched"})).await;
    let mut class = there(get(&api, &one).await);
    class["description"] = "updated".into();
    assert_eq!(put(&api, &one, &class).await["description"], "updated");
    for (field, value) in [("value", json!(9)), ("preemptionPolicy", json!("Never"))] {
        let (code, _) = api.call("PATCH", &one, MERGE, json!({field: value}).to_string().as_bytes()).await;
        assert_eq!(code, 422, "{field}");
        let mut class = there(get(&api, &one).await);
        class[field] = value;
        let (code, said) = api.json("PUT", &one, &class).await;
        assert_eq!(code, 422, "{field}: {said}");
    }
    let class = there(get(&api, &one).await);
    assert_eq!((&class["value"], &class["preemptionPolicy"]), (&json!(1), &json!("PreemptLowerPriority")));
}

/// Conformance: "Projected PodCertificate Expiration Minimum Validation"
/// Conformance: "Projected PodCertificate Expiration Maximum Validation"
#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_pods_last_an_hour_at_least_and_91_days_at_most() {
    let api = Api::start().await;
    let pod = |seconds: u64| {
        let source = json!({"podCertificate": {"signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "c.pem",
            "maxExpirationSeconds": seconds}});
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "projected": {"sources": [source]}}]}})
    };
    let path = "/api/v1/namespaces/default/pods?dryRun=All";
    for (seconds, expected) in [(3599, 422), (3600, 201), (91 * 86400, 201), (91 * 86400 + 1, 422)] {
        let (code, said) = api.json("POST", path, &pod(seconds)).await;
        assert_eq!(code, expected, "{seconds}: {said}");
        if code == 422 {
            let field = said["details"]["causes"][0]["field"].as_str().unwrap();
            assert!(field.ends_with("podCertificate.maxExpirationSeconds"), "{said}");
        }
    }
}

/// Conformance: "Pod with the non-existing RuntimeClass is rejected."
/// Conformance: "Pod with the deleted RuntimeClass is rejected."
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_names_a_runtime_that_there_is() {
    let api = Api::start().await;
    let pod = json!({"metadata": {"generateName": "p-"}, "spec": {"runtimeClassName": "r", "containers": [{"name": "c", "image": "i"}]}});
    let refused = async || {
        let (code, said) = api.json("POST", "/api/v1/namespaces/default/pods", &pod).await;
        assert_eq!((code, &said["reason"]), (403, &json!("Forbidden")), "{said}");
        assert!(said["message"].as_str().unwrap().contains("RuntimeClass \"r\" not found"), "{said}");
    };
    refused().await;
    let classes = "/apis/node.k8s.io/v1/runtimeclasses";
    post(&api, classes, json!({"metadata": {"name": "r"}, "handler": "h"})).await;
    post(&api, "/api/v1/namespaces/default/pods", pod.clone()).await;
    delete(&api, &format!("{classes}/r")).await;
    refused().await;
}
