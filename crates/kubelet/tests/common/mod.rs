//! What the tests of this folder share: a place on the real Docker Engine which is cleaned up whatever happens, and a
//! cluster that is played.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodStatus, Secret, Service};
use kubelet::cleanup::clean_up;
use kubelet::cluster::{Cluster, ClusterError, Occurrence};
use kubelet::images::Images;
use kubelet::pod::PodRef;
use kubelet::pods::{Change, Pods};
use kubelet::runtime::docker::Docker;
use kubelet::runtime::{Container, Runtime};
use kubelet::settings::{Settings, Shared};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const ENDPOINT: &str = "unix:///var/run/docker.sock";
pub const PAUSE: &str = "pilothouse/pause:1";
/// More than anything here takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Names on the engine that are this test's alone.
#[derive(Clone)]
pub struct Place {
    pub node: String,
    pub network: String,
    pub cidr: String,
}

impl Place {
    pub fn new() -> Self {
        let number: u32 = rand::random();
        let [a, b, ..] = number.to_be_bytes();
        Self {
            node: format!("test-{number:08x}"),
            network: format!("kt{number:08x}"),
            cidr: format!("10.{}.{b}.0/24", 160 + a % 64),
        }
    }

    pub async fn docker(&self) -> Arc<dyn Runtime> {
        let docker = Docker::new(ENDPOINT, &self.node);
        if let Err(error) = docker.info().await {
            panic!("these tests need a Docker Engine: run scripts/docker-engine up ({error})");
        }
        Arc::new(docker)
    }

    async fn clean_up(&self) {
        let docker = self.docker().await;
        let nowhere = tempfile::tempdir().expect("a directory");
        clean_up(docker.as_ref(), nowhere.path(), &self.network).await.expect("clean up");
    }
}

