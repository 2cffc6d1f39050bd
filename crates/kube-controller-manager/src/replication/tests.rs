//! The controller against kube-apiserver.
use client::{Object, Reflector};
use k8s_openapi::api::core::v1::{Pod as ApiPod, ResourceQuota};
use testapi::ApiServer;

use super::*;
use crate::stores;

fn rc(replicas: i32) -> ReplicationController {
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "rc", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"app": "x"}, "template": template}}))
    .unwrap()
}

fn start(server: &ApiServer) {
    let client = server.client("system:kube-controller-manager");
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

async fn pods(server: &ApiServer) -> Vec<ApiPod> {
    server.list().await
}

async fn status(server: &ApiServer) -> ReplicationControllerStatus {
    server.get::<ReplicationController>("default", "rc").await.unwrap().status.unwrap()
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn replicas_are_made_and_given_up_and_never_too_many() {
    let server = ApiServer::start().await;
    // Nobody may count on what he has made being in his mirror at once.
    server.lag(Duration::from_millis(50));
    let uid = server.put(&rc(300)).await.metadata.uid;
    start(&server);
    settle().await;
    assert_eq!(pods(&server).await.len(), 300);
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("create pods")).count(), 300);
    let pod = &pods(&server).await[0];
    assert!(pod.metadata.name.as_ref().unwrap().starts_with("rc-"));
    assert_eq!(pod.metadata.owner_references.as_ref().map(|owners| owners[0].uid.clone()), uid);
    assert_eq!((status(&server).await.replicas, status(&server).await.observed_generation), (300, Some(1)));
    server.put(&rc(2)).await;
    settle().await;
    assert_eq!(pods(&server).await.len(), 2);
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("delete pods")).count(), 298);
    server.remove::<ApiPod>("default", pods(&server).await[0].metadata.name.as_deref().unwrap()).await;
    settle().await;
    assert_eq!(pods(&server).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_bare_pod_that_matches_is_adopted() {
    let server = ApiServer::start().await;
    let bare = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "bare", "namespace": "default", "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    server.put::<ApiPod>(&serde_json::from_value(bare).unwrap()).await;
    let uid = server.put(&rc(1)).await.metadata.uid;
    start(&server);
    settle().await;
    assert_eq!(pods(&server).await.len(), 1);
    assert_eq!(pods(&server).await[0].metadata.owner_references.as_ref().map(|owners| owners[0].uid.clone()), uid);
}

#[tokio::test(start_paused = true)]
async fn a_refused_template_is_said_and_tried_again() {
    let server = ApiServer::start().await;
    let hard = json!({"pods": "0"});
    let quota = json!({"metadata": {"name": "none", "namespace": "default"}, "spec": {"hard": hard},
        "status": {"hard": hard, "used": hard}});
    server.put::<ResourceQuota>(&serde_json::from_value(quota).unwrap()).await;
    server.put(&rc(3)).await;
    start(&server);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let conditions = status(&server).await.conditions.unwrap();
    assert_eq!(conditions[0].reason.as_deref(), Some("FailedCreate"));
    let message = conditions[0].message.as_deref().unwrap();
    assert!(
        message.ends_with("is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0"),
        "{message}"
    );
    server.remove::<ResourceQuota>("default", "none").await;
    settle().await;
    assert_eq!(pods(&server).await.len(), 3);
    assert_eq!(status(&server).await.conditions, None);
}
