//! What every backend must do, on the twin in memory and on a real etcd.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use storage::{Backend, Cache, Ended, Error, Etcd, EtcdOptions, EventType, Filter, Guard, Kind, Memory, Op, Outcome};
use testkit::Daemon;
use testkit::process::{free_ports, http_status};

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.into(), value: value.to_owned().into(), time_to_live: None }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

async fn done(backend: &dyn Backend, guards: &[Guard], ops: Vec<Op>) -> i64 {
    match backend.commit(guards, ops).await.unwrap() {
        Outcome::Committed(revision) => revision,
        refused => panic!("{refused:?}"),
    }
}

async fn contract(backend: Arc<dyn Backend>) {
    let backend = &*backend;
    // Guards: only who knows the current state may change it, and learns it when it does not.
    let absent = [Guard::Absent("/t/a".into())];
    let first = done(backend, &absent, vec![put("/t/a", "1"), put("/t/claim", "a")]).await;
    match backend.commit(&absent, vec![put("/t/a", "2")]).await.unwrap() {
        Outcome::Refused(now) => {
            assert_eq!(now[0].as_ref().map(|s| (&s.value[..], s.revision)), Some((&b"1"[..], first)))
        }
        committed => panic!("{committed:?}"),
    }
    assert_eq!(&backend.get("/t/a").await.unwrap().unwrap().value[..], b"1");
    let second = done(backend, &[Guard::Unchanged("/t/a".into(), first)], vec![put("/t/a", "2")]).await;
    assert!(second > first);
    let stale = backend.commit(&[Guard::Unchanged("/t/a".into(), first)], vec![delete("/t/a")]).await.unwrap();
    assert!(matches!(stale, Outcome::Refused(_)));
    // One guard that does not hold refuses everything.
    let both = [Guard::Unchanged("/t/a".into(), second), Guard::Absent("/t/claim".into())];
    assert!(matches!(backend.commit(&both, vec![put("/t/a", "3")]).await.unwrap(), Outcome::Refused(_)));
    assert!(backend.get("/t/none").await.unwrap().is_none());

    // Ranges: in order, in pages, as of any revision that is kept.
    for key in ["/t/c", "/t/b", "/u/x"] {
        done(backend, &[], vec![put(key, key)]).await;
    }
    let page = backend.range("/t/", "/t0", 2, 0).await.unwrap();
    let keys: Vec<&str> = page.items.iter().map(|item| item.key.as_str()).collect();
    assert_eq!((keys, page.more, page.count), (vec!["/t/a", "/t/b"], true, 4));
    let now = backend.revision().await.unwrap();
    assert_eq!(page.revision, now);
    done(backend, &[], vec![delete("/t/b")]).await;
    let then = backend.range("/t/", "/t0", 0, now).await.unwrap();
    assert_eq!((then.items.len(), then.revision), (4, now));

    // Watches: every change from a revision on, those of one transaction together.
    let mut watch = backend.watch(now + 1).await.unwrap();
    let last = done(backend, &[], vec![put("/t/d", "d"), delete("/t/c")]).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, _, revision)| *revision < last) {
        for change in watch.recv().await.unwrap().unwrap().changes {
            seen.push((change.key, change.value.is_some(), change.revision));
        }
    }
    let mut keys: Vec<(&str, bool)> = seen.iter().map(|(key, put, _)| (key.as_str(), *put)).collect();
    keys[1..].sort_unstable();
    assert_eq!(keys, [("/t/b", false), ("/t/c", false), ("/t/d", true)]);

    // What is compacted is gone; compacting twice is fine.
    backend.compact(last).await.unwrap();
    backend.compact(last).await.unwrap();
    assert!(matches!(backend.range("/t/", "/t0", 0, now).await, Err(Error::Compacted(_))));
    let ended = match backend.watch(now).await {
        Ok(mut watch) => loop {
            match watch.recv().await.unwrap() {
                Ok(batch) => assert!(batch.changes.is_empty(), "{batch:?}"),
                Err(error) => break error,
            }
        },
        Err(error) => error,
    };
    assert!(matches!(ended, Error::Compacted(_)), "{ended}");
}

struct RealEtcd {
    daemon: Daemon,
    port: u16,
}

fn etcd(folder: &Path) -> RealEtcd {
    etcd_of(folder, free_ports::<2>().unwrap(), "first")
}

/// `token`: of two clusters at one address the identifiers differ when this does.
fn etcd_of(folder: &Path, [port, peer]: [u16; 2], token: &str) -> RealEtcd {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let arguments = [
        format!("--data-dir={}", folder.join("data").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        format!("--initial-cluster-token={token}"),
    ];
    std::fs::create_dir_all(folder).unwrap();
    let mut daemon = Daemon::start("etcd", Path::new("etcd"), &arguments, &folder.join("log")).unwrap();
    wait(&mut daemon, port);
    RealEtcd { daemon, port }
}

fn wait(daemon: &mut Daemon, port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    daemon.wait(30, || http_status(address, "/health") == Some(200)).unwrap();
}

fn etcdctl(etcd: &RealEtcd, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("http://127.0.0.1:{}", etcd.port)]).args(arguments);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

async fn connect(etcd: &RealEtcd) -> Arc<Etcd> {
    let endpoints = vec![format!("http://127.0.0.1:{}", etcd.port)];
    Etcd::new(EtcdOptions { endpoints, ..EtcdOptions::default() }).await.unwrap()
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract(Memory::new()).await;
}

#[tokio::test]
async fn etcd_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = etcd(folder.path());
    contract(connect(&etcd).await).await;
}