/// Runs a test in a place of its own.
pub async fn on_docker<F: Future<Output = ()>>(test: impl FnOnce(Place, Arc<dyn Runtime>) -> F) {
    let place = Place::new();
    let docker = place.docker().await;
    let outcome = AssertUnwindSafe(test(place.clone(), docker)).catch_unwind().await;
    place.clean_up().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// A played kube-apiserver: keeps what it is told.
#[derive(Default)]
pub struct Played {
    pub statuses: Mutex<BTreeMap<String, PodStatus>>,
    pub deleted: Mutex<Vec<String>>,
    pub events: Mutex<Vec<String>>,
    pub services: Mutex<Vec<Arc<Service>>>,
    pub config_maps: Mutex<BTreeMap<String, ConfigMap>>,
    changed: watch::Sender<u64>,
}

impl Played {
    pub fn status(&self, pod: &str) -> Option<PodStatus> {
        self.statuses.lock().unwrap().get(pod).cloned()
    }

    pub fn deleted(&self, pod: &str) -> bool {
        self.deleted.lock().unwrap().iter().any(|name| name == pod)
    }

    /// Waits until what was told satisfies the test.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !holds(self) {
                changed.changed().await.expect("the sender lives as long as self");
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let statuses = self.statuses.lock().unwrap();
            panic!("{what} did not come; statuses: {statuses:#?}; events: {:#?}", self.events.lock().unwrap());
        }
    }

    pub async fn until_ready(&self, pod: &str) -> PodStatus {
        self.until(&format!("pod {pod} ready"), |played| played.status(pod).is_some_and(|status| is_ready(&status)))
            .await;
        self.status(pod).expect("it was there")
    }

    fn tell_all(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

pub fn is_ready(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

#[async_trait]
impl Cluster for Played {
    async fn update_status(&self, pod: &PodRef, status: &PodStatus) -> Result<(), ClusterError> {
        self.statuses.lock().unwrap().insert(pod.name.clone(), status.clone());
        self.tell_all();
        Ok(())
    }

    async fn delete_pod(&self, pod: &PodRef) -> Result<(), ClusterError> {
        self.deleted.lock().unwrap().push(pod.name.clone());
        self.tell_all();
        Ok(())
    }

    async fn config_map(&self, _namespace: &str, name: &str) -> Result<ConfigMap, ClusterError> {
        let found = self.config_maps.lock().unwrap().get(name).cloned();
        found.ok_or_else(|| ClusterError::Gone(format!("configmaps \"{name}\" not found")))
    }

    async fn secret(&self, _namespace: &str, name: &str) -> Result<Secret, ClusterError> {
        Err(ClusterError::Gone(format!("secrets \"{name}\" not found")))
    }

    fn services(&self, namespace: &str) -> Vec<Arc<Service>> {
        let services = self.services.lock().unwrap();
        services.iter().filter(|s| s.metadata.namespace.as_deref() == Some(namespace)).cloned().collect()
    }

    fn tell(&self, pod: &PodRef, occurrence: Occurrence) {
        self.events.lock().unwrap().push(format!("{} {}: {}", pod.name, occurrence.reason, occurrence.message));
        self.tell_all();
    }
}

/// The pod workers of a kubelet, without the rest of it.
pub struct Agent {
    pub changes: mpsc::UnboundedSender<Change>,
    pub runtime_down: watch::Receiver<Option<String>>,
    network: watch::Sender<Option<String>>,
    token: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Agent {
    /// `pods` are in the API already.
    pub fn start(
        place: &Place,
        runtime: Arc<dyn Runtime>,
        cluster: Arc<Played>,
        root: &std::path::Path,
        pods: impl IntoIterator<Item = Pod>,
    ) -> Self {
        let (network, no_network) = watch::channel(None);
        let settings = Settings {
            node_name: place.node.clone(),
            node_address: "192.168.0.3".into(),
            root: root.to_owned(),
            pause_image: PAUSE.into(),
            network: place.network.clone(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
            allocatable: BTreeMap::new(),
        };
        let shared = Shared { settings, runtime: runtime.clone(), cluster, images: Images::new(runtime), no_network };
        let (changes, receiver) = mpsc::unbounded_channel();
        for pod in pods {
            changes.send(Change::Is(Arc::new(pod))).expect("the receiver is here");
        }
        let (down, runtime_down) = watch::channel(None);
        let token = CancellationToken::new();
        let pods = Pods::new(Arc::new(shared), down);
        let task = tokio::spawn(pods.run(receiver, std::future::ready(()), token.clone()));
        Self { changes, runtime_down, network, token, task }
    }

    pub fn set(&self, pod: Pod) {
        self.changes.send(Change::Is(Arc::new(pod))).expect("the agent runs");
    }

    pub fn gone(&self, pod: Pod) {
        self.changes.send(Change::Gone(Arc::new(pod))).expect("the agent runs");
    }

    /// As a kill of the process: nothing is told to anybody.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub async fn stop(self) {
        self.token.cancel();
        self.task.await.expect("no panic").expect("no error");
    }
}

pub fn pod(name: &str, spec: serde_json::Value) -> Pod {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("{:032x}", rand::random::<u128>())},
        "spec": spec
    }))
    .expect("a pod")
}

/// All containers of the place, by the name in the pod and the restart count.
pub async fn containers(runtime: &Arc<dyn Runtime>) -> BTreeMap<String, Container> {
    let mut found = BTreeMap::new();
    for listed in runtime.list().await.expect("list") {
        if let Some(container) = runtime.inspect(&listed.id).await.expect("inspect") {
            let identity = &container.identity;
            found.insert(format!("{}/{}#{}", identity.pod.name, identity.container, identity.restart_count), container);
        }
    }
    found
}

pub async fn log_of(runtime: &Arc<dyn Runtime>, id: &str) -> String {
    let query = kubelet::runtime::LogQuery::default();
    let parts: Vec<_> = futures::StreamExt::collect(runtime.logs(id, &query).await.expect("logs")).await;
    let bytes: Vec<u8> = parts.into_iter().flat_map(|part| part.expect("log")).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
