//! Other versions than the stored one, over REST: what is written in one is read in any.

use std::sync::Arc;

use api::catalog::{Catalog, Style};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::common::Api;
use crate::protobuf::read;
use crate::samples::{collection, name_of, object, other_versions};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE: &str = "application/merge-patch+json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(body)))
}

/// An event of version 1 must say more than others.
fn sample(form: &api::catalog::Served, name: &str) -> Value {
    let mut object = object(form, name);
    if form.group == "events.k8s.io" {
        for (field, value) in [
            ("eventTime", "2026-11-26T07:28:52.000000Z"),
            ("reportingController", "example.com/c"),
            ("reportingInstance", "c-1"),
            ("action", "Start"),
            ("reason", "Started"),
            ("type", "Normal"),
        ] {
            object[field] = value.into();
        }
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_written_read_and_watched() {
    let api = Arc::new(Api::start().await);
    let catalog = Catalog::builtin();
    let mut watches = JoinSet::new();
    for (at, form) in other_versions().iter().enumerate() {
        let what = format!("{} {}", form.api_version(), form.kind);
        let (all, stored) = (collection(form), collection(catalog.stored_form(form)));
        let name = name_of(form, &format!("v{at}"));
        let (one, home) = (format!("{all}/{name}"), format!("{stored}/{name}"));
        let (code, made) = api.json("POST", &all, &sample(form, &name)).await;
        assert_eq!(
            (code, &made["apiVersion"], &made["kind"]),
            (201, &json!(form.api_version()), &json!(form.kind)),
            "{what}: {made}"
        );
        assert_eq!(api.json("GET", &one, &Value::Null).await, (200, made.clone()), "{what}");
        // From the cache a second time, and what is stored is its conversion.
        assert_eq!(api.json("GET", &one, &Value::Null).await.1, made, "{what}");
        let (code, mut kept) = api.json("GET", &home, &Value::Null).await;
        assert_eq!((code, &kept["apiVersion"]), (200, &json!(catalog.stored_form(form).api_version())), "{what}");
        form.from_stored(&mut kept);
        assert_eq!(kept, made, "{what}");
        // An update that changes nothing changes nothing.
        assert_eq!(api.json("PUT", &one, &made).await, (200, made.clone()), "{what}");
        let (code, got) = api.call_for("GET", &one, (PROTOBUF, PROTOBUF), b"").await;
        if form.form.protobuf {
            assert_eq!((code, read(&got)), (200, made.clone()), "{what}");
            let (code, put) = api.call_for("PUT", &one, (PROTOBUF, PROTOBUF), &got).await;
            assert_eq!((code, read(&put)), (200, made.clone()), "{what}");
        } else {
            assert_eq!(code, 406, "{what} has no form in protobuf");
        }
        let (code, yaml) = api.call_for("GET", &one, ("application/json", "application/yaml"), b"").await;
        assert_eq!((code, api::yaml::read(&yaml, &mut Vec::new()).unwrap()), (200, made.clone()), "{what}");

        let flat = form.form.style == Style::Flat;
        let (patch, at) = match flat {
            true => (&br#"{"labels":{"patched":"yes"}}"#[..], "/labels/patched"),
            false => (&br#"{"metadata":{"labels":{"patched":"yes"}}}"#[..], "/metadata/labels/patched"),
        };
        let (code, patched) = api.call("PATCH", &one, MERGE, patch).await;
        let patched = json_of(&patched);
        assert_eq!((code, patched.pointer(at)), (200, Some(&json!("yes"))), "{what}: {patched}");
        let (_, list) = api
            .json("GET", &format!("{all}?labelSelector=patched&fieldSelector=metadata.name%3D{name}"), &Value::Null)
            .await;
        assert_eq!(
            (&list["kind"], &list["items"]),
            (&json!(format!("{}List", form.kind)), &json!([patched])),
            "{what}"
        );
        if form.form.protobuf {
            let (_, listed) = api.call_for("GET", &all, (PROTOBUF, PROTOBUF), b"").await;
            let listed = read(&listed);
            let mut items = listed["items"].as_array().unwrap().iter();
            assert!(items.any(|item| item["metadata"] == patched["metadata"]), "{what}");
        }
        let (code, table) = api.call_for("GET", &format!("{one}?includeObject=Object"), ("", TABLE), b"").await;
        let table = json_of(&table);
        assert_eq!((code, &table["rows"][0]["object"]), (200, &patched), "{what}");
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert!(cells.contains(&json!(name)) || form.kind == "Event", "{what}: {cells:?}");

        let (api, path) = (
            api.clone(),
            format!("{all}?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3D{name}"),
        );
        let (gone, kind) = (one.clone(), form.kind);
        watches.spawn(async move {
            let deletion = async {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                let (code, body) =
                    api.json("DELETE", &format!("{gone}?propagationPolicy=Background"), &Value::Null).await;
                assert_eq!(code, 200, "{what}: {body}");
            };
            let (watched, ()) = tokio::join!(api.call("GET", &path, "", b""), deletion);
            let events: Vec<Value> =
                watched.1.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(json_of).collect();
            assert_eq!((&events[0]["type"], &events[0]["object"]), (&json!("ADDED"), &patched), "{what}");
            // A namespace waits for what is in it.
            let last = if kind == "Namespace" { "MODIFIED" } else { "DELETED" };
            let told = (&events[1]["type"], &events[1]["object"]["apiVersion"]);
            assert_eq!(told, (&json!(last), &patched["apiVersion"]), "{what}");
        });
    }
    while let Some(watched) = watches.join_next().await {
        watched.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_can_be_applied() {
    let api = Api::start().await;
    for (at, form) in other_versions().iter().enumerate() {
        let what = format!("{} {}", form.api_version(), form.kind);
        let name = name_of(form, &format!("a{at}"));
        let path = format!("{}/{name}?fieldManager=m", collection(form));
        let mut config = sample(form, &name);
        let labels = if form.form.style == Style::Flat { "/labels" } else { "/metadata/labels" };
        let holder = if form.form.style == Style::Flat { &mut config } else { &mut config["metadata"] };
        holder["labels"]["mine"] = "yes".into();
        for unknown in ["status", "selfLink"] {
            config.as_object_mut().unwrap().remove(unknown);
            config["metadata"].as_object_mut().map(|metadata| metadata.remove(unknown));
        }
        if form.form.style == Style::Flat {
            config.as_object_mut().unwrap().remove("metadata");
        }
        let apply = async |config: &Value| {
            let (code, body) =
                api.call("PATCH", &path, "application/apply-patch+yaml", config.to_string().as_bytes()).await;
            (code, json_of(&body))
        };
        let (code, made) = apply(&config).await;
        assert_eq!((code, &made["apiVersion"]), (201, &json!(form.api_version())), "{what}: {made}");
        assert_eq!(apply(&config).await, (200, made.clone()), "{what}: the same again");
        let mut less = config.clone();
        let owner = if form.form.style == Style::Flat { &mut less } else { &mut less["metadata"] };
        owner["labels"].as_object_mut().unwrap().remove("mine");
        let (code, now) = apply(&less).await;
        assert_eq!(
            (code, now.pointer(labels).and_then(|all| all.get("mine"))),
            (200, None),
            "{what}: what is no longer applied goes"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_1_8_is_one_of_today() {
    let api = Api::start().await;
    let (old, new) =
        ("/apis/extensions/v1beta1/namespaces/default/deployments", "/apis/apps/v1/namespaces/default/deployments");
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (code, made) = api.json("POST", old, &json!({"metadata": {"name": "d"}, "spec": {"template": template}})).await;
    assert_eq!((code, &made["spec"]["strategy"]["rollingUpdate"]["maxSurge"]), (201, &json!(1)), "{made}");
    let (_, now) = api.json("GET", &format!("{new}/d"), &Value::Null).await;
    assert_eq!(
        (&now["spec"]["selector"], &now["spec"]["revisionHistoryLimit"]),
        (&json!({"matchLabels": {"app": "x"}}), &json!(i32::MAX))
    );

    // Patches are of the request's version: what is a field here is an annotation there.
    let (code, patched) =
        api.call("PATCH", &format!("{old}/d"), MERGE, br#"{"spec":{"rollbackTo":{"revision":3}}}"#).await;
    assert_eq!((code, &json_of(&patched)["spec"]["rollbackTo"]), (200, &json!({"revision": 3})));
    let (_, now) = api.json("GET", &format!("{new}/d"), &Value::Null).await;
    assert_eq!(now["metadata"]["annotations"]["deprecated.deployment.rollback.to"], "3");
    let (code, told) = api
        .call("PATCH", &format!("{new}/d?fieldValidation=Strict"), MERGE, br#"{"spec":{"rollbackTo":{"revision":3}}}"#)
        .await;
    assert_eq!(code, 400, "{}", String::from_utf8_lossy(&told));

    let rollback = json!({"kind": "DeploymentRollback", "apiVersion": "extensions/v1beta1", "name": "d", "updatedAnnotations": {"why": "w"}, "rollbackTo": {}});
    let (code, told) = api.json("POST", &format!("{old}/d/rollback"), &rollback).await;
    assert_eq!((code, &told["message"]), (200, &json!("rollback request for deployment \"d\" succeeded")), "{told}");
    let (_, now) = api.json("GET", &format!("{new}/d"), &Value::Null).await;
    assert_eq!(now["metadata"]["annotations"], json!({"why": "w", "deprecated.deployment.rollback.to": "0"}));
    let other = json!({"name": "e", "rollbackTo": {}});
    assert_eq!(api.json("POST", &format!("{old}/d/rollback"), &other).await.0, 400);
    assert_eq!(api.json("POST", &format!("{new}/d/rollback"), &rollback).await.0, 404);

    let (_, mut scale) = api.json("GET", &format!("{old}/d/scale"), &Value::Null).await;
    assert_eq!(
        (&scale["apiVersion"], &scale["status"]["selector"]),
        (&json!("extensions/v1beta1"), &json!({"app": "x"})),
        "{scale}"
    );
    scale["spec"]["replicas"] = 4.into();
    assert_eq!(api.json("PUT", &format!("{old}/d/scale"), &scale).await.0, 200);
    let (_, now) = api.json("GET", "/apis/apps/v1beta2/namespaces/default/deployments/d/scale", &Value::Null).await;
    assert_eq!((&now["apiVersion"], &now["spec"]["replicas"]), (&json!("apps/v1beta2"), &json!(4)));
    let (code, status) = api.call("PATCH", &format!("{old}/d/status"), MERGE, br#"{"status":{"replicas":4}}"#).await;
    assert_eq!((code, &json_of(&status)["status"]["replicas"]), (200, &json!(4)));

    // Deletions of this version leave replica sets behind, those of today do not.
    let (_, gone) = api.json("DELETE", &format!("{old}/d"), &Value::Null).await;
    assert_eq!(gone["metadata"]["finalizers"], json!(["orphan"]), "{gone}");
    assert_eq!(api.json("POST", new, &json!({"metadata": {"name": "e"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template}})).await.0, 201);
    assert_eq!(api.json("DELETE", &format!("{new}/e"), &Value::Null).await.1["status"], "Success");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_version_in_a_body_is_refused_and_unknown_fields_are_those_of_the_version() {
    let api = Api::start().await;
    let ingresses = "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses";
    let new = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "x"}});
    let (code, told) = api.json("POST", ingresses, &new).await;
    assert_eq!(code, 400);
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("does not match the expected API version (networking.k8s.io/v1beta1)")
    );
    let strict = format!("{ingresses}?fieldValidation=Strict");
    let (code, told) =
        api.json("POST", &strict, &json!({"metadata": {"name": "x"}, "spec": {"defaultBackend": {}}})).await;
    assert_eq!(code, 400);
    assert!(told["message"].as_str().unwrap().contains("unknown field \"spec.defaultBackend\""), "{told}");
    let old = json!({"metadata": {"name": "x"}, "spec": {"backend": {"serviceName": "s", "servicePort": "http"}}});
    assert_eq!(api.json("POST", &strict, &old).await.0, 201);
    let (_, now) = api.json("GET", "/apis/extensions/v1beta1/namespaces/default/ingresses/x", &Value::Null).await;
    assert_eq!(now["spec"]["backend"], old["spec"]["backend"]);
    let (_, now) = api.json("GET", "/apis/networking.k8s.io/v1/namespaces/default/ingresses/x", &Value::Null).await;
    assert_eq!(now["spec"]["defaultBackend"], json!({"service": {"name": "s", "port": {"name": "http"}}}));
    // All of the group's objects are deleted in whatever version.
    let (code, gone) = api.json("DELETE", ingresses, &Value::Null).await;
    assert_eq!((code, &gone["items"][0]["apiVersion"]), (200, &json!("networking.k8s.io/v1beta1")), "{gone}");
    // A dummy has scales and nothing else.
    let dummy = "/apis/extensions/v1beta1/namespaces/default/replicationcontrollers";
    assert_eq!(api.json("GET", dummy, &Value::Null).await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_one_storage_and_two_groups() {
    let api = Api::start().await;
    let (core, new) = ("/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events");
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "m", "source": {"component": "c"}, "count": 2});
    assert_eq!(api.json("POST", core, &event).await.0, 201);
    for (name, found) in [("p", 1), ("q", 0)] {
        let path = format!("{new}?fieldSelector=regarding.name%3D{name}");
        let (code, list) = api.json("GET", &path, &Value::Null).await;
        assert_eq!((code, list["items"].as_array().unwrap().len()), (200, found), "{list}");
    }
    let (_, now) = api.json("GET", &format!("{new}/e"), &Value::Null).await;
    assert_eq!(
        (&now["note"], &now["deprecatedCount"], &now["deprecatedSource"]),
        (&json!("m"), &json!(2), &json!({"component": "c"}))
    );
    let (code, told) =
        api.json("POST", new, &json!({"metadata": {"name": "f"}, "regarding": {"namespace": "default"}})).await;
    assert_eq!((code, &told["details"]["causes"][0]["field"]), (422, &json!("eventTime")), "{told}");
    let beta = "/apis/events.k8s.io/v1beta1/namespaces/default/events";
    assert_eq!(
        api.json("POST", beta, &json!({"metadata": {"name": "f"}, "regarding": {"namespace": "default"}})).await.0,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_off_is_not_there_and_its_objects_are() {
    let api = Api::start().await;
    let catalog = Catalog::builtin();
    api.registry.serve(catalog.without(&[("apps", "v1"), ("", "v1beta1")].into()));
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"template": template}});
    let old = "/apis/apps/v1beta1/namespaces/default/deployments";
    assert_eq!(api.json("POST", old, &deployment).await.0, 201);
    let new = "/apis/apps/v1/namespaces/default/deployments/d";
    assert_eq!(api.json("GET", new, &Value::Null).await.0, 404);
    assert_eq!(api.json("GET", "/api/v1beta1/pods", &Value::Null).await.0, 404);
    // What clients could not find by discovery is not told there.
    assert_eq!(api.json("GET", "/api", &Value::Null).await.1["versions"], json!(["v1"]));
    let (_, group) = api.json("GET", "/apis/apps", &Value::Null).await;
    assert_eq!(group["preferredVersion"]["version"], "v1beta2");
    assert_eq!(api.json("GET", "/openapi/v3/apis/apps/v1", &Value::Null).await.0, 404);
    api.registry.serve(catalog);
    assert_eq!(api.json("GET", new, &Value::Null).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_is_asked_of_the_requests_group_and_by_todays_names() {
    let admin = crate::users::start(&[]).await;
    let rules = json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["nodes", "replicationcontrollers"]},
        {"verbs": ["list"], "apiGroups": ["apps"], "resources": ["deployments"]}]);
    let base = "/apis/rbac.authorization.k8s.io/v1";
    let (role, roles) = (json!({"metadata": {"name": "r"}, "rules": rules}), format!("{base}/clusterroles"));
    assert_eq!(admin.json("POST", &roles, &role).await.0, 201);
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "ann"}]});
    assert_eq!(admin.json("POST", &format!("{base}/clusterrolebindings"), &binding).await.0, 201);
    let ann = admin.by("ann", &[]);
    crate::users::until_allowed(&ann, "/api/v1/nodes").await;
    for (path, code) in [
        ("/api/v1beta1/minions", 200),
        ("/api/v1beta1/replicationControllers", 200),
        ("/api/v1beta3/minions", 200),
        ("/api/v1beta1/secrets", 403),
        ("/apis/apps/v1beta2/deployments", 200),
        ("/apis/extensions/v1beta1/deployments", 403),
    ] {
        assert_eq!(ann.json("GET", path, &Value::Null).await.0, code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_and_openapi_tell_of_all_versions() {
    let api = Api::start().await;
    let (_, group) = api.json("GET", "/apis/apps", &Value::Null).await;
    let versions: Vec<&str> =
        group["versions"].as_array().unwrap().iter().map(|v| v["version"].as_str().unwrap()).collect();
    assert_eq!((versions, &group["preferredVersion"]["version"]), (vec!["v1", "v1beta2", "v1beta1"], &json!("v1")));
    let (_, list) = api.json("GET", "/apis/extensions/v1beta1", &Value::Null).await;
    let names: Vec<&str> = list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "deployments/status",
            "ingresses",
            "ingresses/status",
            "networkpolicies",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "replicationcontrollers",
            "replicationcontrollers/scale",
        ]
    );
    assert!(list["resources"][0].get("categories").is_none(), "{}", list["resources"][0]);
    let (code, three) = api.json("GET", "/openapi/v3/apis/policy/v1beta1", &Value::Null).await;
    let budget = &three["components"]["schemas"]["io.k8s.api.policy.v1beta1.PodDisruptionBudgetSpec"];
    assert_eq!(code, 200);
    assert!(budget["properties"]["selector"]["description"].is_string(), "{budget}");
    let (_, two) = api.json("GET", "/openapi/v2", &Value::Null).await;
    let path = &two["paths"]["/apis/extensions/v1beta1/namespaces/{namespace}/deployments/{name}/rollback"];
    assert_eq!(path["post"]["x-kubernetes-group-version-kind"]["kind"], "DeploymentRollback");
}
