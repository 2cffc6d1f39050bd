//! Random interleavings of writes, outages, compactions and watchers that begin anywhere and read at any pace: what a
//! watcher was told, applied to what it began with, is what the store holds, or it was told that it cannot go on.

use crate::common::{Mirror, cache, commit, delete, filter, put, some};
use proptest::prelude::*;
use storage::{Backend, CacheError, Ended, EventType, Filter, Seen, Watcher};

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    /// Several objects at one revision.
    Many(u8),
    /// Far more than the ring holds.
    Flood,
    List(u8),
    Resume(usize),
    Read(usize, usize),
    Bookmark(usize, usize),
    Outage {
        compacted: bool,
    },
    Shut,
    Open,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..6_u8, 0..3_u8).prop_map(|(name, node)| Step::Put(name, node)),
        6 => (0..6_u8).prop_map(Step::Delete),
        3 => (0..3_u8).prop_map(Step::Many),
        1 => Just(Step::Flood),
        4 => (0..4_u8).prop_map(Step::List),
        4 => (0..8_usize).prop_map(Step::Resume),
        8 => (0..8_usize, 1..6_usize).prop_map(|(who, limit)| Step::Read(who, limit)),
        4 => (0..8_usize, 1..6_usize).prop_map(|(who, limit)| Step::Bookmark(who, limit)),
        2 => any::<bool>().prop_map(|compacted| Step::Outage { compacted }),
        2 => Just(Step::Shut),
        3 => Just(Step::Open),
    ];
    proptest::collection::vec(step, 1..60)
}

struct Client {
    filter: Filter,
    watcher: Watcher,
    mirror: Mirror,
    /// The revision from which the client would go on.
    version: i64,
    ended: bool,
}

impl Client {
    fn hear(&mut self, told: Result<Vec<Seen>, Ended>) {
        match told {
            Ok(seen) => {
                for (_, event) in &seen {
                    assert!(event.revision >= self.version, "a bookmark or an event went ahead of what was told");
                    self.version = event.revision;
                }
                self.mirror.apply(&seen);
            }
            Err(ended) => {
                assert_eq!(ended, Ended::Overtaken);
                self.ended = true;
            }
        }
    }

    fn bookmark(&mut self, limit: usize) {
        match self.watcher.bookmark(limit) {
            Ok((seen, revision)) => {
                self.hear(Ok(seen));
                assert!(revision >= self.version);
                self.version = revision;
            }
            Err(ended) => self.hear(Err(ended)),
        }
    }
}

fn wanted(choice: u8) -> Filter {
    match choice {
        0 => Filter::default(),
        1 => filter("", "spec.nodeName=n1"),
        2 => filter("x=2", ""),
        _ => Filter { namespace: "default".into(), name: "p1".into(), ..Filter::default() },
    }
}

async fn run(steps: Vec<Step>) {
    let (gate, cache, store) = cache().await;
    let mut clients: Vec<Client> = Vec::new();
    let key = |name: u8| format!("pods/default/p{name}");
    let write = |name: u8, node: u8| put(&key(name), &format!("n{node}"), &node.to_string());
    for step in steps {
        match step {
            Step::Put(name, node) => drop(commit(&*gate, vec![write(name, node)]).await),
            Step::Delete(name) => drop(commit(&*gate, vec![delete(&key(name))]).await),
            Step::Many(node) => {
                let ops = (0..5).map(|name| if name == node { delete(&key(name)) } else { write(name, node) });
                commit(&*gate, ops.collect()).await;
            }
            Step::Flood => {
                for n in 0..200 {
                    let ops = (10..100).map(|name| write(name, n % 3)).collect();
                    commit(&*gate, ops).await;
                }
            }
            Step::List(choice) => {
                let filter = wanted(choice);
                let (list, watcher) = store.list_and_watch(filter.clone());
                let mirror = Mirror::of(&list);
                clients.push(Client { filter, watcher, mirror, version: list.revision, ended: false });
            }
            Step::Resume(who) if !clients.is_empty() => {
                let at = who % clients.len();
                let client = &mut clients[at];
                match store.watch(client.filter.clone(), client.version) {
                    Ok(watcher) => client.watcher = watcher,
                    Err(CacheError::Expired { .. }) => client.ended = true,
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Read(who, limit) if !clients.is_empty() => {
                let at = who % clients.len();
                let client = &mut clients[at];
                if let (false, Ok(told)) = (
                    client.ended,
                    tokio::time::timeout(std::time::Duration::from_millis(3), client.watcher.next(limit)).await,
                ) {
                    client.hear(told);
                }
            }
            Step::Bookmark(who, limit) if !clients.is_empty() => {
                let at = who % clients.len();
                if !clients[at].ended {
                    clients[at].bookmark(limit);
                }
            }
            Step::Outage { compacted } => {
                gate.set_open(true);
                gate.memory.set_available(false);
                assert!(cache.catch_up().await.is_err());
                gate.memory.set_available(true);
                let revision = commit(&*gate, vec![write(1, 1), delete(&key(2)), write(3, 2)]).await;
                if compacted {
                    gate.memory.compact(revision).await.unwrap();
                }
            }
            Step::Shut => gate.set_open(false),
            Step::Open => {
                gate.set_open(true);
                store.catch_up().await.unwrap();
            }
            Step::Resume(_) | Step::Read(..) | Step::Bookmark(..) => {}
        }
        clients.retain(|client| !client.ended);
    }
    gate.set_open(true);
    let last = store.catch_up().await.unwrap();
    assert_eq!(last, gate.revision().await.unwrap());
    for client in &mut clients {
        while !client.ended && client.version < last {
            client.bookmark(1000);
        }
        if !client.ended {
            assert_eq!(client.mirror, Mirror::of(&store.list(&client.filter)));
        }
    }
    // Everybody still hears what comes next.
    let mut watcher = store.list_and_watch(Filter::default()).1;
    commit(&*gate, vec![write(1, 1), write(2, 1)]).await;
    let seen = some(&mut watcher, 1).await.unwrap();
    assert!(seen.len() == 2 && seen.iter().all(|(kind, _)| *kind != EventType::Deleted));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_watchers_were_told_is_what_the_store_holds(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps));
    }
}
