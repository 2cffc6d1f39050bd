use client::{Reflector, testing::Peer};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::json;

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
    let peer = Peer::new();
    let client = peer.client();
    let object = |kind: &str, name: &str, finalizers: &[&str]| {
        json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": "gone", "finalizers": finalizers}})
    };
    peer.put::<ConfigMap>(&serde_json::from_value(object("ConfigMap", "c", &[])).unwrap());
    peer.put::<Pod>(&serde_json::from_value(object("Pod", "held", &["example.com/x"])).unwrap());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "spec": {"finalizers": ["kubernetes"]},
        "metadata": {"name": "gone", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    peer.put::<Namespace>(&serde_json::from_value(namespace).unwrap());
    let (discovery, discoverer) = Discovery::new(&client);
    let reflector = Reflector::new(&client);
    let namespaces = Namespaces::new(&client, &discovery, &reflector.store());
    tokio::spawn(discoverer.run(CancellationToken::new()));
    tokio::spawn(reflector.run(CancellationToken::new()));
    tokio::spawn(namespaces.run(1, CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(peer.list::<ConfigMap>().is_empty());
    let conditions = peer.get::<Namespace>("", "gone").unwrap().status.unwrap().conditions.unwrap();
    assert_eq!((conditions[3].type_.as_str(), conditions[3].status.as_str()), ("NamespaceContentRemaining", "True"));
    peer.remove::<Pod>("gone", "held");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(peer.get::<Namespace>("", "gone").is_none());
}
