//! Two processes that compete for one lease.
use std::time::Duration;

use client::{LeaderElection, Timing};
use k8s_openapi::api::coordination::v1::Lease;
use testapi::ApiServer;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

fn candidate(server: &ApiServer, identity: &str) -> LeaderElection {
    LeaderElection::new(
        &server.client("system:kube-scheduler"),
        "kube-system",
        "kube-scheduler",
        identity.to_owned(),
        Timing::default(),
    )
}

async fn holder(server: &ApiServer) -> String {
    server.get::<Lease>("kube-system", "kube-scheduler").await.unwrap().spec.unwrap().holder_identity.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_ends_hands_over_at_once() {
    let (server, never, stop) = (ApiServer::start().await, CancellationToken::new(), CancellationToken::new());
    let first = candidate(&server, "first").acquire(&never).await.unwrap();
    let lost = first.lost();
    let keeping = tokio::spawn(first.keep(stop.clone()));
    // While the first renews, the second waits, however long.
    let waiting = candidate(&server, "second").acquire(&never);
    assert!(timeout(Duration::from_secs(100), waiting).await.is_err());
    assert_eq!(holder(&server).await, "first");
    stop.cancel();
    assert_eq!(keeping.await.unwrap(), Ok(()));
    assert!(lost.is_cancelled());
    let before = Instant::now();
    candidate(&server, "second").acquire(&never).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(3));
    assert_eq!(holder(&server).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_silent_holder_is_waited_for_as_long_as_its_lease() {
    let (server, never) = (ApiServer::start().await, CancellationToken::new());
    let silent = candidate(&server, "silent").acquire(&never).await.unwrap();
    let before = Instant::now();
    candidate(&server, "second").acquire(&never).await.unwrap();
    let waited = before.elapsed().as_secs();
    assert!((14..=18).contains(&waited), "{waited}");
    // It wakes up too late, and does not write.
    let lost = silent.lost();
    assert!(silent.keep(never).await.is_err());
    assert!(lost.is_cancelled());
    assert_eq!(holder(&server).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_can_not_renew_gives_up_before_others_may_take_over() {
    let (server, never) = (ApiServer::start().await, CancellationToken::new());
    let leader = candidate(&server, "leader").acquire(&never).await.unwrap();
    server.set_available(false);
    let before = Instant::now();
    assert!(leader.keep(never).await.is_err());
    assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_a_new_term_begins() {
    let (server, stop) = (ApiServer::start().await, CancellationToken::new());
    let (grant, mut terms) = client::Grant::new();
    let running = tokio::spawn(candidate(&server, "leader").run(grant, || std::future::ready(()), stop.clone()));
    let first = terms.current().await;
    server.set_available(false);
    let before = Instant::now();
    first.cancelled().await;
    server.set_available(true);
    let second = terms.current().await;
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    stop.cancel();
    second.cancelled().await;
    running.await.unwrap();
    assert_eq!(holder(&server).await, "");
}
