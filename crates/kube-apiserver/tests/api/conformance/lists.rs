//! Lists in pages, and deletions of all that a label selects.

use serde_json::json;
use tokio::task::JoinSet;

use super::{delete, get, names, post, there};
use crate::common::Api;

const TEMPLATES: &str = "/api/v1/namespaces/default/podtemplates";

async fn templates(count: usize) -> Api {
    let api = Api::start().await;
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    for at in 0..count {
        let object = json!({"metadata": {"name": format!("t{at:03}")}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}});
        post(&api, TEMPLATES, object).await;
    }
    api
}

/// Conformance: "API Chunking, server should return chunks of results for list calls"
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_of_one_version_and_say_what_remains() {
    let api = templates(40).await;
    let first = there(get(&api, &format!("{TEMPLATES}?limit=7")).await);
    let version = &first["metadata"]["resourceVersion"];
    let (mut page, mut found) = (first.clone(), 0);
    loop {
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        assert_eq!(items[0]["metadata"]["name"], format!("t{found:03}"));
        found += items.len();
        assert_eq!(&page["metadata"]["resourceVersion"], version);
        let remains = page["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
        assert_eq!(found as u64 + remains, 40);
        let Some(next) = page["metadata"]["continue"].as_str().filter(|next| !next.is_empty()) else { break };
        page = there(get(&api, &format!("{TEMPLATES}?limit=7&continue={next}")).await);
    }
    assert_eq!(found, 40);
    let all = there(get(&api, TEMPLATES).await);
    assert_eq!((all["items"].as_array().unwrap().len(), &all["metadata"]["resourceVersion"]), (40, version));
}

/// Conformance: "API Chunking, server should support continue listing from the last key even if the original version has been compacted away"
///
/// Who comes with a page's token after its history is gone is told so, with a token that goes on from there at today's version.
#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_inconsistently_when_their_history_is_gone() {
    let api = templates(12).await;
    let first = there(get(&api, &format!("{TEMPLATES}?limit=5")).await);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    delete(&api, &format!("{TEMPLATES}/t007")).await;
    assert_eq!(names(&api, TEMPLATES).await.len(), 11);
    let now = first["metadata"]["resourceVersion"].as_str().unwrap().parse::<i64>().unwrap() + 1;
    storage::Backend::compact(&*api.library.memory, now).await.unwrap();
    let (code, expired) = get(&api, &format!("{TEMPLATES}?limit=5&continue={token}")).await;
    assert_eq!((code, &expired["reason"]), (410, &json!("Expired")), "{expired}");
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let second = there(get(&api, &format!("{TEMPLATES}?limit=5&continue={token}")).await);
    assert_ne!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let found: Vec<&str> =
        second["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(found, ["t005", "t006", "t008", "t009", "t010"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = there(get(&api, &format!("{TEMPLATES}?limit=5&continue={token}")).await);
    assert_eq!(third["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    assert_eq!(third["items"].as_array().unwrap().len(), 1);
}

/// Conformance: "Pods, delete a collection"
/// Conformance: "Event, delete a collection"
/// Conformance: "New Event resource lifecycle, testing a list of events"
/// Conformance: "LimitRange, list, patch and delete a LimitRange by collection"
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_what_the_label_selects_in_the_namespace() {
    let now = "2026-01-02T03:04:05.000000Z";
    let about = json!({"kind": "Pod", "namespace": "default", "name": "p"});
    let rows = [
        ("v1", "pods", json!({"spec": {"containers": [{"name": "c", "image": "i"}]}})),
        ("v1", "events", json!({"involvedObject": about, "reason": "R", "message": "m", "type": "Normal"})),
        (
            "events.k8s.io/v1",
            "events",
            json!({"regarding": about, "reason": "R", "action": "A", "note": "n", "type": "Normal", "eventTime": now,
                "reportingController": "c.example.com/x", "reportingInstance": "i"}),
        ),
        ("v1", "limitranges", json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}})),
    ];
    let mut running = JoinSet::new();
    for (version, plural, object) in rows {
        running.spawn(async move {
            let api = Api::start().await;
            post(&api, "/api/v1/namespaces", json!({"metadata": {"name": "else"}})).await;
            let base = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
            let of = |namespace: &str| format!("{base}/namespaces/{namespace}/{plural}");
            let make = async |namespace: &str, name: &str, label: &str| {
                let mut object = object.clone();
                object["metadata"] = json!({"name": name, "namespace": namespace, "labels": {"set": label}});
                // An event is in the namespace of what it is about.
                for about in ["regarding", "involvedObject"] {
                    if object[about].is_object() {
                        object[about]["namespace"] = namespace.into();
                    }
                }
                post(&api, &of(namespace), object).await;
            };
            for (namespace, name, label) in
                [("default", "a", "x"), ("default", "b", "x"), ("default", "c", "y"), ("else", "d", "x")]
            {
                make(namespace, name, label).await;
            }
            let everywhere = format!("{base}/{plural}?labelSelector=set%3Dx");
            assert_eq!(names(&api, &everywhere).await, ["a", "b", "d"], "{version} {plural}");
            delete(&api, &format!("{}?labelSelector=set%3Dx", of("default"))).await;
            assert_eq!(names(&api, &everywhere).await, ["d"], "{version} {plural}");
            assert_eq!(names(&api, &of("default")).await, ["c"], "{version} {plural}");
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
