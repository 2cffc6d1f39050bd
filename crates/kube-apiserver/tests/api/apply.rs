//! Server-side apply and who manages which fields, over REST.

use std::sync::Arc;

use kube_apiserver::admission::Admission;
use serde_json::{Value, json};
use testapi::Library;

use crate::common::Api;
use crate::samples::{collection, object, stored};
use crate::users;

const APPLY: &str = "application/apply-patch+yaml";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn apply(api: &Api, path: &str, config: &Value) -> (u16, Value) {
    let (code, body) = api.call("PATCH", path, APPLY, config.to_string().as_bytes()).await;
    (code, serde_json::from_slice(&body).unwrap())
}

/// Manager, operation and subresource of each entry.
fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or("").to_owned();
    let named = entries.map(|e| format!("{} {} {}", text(e, "manager"), text(e, "operation"), text(e, "subresource")));
    named.map(|name| name.trim().to_owned()).collect()
}

fn fields<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    &entries.iter().find(|entry| entry["manager"] == manager).unwrap_or_else(|| panic!("{manager}: {entries:?}"))["fieldsV1"]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_can_be_applied() {
    let api = Api::start().await;
    for resource in stored() {
        let mut sample = object(&resource, "applied");
        sample["metadata"]["labels"]["made"] = "by-one".into();
        let name = sample["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{}/{name}", collection(&resource));
        let what = format!("{} {}", resource.kind, resource.api_version());
        let (code, made) = apply(&api, &format!("{path}?fieldManager=one"), &sample).await;
        assert_eq!(code, 201, "{what}: {made}");
        assert_eq!(managers(&made), ["one Apply"], "{what}: {made}");
        let (code, again) = apply(&api, &format!("{path}?fieldManager=one"), &sample).await;
        assert_eq!((code, &again), (200, &made), "{what}: the same again");
        let (_, read) = api.json("GET", &path, &Value::Null).await;
        assert_eq!(read, made, "{what}");
        // Another manager's label is his; when he no longer wants it, it goes.
        let base = json!({"apiVersion": sample["apiVersion"], "kind": sample["kind"], "metadata": {"name": name}});
        let mut labelled = base.clone();
        labelled["metadata"]["labels"] = json!({"of": "two"});
        let (code, two) = apply(&api, &format!("{path}?fieldManager=two"), &labelled).await;
        assert_eq!((code, &two["metadata"]["labels"]["of"]), (200, &json!("two")), "{what}: {two}");
        assert_eq!(fields(&two, "two"), &json!({"f:metadata": {"f:labels": {"f:of": {}}}}), "{what}");
        labelled["metadata"]["labels"] = json!({"of": "three"});
        let (code, conflict) = apply(&api, &format!("{path}?fieldManager=three"), &labelled).await;
        assert_eq!((code, &conflict["reason"]), (409, &json!("Conflict")), "{what}: {conflict}");
        let cause = &conflict["details"]["causes"][0];
        assert_eq!(cause["field"], ".metadata.labels.of", "{what}: {conflict}");
        assert_eq!(cause["reason"], "FieldManagerConflict", "{what}: {conflict}");
        let (code, left) = apply(&api, &format!("{path}?fieldManager=two"), &base).await;
        assert_eq!((code, &left["metadata"]["labels"]), (200, &made["metadata"]["labels"]), "{what}: {left}");
        let mut same = left.clone();
        for counter in ["resourceVersion", "generation"].iter().filter(|field| made["metadata"].get(field).is_some()) {
            same["metadata"][counter] = made["metadata"][counter].clone();
        }
        assert_eq!(same, made, "{what}");
        if resource.subresource("status").is_some() {
            let mut status = base.clone();
            status["metadata"]["labels"] = json!({"status": "one"});
            let (code, told) = apply(&api, &format!("{path}/status?fieldManager=four"), &status).await;
            assert_eq!(code, 200, "{what}: {told}");
            let entry = told["metadata"]["managedFields"].as_array().unwrap().iter().find(|e| e["manager"] == "four");
            assert_eq!(entry.unwrap()["subresource"], "status", "{what}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_creates_and_who_updates_is_written_down() {
    let api = Api::start().await;
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "1"}});
    let (_, made) = api.json("POST", &format!("{MAPS}?fieldManager=maker"), &map).await;
    assert_eq!(managers(&made), ["maker Update"]);
    assert_eq!(fields(&made, "maker"), &json!({"f:data": {".": {}, "f:a": {}}}));
    let (_, put) = api
        .json("PUT", &format!("{MAPS}/m?fieldManager=putter"), &json!({"metadata": {"name": "m"}, "data": {"a": "2"}}))
        .await;
    assert_eq!(fields(&put, "putter"), &json!({"f:data": {"f:a": {}}}));
    assert_eq!(fields(&put, "maker"), &json!({"f:data": {}}));
    let patch = br#"{"data":{"b":"x"}}"#;
    let merge = "application/merge-patch+json";
    let (code, body) = api.call("PATCH", &format!("{MAPS}/m?fieldManager=patcher"), merge, patch).await;
    let patched: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((code, fields(&patched, "patcher")), (200, &json!({"f:data": {"f:b": {}}})));
    // Writing the same again is no write.
    let (_, body) = api.call("PATCH", &format!("{MAPS}/m?fieldManager=again"), merge, patch).await;
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), patched);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_managers_name_is_checked_and_comes_from_the_client_where_it_is_missing() {
    let api = Api::start().await;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    for (query, message) in [
        ("", "fieldManager: Required value: is required for apply patch"),
        (&*format!("?fieldManager={}", "x".repeat(129)), "fieldManager: Too long: may not be more than 128 bytes"),
        ("?fieldManager=a%07", "should only contain printable characters"),
    ] {
        let (code, status) = apply(&api, &format!("{MAPS}/m{query}"), &config).await;
        assert_eq!(code, 422, "{query}: {status}");
        assert!(status["message"].as_str().unwrap().contains(message), "{query}: {status}");
    }
    let merge = "application/merge-patch+json";
    let (code, body) = api.call("PATCH", &format!("{MAPS}/m?force=true"), merge, b"{}").await;
    assert_eq!(code, 422, "{}", String::from_utf8_lossy(&body));
    let agent = [("User-Agent", "kubectl-create/v1.32 (linux/amd64)")];
    let (code, made) =
        api.json_with("POST", MAPS, &agent, &json!({"metadata": {"name": "m"}, "data": {"a": "b"}})).await;
    assert_eq!((code, managers(&made)), (201, vec!["kubectl-create Update".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_applied_is_refused_with_its_path() {
    let api = Api::start().await;
    let path = format!("{MAPS}/m?fieldManager=me");
    let head = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let with = |pointer: &str, field: &str, value: Value| {
        let mut config = head.clone();
        config.pointer_mut(pointer).unwrap()[field] = value;
        config
    };
    for (config, part) in [
        (with("", "dataa", json!({})), ".dataa: field not declared in schema"),
        (with("", "data", json!({"a": 1})), ".data.a: expected a string"),
        (with("/metadata", "managedFields", json!([])), "metadata.managedFields must be nil"),
        (with("", "kind", json!("Secret")), "kind"),
        (with("", "apiVersion", Value::Null), "apiVersion"),
        (with("/metadata", "name", json!("other")), "does not match the name on the URL"),
        (json!([1]), "must be an object"),
    ] {
        let (code, status) = apply(&api, &path, &config).await;
        assert_eq!(code, 400, "{config}: {status}");
        assert!(status["message"].as_str().unwrap().contains(part), "{config}: {status}");
    }
    assert_eq!(api.json("GET", &format!("{MAPS}/m"), &Value::Null).await.0, 404);
    for (field, value) in [("uid", "u"), ("resourceVersion", "3")] {
        let (code, status) = apply(&api, &path, &with("/metadata", field, json!(value))).await;
        assert_eq!((code, &status["reason"]), (409, &json!("Conflict")), "{field}: {status}");
    }
    let twins = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}, {"port": 80, "protocol": "TCP"}]}});
    let (code, status) = apply(&api, "/api/v1/namespaces/default/services/s?fieldManager=me", &twins).await;
    assert_eq!(code, 400, "{status}");
    assert!(status["message"].as_str().unwrap().contains(".spec.ports: duplicate entries"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_applies_nothing_and_force_takes_what_is_others() {
    let api = Api::start().await;
    let config =
        |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": value}});
    let (code, _) = apply(&api, &format!("{MAPS}/m?fieldManager=me&dryRun=All"), &config("1")).await;
    assert_eq!((code, api.json("GET", &format!("{MAPS}/m"), &Value::Null).await.0), (201, 404));
    apply(&api, &format!("{MAPS}/m?fieldManager=one"), &config("1")).await;
    let two = format!("{MAPS}/m?fieldManager=two");
    let (code, status) = apply(&api, &two, &config("2")).await;
    assert_eq!(code, 409);
    assert_eq!(status["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.a");
    let (code, forced) = apply(&api, &format!("{two}&force=true"), &config("2")).await;
    assert_eq!((code, managers(&forced)), (200, vec!["two Apply".to_owned()]));
    assert_eq!(forced["data"], json!({"a": "2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_applied_through_scale_and_managed_there() {
    let api = Api::start().await;
    let resource = stored().into_iter().find(|one| one.kind == "Deployment").unwrap();
    let mut deployment = object(&resource, "d");
    deployment["spec"]["replicas"] = 1.into();
    api.json("POST", &format!("{DEPLOYMENTS}?fieldManager=maker"), &deployment).await;
    let scale =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 4}});
    let path = format!("{DEPLOYMENTS}/d/scale?fieldManager=scaler");
    let (code, conflict) = apply(&api, &path, &scale).await;
    assert_eq!((code, conflict["details"]["causes"][0]["field"].as_str()), (409, Some(".spec.replicas")), "{conflict}");
    let (code, scaled) = apply(&api, &format!("{path}&force=1"), &scale).await;
    assert_eq!((code, &scaled["kind"], &scaled["spec"]["replicas"]), (200, &json!("Scale"), &json!(4)), "{scaled}");
    let (_, now) = api.json("GET", &format!("{DEPLOYMENTS}/d"), &Value::Null).await;
    assert_eq!(fields(&now, "scaler"), &json!({"f:spec": {"f:replicas": {}}}));
    assert!(managers(&now).contains(&"scaler Apply scale".to_owned()), "{now}");
    assert!(fields(&now, "maker")["f:spec"].get("f:replicas").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_not_the_main_objects_to_manage() {
    let api = Api::start().await;
    let resource = stored().into_iter().find(|one| one.kind == "Deployment").unwrap();
    let deployment = object(&resource, "d");
    let path = format!("{DEPLOYMENTS}/d");
    api.json("POST", &format!("{DEPLOYMENTS}?fieldManager=maker"), &deployment).await;
    let head = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
    let mut status = head.clone();
    status["status"] = json!({"replicas": 3});
    let (code, told) = apply(&api, &format!("{path}/status?fieldManager=controller"), &status).await;
    assert_eq!((code, &told["status"]["replicas"]), (200, &json!(3)), "{told}");
    assert_eq!(fields(&told, "controller"), &json!({"f:status": {"f:replicas": {}}}));
    // Through the object itself the status is neither written nor taken.
    status["status"]["replicas"] = 9.into();
    let (code, told) = apply(&api, &format!("{path}?fieldManager=user"), &status).await;
    assert_eq!((code, &told["status"]["replicas"]), (200, &json!(3)), "{told}");
    assert!(!managers(&told).iter().any(|manager| manager.starts_with("user")), "{told}");
    let mut put = told.clone();
    put["status"]["replicas"] = 7.into();
    let (_, told) = api.json("PUT", &format!("{path}?fieldManager=user"), &put).await;
    assert!(managers(&told).contains(&"controller Apply status".to_owned()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_patch_can_not_make_objects_by_applying() {
    let admin = users::start(&[]).await;
    let rules = json!([{"verbs": ["get", "patch"], "apiGroups": [""], "resources": ["configmaps"]}]);
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let role = json!({"metadata": {"name": "patcher"}, "rules": rules});
    assert_eq!(admin.json("POST", roles, &role).await.0, 201);
    let binding = json!({"metadata": {"name": "patcher"}, "roleRef": {"kind": "Role", "name": "patcher"},
        "subjects": [{"kind": "User", "name": "ann"}]});
    assert_eq!(admin.json("POST", &roles.replace("roles", "rolebindings"), &binding).await.0, 201);
    let ann = admin.by("ann", &["system:authenticated"]);
    users::until_allowed(&ann, &format!("{MAPS}/m")).await;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}});
    let path = format!("{MAPS}/m?fieldManager=me");
    let (code, status) = apply(&ann, &path, &config).await;
    assert_eq!(code, 403, "{status}");
    assert!(status["message"].as_str().unwrap().contains("cannot create resource \"configmaps\""), "{status}");
    assert_eq!(apply(&admin, &path, &config).await.0, 201);
    assert_eq!(apply(&ann, &path, &config).await.0, 200);
}

/// Many who apply at once: nobody's field is lost.
#[tokio::test(flavor = "multi_thread")]
async fn many_managers_apply_at_the_same_time() {
    let library = Library::admitting(Admission::default()).await;
    let api = Arc::new(Api::over(library));
    let tasks: Vec<_> = (0..16)
        .map(|at| {
            let api = api.clone();
            tokio::spawn(async move {
                let mut config =
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {}});
                config["data"][format!("k{at}")] = "x".into();
                let (code, told) = apply(&api, &format!("{MAPS}/shared?fieldManager=m{at}"), &config).await;
                assert!(code == 200 || code == 201, "{told}");
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let (_, map) = api.json("GET", &format!("{MAPS}/shared"), &Value::Null).await;
    assert_eq!(map["data"].as_object().unwrap().len(), 16);
    assert_eq!(managers(&map).len(), 16);
}