#[tokio::test(start_paused = true)]
async fn memory_forgets_in_time() {
    let memory = Memory::new();
    memory.commit(&[], vec![Op::Put { key: "/e/1".into(), value: "x".into(), time_to_live: Some(60) }]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(59)).await;
    assert!(memory.get("/e/1").await.unwrap().is_some());
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(memory.get("/e/1").await.unwrap().is_none());
}

#[tokio::test]
async fn etcd_keeps_what_expires_at_least_as_long_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = etcd(folder.path());
    let backend = connect(&etcd).await;
    let expiring = |key: &str| Op::Put { key: key.into(), value: "x".into(), time_to_live: Some(3600) };
    backend.commit(&[], vec![expiring("/e/1")]).await.unwrap();
    backend.commit(&[], vec![expiring("/e/2")]).await.unwrap();
    let etcdctl = |arguments: &[&str]| etcdctl(&etcd, arguments);
    let leases = etcdctl(&["lease", "list"]);
    let ids: Vec<&str> = leases.lines().skip(1).collect();
    assert_eq!(ids.len(), 1, "keys of one minute share a lease: {leases}");
    assert!(etcdctl(&["lease", "timetolive", ids[0]]).contains("granted with TTL(3660s)"));
}

#[tokio::test]
async fn etcd_away_is_an_error_that_names_it_and_the_same_client_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = etcd(folder.path());
    let backend = connect(&etcd).await;
    done(&*backend, &[], vec![put("/t/a", "1")]).await;
    etcd.daemon.kill();
    let error = backend.get("/t/a").await.unwrap_err().to_string();
    assert!(error.contains(&format!("etcd at http://127.0.0.1:{}", etcd.port)), "{error}");
    etcd.daemon.restart().unwrap();
    wait(&mut etcd.daemon, etcd.port);
    for attempt in 0.. {
        match backend.get("/t/a").await {
            Ok(stored) => return assert_eq!(&stored.unwrap().value[..], b"1"),
            Err(error) => assert!(attempt < 100, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_cache_goes_on_after_a_restart_of_etcd_and_notices_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports::<2>().unwrap();
    let mut etcd = etcd_of(&folder.path().join("1"), ports, "first");
    let backend = connect(&etcd).await;
    let pod = |name: &str| put(&format!("/t/{name}"), r#"{"kind":"Pod","metadata":{"name":"p"}}"#);
    done(&*backend, &[], vec![pod("early")]).await;
    let cache = Cache::start(backend.clone());
    let store = cache.add(&Kind { prefix: "/t/".into(), selectable: Vec::new() });
    store.ready().await;
    let (list, mut watcher) = store.list_and_watch(Filter::default());
    assert_eq!(list.entries.len(), 1);
    assert!(!store.unchanged_since(list.revision - 1), "what was deleted before the list leaves no trace");
    // A transaction comes as a whole.
    let names: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
    let revision = done(&*backend, &[], names.iter().map(|name| pod(name)).collect()).await;
    let seen = watcher.next(1).await.unwrap();
    assert!(seen.len() == 100 && seen.iter().all(|(_, event)| event.revision == revision));

    etcd.daemon.kill();
    etcd.daemon.restart().unwrap();
    wait(&mut etcd.daemon, etcd.port);
    for attempt in 0.. {
        match backend.commit(&[], vec![pod("late")]).await {
            Ok(_) => break,
            Err(error) => assert!(attempt < 100, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let seen = watcher.next(1).await.unwrap();
    assert_eq!((seen[0].0, seen[0].1.key()), (EventType::Added, "late"));
    assert_eq!(store.catch_up().await.unwrap(), seen[0].1.revision);

    // First one that was set back, then one that is further on and has another name.
    for (other, (token, writes)) in [("first", 1), ("second", 50)].into_iter().enumerate() {
        etcd.daemon.kill();
        etcd = etcd_of(&folder.path().join(format!("other{other}")), ports, token);
        let direct = connect(&etcd).await;
        for _ in 0..writes {
            done(&*direct, &[], vec![pod("other")]).await;
        }
        let ended = tokio::time::timeout(std::time::Duration::from_secs(30), watcher.next(1)).await.unwrap();
        assert_eq!(ended.unwrap_err(), Ended::Reset);
        let now = store.catch_up().await.unwrap();
        assert_eq!(now, direct.revision().await.unwrap());
        let (list, anew) = store.list_and_watch(Filter::default());
        assert_eq!(list.entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), ["other"]);
        watcher = anew;
    }
}

#[tokio::test]
async fn keys_of_one_lease_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = etcd(folder.path());
    let backend = connect(&etcd).await;
    let cache = Cache::start(backend.clone());
    let store = cache.add(&Kind { prefix: "/e/".into(), selectable: Vec::new() });
    store.ready().await;
    let expiring = |n: usize| Op::Put { key: format!("/e/{n}"), value: "{}".into(), time_to_live: Some(3600) };
    done(&*backend, &[], (0..20).map(expiring).collect()).await;
    store.catch_up().await.unwrap();
    let mut watcher = store.list_and_watch(Filter::default()).1;
    let leases = etcdctl(&etcd, &["lease", "list"]);
    etcdctl(&etcd, &["lease", "revoke", leases.lines().nth(1).unwrap()]);
    let gone = tokio::time::timeout(std::time::Duration::from_secs(30), watcher.next(1)).await.unwrap().unwrap();
    assert_eq!(gone.len(), 20);
    assert!(gone.iter().all(|(kind, event)| *kind == EventType::Deleted && event.revision == gone[0].1.revision));
}
