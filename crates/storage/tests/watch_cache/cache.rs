//! The watch cache over the twin in memory: freshness, history, watchers, stores that come and go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{Gate, Mirror, cache, commit, delete, filter, kind, next, pods, put, some, write};
use storage::{Backend, Cache, CacheError, Ended, EventType, Filter};

#[tokio::test]
async fn a_caught_up_read_sees_every_answered_write() {
    let (gate, cache, store) = cache().await;
    for n in 0..200 {
        let name = format!("p{n}");
        let revision = write(&*gate, &name, "", "").await;
        assert!(store.catch_up().await.unwrap() >= revision);
        let entry = store.get(&format!("default/{name}")).expect("fresh");
        assert_eq!(entry.revision, revision);
        assert!(std::str::from_utf8(&entry.bytes).unwrap().contains(&format!("\"resourceVersion\":\"{revision}\"")));
    }
    // A key that is none of ours moves the revision as well.
    let revision = commit(&*gate, vec![put("other/x", "", "")]).await;
    assert_eq!(cache.catch_up().await.unwrap(), revision);
    let list = store.list(&Filter::default());
    assert_eq!((list.entries.len(), list.revision), (200, revision));
}

#[tokio::test]
async fn many_readers_share_questions_and_each_sees_the_writes_before_it() {
    let (gate, _cache, store) = cache().await;
    let readers: Vec<_> = (0..50)
        .map(|reader| {
            let (gate, store) = (gate.clone(), store.clone());
            tokio::spawn(async move {
                for n in 0..40 {
                    let name = format!("r{reader}-{n}");
                    let revision = write(&*gate, &name, "", "").await;
                    assert!(store.catch_up().await.unwrap() >= revision);
                    assert!(store.get(&format!("default/{name}")).is_some());
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn watchers_by_node_name_and_namespace_see_pods_come_and_go() {
    use EventType::{Added, Deleted, Modified};
    let (gate, _cache, store) = cache().await;
    let by_namespace = Filter { namespace: "default".into(), ..Filter::default() };
    let by_key = Filter { name: "p".into(), ..by_namespace.clone() };
    let mut watchers = [
        (filter("", "spec.nodeName=a"), vec![Added, Modified, Deleted]),
        (filter("", "spec.nodeName=b"), vec![Added, Deleted]),
        (filter("x=red", ""), vec![Added, Modified, Deleted]),
        (filter("", "metadata.name=p"), vec![Added, Modified, Modified, Modified, Deleted]),
        (by_key, vec![Added, Modified, Modified, Modified, Deleted]),
        (by_namespace, vec![Added, Added, Modified, Modified, Modified, Deleted]),
        (Filter::default(), vec![Added, Added, Added, Modified, Modified, Modified, Deleted]),
    ]
    .map(|(filter, expected)| (store.list_and_watch(filter).1, expected));
    commit(&*gate, vec![put("pods/elsewhere/q", "c", "")]).await;
    write(&*gate, "q", "c", "").await;
    for (node, label) in [("", "red"), ("a", "red"), ("a", "blue"), ("b", "blue")] {
        write(&*gate, "p", node, label).await;
    }
    commit(&*gate, vec![delete("pods/default/p")]).await;
    for (at, (watcher, expected)) in watchers.iter_mut().enumerate() {
        for kind in expected {
            assert_eq!(next(watcher).await.0, *kind, "watcher {at}");
        }
        assert!(watcher.bookmark(10).unwrap().0.is_empty(), "watcher {at}");
    }
}

#[tokio::test]
async fn a_watch_begins_anywhere_in_history_and_nowhere_before_it() {
    let (gate, _cache, store) = cache().await;
    let mut revisions = Vec::new();
    for n in 0..5 {
        revisions.push(write(&*gate, &format!("p{n}"), "n", "").await);
    }
    store.catch_up().await.unwrap();
    for wanted in [Filter::default(), filter("", "spec.nodeName=n")] {
        let mut watcher = store.watch(wanted.clone(), revisions[2]).unwrap();
        assert_eq!(next(&mut watcher).await.2, revisions[3]);
        assert_eq!(next(&mut watcher).await.2, revisions[4]);
        // From a revision that is still to come.
        let later = gate.revision().await.unwrap() + 1;
        let mut watcher = store.watch(wanted.clone(), later).unwrap();
        write(&*gate, "p0", "n", "").await;
        let wanted_revision = write(&*gate, "p0", "n", "").await;
        assert_eq!(next(&mut watcher).await.2, wanted_revision);
        assert!(matches!(store.watch(wanted, 0), Err(CacheError::Expired { .. })));
    }
    // More changes than are remembered.
    for _ in 0..16 * 1024 {
        write(&*gate, "p0", "", "").await;
    }
    store.catch_up().await.unwrap();
    assert!(matches!(store.watch(Filter::default(), revisions[2]), Err(CacheError::Expired { .. })));
}

/// Changes of a burst are told of with the next pulse: to those as well whose watch begins before it.
#[tokio::test]
async fn a_watch_that_begins_before_the_pulse_of_a_change_is_told_of_it() {
    let (gate, _cache, store) = cache().await;
    for _ in 0..50 {
        let first = write(&*gate, "p", "n", "").await;
        let second = write(&*gate, "p", "n", "").await;
        store.catch_up().await.unwrap();
        for wanted in [Filter::default(), filter("", "spec.nodeName=n")] {
            assert_eq!(next(&mut store.watch(wanted, first).unwrap()).await.2, second);
        }
    }
}

#[tokio::test]
async fn a_slow_watcher_is_overtaken_and_nobody_waits_for_it() {
    let (gate, _cache, store) = cache().await;
    let mut slow = store.list_and_watch(Filter::default()).1;
    let mut slow_by_node = store.list_and_watch(filter("", "spec.nodeName=n")).1;
    let mut slow_at_bookmark = store.list_and_watch(Filter::default()).1;
    let (start, mut fast) = store.list_and_watch(Filter::default());
    let mut idle = store.list_and_watch(filter("", "metadata.name=q")).1;
    let mut mirror = Mirror::of(&start);
    for _ in 0..170 {
        for _ in 0..100 {
            write(&*gate, "p", "n", "").await;
        }
        mirror.apply(&some(&mut fast, 10_000).await.unwrap());
    }
    let last = write(&*gate, "q", "", "").await;
    assert_eq!(next(&mut idle).await.1, "default/q");
    // A bookmark that is due when the watcher has been overtaken must not say that it was told anything.
    assert_eq!(slow_at_bookmark.bookmark(10).unwrap_err(), Ended::Overtaken);
    assert_eq!(some(&mut slow, 1).await.unwrap_err(), Ended::Overtaken);
    assert_eq!(some(&mut slow_by_node, 1).await.unwrap_err(), Ended::Overtaken);
    assert_eq!(store.figures().overtaken, 3);
    while mirror.0.len() < 2 {
        mirror.apply(&some(&mut fast, 10_000).await.unwrap());
    }
    assert_eq!(mirror, Mirror::of(&store.list(&Filter::default())));
    assert_eq!(fast.bookmark(10).unwrap().1, last);
}

#[tokio::test]
async fn a_bookmark_says_what_was_really_told() {
    let (gate, _cache, store) = cache().await;
    for wanted in [Filter::default(), filter("", "spec.nodeName=n"), filter("x=none", "")] {
        let (list, mut watcher) = store.list_and_watch(wanted.clone());
        assert_eq!(watcher.bookmark(10).unwrap().1, list.revision);
        let mut revisions = Vec::new();
        for _ in 0..5 {
            revisions.push(write(&*gate, "p", "n", "").await);
        }
        let other = commit(&*gate, vec![put("other/x", "", "")]).await;
        store.catch_up().await.unwrap();
        if wanted.labels.is_everything() {
            for two in revisions[..4].chunks(2) {
                let (seen, revision) = watcher.bookmark(2).unwrap();
                assert_eq!(seen.iter().map(|(_, event)| event.revision).collect::<Vec<_>>(), two);
                assert_eq!(revision, two[1]);
            }
            assert_eq!(next(&mut watcher).await.2, revisions[4]);
        }
        let (seen, revision) = watcher.bookmark(2).unwrap();
        assert!(seen.is_empty());
        assert_eq!(revision, other, "what concerns nobody here moves bookmarks as well");
    }
}

#[tokio::test]
async fn changes_of_one_revision_are_seen_together_or_not_at_all() {
    let (gate, _cache, store) = cache().await;
    let names: Vec<String> = (0..50).map(|n| format!("pods/default/p{n}")).collect();
    let mut watcher = store.list_and_watch(Filter::default()).1;
    let reader = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                let (list, mut watcher) = store.list_and_watch(Filter::default());
                assert!(matches!(list.entries.len(), 0 | 50), "{}", list.entries.len());
                assert!(list.entries.windows(2).all(|pair| pair[0].revision == pair[1].revision));
                let (seen, _) = watcher.bookmark(1).unwrap();
                assert!(seen.is_empty() || seen.len() == 50);
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..100 {
        // As when a lease expires: all of its keys go at one revision.
        for ops in
            [names.iter().map(|name| put(name, "", "")).collect(), names.iter().map(|name| delete(name)).collect()]
        {
            let revision = commit(&*gate, ops).await;
            let seen = some(&mut watcher, 1).await.unwrap();
            assert_eq!(seen.len(), 50, "who got a part of a revision could not go on from it");
            assert!(seen.iter().all(|(_, event)| event.revision == revision));
        }
    }
    assert!(!reader.is_finished());
    reader.abort();
}

#[tokio::test]
async fn history_is_known_only_from_where_the_cache_began() {
    let gate = Gate::new();
    let before = write(&*gate, "p", "", "").await;
    commit(&*gate, vec![delete("pods/default/p")]).await;
    let start = write(&*gate, "q", "", "").await;
    let cache = Cache::start(gate.clone());
    let store = cache.add(&pods());
    assert!(!store.unchanged_since(start), "nothing is known yet");
    cache.ready().await;
    // As after a restart: what was deleted before leaves no trace.
    assert!(!store.unchanged_since(before) && store.unchanged_since(start));
    assert!(!store.unchanged_since(start + 1), "not there yet");
    let other = commit(&*gate, vec![put("other/x", "", "")]).await;
    cache.catch_up().await.unwrap();
    assert!(store.unchanged_since(start) && store.unchanged_since(other));
    let gone = commit(&*gate, vec![delete("pods/default/q")]).await;
    cache.catch_up().await.unwrap();
    assert!(!store.unchanged_since(other) && store.unchanged_since(gone));
    assert!(matches!(store.watch(Filter::default(), start - 1), Err(CacheError::Expired { .. })));
}

#[tokio::test]
async fn a_store_that_is_added_while_others_write_lacks_nothing_and_tells_nothing_twice() {
    let (gate, cache, _pods) = cache().await;
    for n in 0..20 {
        let plural = format!("kind{n}");
        commit(&*gate, vec![put(&format!("{plural}/early"), "", ""), put(&format!("{plural}/goes"), "", "")]).await;
        let listed = gate.lists.load(Ordering::SeqCst);
        gate.set_lists_open(false);
        // Half of the time the watch is behind what the list says, half of the time it is ahead.
        gate.set_open(n % 2 == 0);
        commit(&*gate, vec![put(&format!("{plural}/early"), "x", "")]).await;
        let store = cache.add(&kind(&plural));
        while gate.lists.load(Ordering::SeqCst) == listed {
            tokio::task::yield_now().await;
        }
        commit(&*gate, vec![put(&format!("{plural}/late"), "", "")]).await;
        let gone = commit(&*gate, vec![delete(&format!("{plural}/goes"))]).await;
        if n % 2 == 0 {
            cache.wait_for(gone).await.unwrap();
        }
        assert!(!store.is_ready() && !cache.is_ready());
        gate.set_lists_open(true);
        store.ready().await;
        let (list, mut watcher) = store.list_and_watch(Filter::default());
        let mut mirror = Mirror::of(&list);
        gate.set_open(true);
        let last = commit(&*gate, vec![put(&format!("{plural}/late"), "y", "")]).await;
        store.wait_for(last).await.unwrap();
        let (seen, revision) = watcher.bookmark(100).unwrap();
        mirror.apply(&seen);
        assert_eq!(revision, last);
        assert_eq!(mirror.0.keys().collect::<Vec<_>>(), ["early", "late"]);
        assert_eq!(mirror, Mirror::of(&store.list(&Filter::default())));
        let mut ends = store.list_and_watch(filter("", "spec.nodeName=y")).1;
        cache.remove(&store);
        assert_eq!(some(&mut watcher, 1).await.unwrap_err(), Ended::Removed);
        assert_eq!(some(&mut ends, 1).await.unwrap_err(), Ended::Removed);
    }
    assert!(cache.is_ready());
}

#[tokio::test]
async fn a_store_that_is_defined_anew_takes_the_place_of_the_old_one() {
    let (gate, cache, old) = cache().await;
    write(&*gate, "p", "n", "").await;
    old.catch_up().await.unwrap();
    let mut watcher = old.list_and_watch(Filter::default()).1;
    let new = cache.add(&storage::Kind { selectable: vec!["metadata.name".into()], ..pods() });
    assert_eq!(some(&mut watcher, 1).await.unwrap_err(), Ended::Removed);
    cache.remove(&old);
    write(&*gate, "q", "n", "").await;
    new.catch_up().await.unwrap();
    let fields: Vec<String> = new.list(&Filter::default()).entries.iter().map(|e| e.fields[0].to_string()).collect();
    assert_eq!(fields, ["p", "q"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_watchers_lose_nothing_under_many_writers() {
    let (gate, _cache, store) = cache().await;
    let watchers: Vec<_> = (0..50).map(|_| store.list_and_watch(Filter::default()).1).collect();
    let tasks: Vec<_> = watchers
        .into_iter()
        .enumerate()
        .map(|(at, mut watcher)| {
            tokio::spawn(async move {
                let (mut count, mut last) = (0, 0);
                while count < 800 {
                    for (_, event) in some(&mut watcher, 64).await.unwrap() {
                        assert!(event.revision > last, "in order, each once");
                        last = event.revision;
                        count += 1;
                    }
                    if at == 0 {
                        // A slow reader among fast ones.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let gate: Arc<Gate> = gate.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    write(&*gate, &format!("p{writer}"), "", "").await;
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(tasks) {
        task.await.unwrap();
    }
}
