//! Docker goes away and comes back. A socket between the kubelet and the engine is cut, so that nobody else's containers suffer.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{Agent, PATIENCE, Played, containers, is_ready, on_docker, pod};
use kubelet::runtime::docker::Docker;
use kubelet::runtime::{Runtime, RuntimeError};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes everything on to the engine, until it is cut.
struct Line {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Line {
    fn open(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let task = tokio::spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                calls.spawn(async move {
                    if let Ok(mut far) = UnixStream::connect("/var/run/docker.sock").await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { path: path.to_owned(), task }
    }

    async fn cut(self) {
        self.task.abort();
        let _ = self.task.await;
        std::fs::remove_file(&self.path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_goes_away_and_comes_back() {
    on_docker(|place, docker| async move {
        docker.ensure_network(&place.network, &place.cidr).await.unwrap();
        let (cluster, root) = (Arc::new(Played::default()), tempfile::tempdir().unwrap());
        let socket = root.path().join("docker.sock");
        let line = Line::open(&socket);
        let endpoint = format!("unix://{}", socket.display());
        let behind: Arc<dyn Runtime> = Arc::new(Docker::new(endpoint.clone(), &place.node));
        let spec = json!({"terminationGracePeriodSeconds": 0,
                          "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1000"]}]});
        let mut agent = Agent::start(&place, behind.clone(), cluster.clone(), root.path(), [pod("p", spec.clone())]);
        cluster.until_ready("p").await;
        assert_eq!(*agent.runtime_down.borrow(), None);

        line.cut().await;
        let told = tokio::time::timeout(PATIENCE, agent.runtime_down.wait_for(Option::is_some)).await;
        let why = told.expect("it is noticed").unwrap().clone().unwrap();
        assert!(!why.is_empty());
        assert!(matches!(behind.info().await, Err(RuntimeError::Down { endpoint: named, .. }) if named == endpoint));
        // Meanwhile a container dies, and a pod is bound.
        let id = containers(&docker).await["p/c#0"].id.clone();
        docker.stop(&id, Duration::ZERO).await.unwrap();
        agent.set(pod("later", spec));

        let line = Line::open(&socket);
        let told = tokio::time::timeout(PATIENCE, agent.runtime_down.wait_for(Option::is_none)).await;
        told.expect("it recovers by itself").unwrap();
        let restarted = |played: &Played| {
            played.status("p").is_some_and(|s| is_ready(&s) && s.container_statuses.unwrap()[0].restart_count == 1)
        };
        cluster.until("what was missed is made good", restarted).await;
        cluster.until_ready("later").await;
        agent.stop().await;
        line.cut().await;
    })
    .await;
}
