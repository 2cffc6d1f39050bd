//! The log service on the real Docker Engine.

mod common;

use std::time::Duration;

use common::{Agent, PATIENCE, Played, containers, on_docker, pod};
use futures::StreamExt;
use kubelet::server::Server;
use rpc::kubelet::LogsRequest;
use rpc::kubelet::kubelet_server::Kubelet;
use serde_json::json;
use tonic::{Code, Request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_followed_cut_and_kept() {
    on_docker(|place, docker| async move {
        docker.ensure_network(&place.network, &place.cidr).await.unwrap();
        let (cluster, root) = (std::sync::Arc::new(Played::default()), tempfile::tempdir().unwrap());
        let script = "echo one; echo two; while [ ! -e /go ]; do sleep 0.05; done; echo three; sleep 1000";
        let pod = pod(
            "talks",
            json!({"containers": [
                {"name": "c", "image": "busybox", "command": ["sh", "-c", script]},
                {"name": "absent", "image": "busybox:none", "imagePullPolicy": "Never"}
            ]}),
        );
        let agent = Agent::start(&place, docker.clone(), cluster.clone(), root.path(), [pod]);
        let runs = |played: &Played| {
            let statuses = played.status("talks").and_then(|s| s.container_statuses).unwrap_or_default();
            statuses.iter().any(|s| s.state.as_ref().is_some_and(|state| state.running.is_some()))
        };
        cluster.until("a running container", runs).await;
        let server = Server { runtime: docker.clone() };
        let ask = |change: fn(&mut LogsRequest)| {
            let mut request = LogsRequest {
                namespace: "default".into(),
                pod: "talks".into(),
                container: "c".into(),
                ..Default::default()
            };
            change(&mut request);
            server.logs(Request::new(request))
        };
        let all = |answer: tonic::Response<<Server as Kubelet>::LogsStream>| async {
            let chunks: Vec<_> = answer.into_inner().map(|chunk| chunk.unwrap().data).collect().await;
            String::from_utf8(chunks.concat()).unwrap()
        };

        let mut followed = ask(|r| r.follow = true).await.unwrap().into_inner();
        let mut text = Vec::new();
        let id = containers(&docker).await["talks/c#0"].id.clone();
        let mut told = false;
        while !text.ends_with(b"three\n") {
            let chunk =
                tokio::time::timeout(PATIENCE, followed.next()).await.expect("a line in time").unwrap().unwrap();
            text.extend_from_slice(&chunk.data);
            if text.ends_with(b"two\n") && !told {
                told = true;
                docker.exec(&id, &["touch".into(), "/go".into()], PATIENCE).await.unwrap();
            }
        }
        assert_eq!(String::from_utf8(text).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(all(ask(|r| r.tail_lines = Some(1)).await.unwrap()).await, "three\n");
        assert_eq!(all(ask(|r| r.limit_bytes = Some(5)).await.unwrap()).await, "one\nt");
        let stamped = all(ask(|r| r.timestamps = true).await.unwrap()).await;
        assert!(stamped.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{stamped}");
        assert_eq!(all(ask(|r| r.since_time = Some("2100-01-01T00:00:00Z".into())).await.unwrap()).await, "");

        let waiting = ask(|r| r.container = "absent".into()).await.err().unwrap();
        assert!(waiting.message().contains("container \"absent\" in pod \"talks\" is waiting to start"), "{waiting}");
        let previous = ask(|r| r.previous = true).await.err().unwrap();
        assert_eq!(previous.code(), Code::FailedPrecondition);
        assert_eq!(previous.message(), "previous terminated container \"c\" in pod \"talks\" not found");

        // The end of the container ends the stream; its log is that of the previous one then.
        docker.stop(&id, Duration::ZERO).await.unwrap();
        let end = async { while followed.next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, end).await.expect("the stream ends");
        cluster
            .until("a restart", |played| {
                let statuses = played.status("talks").and_then(|s| s.container_statuses).unwrap_or_default();
                statuses.iter().any(|s| s.restart_count == 1)
            })
            .await;
        assert_eq!(all(ask(|r| r.previous = true).await.unwrap()).await, "one\ntwo\nthree\n");
        agent.stop().await;
    })
    .await;
}
