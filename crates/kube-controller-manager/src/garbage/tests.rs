//! The collector against kube-apiserver.
use std::time::Duration;

use client::{Object, Patch, Reflector};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ReplicationController};
use testapi::ApiServer;

use super::*;
use crate::stores;

/// Of an object that belongs to the owner: kind, name and uid.
fn meta(name: &str, owner: Option<(&str, &str, &str)>) -> Value {
    let owners = owner.map(|(kind, name, uid)| {
        json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true,
            "blockOwnerDeletion": true}])
    });
    json!({"name": name, "namespace": "default", "ownerReferences": owners})
}

/// Makes an object with what its kind must have beside the metadata; tells its uid.
async fn put<K: Object + Clone>(server: &ApiServer, meta: Value) -> String {
    let pod = json!({"containers": [{"name": "c", "image": "i"}]});
    let spec = match K::KIND {
        "Pod" => pod,
        "ReplicationController" => {
            json!({"selector": {"app": "x"}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod}})
        }
        _ => json!(null),
    };
    let object = json!({"apiVersion": K::API_VERSION, "kind": K::KIND, "metadata": meta, "spec": spec});
    let put = server.put::<K>(&serde_json::from_value(object).unwrap()).await;
    put.metadata().uid.clone().unwrap()
}

fn start(server: &ApiServer) -> Client {
    let (client, token) = (server.client("system:kube-controller-manager"), CancellationToken::new());
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

async fn cluster() -> ApiServer {
    let server = ApiServer::start().await;
    let rc = put::<ReplicationController>(&server, meta("rc", None)).await;
    let pod = put::<Pod>(&server, meta("pod", Some(("ReplicationController", "rc", &rc)))).await;
    put::<ConfigMap>(&server, meta("config", Some(("Pod", "pod", &pod)))).await;
    put::<ConfigMap>(&server, meta("other", None)).await;
    server
}

#[tokio::test(start_paused = true)]
async fn in_the_background_dependents_follow() {
    let server = cluster().await;
    let client = start(&server);
    settle().await;
    assert_eq!((server.list::<Pod>().await.len(), server.list::<ConfigMap>().await.len()), (1, 2));
    delete(&client, "Background").await;
    assert_eq!((server.list::<Pod>().await.len(), server.list::<ConfigMap>().await.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let server = cluster().await;
    let held = json!({"metadata": {"finalizers": ["example.com/x"]}});
    server.admin().patch::<Pod>("default", "pod", Patch::Merge, &held, "").await.unwrap();
    let client = start(&server);
    settle().await;
    delete(&client, "Foreground").await;
    let pod = server.get::<Pod>("default", "pod").await.unwrap().metadata;
    assert!(pod.deletion_timestamp.is_some());
    assert_eq!(pod.finalizers.unwrap(), ["example.com/x"], "it had dependents, which went before");
    assert_eq!(server.list::<ConfigMap>().await.len(), 1);
    assert!(server.get::<ReplicationController>("default", "rc").await.is_some());
    server.remove::<Pod>("default", "pod").await;
    settle().await;
    assert!(server.get::<ReplicationController>("default", "rc").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_forget_their_owner() {
    let server = cluster().await;
    let client = start(&server);
    settle().await;
    delete(&client, "Orphan").await;
    assert!(server.get::<ReplicationController>("default", "rc").await.is_none());
    let owners = server.get::<Pod>("default", "pod").await.unwrap().metadata.owner_references;
    assert!(owners.unwrap_or_default().is_empty());
    assert_eq!(server.list::<ConfigMap>().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_left_over_before_the_start_goes_too_and_another_of_the_same_name_is_no_owner() {
    let server = ApiServer::start().await;
    put::<ReplicationController>(&server, meta("rc", None)).await;
    put::<Pod>(&server, meta("pod", Some(("ReplicationController", "rc", "of-another")))).await;
    put::<Pod>(&server, meta("kept", Some(("Unknown", "x", "of-something")))).await;
    start(&server);
    settle().await;
    let names: Vec<_> = server.list::<Pod>().await.into_iter().map(|pod| pod.metadata.name.unwrap()).collect();
    assert_eq!(names, ["kept"]);
}
