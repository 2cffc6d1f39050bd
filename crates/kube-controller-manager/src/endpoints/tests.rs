use std::{sync::Arc, time::Duration};

use client::{Object, Reflector};
use k8s_openapi::api::core::v1::{EndpointSubset, Pod as ApiPod};
use serde_json::{Value, json};
use testapi::ApiServer;

use super::*;
use crate::stores;

fn service(spec: Value) -> Service {
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "s", "namespace": "default", "labels": {"a": "b"}}, "spec": spec}))
    .unwrap()
}

fn pod_json(name: &str, ip: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "x", "tier": "y"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": status}]}})
}

fn pod(name: &str, ip: &str, ready: bool) -> Arc<Pod> {
    Arc::new(serde_json::from_value(pod_json(name, ip, ready)).unwrap())
}

/// `ready|not ready:ports` of each subset.
fn text(subsets: Option<Vec<EndpointSubset>>) -> Vec<String> {
    let ips = |list: &Option<Vec<k8s_openapi::api::core::v1::EndpointAddress>>| {
        list.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>().join(",")
    };
    let one = |subset: EndpointSubset| {
        let ports = subset.ports.iter().flatten().map(|port| port.port.to_string()).collect::<Vec<_>>().join(",");
        format!("{}|{}:{ports}", ips(&subset.addresses), ips(&subset.not_ready_addresses))
    };
    subsets.into_iter().flatten().map(one).collect()
}

#[test]
fn subsets() {
    let ready = [pod("a", "10.0.0.2", true), pod("b", "10.0.0.1", true)];
    let mixed = [pod("a", "10.0.0.1", true), pod("b", "10.0.0.2", false), pod("c", "", true)];
    let mut bare: Pod = (*pod("b", "10.0.0.2", true)).clone();
    bare.spec.containers.clear();
    let some_without_the_port = [pod("a", "10.0.0.1", true), Arc::new(bare)];
    let mut going: Pod = (*pod("a", "10.0.0.1", true)).clone();
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let going = [Arc::new(going)];
    let mut done: Pod = (*pod("a", "10.0.0.1", true)).clone();
    done.status.phase = "Succeeded".to_owned();
    let done = [Arc::new(done)];
    let plain = json!({"ports": [{"port": 80}]});
    let two = json!({"ports": [{"name": "w", "port": 80, "targetPort": "web"}, {"name": "d", "port": 53}]});
    type Case<'a> = (&'a str, Value, &'a [Arc<Pod>], Vec<&'a str>);
    let cases: Vec<Case<'_>> = vec![
        ("sorted", plain.clone(), &ready, vec!["10.0.0.1,10.0.0.2|:80"]),
        ("not ready, without address", plain.clone(), &mixed, vec!["10.0.0.1|10.0.0.2:80"]),
        (
            "published all the same",
            json!({"ports": [{"port": 80}], "publishNotReadyAddresses": true}),
            &mixed,
            vec!["10.0.0.1,10.0.0.2|:80"],
        ),
        ("a number", json!({"ports": [{"port": 80, "targetPort": 81}]}), &ready[..1], vec!["10.0.0.2|:81"]),
        ("several ports", two.clone(), &ready[..1], vec!["10.0.0.2|:53,8080"]),
        ("a name that one lacks", two, &some_without_the_port, vec!["10.0.0.1,10.0.0.2|:53", "10.0.0.1|:8080"]),
        ("a wrong protocol", json!({"ports": [{"port": 80, "targetPort": "web", "protocol": "UDP"}]}), &ready, vec![]),
        ("going", plain.clone(), &going, vec![]),
        ("finished", plain.clone(), &done, vec![]),
        ("headless without ports", json!({"clusterIP": "None"}), &ready[..1], vec!["10.0.0.2|:"]),
        ("nobody", plain, &[], vec![]),
    ];
    for (name, spec, pods, expected) in cases {
        assert_eq!(text(build::subsets(&service(spec), pods)), expected, "{name}");
    }
}

#[test]
fn labels_and_addresses() {
    let headless = service(json!({"clusterIP": "None"}));
    assert_eq!(
        build::labels(&headless).keys().collect::<Vec<_>>(),
        ["a", "endpoints.kubernetes.io/managed-by", "service.kubernetes.io/headless"]
    );
    let mut named: Pod = (*pod("a", "10.0.0.1", true)).clone();
    (named.spec.hostname, named.spec.subdomain) = ("h".to_owned(), "s".to_owned());
    let subsets = build::subsets(&headless, &[Arc::new(named)]).unwrap();
    let address = &subsets[0].addresses.as_ref().unwrap()[0];
    assert_eq!((address.hostname.as_deref(), address.node_name.as_deref()), (Some("h"), Some("n")));
    assert_eq!(address.target_ref.as_ref().unwrap().kind.as_deref(), Some("Pod"));
}

#[tokio::test(start_paused = true)]
async fn endpoints_follow_services_and_pods() {
    let server = ApiServer::start().await;
    let client = server.client("system:kube-controller-manager");
    let token = CancellationToken::new();
    let pods = stores::pods(Reflector::of(&client, ApiPod::RESOURCE));
    let services = stores::services(Reflector::new(&client));
    let endpoints = Reflector::<Endpoints>::new(&client);
    let controller = EndpointsController::new(&client, &services.store(), &pods.store(), &endpoints.store());
    tokio::spawn(pods.run(token.clone()));
    tokio::spawn(services.run(token.clone()));
    tokio::spawn(endpoints.run(token.clone()));
    tokio::spawn(controller.run(2, token));
    let settle = || tokio::time::sleep(Duration::from_secs(20));
    let now = async || server.get::<Endpoints>("default", "s").await.map(|endpoints| text(endpoints.subsets));

    let orphan = |name: &str, labels: Value| {
        let metadata = json!({"name": name, "namespace": "default", "labels": labels});
        serde_json::from_value::<Endpoints>(json!({"metadata": metadata})).unwrap()
    };
    server.put(&orphan("theirs", json!({}))).await;
    server.put(&orphan("left-over", json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"}))).await;
    settle().await;
    assert!(server.get::<Endpoints>("default", "theirs").await.is_some(), "somebody's endpoints without a service");
    assert!(server.get::<Endpoints>("default", "left-over").await.is_none(), "ours, of a service that has gone");

    server.put(&service(json!({"selector": {"app": "x"}, "ports": [{"port": 80}]}))).await;
    settle().await;
    assert_eq!(now().await, Some(vec![]));
    server.put::<ApiPod>(&serde_json::from_value(pod_json("a", "10.0.0.1", false)).unwrap()).await;
    settle().await;
    assert_eq!(now().await, Some(vec!["|10.0.0.1:80".to_owned()]));
    server.put_status::<ApiPod>(&serde_json::from_value(pod_json("a", "10.0.0.1", true)).unwrap()).await;
    settle().await;
    assert_eq!(now().await, Some(vec!["10.0.0.1|:80".to_owned()]));
    server.put(&service(json!({"ports": [{"port": 80}]}))).await;
    server.remove::<ApiPod>("default", "a").await;
    settle().await;
    assert_eq!(now().await, Some(vec!["10.0.0.1|:80".to_owned()]), "without a selector they are left alone");
    server.remove::<Service>("default", "s").await;
    settle().await;
    assert_eq!(now().await, None);
}
