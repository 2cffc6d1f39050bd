//! The verbs to the letter: which parameters go together, what is answered, and when.

use std::time::Duration;

use http::{Request, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::common::Api;
use crate::samples::{collection, object, stored};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn get(api: &Api, path: &str) -> (u16, Value) {
    api.json("GET", path, &Value::Null).await
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

async fn maps(count: usize) -> Api {
    let api = Api::start().await;
    for at in 0..count {
        let labels = json!({"parity": if at % 2 == 0 { "even" } else { "odd" }});
        api.json("POST", MAPS, &json!({"metadata": {"name": format!("m{at}"), "labels": labels}})).await;
    }
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_a_list_that_do_not_go_together_are_422() {
    let api = maps(1).await;
    for (query, message) in [
        (
            "resourceVersionMatch=Exact",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        ("resourceVersionMatch=Foo&resourceVersion=1", "resourceVersionMatch: Unsupported value: \"Foo\""),
        (
            "resourceVersionMatch=Exact&resourceVersion=1&continue=x",
            "resourceVersionMatch is forbidden when continue is provided",
        ),
        ("sendInitialEvents=true", "sendInitialEvents is forbidden for list"),
        ("watch=1&sendInitialEvents=true", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        (
            "watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1",
            "is forbidden for watch unless sendInitialEvents is provided",
        ),
    ] {
        let (code, status) = get(&api, &format!("{MAPS}?{query}")).await;
        assert_eq!((code, &status["details"]["kind"]), (422, &json!("ListOptions")), "{query}: {status}");
        assert!(status["message"].as_str().unwrap().contains(message), "{query}: {status}");
    }
    let (code, status) = get(&api, &format!("{MAPS}?continue=abc&resourceVersion=3")).await;
    assert_eq!(
        (code, status["message"].as_str()),
        (400, Some("specifying resource version is not allowed when using continue"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_remains_is_told_unless_a_selector_chooses() {
    let api = maps(5).await;
    let (_, page) = get(&api, &format!("{MAPS}?limit=2")).await;
    assert_eq!((names(&page), &page["metadata"]["remainingItemCount"]), (vec!["m0", "m1"], &json!(3)));
    let next = page["metadata"]["continue"].as_str().unwrap().to_owned();
    // The second page comes from history, as something has changed.
    api.json("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let (_, page) = get(&api, &format!("{MAPS}?limit=2&continue={next}")).await;
    assert_eq!((names(&page), &page["metadata"]["remainingItemCount"]), (vec!["m2", "m3"], &json!(1)), "{page}");
    let next = page["metadata"]["continue"].as_str().unwrap();
    let (_, page) = get(&api, &format!("{MAPS}?limit=2&continue={next}")).await;
    assert_eq!((names(&page), page["metadata"].get("remainingItemCount")), (vec!["m4"], None));
    let (_, page) = get(&api, &format!("{MAPS}?limit=1&labelSelector=parity%3Deven")).await;
    assert_eq!(names(&page), ["m0"]);
    assert!(page["metadata"]["continue"].is_string() && page["metadata"].get("remainingItemCount").is_none(), "{page}");
    let (_, all) = get(&api, &format!("{MAPS}?limit=1&resourceVersion=0")).await;
    assert_eq!((names(&all).len(), all["metadata"].get("continue")), (6, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_the_future_is_504_with_its_cause() {
    let api = maps(1).await;
    for path in [format!("{MAPS}?resourceVersion=1000000"), format!("{MAPS}/m0?resourceVersion=1000000")] {
        let request = Request::get(&path).header(header::ACCEPT, "application/json");
        let request = request.body(Full::new(bytes::Bytes::new())).unwrap();
        let response = api.rest.handle(api.user.clone(), request).await;
        assert_eq!((response.status().as_u16(), response.headers()[header::RETRY_AFTER].as_bytes()), (504, &b"1"[..]));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let status: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status["reason"], "Timeout");
        assert_eq!(status["details"]["retryAfterSeconds"], 1);
        assert_eq!(
            status["details"]["causes"],
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}])
        );
    }
}

/// As upstream answers, kind by kind.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_answers_with_the_object_or_with_a_status() {
    let api = Api::start().await;
    let returned = [
        "Namespace",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ResourceQuota",
        "Service",
        "ServiceAccount",
        "DeviceClass",
        "DeviceTaintRule",
        "ResourceClaim",
        "ResourceClaimTemplate",
        "ResourceSlice",
        "CSIDriver",
        "CSINode",
        "StorageClass",
        "VolumeAttachment",
        "VolumeAttributesClass",
    ];
    for resource in stored() {
        let sample = object(&resource, "deleted");
        let (code, made) = api.json("POST", &collection(&resource), &sample).await;
        assert_eq!(code, 201, "{}: {made}", resource.kind);
        let path = format!("{}/{}", collection(&resource), made["metadata"]["name"].as_str().unwrap());
        let (code, told) = api.json("DELETE", &format!("{path}?propagationPolicy=Background"), &Value::Null).await;
        let kind = if returned.contains(&resource.kind) { resource.kind } else { "Status" };
        assert_eq!((code, told["kind"].as_str()), (200, Some(kind)), "{}: {told}", resource.kind);
        if kind == "Status" {
            assert_eq!(told["status"], "Success");
            assert_eq!(told["details"]["uid"], made["metadata"]["uid"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_makes_what_upstream_lets_it_make() {
    let api = Api::start().await;
    let makes = [
        "ClusterRole",
        "ClusterRoleBinding",
        "Endpoints",
        "Event",
        "Lease",
        "LeaseCandidate",
        "LimitRange",
        "Role",
        "RoleBinding",
        "RuntimeClass",
        "Service",
    ];
    for resource in stored() {
        let sample = object(&resource, "put");
        let path = format!("{}/{}", collection(&resource), sample["metadata"]["name"].as_str().unwrap());
        // Leases and their like want to be told which version they replace, once there is one.
        let (code, told) = api.json("PUT", &path, &sample).await;
        let expected = if makes.contains(&resource.kind) { 201 } else { 404 };
        assert_eq!(code, expected, "{}: {told}", resource.kind);
    }
    let mut stale = json!({"metadata": {"name": "new", "resourceVersion": "3"}});
    let (code, status) = api.json("PUT", "/api/v1/namespaces/default/endpoints/new", &stale).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")), "{status}");
    stale["metadata"] = json!({"name": "other"});
    let (code, _) = api.json("PUT", "/api/v1/namespaces/default/endpoints/new", &stale).await;
    assert_eq!(code, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_kinds_must_be_told_which_version_is_replaced() {
    let api = Api::start().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    let (_, made) = api.json("POST", leases, &lease).await;
    let (code, status) = api.json("PUT", &format!("{leases}/l"), &lease).await;
    assert_eq!(code, 422);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{message}"
    );
    let mut conditional = made.clone();
    conditional["spec"]["holderIdentity"] = "b".into();
    assert_eq!(api.json("PUT", &format!("{leases}/l"), &conditional).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_count_what_is_wanted() {
    let api = Api::start().await;
    let merge = "application/merge-patch+json";
    let patch = async |path: &str, patch: Value| -> Value {
        let (code, body) = api.call("PATCH", path, merge, patch.to_string().as_bytes()).await;
        assert_eq!(code, 200, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice::<Value>(&body).unwrap()["metadata"]["generation"].clone()
    };
    for (kind, labels, annotations) in [("Deployment", 1, 2), ("ReplicaSet", 1, 1), ("EndpointSlice", 2, 1)] {
        let resource = stored().into_iter().find(|one| one.kind == kind).unwrap();
        api.json("POST", &collection(&resource), &object(&resource, "counted")).await;
        let path = format!("{}/counted", collection(&resource));
        let after_labels = patch(&path, json!({"metadata": {"labels": {"x": "y"}}})).await;
        assert_eq!(after_labels, labels, "{kind}");
        let after = patch(&path, json!({"metadata": {"annotations": {"x": "y"}}})).await;
        assert_eq!(after, labels + annotations - 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_see_false_and_zero_where_a_field_is_missing() {
    let api = Api::start().await;
    for (path, body) in [
        ("/api/v1/nodes", json!({"metadata": {"name": "open"}})),
        ("/api/v1/nodes", json!({"metadata": {"name": "shut"}, "spec": {"unschedulable": true}})),
    ] {
        assert_eq!(api.json("POST", path, &body).await.0, 201);
    }
    let job = stored().into_iter().find(|one| one.kind == "Job").unwrap();
    api.json("POST", &collection(&job), &object(&job, "j")).await;
    for (path, selector, found) in [
        ("/api/v1/nodes", "spec.unschedulable=false", vec!["open"]),
        ("/api/v1/nodes", "spec.unschedulable!=false", vec!["shut"]),
        ("/api/v1/nodes", "spec.unschedulable=true", vec!["shut"]),
        (&collection(&job), "status.successful=0", vec!["j"]),
        (&collection(&job), "status.successful=1", vec![]),
    ] {
        let (code, list) = get(&api, &format!("{path}?fieldSelector={}", selector.replace('=', "%3D"))).await;
        assert_eq!((code, names(&list)), (200, found), "{selector}: {list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_a_line_for_each_field() {
    let api = maps(1).await;
    let text = async |query: &str, agent: &str| {
        let request = Request::get(format!("{MAPS}/m0{query}")).header(header::USER_AGENT, agent);
        let response = api.rest.handle(api.user.clone(), request.body(Full::new(bytes::Bytes::new())).unwrap()).await;
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    assert!(text("?pretty=true", "x").await.contains("\n  \"kind\": \"ConfigMap\""));
    assert!(text("", "curl/7.88").await.contains("\n  \"kind\""));
    assert!(!text("?pretty=false", "curl/7.88").await.contains("\n  \"kind\""));
    assert!(!text("", "kubectl").await.contains("\n  \"kind\""));
    // The old form of a deletion says that the object waits.
    let foreground = json!({"kind": "DeleteOptions", "apiVersion": "v1", "orphanDependents": false});
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/x"]}});
    api.json("POST", MAPS, &held).await;
    assert_eq!(api.json("DELETE", &format!("{MAPS}/held"), &foreground).await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_comes_shortly_before_the_end() {
    let api = maps(1).await;
    let request = Request::get(format!("{MAPS}?watch=1&resourceVersion=1&allowWatchBookmarks=true&timeoutSeconds=3"));
    let began = std::time::Instant::now();
    let response = api.rest.handle(api.user.clone(), request.body(Full::new(bytes::Bytes::new())).unwrap()).await;
    let mut body = response.into_body();
    let mut told = Vec::new();
    while let Some(frame) = body.frame().await {
        told.push((began.elapsed(), String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()));
    }
    let (at, last) = told.last().unwrap();
    assert!(last.contains("\"type\":\"BOOKMARK\""), "{told:?}");
    assert!(*at > Duration::from_millis(900) && *at < Duration::from_secs(2), "{told:?}");
    assert!(began.elapsed() >= Duration::from_millis(2900));
}
