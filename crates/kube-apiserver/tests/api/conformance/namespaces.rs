//! Namespaces as objects: labels, finalizers, status.

use serde_json::json;

use super::{MERGE, get, patch, post, put, there};
use crate::common::Api;

const ROOM: &str = "/api/v1/namespaces/room";

async fn room() -> Api {
    let api = Api::start().await;
    post(&api, "/api/v1/namespaces", json!({"metadata": {"name": "room"}})).await;
    api
}

/// Conformance: "Namespace patching"
/// Conformance: "Namespace, apply update to a namespace"
#[tokio::test(flavor = "multi_thread")]
async fn labels_are_patched_and_replaced() {
    let api = room().await;
    let patched = patch(&api, ROOM, MERGE, json!({"metadata": {"labels": {"patched": "yes"}}})).await;
    assert_eq!(patched["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "room", "patched": "yes"}));
    let mut changed = patched;
    changed["metadata"]["labels"]["room"] = "updated".into();
    put(&api, ROOM, &changed).await;
    let now = there(get(&api, ROOM).await);
    assert_eq!(
        (&now["metadata"]["labels"]["room"], &now["metadata"]["labels"]["patched"]),
        (&json!("updated"), &json!("yes"))
    );
}

/// Conformance: "Namespace, apply finalizer to a namespace"
#[tokio::test(flavor = "multi_thread")]
async fn finalizers_of_the_spec_change_through_their_subresource_alone() {
    let api = room().await;
    let mut namespace = there(get(&api, ROOM).await);
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    namespace["spec"]["finalizers"] = json!(["kubernetes", "e2e.example.com/fake"]);
    let unchanged = put(&api, ROOM, &namespace).await;
    assert_eq!(unchanged["spec"]["finalizers"], json!(["kubernetes"]));
    namespace["metadata"] = unchanged["metadata"].clone();
    let with = put(&api, &format!("{ROOM}/finalize"), &namespace).await;
    assert_eq!(with["spec"]["finalizers"], json!(["kubernetes", "e2e.example.com/fake"]));
    namespace["metadata"]["resourceVersion"] = with["metadata"]["resourceVersion"].clone();
    namespace["spec"]["finalizers"] = json!(["kubernetes"]);
    put(&api, &format!("{ROOM}/finalize"), &namespace).await;
    assert_eq!(there(get(&api, ROOM).await)["spec"]["finalizers"], json!(["kubernetes"]));
}

/// Conformance: "Namespace, apply changes to a namespace status"
#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_read_patched_and_replaced() {
    let api = room().await;
    let part = format!("{ROOM}/status");
    assert_eq!(there(get(&api, &part).await)["status"]["phase"], "Active");
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "E2E", "message": "told by a test"});
    let patched = patch(&api, &part, MERGE, json!({"status": {"conditions": [condition("StatusPatch")]}})).await;
    assert_eq!(patched["status"]["conditions"][0]["message"], "told by a test");
    let mut namespace = patched;
    namespace["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusUpdate"));
    let now = put(&api, &part, &namespace).await;
    assert_eq!(
        (&now["status"]["phase"], &now["status"]["conditions"][1]["type"]),
        (&json!("Active"), &json!("StatusUpdate"))
    );
}
