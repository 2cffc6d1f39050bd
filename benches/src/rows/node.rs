//! Pods on the real Docker Engine, from create to Ready; the floor is Docker alone, making the same containers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptionsBuilder, StartContainerOptions};
use futures::future::try_join_all;
use serde_json::Value;
use testkit::cluster::DAEMONS;

use super::workloads::Counter;
use crate::load::{Connections, IN_FLIGHT, Protocol};
use crate::objects::{self, NAMESPACE};
use crate::report::{Floor, figure, say};
use crate::stage::Stage;

const PODS: usize = 30;
/// Of single pods the middle of several is told.
const TIMES: usize = 5;
const NETWORK: &str = "pilothouse-bench";
const PAUSE: &str = "pilothouse/pause:1";

pub async fn run() -> Result<()> {
    let stage = Stage::with(&DAEMONS)?;
    let connections = stage.connect(Protocol::Http2, IN_FLIGHT).await?;
    let engine = Engine::connect().await?;
    wait_for_node(&stage, &connections).await?;

    say("single pods");
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    // The first of each warms up.
    for number in 0..=TIMES {
        ours.push(single(&connections, &format!("single-{number}")).await?);
        floor.push(engine.pods(1).await?);
    }
    figure("pod_ready", median(&mut ours[1..]), "s", Floor::Is(median(&mut floor[1..])));

    say(format_args!("{PODS} pods of one controller"));
    let floor = engine.pods(PODS).await?;
    let ready = Counter::begin(&connections, "&labelSelector=app=bench").await?;
    let body = objects::controller("thirty", PODS, &objects::running_pod()).to_string();
    let begin = Instant::now();
    connections.one(0).post(&format!("{NAMESPACE}/replicationcontrollers"), body).await?;
    ready.reach(PODS, name_of_ready).await?;
    figure("pods_ready_30", begin.elapsed().as_secs_f64(), "s", Floor::Is(floor));
    for name in ["kubelet", "kube-proxy"] {
        figure(&format!("rss_{name}_30_pods"), stage.memory(name)?, "MB", Floor::None);
    }
    engine.remove_network().await
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn name_of_ready(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready.then(|| pod["metadata"]["name"].as_str())?
}

async fn single(connections: &Connections, name: &str) -> Result<f64> {
    let mut pod = objects::running_pod();
    pod["metadata"] = serde_json::json!({"name": name});
    let query = format!("&fieldSelector=metadata.name%3D{name}");
    let ready = Counter::begin(connections, &query).await?;
    let begin = Instant::now();
    connections.one(0).post(&format!("{NAMESPACE}/pods"), pod.to_string()).await?;
    ready.reach(1, name_of_ready).await?;
    let took = begin.elapsed().as_secs_f64();
    connections.one(0).call(http::Method::DELETE, &format!("{NAMESPACE}/pods/{name}"), "").await?;
    Ok(took)
}

async fn wait_for_node(stage: &Stage, connections: &Connections) -> Result<()> {
    let path = format!("/api/v1/nodes/{}", stage.cluster.layout.node);
    let begin = Instant::now();
    loop {
        let node = connections.one(0).get(&path).await.ok();
        let node: Option<Value> = node.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if node.as_ref().and_then(name_of_ready).is_some() {
            return Ok(());
        }
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(60), "the node does not become Ready: {node:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Docker alone.
struct Engine(Docker);

impl Engine {
    async fn connect() -> Result<Self> {
        let docker = Docker::connect_with_unix("/var/run/docker.sock", 120, bollard::API_DEFAULT_VERSION)?;
        let engine = Self(docker.negotiate_version().await.context("a Docker Engine: run scripts/docker-engine up")?);
        // One that a run left which was killed.
        let _ = engine.remove_network().await;
        let request =
            NetworkCreateRequest { name: NETWORK.into(), driver: Some("bridge".into()), ..Default::default() };
        engine.0.create_network(request).await?;
        Ok(engine)
    }

    async fn remove_network(&self) -> Result<()> {
        self.0.remove_network(NETWORK).await.with_context(|| format!("network {NETWORK}"))
    }

    /// Makes so many pairs of a pause container and a container in its network, all at the same time; seconds.
    async fn pods(&self, count: usize) -> Result<f64> {
        let begin = Instant::now();
        let made = try_join_all((0..count).map(|_| self.pod())).await?;
        let took = begin.elapsed().as_secs_f64();
        let options = || RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        try_join_all(made.iter().flatten().map(|id| self.0.remove_container(id, Some(options())))).await?;
        Ok(took)
    }

    async fn pod(&self) -> Result<[String; 2]> {
        let sandbox = self.container(PAUSE, &[], NETWORK, "shareable").await?;
        let joined = format!("container:{sandbox}");
        let main = self.container("busybox", &["sleep", "1000000"], &joined, &joined).await?;
        Ok([sandbox, main])
    }

    async fn container(&self, image: &str, command: &[&str], network: &str, ipc: &str) -> Result<String> {
        let host = HostConfig { network_mode: Some(network.into()), ipc_mode: Some(ipc.into()), ..Default::default() };
        let entrypoint = (!command.is_empty()).then(|| command.iter().map(|word| (*word).to_owned()).collect());
        let image = Some(image.to_owned());
        let body = ContainerCreateBody { image, entrypoint, host_config: Some(host), ..Default::default() };
        let id = self.0.create_container(None::<CreateContainerOptions>, body).await?.id;
        self.0.start_container(&id, None::<StartContainerOptions>).await?;
        Ok(id)
    }
}
