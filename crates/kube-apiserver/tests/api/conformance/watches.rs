//! Watches: what is told, to whom, in which order, and from where on.

use serde_json::json;

use super::{MERGE, by_name, delete, get, patch, post, there, watched};
use crate::common::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, label: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "labels": {"watch": label}}, "data": {"n": "0"}})
}

async fn change(api: &Api, name: &str, n: &str) -> String {
    let now = patch(api, &format!("{MAPS}/{name}"), MERGE, json!({"data": {"n": n}})).await;
    now["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// Conformance: "watch-configmaps-with-multiple-watchers"
#[tokio::test(flavor = "multi_thread")]
async fn each_watcher_is_told_of_what_its_labels_select() {
    let api = Api::start().await;
    let watch = |selector: &str| format!("{MAPS}?watch=1&timeoutSeconds=2&labelSelector={selector}");
    let (a, b, both) = (watch("watch%3DA"), watch("watch%3DB"), watch("watch+in+(A,B)"));
    let writes = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        post(&api, MAPS, map("a", "A")).await;
        change(&api, "a", "1").await;
        change(&api, "a", "2").await;
        post(&api, MAPS, map("other", "C")).await;
        delete(&api, &format!("{MAPS}/a")).await;
        post(&api, MAPS, map("b", "B")).await;
        delete(&api, &format!("{MAPS}/b")).await;
    };
    let (a, b, both, ()) = tokio::join!(watched(&api, &a), watched(&api, &b), watched(&api, &both), writes);
    let of_a = [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")];
    let of_b = [("ADDED", "b"), ("DELETED", "b")];
    assert_eq!(by_name(&a), of_a);
    assert_eq!(by_name(&b), of_b);
    assert_eq!(by_name(&both), [&of_a[..], &of_b].concat());
    assert_eq!((&a[2].1["data"]["n"], &a[3].1["data"]["n"]), (&json!("2"), &json!("2")));
}

/// Conformance: "watch-configmaps-from-resource-version"
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_after_the_version_that_it_names() {
    let api = Api::start().await;
    post(&api, MAPS, map("c", "A")).await;
    let first = change(&api, "c", "1").await;
    change(&api, "c", "2").await;
    delete(&api, &format!("{MAPS}/c")).await;
    let told = watched(&api, &format!("{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={first}")).await;
    assert_eq!(by_name(&told), [("MODIFIED", "c"), ("DELETED", "c")]);
    assert_eq!(told[0].1["data"]["n"], "2");
}

/// Conformance: "watch-configmaps-closed-and-restarted"
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_where_another_ended() {
    let api = Api::start().await;
    let before = there(get(&api, MAPS).await)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    post(&api, MAPS, map("c", "A")).await;
    change(&api, "c", "1").await;
    let told = watched(&api, &format!("{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={before}")).await;
    assert_eq!(by_name(&told), [("ADDED", "c"), ("MODIFIED", "c")]);
    // Nobody watches meanwhile.
    change(&api, "c", "2").await;
    delete(&api, &format!("{MAPS}/c")).await;
    let last = told[1].1["metadata"]["resourceVersion"].as_str().unwrap();
    let told = watched(&api, &format!("{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={last}")).await;
    assert_eq!(by_name(&told), [("MODIFIED", "c"), ("DELETED", "c")]);
}

/// Conformance: "watch-configmaps-label-changed"
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_selection_is_deleted_and_unknown_until_he_is_back() {
    let api = Api::start().await;
    let before = there(get(&api, MAPS).await)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let label = |label: &str| json!({"metadata": {"labels": {"watch": label}}});
    let one = format!("{MAPS}/c");
    post(&api, MAPS, map("c", "A")).await;
    change(&api, "c", "1").await;
    patch(&api, &one, MERGE, label("other")).await;
    change(&api, "c", "2").await;
    patch(&api, &one, MERGE, label("A")).await;
    change(&api, "c", "3").await;
    delete(&api, &one).await;
    let path = format!("{MAPS}?watch=1&timeoutSeconds=1&labelSelector=watch%3DA&resourceVersion={before}");
    let told = watched(&api, &path).await;
    let kinds: Vec<(&str, &str)> =
        told.iter().map(|(kind, map)| (&**kind, map["data"]["n"].as_str().unwrap())).collect();
    let expected =
        [("ADDED", "0"), ("MODIFIED", "1"), ("DELETED", "1"), ("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "3")];
    assert_eq!(kinds, expected);
}

/// Conformance: "watch-consistency"
///
/// Watches that begin at each of the versions that one watch tells of tell of all that came after, in the same order.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_watches_tell_the_same_in_the_same_order() {
    let api = Api::start().await;
    let before = there(get(&api, MAPS).await)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let writer = |at: usize| {
        let api = &api;
        async move {
            let name = format!("m{at}");
            post(api, MAPS, map(&name, "A")).await;
            for n in 1..5 {
                change(api, &name, &n.to_string()).await;
            }
            if at.is_multiple_of(2) {
                delete(api, &format!("{MAPS}/{name}")).await;
            }
        }
    };
    let watch = |version: &str| {
        let path = format!("{MAPS}?watch=1&timeoutSeconds=2&resourceVersion={version}");
        let api = &api;
        async move {
            let told = watched(api, &path).await;
            told.iter()
                .map(|(_, map)| map["metadata"]["resourceVersion"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    let first = watch(&before);
    let (first, _) = tokio::join!(first, futures::future::join_all((0..6).map(writer)));
    assert_eq!(first.len(), 6 * 5 + 3);
    let later = futures::future::join_all(first.iter().map(|version| watch(version))).await;
    for (at, told) in later.iter().enumerate() {
        assert_eq!(told, &first[at + 1..], "after {}", first[at]);
    }
}
