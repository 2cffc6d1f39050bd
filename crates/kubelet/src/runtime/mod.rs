//! What the kubelet asks of a container runtime, and the words for it. The decisions are not here: a runtime does as it
//! is told and tells what it sees. Two implementations under one contract: Docker, and a fake one in memory.

pub mod docker;
mod docker_config;
pub mod fake;
mod forward;
mod labels;

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::pod::{PodRef, SANDBOX};

/// Which container this is, for whoever finds it later: a runtime keeps these facts with the container.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub pod: PodRef,
    /// The name in the pod's spec, or `POD` for the sandbox.
    pub container: String,
    /// Of what a change of must restart the container.
    pub hash: String,
    pub restart_count: i32,
    /// How long to wait before the next start if this one ends soon.
    pub backoff: Duration,
    /// Between SIGTERM and SIGKILL when its pod is gone from the API.
    pub grace_seconds: u32,
}

impl Identity {
    pub fn is_sandbox(&self) -> bool {
        self.container == SANDBOX
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub id: String,
    pub identity: Identity,
    /// As it was asked for.
    pub image: String,
    /// The content that runs.
    pub image_id: String,
    pub created_at: Timestamp,
    pub state: State,
    /// In the pod network; the sandbox has it.
    pub ip: Option<IpAddr>,
}

impl Container {
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Created,
    Running { started_at: Timestamp },
    Exited(Exit),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    pub code: i32,
    /// None: it never ran.
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub out_of_memory: bool,
    /// Why it could not run, in the runtime's words.
    pub error: Option<String>,
}

impl Exit {
    pub fn ran_for(&self) -> Duration {
        self.started_at
            .and_then(|start| Duration::try_from(self.finished_at.duration_since(start)).ok())
            .unwrap_or_default()
    }
}

/// A line of the runtime's list: enough to see that something differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub id: String,
    pub identity: Identity,
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// A member of the named pod network, with its own address.
    Pod(String),
    Host,
    /// The network, IPC and host name of the sandbox with this id.
    Of(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    pub host_path: String,
    pub container_path: String,
    pub read_only: bool,
    pub propagation: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub container_port: u16,
    pub protocol: String,
    pub host_port: u16,
    pub host_ip: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dns {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub cpu_shares: Option<i64>,
    /// Microseconds of each 100 ms.
    pub cpu_quota: Option<i64>,
    pub memory: Option<i64>,
    pub oom_score_adj: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    /// `uid[:gid]`
    pub user: Option<String>,
    pub groups: Vec<String>,
    pub privileged: bool,
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    pub sysctls: Vec<(String, String)>,
}

/// All that a runtime needs to make a container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerConfig {
    pub name: String,
    pub identity: Identity,
    pub image: String,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub working_dir: Option<String>,
    pub hostname: Option<String>,
    pub tty: bool,
    pub stdin: bool,
    pub stdin_once: bool,
    pub network: Network,
    /// The sandbox whose process namespace is shared.
    pub pid_of: Option<String>,
    pub ports: Vec<Port>,
    pub hosts: Vec<(String, String)>,
    pub dns: Dns,
    pub mounts: Vec<Mount>,
    pub resources: Resources,
    pub security: Security,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub id: String,
    /// `name@sha256:…` where it was pulled, otherwise the id.
    pub reference: String,
    /// What it runs as where nobody says otherwise.
    pub user: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub pod_uid: String,
    pub id: String,
    pub kind: EventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Started,
    Died,
    Removed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    pub name: &'static str,
    pub version: String,
    pub kernel: String,
    pub os_image: String,
    pub root_dir: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExecOutcome {
    pub exit_code: i64,
    pub output: String,
}

#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    pub follow: bool,
    pub timestamps: bool,
    pub tail: Option<u64>,
    /// Seconds since the epoch.
    pub since: Option<i64>,
}

#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub enum RuntimeError {
    /// The runtime does not answer.
    #[error("{endpoint}: {message}")]
    Down { endpoint: String, message: String },
    /// It says that there is no such container, image or network.
    #[error("{0}")]
    NotFound(String),
    /// It refuses what was asked.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// It took longer than it was given.
    #[error("timed out after {0:?}")]
    Timeout(Duration),
}

pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Fails when the runtime is down.
    async fn info(&self) -> Result<Info>;

    /// The node's containers, ended ones too.
    async fn list(&self) -> Result<Vec<Listed>>;

    /// None: there is no such container (any more).
    async fn inspect(&self, id: &str) -> Result<Option<Container>>;

    async fn create(&self, config: &ContainerConfig) -> Result<String>;

    async fn start(&self, id: &str) -> Result<()>;

    /// Ends when the container has: asked politely first, after the grace not asked any more. One that is gone is stopped.
    async fn stop(&self, id: &str, grace: Duration) -> Result<()>;

    /// Also a running one. One that is gone is removed.
    async fn remove(&self, id: &str) -> Result<()>;

    /// None: not here.
    async fn image(&self, name: &str) -> Result<Option<Image>>;

    async fn pull(&self, name: &str) -> Result<()>;

    /// The network that pods join, made if it is missing and made anew if its range is another one.
    async fn ensure_network(&self, name: &str, cidr: &str) -> Result<()>;

    /// Removes the network if it is one that `ensure_network` has made.
    async fn remove_network(&self, name: &str) -> Result<()>;

    /// What happens to the node's containers from now on. Ends when the runtime goes away.
    async fn events(&self) -> Result<BoxStream<'static, Result<Event>>>;

    async fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecOutcome>;

    async fn logs(&self, id: &str, query: &LogQuery) -> Result<BoxStream<'static, Result<Bytes>>>;
}
