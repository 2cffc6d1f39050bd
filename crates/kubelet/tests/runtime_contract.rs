//! What every runtime has to keep, on the fake one and on the real Docker Engine.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Place, on_docker};
use futures::StreamExt;
use kubelet::pod::PodRef;
use kubelet::runtime::fake::Fake;
use kubelet::runtime::{
    ContainerConfig, Dns, Event, EventKind, Identity, LogQuery, Network, Resources, Runtime, RuntimeError, Security,
    State,
};

fn config(place: &Place, container: &str, network: Network) -> ContainerConfig {
    let pod = PodRef { namespace: "default".into(), name: "p".into(), uid: format!("uid-{}", place.node) };
    ContainerConfig {
        name: kubelet::names::docker_name(container, "00000000", &pod),
        identity: Identity {
            pod,
            container: container.into(),
            hash: "00000000".into(),
            restart_count: 2,
            backoff: Duration::from_secs(20),
            grace_seconds: 7,
        },
        image: "busybox".into(),
        command: ["sleep", "1000"].map(String::from).into(),
        args: Vec::new(),
        env: vec![("A".into(), "b c".into())],
        working_dir: None,
        hostname: matches!(network, Network::Pod(_)).then(|| "p".into()),
        tty: false,
        stdin: false,
        stdin_once: false,
        network,
        pid_of: None,
        ports: Vec::new(),
        hosts: Vec::new(),
        dns: Dns::default(),
        mounts: Vec::new(),
        resources: Resources::default(),
        security: Security::default(),
    }
}

async fn next(events: &mut (impl StreamExt<Item = Result<Event, RuntimeError>> + Unpin)) -> (EventKind, String) {
    let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time");
    let event = event.expect("the stream goes on").expect("an event");
    (event.kind, event.id)
}

async fn life_of_a_container(place: Place, runtime: Arc<dyn Runtime>) {
    runtime.ensure_network(&place.network, &place.cidr).await.unwrap();
    runtime.ensure_network(&place.network, &place.cidr).await.expect("once more is no harm");
    runtime.pull("busybox:latest").await.unwrap();
    assert!(runtime.image("busybox").await.unwrap().is_some());
    assert_eq!(runtime.image("busybox:none").await.unwrap(), None);
    let mut events = runtime.events().await.unwrap();

    let config = config(&place, "POD", Network::Pod(place.network.clone()));
    let id = runtime.create(&config).await.unwrap();
    let made = runtime.inspect(&id).await.unwrap().unwrap();
    assert_eq!((made.identity.clone(), made.state.clone()), (config.identity.clone(), State::Created));
    runtime.start(&id).await.unwrap();
    assert_eq!(next(&mut events).await, (EventKind::Started, id.clone()));
    let running = runtime.inspect(&id).await.unwrap().unwrap();
    assert!(running.is_running() && running.ip.is_some() && running.image == "busybox", "{running:?}");
    let listed = runtime.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].id, &listed[0].identity, listed[0].running), (&id, &config.identity, true));

    let member = self::config(&place, "a", Network::Of(id.clone()));
    let beside = runtime.create(&member).await.unwrap();
    runtime.start(&beside).await.unwrap();
    assert_eq!(next(&mut events).await, (EventKind::Started, beside.clone()));
    let outcome = runtime.exec(&beside, &["true".into()], PATIENCE).await.unwrap();
    assert_eq!(outcome.exit_code, 0);

    runtime.stop(&beside, Duration::ZERO).await.unwrap();
    assert_eq!(next(&mut events).await, (EventKind::Died, beside.clone()));
    let ended = runtime.inspect(&beside).await.unwrap().unwrap();
    assert!(matches!(&ended.state, State::Exited(exit) if exit.code != 0 && exit.started_at.is_some()), "{ended:?}");
    assert!(runtime.exec(&beside, &["true".into()], PATIENCE).await.is_err(), "it does not run");
    runtime.remove(&beside).await.unwrap();
    assert_eq!(next(&mut events).await, (EventKind::Removed, beside.clone()));

    runtime.remove(&id).await.unwrap();
    assert_eq!(next(&mut events).await, (EventKind::Died, id.clone()));
    assert_eq!(next(&mut events).await, (EventKind::Removed, id.clone()));
    assert_eq!(runtime.inspect(&id).await.unwrap(), None);
    assert!(runtime.list().await.unwrap().is_empty());
    runtime.remove(&id).await.expect("what is gone is removed");
    runtime.stop(&id, Duration::ZERO).await.expect("what is gone is stopped");
    assert!(matches!(runtime.start(&id).await, Err(RuntimeError::NotFound(_))));
    assert!(runtime.logs(&id, &LogQuery::default()).await.is_err() || runtime.inspect(&id).await.unwrap().is_none());

    let mut unknown = config.clone();
    unknown.image = "no-such-image".into();
    assert!(matches!(runtime.create(&unknown).await, Err(RuntimeError::NotFound(_))));
    runtime.ensure_network(&place.network, "10.159.77.0/24").await.expect("nobody uses it, so it is made anew");
}

#[tokio::test]
async fn fake() {
    life_of_a_container(Place::new(), Arc::new(Fake::default())).await;
}

#[tokio::test]
async fn docker() {
    on_docker(life_of_a_container).await;
}

#[tokio::test]
async fn a_network_in_use_is_not_replaced() {
    on_docker(|place, docker| async move {
        docker.ensure_network(&place.network, &place.cidr).await.unwrap();
        docker.pull("busybox:latest").await.unwrap();
        let id = docker.create(&config(&place, "POD", Network::Pod(place.network.clone()))).await.unwrap();
        docker.start(&id).await.unwrap();
        let error = docker.ensure_network(&place.network, "10.159.78.0/24").await.unwrap_err().to_string();
        assert!(
            error.contains(&place.cidr) && error.contains("10.159.78.0/24") && error.contains("--network-bridge"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_is_away_is_named() {
    let docker = kubelet::runtime::docker::Docker::new("unix:///nowhere/docker.sock", "n");
    let error = docker.info().await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Down { endpoint, .. } if endpoint == "unix:///nowhere/docker.sock"),
        "{error}"
    );
}
