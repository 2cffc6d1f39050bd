//! This node in the API: registers it, tells its state on every change and every five minutes, renews its lease, and
//! makes the network that its pods join.

pub mod machine;
pub mod status;
pub mod thresholds;

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Error, Patch};
use daemon::LogOnce;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::runtime::Runtime;
use machine::pressure;
use status::{Condition, Identity};
use thresholds::Thresholds;

const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: i32 = 40;
const RENEW: Duration = Duration::from_secs(10);
/// How often it is looked whether something runs short.
const LOOK: Duration = Duration::from_secs(10);
const REPORT: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(1);
const NETWORK_RETRY: Duration = Duration::from_secs(2);

pub struct NodeAgent {
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    pub identity: Identity,
    pub root: std::path::PathBuf,
    pub thresholds: Thresholds,
    pub runtime_down: watch::Receiver<Option<String>>,
    pub no_network: watch::Receiver<Option<String>>,
    /// The uid of the node that is registered; it becomes None when that is gone from the API.
    pub registered: watch::Receiver<Option<String>>,
}

impl NodeAgent {
    /// Registers the node and keeps its status true.
    pub async fn run(mut self, token: CancellationToken) {
        let log = LogOnce::new();
        let mut told: Vec<NodeCondition> = Vec::new();
        let mut last: Option<Condition> = None;
        let mut version = String::new();
        let mut report_at = tokio::time::Instant::now();
        loop {
            self.runtime_down.mark_unchanged();
            self.no_network.mark_unchanged();
            self.registered.mark_unchanged();
            let down = self.runtime_down.borrow().clone();
            if down.is_none() && (version.is_empty() || last.as_ref().is_some_and(|last| last.runtime_down.is_some())) {
                // The engine may be another one after it was away.
                version = self.version().await.unwrap_or(version);
            }
            let now = Condition {
                runtime_version: version.clone(),
                runtime_down: down,
                no_network: self.no_network.borrow().clone(),
                pressure: pressure(&self.root, &self.thresholds),
            };
            let missing = last.is_none() || self.registered.borrow().is_none();
            let due = last.as_ref() != Some(&now) || tokio::time::Instant::now() >= report_at || missing;
            let mut wait = LOOK;
            if due {
                match self.tell(&now, &mut told, missing).await {
                    Ok(()) => {
                        log.over("kube-apiserver knows this node");
                        last = Some(now);
                        report_at = tokio::time::Instant::now() + REPORT;
                    }
                    Err(error) => {
                        log.trouble(format_args!("can't tell kube-apiserver the state of this node: {error}"));
                        wait = RETRY;
                    }
                }
            }
            tokio::select! {
                () = token.cancelled() => return,
                Ok(()) = self.runtime_down.changed() => {}
                Ok(()) = self.no_network.changed() => {}
                Ok(()) = self.registered.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn version(&self) -> Option<String> {
        let info = self.runtime.info().await.ok()?;
        Some(format!("{}://{}", info.name, info.version))
    }

    async fn tell(&self, condition: &Condition, told: &mut Vec<NodeCondition>, create: bool) -> Result<(), Error> {
        let status = status::status(&self.identity, condition, told, Timestamp::now());
        *told = status.conditions.clone().unwrap_or_default();
        let name = &self.identity.name;
        if create {
            let created = self.client.create(&status::node(&self.identity, status.clone())).await;
            match created {
                Ok(node) => {
                    tracing::info!("registered node {name}");
                    // A new object's status may have been left out.
                    drop(node);
                }
                Err(error) if error.is_already_exists() => {
                    let labels = json!({"metadata": {"labels": self.identity.labels}});
                    self.client.patch::<Node>("", name, Patch::Merge, &labels, "").await?;
                }
                Err(error) => return Err(error),
            }
        }
        let status = json!({"status": status_value(&status)});
        self.client.patch::<Node>("", name, Patch::Strategic, &status, "status").await.map(drop)
    }
}

/// The addresses are merged by their type, of which there may be several: the list is ours as a whole.
fn status_value(status: &k8s_openapi::api::core::v1::NodeStatus) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    if let Some(Value::Array(addresses)) = value.get_mut("addresses") {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    value
}

/// Renews the node's lease: by it others know that the kubelet lives.
pub async fn heartbeat(
    client: Client,
    name: String,
    registered: watch::Receiver<Option<String>>,
    token: CancellationToken,
) {
    let log = LogOnce::new();
    let mut known: Option<Lease> = None;
    loop {
        let uid = registered.borrow().clone();
        let wait = match renew(&client, &name, uid.as_deref(), &mut known).await {
            Ok(()) => {
                log.over("the node's lease is renewed again");
                RENEW
            }
            Err(error) => {
                // Whatever went wrong: the next attempt begins with what is there.
                known = None;
                log.trouble(format_args!("can't renew lease {LEASE_NAMESPACE}/{name}: {error}"));
                RETRY
            }
        };
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn renew(client: &Client, name: &str, uid: Option<&str>, known: &mut Option<Lease>) -> Result<(), Error> {
    let mut lease = match known.take() {
        Some(lease) => lease,
        None => match client.get::<Lease>(LEASE_NAMESPACE, name).await {
            Ok(lease) => lease,
            Err(error) if error.is_not_found() => Lease {
                metadata: ObjectMeta {
                    namespace: Some(LEASE_NAMESPACE.into()),
                    name: Some(name.to_owned()),
                    ..Default::default()
                },
                spec: None,
            },
            Err(error) => return Err(error),
        },
    };
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(name.to_owned()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..Default::default()
    });
    if let Some(uid) = uid {
        lease.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            ..Default::default()
        }]);
    }
    let stored = if lease.metadata.resource_version.is_some() {
        client.update(&lease).await?
    } else {
        client.create(&lease).await?
    };
    *known = Some(stored);
    Ok(())
}

/// Makes the pod network whenever the range is known or changes, and whenever the runtime has come back.
pub async fn keep_network(
    runtime: Arc<dyn Runtime>,
    name: String,
    mut cidr: watch::Receiver<Option<String>>,
    mut runtime_down: watch::Receiver<Option<String>>,
    no_network: watch::Sender<Option<String>>,
    token: CancellationToken,
) {
    loop {
        cidr.mark_unchanged();
        runtime_down.mark_unchanged();
        let range = cidr.borrow().clone();
        let up = runtime_down.borrow().is_none();
        let state = match (range, up) {
            // The node's condition tells of the runtime; pods that have a network keep it.
            (_, false) => no_network.borrow().clone(),
            (None, true) => {
                Some("the node has no pod range yet: kube-controller-manager gives one, or --pod-cidr".into())
            }
            (Some(range), true) => runtime.ensure_network(&name, &range).await.err().map(|error| error.to_string()),
        };
        let retry = up && state.is_some();
        no_network.send_if_modified(|known| {
            let changed = *known != state;
            if changed {
                match &state {
                    Some(why) => tracing::warn!("no pod network: {why}"),
                    None => tracing::info!("pod network {name} is ready"),
                }
            }
            *known = state;
            changed
        });
        tokio::select! {
            () = token.cancelled() => return,
            Ok(()) = cidr.changed() => {}
            Ok(()) = runtime_down.changed() => {}
            () = tokio::time::sleep(NETWORK_RETRY), if retry => {}
        }
    }
}
