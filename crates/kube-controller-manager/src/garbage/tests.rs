//! The collector against a kube-apiserver in memory.
use std::time::Duration;

use client::{Object, Reflector, testing::Peer};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ReplicationController};

use super::*;
use crate::stores;

fn meta(name: &str, owner: Option<(&str, &str, bool)>) -> Value {
    let owners = owner.map(|(kind, name, blocks)| {
        json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": format!("{name}-uid"), "controller": true,
            "blockOwnerDeletion": blocks}])
    });
    json!({"name": name, "namespace": "default", "uid": format!("{name}-uid"), "ownerReferences": owners})
}

fn put<K: Object>(peer: &Peer, meta: Value) {
    peer.put::<K>(
        &serde_json::from_value(json!({"apiVersion": K::API_VERSION, "kind": K::KIND, "metadata": meta})).unwrap(),
    );
}

fn start(peer: &Peer) -> Client {
    let (client, token) = (peer.client(), CancellationToken::new());
    let pods = stores::pods(Reflector::of(&client, Pod::RESOURCE));
    let controllers = stores::replication_controllers(Reflector::new(&client));
    let (discovery, discoverer) = Discovery::new(&client);
    // Config maps are mirrored by the collector itself.
    let given = vec![Source::of(Pod::RESOURCE, &pods.store()), Source::new(&controllers.store())];
    let collector = GarbageCollector::new(&client, &discovery, given);
    let stores = (pods.store(), controllers.store());
    tokio::spawn(discoverer.run(token.clone()));
    tokio::spawn(collector.clone().mirror(token.clone()));
    tokio::spawn(pods.run(token.clone()));
    tokio::spawn(controllers.run(token.clone()));
    tokio::spawn(async move {
        stores.0.wait_synced().await;
        stores.1.wait_synced().await;
        collector.run(4, token).await;
    });
    client
}

async fn delete(client: &Client, policy: &str) {
    let options = DeleteOptions { propagation_policy: Some(policy.to_owned()), ..Default::default() };
    client.delete::<ReplicationController>("default", "rc", &options).await.unwrap();
    settle().await;
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(20)).await;
}

fn cluster() -> Peer {
    let peer = Peer::new();
    put::<ReplicationController>(&peer, meta("rc", None));
    put::<Pod>(&peer, meta("pod", Some(("ReplicationController", "rc", true))));
    put::<ConfigMap>(&peer, meta("config", Some(("Pod", "pod", true))));
    put::<ConfigMap>(&peer, meta("other", None));
    peer
}

#[tokio::test(start_paused = true)]
async fn in_the_background_dependents_follow() {
    let peer = cluster();
    let client = start(&peer);
    settle().await;
    assert_eq!((peer.list::<Pod>().len(), peer.list::<ConfigMap>().len()), (1, 2));
    delete(&client, "Background").await;
    assert_eq!((peer.list::<Pod>().len(), peer.list::<ConfigMap>().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let peer = cluster();
    let held = json!({"finalizers": ["example.com/x"]});
    let mut pod = meta("pod", Some(("ReplicationController", "rc", true)));
    pod["finalizers"] = held["finalizers"].clone();
    put::<Pod>(&peer, pod);
    let client = start(&peer);
    settle().await;
    delete(&client, "Foreground").await;
    let pod = peer.get::<Pod>("default", "pod").unwrap().metadata;
    assert!(pod.deletion_timestamp.is_some());
    assert_eq!(pod.finalizers.unwrap(), ["example.com/x"], "it had dependents, which went before");
    assert_eq!(peer.list::<ConfigMap>().len(), 1);
    assert!(peer.get::<ReplicationController>("default", "rc").is_some());
    peer.remove::<Pod>("default", "pod");
    settle().await;
    assert!(peer.get::<ReplicationController>("default", "rc").is_none());
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_forget_their_owner() {
    let peer = cluster();
    let client = start(&peer);
    settle().await;
    delete(&client, "Orphan").await;
    assert!(peer.get::<ReplicationController>("default", "rc").is_none());
    let owners = peer.get::<Pod>("default", "pod").unwrap().metadata.owner_references;
    assert!(owners.unwrap_or_default().is_empty());
    assert_eq!(peer.list::<ConfigMap>().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_left_over_before_the_start_goes_too_and_another_of_the_same_name_is_no_owner() {
    let peer = Peer::new();
    put::<ReplicationController>(&peer, json!({"name": "rc", "namespace": "default", "uid": "another"}));
    put::<Pod>(&peer, meta("pod", Some(("ReplicationController", "rc", true))));
    put::<Pod>(&peer, meta("kept", Some(("Unknown", "x", true))));
    start(&peer);
    settle().await;
    let names: Vec<_> = peer.list::<Pod>().into_iter().map(|pod| pod.metadata.name.unwrap()).collect();
    assert_eq!(names, ["kept"]);
}
