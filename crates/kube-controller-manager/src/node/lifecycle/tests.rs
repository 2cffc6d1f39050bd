//! Nodes that fall silent, against a kube-apiserver in memory.
use client::{Object, Reflector, testing::Peer};
use serde_json::Value;

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
        "spec": {"nodeName": "silent", "containers": [], "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
    )
    .unwrap()
}

fn start(peer: &Peer) {
    let (client, token) = (peer.client(), CancellationToken::new());
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

fn taints(peer: &Peer, name: &str) -> Vec<String> {
    let taints = peer.get::<Node>("", name).unwrap().spec.unwrap_or_default().taints.unwrap_or_default();
    taints
        .into_iter()
        .map(|taint| format!("{}:{}", taint.key.replace("node.kubernetes.io/", ""), taint.effect))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_marked_and_left_and_comes_back() {
    let peer = Peer::new();
    peer.put(&node("silent"));
    peer.put(&node("speaks"));
    peer.put(&pod("leaves", json!([])));
    peer.put(&pod("stays", json!([{"operator": "Exists"}])));
    start(&peer);
    for second in 0..5 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        peer.put(&lease("speaks", second));
    }
    assert_eq!(taints(&peer, "speaks"), Vec::<String>::new());
    assert_eq!(taints(&peer, "silent"), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
    assert!(peer.get::<ApiPod>("default", "leaves").is_none());
    let stays = peer.get::<ApiPod>("default", "stays").unwrap();
    assert_eq!(stays.status.unwrap().conditions.unwrap()[0].status, "False");

    let mut back = node("silent");
    back.spec = peer.get::<Node>("", "silent").unwrap().spec;
    peer.put(&back);
    peer.put(&lease("silent", 1));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(taints(&peer, "silent"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn when_all_are_silent_nobody_is_evicted() {
    let peer = Peer::new();
    peer.put(&node("silent"));
    peer.put(&pod("p", json!([])));
    start(&peer);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(taints(&peer, "silent"), ["unreachable:NoSchedule"]);
    assert!(peer.get::<ApiPod>("default", "p").is_some());
}
