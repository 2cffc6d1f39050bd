//! Nodes that fall silent, against kube-apiserver.
use client::{Object, Reflector};
use serde_json::Value;
use testapi::ApiServer;

use super::*;
use crate::stores;

fn node(name: &str) -> Node {
    let conditions = json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]);
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"conditions": conditions}}))
    .unwrap()
}

fn lease(name: &str, second: usize) -> Lease {
    let renewed = format!("2026-01-01T00:00:{second:02}.000000Z");
    serde_json::from_value(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASES}, "spec": {"renewTime": renewed}}))
    .unwrap()
}

fn pod(name: &str, tolerations: Value) -> ApiPod {
    serde_json::from_value(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "silent", "containers": [{"name": "c", "image": "i"}], "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
    )
    .unwrap()
}

fn start(server: &ApiServer) {
    let (client, token) = (server.client("system:kube-controller-manager"), CancellationToken::new());
    let pods = stores::pods(Reflector::of(&client, ApiPod::RESOURCE));
    let nodes = Reflector::<Node>::new(&client);
    let leases = Reflector::<Lease>::new(&client).namespace(LEASES);
    let (events, recording) = EventRecorder::new(&client, "node-controller", None);
    let grace = Grace { silent: Duration::from_secs(40), startup: Duration::from_secs(60) };
    let settings = (grace, Duration::from_secs(5));
    let lifecycle = Lifecycle::new(&client, &nodes.store(), &leases.store(), &pods.store(), events, settings);
    let store = pods.store();
    tokio::spawn(pods.run(token.clone()));
    tokio::spawn(nodes.run(token.clone()));
    tokio::spawn(leases.run(token.clone()));
    tokio::spawn(recording.run(token.clone()));
    tokio::spawn(async move {
        store.wait_synced().await;
        lifecycle.run(token).await;
    });
}

async fn taints(server: &ApiServer, name: &str) -> Vec<String> {
    let taints = server.get::<Node>("", name).await.unwrap().spec.unwrap_or_default().taints.unwrap_or_default();
    taints
        .into_iter()
        .map(|taint| format!("{}:{}", taint.key.replace("node.kubernetes.io/", ""), taint.effect))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_marked_and_left_and_comes_back() {
    let server = ApiServer::start().await;
    server.put(&node("silent")).await;
    server.put(&node("speaks")).await;
    // Without it, admission gives it five minutes.
    let at_once = json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0});
    server.put(&pod("leaves", json!([at_once]))).await;
    server.put(&pod("stays", json!([{"operator": "Exists"}]))).await;
    start(&server);
    for second in 0..5 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        server.put(&lease("speaks", second)).await;
    }
    assert_eq!(taints(&server, "speaks").await, Vec::<String>::new());
    assert_eq!(taints(&server, "silent").await, ["unreachable:NoSchedule", "unreachable:NoExecute"]);
    // Its kubelet would have to say that it is gone.
    let leaves = server.get::<ApiPod>("default", "leaves").await.unwrap();
    assert!(leaves.metadata.deletion_timestamp.is_some());
    let stays = server.get::<ApiPod>("default", "stays").await.unwrap();
    assert!(stays.metadata.deletion_timestamp.is_none());
    assert_eq!(stays.status.unwrap().conditions.unwrap()[0].status, "False");

    let mut back = node("silent");
    back.spec = server.get::<Node>("", "silent").await.unwrap().spec;
    server.put(&back).await;
    server.put(&lease("silent", 1)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(taints(&server, "silent").await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn when_all_are_silent_nobody_is_evicted() {
    let server = ApiServer::start().await;
    server.put(&node("silent")).await;
    let at_once = json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0});
    server.put(&pod("p", json!([at_once]))).await;
    start(&server);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(taints(&server, "silent").await, ["unreachable:NoSchedule"]);
    assert!(server.get::<ApiPod>("default", "p").await.unwrap().metadata.deletion_timestamp.is_none());
}
