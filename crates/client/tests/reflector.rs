//! A reflector against a server whose connection, revisions and objects change under it.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use client::{Change, Client, Reflector, Store};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use testapi::{ApiServer, refused};
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
    let server = ApiServer::start().await;
    server.put(&config("a", "x")).await;
    server.put(&config("b", "x")).await;
    let (store, seen) = start(&server.admins_client());
    store.wait_synced().await;
    assert_eq!(store.by_index("value", "x").len(), 2);
    server.put(&config("a", "y")).await;
    server.remove::<ConfigMap>("default", "b").await;
    settle().await;
    assert_eq!(take(&seen), ["+a", "+b", "~a", "-b"]);
    assert_eq!(store.by_index("value", "x").len(), 0);
    assert_eq!(store.by_index("value", "y")[0].metadata.name.as_deref(), Some("a"));
    assert_eq!(store.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn resumes_from_the_last_revision() {
    let server = ApiServer::start().await;
    let revision = server.put(&config("a", "x")).await.metadata.resource_version.unwrap();
    let (store, seen) = start(&server.admins_client());
    store.wait_synced().await;
    server.break_watches();
    server.put(&config("b", "x")).await;
    settle().await;
    assert_eq!(take(&seen), ["+a", "+b"]);
    assert_eq!(server.calls(), ["watch configmaps 0".to_owned(), format!("watch configmaps {revision}")]);
}

#[tokio::test(start_paused = true)]
async fn lists_again_when_the_revision_is_gone_and_tells_the_difference() {
    let server = ApiServer::start().await;
    let mut last = String::new();
    for name in ["a", "b", "c"] {
        last = server.put(&config(name, "x")).await.metadata.resource_version.unwrap();
    }
    let (store, seen) = start(&server.admins_client());
    store.wait_synced().await;
    take(&seen);
    server.break_watches();
    server.remove::<ConfigMap>("default", "a").await;
    server.put(&config("b", "y")).await;
    server.put(&config("d", "x")).await;
    server.fail("watch", refused(api::status::Status::expired("too old resource version")));
    settle().await;
    let mut seen = take(&seen);
    seen.sort();
    // c has not changed.
    assert_eq!(seen, ["+d", "-a", "~b"]);
    assert_eq!(server.calls(), ["watch configmaps 0", &*format!("watch configmaps {last}"), "watch configmaps 0"]);
}

/// Who decides by the mirror after an outage decides by all that was missed.
#[tokio::test(start_paused = true)]
async fn lives_again_only_when_what_was_missed_is_there() {
    let server = ApiServer::start().await;
    server.put(&config("a", "x")).await;
    let (store, _) = start(&server.admins_client());
    store.wait_live().await;
    server.lag(Duration::from_secs(5));
    server.break_watches();
    server.put(&config("b", "x")).await;
    while store.is_live() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.wait_live().await;
    assert_eq!(store.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn backs_off_while_nobody_answers() {
    let server = ApiServer::start().await;
    server.put(&config("a", "x")).await;
    for _ in 0..10 {
        server.fail("watch", Status::unavailable("down"));
    }
    let before = tokio::time::Instant::now();
    let (store, _) = start(&server.admins_client());
    store.wait_synced().await;
    // 0.05 + 0.1 + … + 1.6 + 2 + 2 + 2 + 2
    assert_eq!(before.elapsed().as_millis() / 100, 111);
}
