//! The watch cache over the twin in memory: freshness, history, watchers, outages.

use std::sync::Arc;
use std::time::Duration;

use api::selector::{FieldSelector, Selector};
use serde_json::json;
use storage::{Backend, Cache, CacheError, EventType, Filter, Guard, Kind, Memory, Op};

const PODS: usize = 0;
const FIELDS: [&str; 2] = ["spec.nodeName", "status.phase"];

fn kinds() -> Vec<Kind> {
    vec![
        Kind { prefix: "/registry/pods/".into(), selectable: FIELDS.to_vec() },
        Kind { prefix: "/registry/nodes/".into(), selectable: Vec::new() },
    ]
}

async fn cache() -> (Arc<Memory>, Arc<Cache>) {
    let memory = Memory::new();
    let cache = Cache::start(memory.clone(), kinds());
    cache.ready().await;
    (memory, cache)
}

async fn write(memory: &Memory, name: &str, node: &str, label: &str) -> i64 {
    let pod = json!({"kind": "Pod", "metadata": {"name": name, "labels": {"x": label}}, "spec": {"nodeName": node}});
    let put = Op::Put {
        key: format!("/registry/pods/default/{name}"),
        value: api::meta::encode(&pod).into(),
        time_to_live: None,
    };
    memory.commit(&[], vec![put]).await.unwrap();
    memory.revision().await.unwrap()
}

async fn delete(memory: &Memory, name: &str) {
    memory.commit(&[], vec![Op::Delete { key: format!("/registry/pods/default/{name}") }]).await.unwrap();
}

fn filter(labels: &str, fields: &str) -> Filter {
    let labels: Selector = labels.parse().unwrap();
    let fields: FieldSelector = fields.parse().unwrap();
    Filter::new("", "", labels, &fields, &FIELDS).unwrap()
}

async fn next(watcher: &mut storage::Watcher) -> (EventType, String, i64) {
    let events = tokio::time::timeout(Duration::from_secs(5), watcher.next(1)).await.expect("an event");
    let (kind, event) = events.first().expect("the watch goes on");
    (*kind, event.key().to_owned(), event.revision)
}

#[tokio::test]
async fn a_caught_up_read_sees_every_answered_write() {
    let (memory, cache) = cache().await;
    for n in 0..200 {
        let name = format!("p{n}");
        let revision = write(&memory, &name, "", "").await;
        assert!(cache.catch_up().await.unwrap() >= revision);
        let entry = cache.get(PODS, &format!("default/{name}")).expect("fresh");
        assert_eq!(entry.revision, revision);
        assert!(std::str::from_utf8(&entry.bytes).unwrap().contains(&format!("\"resourceVersion\":\"{revision}\"")));
    }
    // A key that is none of ours moves the revision as well.
    memory
        .commit(
            &[Guard::Absent("/other".into())],
            vec![Op::Put { key: "/other".into(), value: "x".into(), time_to_live: None }],
        )
        .await
        .unwrap();
    cache.catch_up().await.unwrap();
    let list = cache.list(PODS, &Filter::default());
    assert_eq!((list.entries.len(), list.revision), (200, memory.revision().await.unwrap()));
}

#[tokio::test]
async fn watchers_by_node_see_pods_come_and_go() {
    let (memory, cache) = cache().await;
    let mut on_a = cache.list_and_watch(PODS, filter("", "spec.nodeName=a")).1;
    let mut on_b = cache.list_and_watch(PODS, filter("", "spec.nodeName=b")).1;
    let mut red = cache.list_and_watch(PODS, filter("x=red", "")).1;
    write(&memory, "p", "", "red").await;
    write(&memory, "p", "a", "red").await;
    write(&memory, "p", "a", "blue").await;
    write(&memory, "p", "b", "blue").await;
    delete(&memory, "p").await;
    let short = |event: (EventType, String, i64)| event.0;
    use EventType::{Added, Deleted, Modified};
    for expected in [Added, Modified, Deleted] {
        assert_eq!(short(next(&mut on_a).await), expected);
    }
    for expected in [Added, Deleted] {
        assert_eq!(short(next(&mut on_b).await), expected);
    }
    for expected in [Added, Modified, Deleted] {
        assert_eq!(short(next(&mut red).await), expected);
    }
}

#[tokio::test]
async fn a_watch_begins_anywhere_in_history_and_nowhere_before_it() {
    let (memory, cache) = cache().await;
    let mut revisions = Vec::new();
    for n in 0..5 {
        revisions.push(write(&memory, &format!("p{n}"), "", "").await);
    }
    cache.catch_up().await.unwrap();
    let mut watcher = cache.watch(PODS, Filter::default(), revisions[2]).unwrap();
    assert_eq!(next(&mut watcher).await.2, revisions[3]);
    assert_eq!(next(&mut watcher).await.2, revisions[4]);
    assert!(matches!(cache.watch(PODS, Filter::default(), 0), Err(CacheError::Expired { .. })));
    // More changes than are remembered.
    for _ in 0..10_050 {
        write(&memory, "p0", "", "").await;
    }
    cache.catch_up().await.unwrap();
    assert!(matches!(cache.watch(PODS, Filter::default(), revisions[2]), Err(CacheError::Expired { .. })));
}

#[tokio::test]
async fn a_slow_watcher_is_closed_and_nobody_waits_for_it() {
    let (memory, cache) = cache().await;
    let mut slow = cache.list_and_watch(PODS, Filter::default()).1;
    let mut other = cache.list_and_watch(PODS, filter("", "metadata.name=q")).1;
    for _ in 0..17_000 {
        write(&memory, "p", "", "").await;
    }
    write(&memory, "q", "", "").await;
    assert_eq!(next(&mut other).await.1, "default/q");
    assert!(slow.next(1).await.is_empty());
}

#[tokio::test]
async fn watchers_see_what_happened_during_an_outage_even_when_history_was_compacted() {
    let (memory, cache) = cache().await;
    write(&memory, "stays", "", "").await;
    write(&memory, "goes", "", "").await;
    cache.catch_up().await.unwrap();
    let (list, mut watcher) = cache.list_and_watch(PODS, Filter::default());
    assert_eq!(list.entries.len(), 2);
    memory.set_available(false);
    assert!(matches!(cache.catch_up().await, Err(CacheError::Backend(_))));
    // Stale, but there.
    assert!(cache.get(PODS, "default/goes").is_some());
    memory.set_available(true);
    delete(&memory, "goes").await;
    write(&memory, "comes", "", "").await;
    let last = write(&memory, "stays", "n", "").await;
    memory.compact(last).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (kind, key, _) = next(&mut watcher).await;
        seen.push((kind.name(), key));
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            ("ADDED", "default/comes".into()),
            ("DELETED", "default/goes".into()),
            ("MODIFIED", "default/stays".to_owned())
        ]
    );
    cache.catch_up().await.unwrap();
    assert_eq!(cache.list(PODS, &Filter::default()).entries.len(), 2);
}

#[tokio::test]
async fn many_watchers_lose_nothing_under_many_writers() {
    let (memory, cache) = cache().await;
    let mut watchers: Vec<_> = (0..50).map(|_| cache.list_and_watch(PODS, Filter::default()).1).collect();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let memory = memory.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    write(&memory, &format!("p{writer}"), "", "").await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for watcher in &mut watchers {
        let (mut count, mut last) = (0, 0);
        while count < 800 {
            for (_, event) in tokio::time::timeout(Duration::from_secs(10), watcher.next(64)).await.unwrap() {
                assert!(event.revision > last, "in order, each once");
                last = event.revision;
                count += 1;
            }
        }
    }
}
