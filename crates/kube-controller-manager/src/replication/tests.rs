//! The controller against a kube-apiserver in memory.
use client::{Object, Reflector, testing::Peer, testing::failure};
use k8s_openapi::api::core::v1::Pod as ApiPod;

use super::*;
use crate::stores;

fn rc(replicas: i32) -> ReplicationController {
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "rc", "namespace": "default", "uid": "rc-uid", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"app": "x"}, "template": template}}))
    .unwrap()
}

fn start(peer: &Peer) {
    let client = peer.client();
    let token = CancellationToken::new();
    let pods = stores::pods(Reflector::of(&client, ApiPod::RESOURCE));
    let controllers = stores::replication_controllers(Reflector::new(&client));
    let (events, recording) = EventRecorder::new(&client, "replication-controller", None);
    let replication = Replication::new(&client, &controllers.store(), &pods.store(), events);
    let store = pods.store();
    tokio::spawn(pods.run(token.clone()));
    tokio::spawn(recording.run(token.clone()));
    tokio::spawn(async move {
        store.wait_synced().await;
        tokio::spawn(controllers.run(token.clone()));
        replication.run(5, token).await;
    });
}

fn pods(peer: &Peer) -> Vec<ApiPod> {
    peer.list()
}

fn status(peer: &Peer) -> ReplicationControllerStatus {
    peer.get::<ReplicationController>("default", "rc").unwrap().status.unwrap()
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn replicas_are_made_and_given_up_and_never_too_many() {
    let peer = Peer::new();
    peer.put(&rc(300));
    start(&peer);
    settle().await;
    assert_eq!(pods(&peer).len(), 300);
    assert_eq!(peer.calls().iter().filter(|call| call.starts_with("create pods")).count(), 300);
    let pod = &pods(&peer)[0];
    assert!(pod.metadata.name.as_ref().unwrap().starts_with("rc-"));
    assert_eq!(pod.metadata.owner_references.as_ref().unwrap()[0].uid, "rc-uid");
    assert_eq!((status(&peer).replicas, status(&peer).observed_generation), (300, Some(1)));
    let current = peer.get::<ReplicationController>("default", "rc").unwrap();
    let less = ReplicationController { status: current.status, ..rc(2) };
    peer.put(&less);
    settle().await;
    assert_eq!(pods(&peer).len(), 2);
    assert_eq!(peer.calls().iter().filter(|call| call.starts_with("delete pods")).count(), 298);
    peer.remove::<ApiPod>("default", pods(&peer)[0].metadata.name.as_deref().unwrap());
    settle().await;
    assert_eq!(pods(&peer).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_bare_pod_that_matches_is_adopted() {
    let peer = Peer::new();
    let bare = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "bare", "namespace": "default", "labels": {"app": "x"}}});
    peer.put::<ApiPod>(&serde_json::from_value(bare).unwrap());
    peer.put(&rc(1));
    start(&peer);
    settle().await;
    assert_eq!(pods(&peer).len(), 1);
    assert_eq!(pods(&peer)[0].metadata.owner_references.as_ref().unwrap()[0].uid, "rc-uid");
}

#[tokio::test(start_paused = true)]
async fn a_refused_template_is_said_and_tried_again() {
    let peer = Peer::new();
    for _ in 0..8 {
        peer.fail("create", failure(403, "Forbidden", "exceeded quota"));
    }
    peer.put(&rc(3));
    start(&peer);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let conditions = status(&peer).conditions.unwrap();
    assert_eq!(conditions[0].reason.as_deref(), Some("FailedCreate"));
    assert_eq!(conditions[0].message.as_deref(), Some("exceeded quota"));
    settle().await;
    assert_eq!(pods(&peer).len(), 3);
    assert_eq!(status(&peer).conditions, None);
}
