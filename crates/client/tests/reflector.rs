//! A reflector against a peer whose connection, revisions and objects change under it.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use client::{Change, Client, Reflector, Store, testing::Peer};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use tokio_util::sync::CancellationToken;
use tonic::Status;

fn config(name: &str, value: &str) -> ConfigMap {
    let metadata = ObjectMeta { namespace: Some("default".into()), name: Some(name.into()), ..Default::default() };
    ConfigMap { metadata, data: Some([("key".to_owned(), value.to_owned())].into()), ..Default::default() }
}

type Seen = Arc<Mutex<Vec<String>>>;

/// A running reflector and what its handler has seen.
fn start(client: &Client) -> (Store<ConfigMap>, Seen) {
    let values = |object: &ConfigMap| object.data.iter().flatten().map(|(_, value)| value.clone()).collect();
    let reflector = Reflector::<ConfigMap>::new(client).index("value", values);
    let (store, seen) = (reflector.store(), Seen::default());
    let log = seen.clone();
    store.on_change(move |change| {
        let name = change.object().metadata.name.clone().unwrap();
        log.lock().unwrap().push(match change {
            Change::Added(_) => format!("+{name}"),
            Change::Modified { .. } => format!("~{name}"),
            Change::Deleted(_) => format!("-{name}"),
        });
    });
    tokio::spawn(reflector.run(CancellationToken::new()));
    (store, seen)
}

fn take(seen: &Seen) -> Vec<String> {
    std::mem::take(&mut seen.lock().unwrap())
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn mirrors_and_indexes() {
    let peer = Peer::new();
    peer.put(&config("a", "x"));
    peer.put(&config("b", "x"));
    let (store, seen) = start(&peer.client());
    store.wait_synced().await;
    assert_eq!(store.by_index("value", "x").len(), 2);
    peer.put(&config("a", "y"));
    peer.remove::<ConfigMap>("default", "b");
    settle().await;
    assert_eq!(take(&seen), ["+a", "+b", "~a", "-b"]);
    assert_eq!(store.by_index("value", "x").len(), 0);
    assert_eq!(store.by_index("value", "y")[0].metadata.name.as_deref(), Some("a"));
    assert_eq!(store.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn resumes_from_the_last_revision() {
    let peer = Peer::new();
    peer.put(&config("a", "x"));
    let (store, seen) = start(&peer.client());
    store.wait_synced().await;
    peer.break_watches();
    peer.put(&config("b", "x"));
    settle().await;
    assert_eq!(take(&seen), ["+a", "+b"]);
    assert_eq!(peer.calls(), ["watch configmaps 0", "watch configmaps 1"]);
}

#[tokio::test(start_paused = true)]
async fn lists_again_when_the_revision_is_gone_and_tells_the_difference() {
    let peer = Peer::new();
    for name in ["a", "b", "c"] {
        peer.put(&config(name, "x"));
    }
    let (store, seen) = start(&peer.client());
    store.wait_synced().await;
    take(&seen);
    peer.break_watches();
    peer.remove::<ConfigMap>("default", "a");
    peer.put(&config("b", "y"));
    peer.put(&config("d", "x"));
    peer.compact();
    settle().await;
    let mut seen = take(&seen);
    seen.sort();
    // c has not changed.
    assert_eq!(seen, ["+d", "-a", "~b"]);
    assert_eq!(peer.calls(), ["watch configmaps 0", "watch configmaps 3", "watch configmaps 0"]);
}

#[tokio::test(start_paused = true)]
async fn backs_off_while_nobody_answers() {
    let peer = Peer::new();
    peer.put(&config("a", "x"));
    for _ in 0..10 {
        peer.fail("watch", Status::unavailable("down"));
    }
    let before = tokio::time::Instant::now();
    let (store, _) = start(&peer.client());
    store.wait_synced().await;
    // 0.05 + 0.1 + … + 1.6 + 2 + 2 + 2 + 2
    assert_eq!(before.elapsed().as_millis() / 100, 111);
}
