use client::Reflector;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::json;
use testapi::ApiServer;

use super::*;

#[test]
fn conditions_say_what_is_left() {
    let left =
        Left { counts: vec![("pods".into(), 2)], finalizers: vec![("example.com/x".into(), 1)], failures: Vec::new() };
    let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    let first = conditions(&[], &left, early);
    let text = |all: &[NamespaceCondition]| {
        all.iter().map(|one| format!("{} {}", one.status, one.message.clone().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(
        text(&first)[2..],
        [
            "False All content successfully deleted, may be waiting on finalization",
            "True Some resources are remaining: pods has 2 resource instances",
            "True Some content in the namespace has finalizers remaining: example.com/x in 1 resource instances",
        ]
    );
    let second = conditions(&first, &Left::default(), late);
    assert_eq!(second[2], first[2], "what has not changed keeps its time");
    assert_eq!(second[3].last_transition_time, Some(Time(late)));
}

#[tokio::test(start_paused = true)]
async fn content_goes_before_the_namespace() {
    let server = ApiServer::start().await;
    let client = server.client("system:kube-controller-manager");
    server.put::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": "gone"}})).unwrap()).await;
    let meta = |name: &str, finalizers: &[&str]| json!({"name": name, "namespace": "gone", "finalizers": finalizers});
    server.put::<ConfigMap>(&serde_json::from_value(json!({"metadata": meta("c", &[])})).unwrap()).await;
    let held = json!({"metadata": meta("held", &["example.com/x"]),
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    server.put::<Pod>(&serde_json::from_value(held).unwrap()).await;
    server.admin().delete::<Namespace>("", "gone", &DeleteOptions::default()).await.unwrap();
    let (discovery, discoverer) = Discovery::new(&client);
    let reflector = Reflector::new(&client);
    let namespaces = Namespaces::new(&client, &discovery, &reflector.store());
    tokio::spawn(discoverer.run(CancellationToken::new()));
    tokio::spawn(reflector.run(CancellationToken::new()));
    tokio::spawn(namespaces.run(1, CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(server.list::<ConfigMap>().await.is_empty());
    let conditions = server.get::<Namespace>("", "gone").await.unwrap().status.unwrap().conditions.unwrap();
    assert_eq!((conditions[3].type_.as_str(), conditions[3].status.as_str()), ("NamespaceContentRemaining", "True"));
    server.remove::<Pod>("gone", "held").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(server.get::<Namespace>("", "gone").await.is_none());
}
