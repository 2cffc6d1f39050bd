//! The controllers and the scheduler, without nodes that run anything: how fast a controller's pods are made, and how fast
//! pods are bound while they are being created.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http_body_util::BodyExt;
use serde_json::Value;

use super::etcd;
use crate::load::{self, CONNECTIONS, Client, Connections, End, IN_FLIGHT, Post, Protocol};
use crate::objects::{self, NAMESPACE, pod_name};
use crate::report::{Floor, figure, say};
use crate::stage::Stage;

const REPLICAS: usize = 500;
const NODES: usize = 1000;
const PODS: usize = 3000;
const PATIENCE: Duration = Duration::from_secs(60);
const PODS_PATH: &str = "/api/v1/namespaces/default/pods";

pub async fn run() -> Result<()> {
    let mut stage = Stage::with(&["etcd", "kube-apiserver", "kube-controller-manager"])?;
    let connections = stage.connect(Protocol::Http2, IN_FLIGHT).await?;
    let pod = objects::pod("none");
    let stored = pod.to_string();
    let floor = etcd::Alone::start().await?.guarded_puts(&stored.into(), 0, 5000).await?.rate;

    say(format_args!("a replication controller of {REPLICAS} pods"));
    let template = serde_json::json!({"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]});
    let body = objects::controller("many", REPLICAS, &template).to_string();
    let made = Counter::begin(&connections, "").await?;
    let begin = Instant::now();
    connections.one(0).post(&format!("{NAMESPACE}/replicationcontrollers"), body).await?;
    made.reach(REPLICAS, |pod| pod["metadata"]["name"].as_str()).await?;
    figure("replicas", REPLICAS as f64 / begin.elapsed().as_secs_f64(), "1/s", Floor::Is(floor));
    // Nobody keeps up these nodes, which the controllers would soon notice.
    stage.stop("kube-controller-manager");

    say(format_args!("{NODES} nodes; {PODS} pods to schedule while they are created"));
    let node = |client| Post {
        client,
        path: "/api/v1/nodes",
        first: 0,
        body: |number| objects::node(number).to_string().into(),
    };
    load::run(connections.spread(IN_FLIGHT).into_iter().map(node).collect(), End::Requests(NODES)).await?;
    stage.start("kube-scheduler")?;
    let bound = |pod: &'_ Value| pod["spec"]["nodeName"].as_str().map(drop);
    Counter::begin(&connections, "")
        .await?
        .reach(REPLICAS, |pod| bound(pod).and(pod["metadata"]["name"].as_str()))
        .await?;
    let scheduled = Counter::begin(&connections, "").await?;
    let pod = |client| Post {
        client,
        path: PODS_PATH,
        first: 0,
        body: |number| objects::pod(&pod_name(number)).to_string().into(),
    };
    let begin = Instant::now();
    let workers = connections.spread(IN_FLIGHT).into_iter().map(pod).collect();
    let creating = tokio::spawn(load::run(workers, End::Requests(PODS)));
    scheduled.reach(REPLICAS + PODS, |pod| bound(pod).and(pod["metadata"]["name"].as_str())).await?;
    let rate = PODS as f64 / begin.elapsed().as_secs_f64();
    creating.await??;
    figure("scheduled", rate, "1/s", Floor::Is(floor / 2.0));
    Ok(())
}

/// Watches pods until so many are as they should be.
pub(super) struct Counter {
    client: Client,
    body: hyper::body::Incoming,
}

impl Counter {
    /// From now on; what exists is told first.
    pub(super) async fn begin(connections: &Connections, query: &str) -> Result<Self> {
        let mut client = connections.one(CONNECTIONS - 1);
        let body = client.send(http::Method::GET, &format!("{PODS_PATH}?watch=true{query}"), "").await?;
        Ok(Self { client, body })
    }

    /// `done` gives the name of a pod that is as it should be.
    pub(super) async fn reach(mut self, count: usize, done: impl Fn(&Value) -> Option<&str>) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        let mut rest = Vec::new();
        let counting = async {
            while let Some(frame) = self.body.frame().await {
                let Ok(data) = frame?.into_data() else { continue };
                rest.extend_from_slice(&data);
                let whole = memchr::memrchr(b'\n', &rest).map_or(0, |at| at + 1);
                for line in rest[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    let event: Value = serde_json::from_slice(line)?;
                    if let Some(name) = done(&event["object"]) {
                        seen.insert(name.to_owned());
                    }
                }
                rest.drain(..whole);
                if seen.len() >= count {
                    return Ok(());
                }
            }
            bail!("the watch of pods ended")
        };
        let counted = tokio::time::timeout(PATIENCE, counting).await;
        drop(self.client);
        counted.unwrap_or_else(|_| bail!("{} of {count} pods after {PATIENCE:?}", seen.len()))
    }
}
