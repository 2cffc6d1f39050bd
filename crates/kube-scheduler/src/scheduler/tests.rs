//! The whole scheduler against kube-apiserver.
use client::{Client, Object, Reflector};
use k8s_openapi::api::core::v1::{Event, Node as ApiNode, Pod as ApiPod};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testapi::{ApiServer, refused};

use super::*;

fn node(name: &str, cpu: &str) -> ApiNode {
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"}}}))
    .unwrap()
}

fn pod(name: &str, cpu: &str) -> ApiPod {
    let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}});
    let spec: Value = json!({"containers": [container]});
    serde_json::from_value(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": spec}),
    )
    .unwrap()
}

fn start(client: &Client) -> Decisions {
    let token = CancellationToken::new();
    let pods = Reflector::of(client, ApiPod::RESOURCE);
    let nodes = Reflector::of(client, ApiNode::RESOURCE);
    let services = Reflector::of(client, k8s_openapi::api::core::v1::Service::RESOURCE);
    let stores = (pods.store(), nodes.store(), services.store());
    let deltas = deltas(&stores.0, &stores.1, &stores.2);
    let (binder, binding) = Binder::new(client);
    let (events, recording) = EventRecorder::new(client, "default-scheduler", None);
    let (unscheduled, reporting) = Unscheduled::new(client);
    let decisions = Decisions::default();
    let metrics = Metrics::register(&mut Registry::default());
    let outputs = Outputs { binder, events, unscheduled, decisions: decisions.clone(), metrics };
    let scheduler = Scheduler::new("default-scheduler".to_owned(), outputs);
    let (grant, terms) = client::Grant::new();
    tokio::spawn(pods.run(token.clone()));
    tokio::spawn(nodes.run(token.clone()));
    tokio::spawn(services.run(token.clone()));
    tokio::spawn(binding.run(token.clone()));
    tokio::spawn(recording.run(token.clone()));
    tokio::spawn(reporting.run(token.clone()));
    tokio::spawn(scheduler.run(deltas, terms, token));
    tokio::spawn(async move {
        live(&stores.0, &stores.1, &stores.2).await;
        grant.term(CancellationToken::new());
        // A grant that is dropped grants no more.
        std::future::pending::<()>().await;
    });
    decisions
}

/// A node that is ready: the controller of nodes has taken away the taint of a new one.
async fn put_node(server: &ApiServer, name: &str, cpu: &str) {
    server.put(&node(name, cpu)).await;
    server.put(&node(name, cpu)).await;
}

async fn place(server: &ApiServer, name: &str) -> Option<String> {
    server.get::<ApiPod>("default", name).await?.spec?.node_name
}

async fn events(server: &ApiServer) -> Vec<(String, String)> {
    let of = |event: Event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    server.list::<Event>().await.into_iter().map(of).collect()
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(25)).await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_bound_and_said_to_be() {
    let server = ApiServer::start().await;
    put_node(&server, "n", "4").await;
    start(&server.client("system:kube-scheduler"));
    server.put(&pod("a", "1")).await;
    settle().await;
    assert_eq!(place(&server, "a").await.as_deref(), Some("n"));
    assert_eq!(events(&server).await, [("Scheduled".to_owned(), "Successfully assigned default/a to n".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_says_why_and_goes_where_room_is_made() {
    let server = ApiServer::start().await;
    put_node(&server, "n", "1").await;
    server.put(&pod("a", "1")).await;
    start(&server.client("system:kube-scheduler"));
    settle().await;
    server.put(&pod("b", "1")).await;
    settle().await;
    let status = server.get::<ApiPod>("default", "b").await.unwrap().status.unwrap();
    let condition = &status.conditions.unwrap()[0];
    let message = "0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!((condition.type_.as_str(), condition.status.as_str()), ("PodScheduled", "False"));
    assert_eq!((condition.reason.as_deref(), condition.message.as_deref()), (Some("Unschedulable"), Some(message)));
    assert!(events(&server).await.contains(&("FailedScheduling".to_owned(), message.to_owned())));
    server.remove::<ApiPod>("default", "a").await;
    settle().await;
    assert_eq!(place(&server, "b").await.as_deref(), Some("n"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_binding_gives_back_what_was_assumed() {
    let server = ApiServer::start().await;
    put_node(&server, "n", "1").await;
    server.fail("bind", refused(api::status::Status::conflict("", "pods/binding", "a", "not now")));
    server.put(&pod("a", "1")).await;
    start(&server.client("system:kube-scheduler"));
    settle().await;
    assert_eq!(place(&server, "a").await.as_deref(), Some("n"));
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("bind")).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn assumed_pods_count_so_that_no_node_gets_too_much() {
    let server = ApiServer::start().await;
    for name in ["m", "n"] {
        put_node(&server, name, "1").await;
    }
    for name in ["a", "b", "c"] {
        server.put(&pod(name, "1")).await;
    }
    start(&server.client("system:kube-scheduler"));
    settle().await;
    let mut places = Vec::new();
    for name in ["a", "b", "c"] {
        places.extend(place(&server, name).await);
    }
    places.sort();
    assert_eq!(places, ["m", "n"]);
}
