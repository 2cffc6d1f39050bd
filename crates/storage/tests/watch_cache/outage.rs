//! The watch cache when the store goes away, forgets, or is another one.

use crate::common::{Mirror, cache, commit, delete, filter, next, put, some, write};
use storage::{Backend, CacheError, Ended, EventType, Filter};

#[tokio::test]
async fn watchers_see_what_happened_during_an_outage_even_when_history_was_compacted() {
    for compacted in [false, true] {
        let (gate, cache, store) = cache().await;
        write(&*gate, "stays", "", "").await;
        write(&*gate, "goes", "", "").await;
        write(&*gate, "goes too", "", "").await;
        let before = cache.catch_up().await.unwrap();
        let (list, mut watcher) = store.list_and_watch(Filter::default());
        let mut mirror = Mirror::of(&list);
        gate.memory.set_available(false);
        assert!(matches!(cache.catch_up().await, Err(CacheError::Backend(_))));
        // Stale, but there.
        assert!(store.get("default/goes").is_some());
        gate.memory.set_available(true);
        commit(&*gate, vec![delete("pods/default/goes")]).await;
        commit(&*gate, vec![delete("pods/default/goes too")]).await;
        write(&*gate, "comes", "", "").await;
        write(&*gate, "stays", "n", "").await;
        let last = commit(&*gate, vec![put("other/x", "", "")]).await;
        if compacted {
            gate.memory.compact(last).await.unwrap();
        }
        // Nothing is said to be fresh before what was missed is there.
        assert_eq!(store.catch_up().await.unwrap(), last);
        assert_eq!(store.list(&Filter::default()).entries.len(), 2);
        let (seen, revision) = watcher.bookmark(100).unwrap();
        assert_eq!((seen.len(), revision), (4, last));
        if compacted {
            let revisions: Vec<i64> = seen.iter().map(|(_, event)| event.revision).collect();
            assert!(revisions.is_sorted() && revisions[..2].iter().all(|revision| *revision < last), "{revisions:?}");
            assert!(seen[2..].iter().all(|(kind, event)| *kind == EventType::Deleted && event.revision == last));
            // Nobody can go on from the middle of what was told in one leap.
            assert!(matches!(store.watch(Filter::default(), revisions[1]), Err(CacheError::Expired { .. })));
            assert!(!store.unchanged_since(before));
            assert!(store.watch(Filter::default(), last).is_ok());
        }
        mirror.apply(&seen);
        assert_eq!(mirror, Mirror::of(&store.list(&Filter::default())));
    }
}

#[tokio::test]
async fn watchers_of_an_empty_kind_hear_of_what_came_while_etcd_was_away() {
    let (gate, cache, store) = cache().await;
    let mut watcher = store.list_and_watch(Filter::default()).1;
    gate.memory.set_available(false);
    assert!(cache.catch_up().await.is_err());
    gate.memory.set_available(true);
    let revision = write(&*gate, "p", "", "").await;
    gate.memory.compact(revision).await.unwrap();
    assert_eq!(next(&mut watcher).await, (EventType::Added, "default/p".into(), revision));
}

#[tokio::test]
async fn another_etcd_or_a_backup_ends_all_watches_and_is_read_anew() {
    for (cluster, forward) in [(1, 0), (2, 0), (2, 50)] {
        let (gate, cache, store) = cache().await;
        let kept = write(&*gate, "kept", "n", "").await;
        write(&*gate, "lost", "n", "").await;
        let was = write(&*gate, "lost", "n", "").await;
        cache.catch_up().await.unwrap();
        let mut watchers = [
            store.list_and_watch(Filter::default()).1,
            store.list_and_watch(filter("", "spec.nodeName=n")).1,
            store.list_and_watch(filter("", "metadata.name=none")).1,
        ];
        gate.memory.restore(kept, cluster);
        // The other store may even be further than the one before.
        for n in 0..forward {
            write(&*gate, &format!("new{n}"), "", "").await;
        }
        let now = store.catch_up().await.unwrap();
        assert_eq!(now, kept + forward);
        let list = store.list(&Filter::default());
        assert_eq!((list.revision, list.entries.len() as i64), (now, 1 + forward));
        for watcher in &mut watchers {
            assert_eq!(some(watcher, 1).await.unwrap_err(), Ended::Reset);
            assert_eq!(watcher.bookmark(1).unwrap_err(), Ended::Reset);
        }
        assert!(matches!(store.watch(Filter::default(), kept - 1), Err(CacheError::Expired { .. })));
        let mut watcher = store.watch(Filter::default(), now).unwrap();
        let revision = write(&*gate, "kept", "", "").await;
        assert_eq!(next(&mut watcher).await, (EventType::Modified, "default/kept".into(), revision));
        assert!(cache.revision() <= was.max(now) + 1);
    }
}

#[tokio::test]
async fn a_reader_notices_another_etcd_before_the_watch_does() {
    let (gate, cache, store) = cache().await;
    let kept = write(&*gate, "kept", "", "").await;
    write(&*gate, "lost", "", "").await;
    cache.catch_up().await.unwrap();
    gate.set_open(false);
    // The watch hangs; only the answer to a reader's question tells.
    gate.memory.restore(kept, 7);
    assert_eq!(store.catch_up().await.unwrap(), kept);
    assert!(store.get("default/lost").is_none());
    gate.set_open(true);
    let revision = write(&*gate, "p", "", "").await;
    assert_eq!(store.catch_up().await.unwrap(), revision);
    assert!(store.get("default/p").is_some());
    assert_eq!(gate.revision().await.unwrap(), revision);
}
