//! The runtime on a Docker Engine. Owns the connection and the translation of errors; what a container looks like in
//! Docker's words is in `docker_config`.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{ExecConfig, Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions,
    InspectNetworkOptions, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker as Client};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use super::docker_config::{body, observe, spec_user};
use super::forward;
use super::labels::{OWNER, POD_UID, from_labels};
use super::{
    Container, ContainerConfig, Event, EventKind, ExecOutcome, Image, Info, Listed, LogQuery, Result, Runtime,
    RuntimeError,
};

/// How long Docker may take to answer a call that has no time of its own: creating a container on a busy disk is slow.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// What a call's own time is longer than the time that Docker was given.
const SLACK: Duration = Duration::from_secs(30);
/// A probe's or hook's output is shown in an event: enough of it for a person.
const EXEC_OUTPUT_LIMIT: usize = 10 * 1024;

/// The containers of one kubelet on one engine.
pub struct Docker {
    endpoint: String,
    owner: String,
    /// Made when it is first needed: the engine may start after the kubelet.
    client: OnceCell<Client>,
}

impl Docker {
    /// `endpoint` is `unix:///path`; `owner` tells this kubelet's containers from others'. Connects to nothing yet.
    pub fn new(endpoint: impl Into<String>, owner: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), owner: owner.into(), client: OnceCell::new() }
    }

    async fn client(&self) -> Result<&Client> {
        self.client
            .get_or_try_init(|| async {
                let client = Client::connect_with_unix(&self.endpoint, CALL_TIMEOUT.as_secs(), API_DEFAULT_VERSION)
                    .map_err(|e| self.error(e))?;
                client.negotiate_version().await.map_err(|e| self.error(e))
            })
            .await
    }

    async fn patient_client(&self, time: Duration) -> Result<Client> {
        Ok(self.client().await?.clone().with_timeout(time.saturating_add(SLACK)))
    }

    fn error(&self, error: DockerError) -> RuntimeError {
        translate(&self.endpoint, error)
    }

    fn filters(&self) -> HashMap<&'static str, Vec<String>> {
        HashMap::from([("label", vec![format!("{OWNER}={}", self.owner)])])
    }

    /// A bridge network of that name and range, made where it is missing.
    async fn make_network(&self, name: &str, cidr: &str) -> Result<()> {
        let client = self.client().await?;
        match client.inspect_network(name, None::<InspectNetworkOptions>).await {
            Ok(found) => {
                let ranges = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
                if ranges.iter().any(|range| range.subnet.as_deref() == Some(cidr)) {
                    return Ok(());
                }
                let members = found.containers.unwrap_or_default().len();
                if members > 0 {
                    let range = ranges.into_iter().find_map(|range| range.subnet).unwrap_or_default();
                    return Err(RuntimeError::Refused {
                        status: 409,
                        message: format!(
                            "Docker network {name} has the range {range}, the node's pod range is {cidr}, and {members} \
                             containers use the network: remove them, or name another network by --network-bridge"
                        ),
                    });
                }
                client.remove_network(name).await.map_err(|e| self.error(e))?;
            }
            Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(self.error(error)),
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".into()),
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig { subnet: Some(cidr.to_owned()), ..Default::default() }]),
                ..Default::default()
            }),
            options: Some(HashMap::from([("com.docker.network.bridge.name".into(), name.to_owned())])),
            labels: Some(HashMap::from([(OWNER.to_owned(), self.owner.clone())])),
            ..Default::default()
        };
        client.create_network(request).await.map(|_| ()).map_err(|e| self.error(e))
    }
}

fn translate(endpoint: &str, error: DockerError) -> RuntimeError {
    match error {
        DockerError::DockerResponseServerError { status_code: 404, message } => RuntimeError::NotFound(message),
        DockerError::DockerResponseServerError { status_code: status, message } => {
            RuntimeError::Refused { status, message }
        }
        DockerError::DockerStreamError { error: message } => RuntimeError::Refused { status: 500, message },
        other => {
            // The outer error says only "client error": what a person needs stands in its causes.
            let mut message = other.to_string();
            let mut cause = std::error::Error::source(&other);
            while let Some(inner) = cause {
                let text = inner.to_string();
                if !message.contains(&text) {
                    message = format!("{message}: {text}");
                }
                cause = inner.source();
            }
            RuntimeError::Down { endpoint: endpoint.to_owned(), message }
        }
    }
}

/// A thing that is gone already is as good as removed.
fn gone_is_fine<T: Default>(result: Result<T>) -> Result<T> {
    match result {
        Err(RuntimeError::NotFound(_)) => Ok(T::default()),
        other => other,
    }
}

#[async_trait]
impl Runtime for Docker {
    async fn info(&self) -> Result<Info> {
        let info = self.client().await?.info().await.map_err(|e| self.error(e))?;
        Ok(Info {
            name: "docker",
            version: info.server_version.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            os_image: info.operating_system.unwrap_or_default(),
            root_dir: info.docker_root_dir.unwrap_or_default(),
        })
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&self.filters()).build();
        let list = self.client().await?.list_containers(Some(options)).await.map_err(|e| self.error(e))?;
        Ok(list
            .into_iter()
            .filter_map(|summary| {
                Some(Listed {
                    id: summary.id?,
                    identity: from_labels(summary.labels.as_ref()?)?,
                    running: summary.state?.as_ref() == "running",
                })
            })
            .collect())
    }

    async fn inspect(&self, id: &str) -> Result<Option<Container>> {
        match self.client().await?.inspect_container(id, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(observe(found)),
            Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }

    async fn create(&self, config: &ContainerConfig) -> Result<String> {
        let options = CreateContainerOptionsBuilder::new().name(&config.name).build();
        let created = self.client().await?.create_container(Some(options), body(config, &self.owner)).await;
        Ok(created.map_err(|e| self.error(e))?.id)
    }

    async fn start(&self, id: &str) -> Result<()> {
        self.client().await?.start_container(id, None::<StartContainerOptions>).await.map_err(|e| self.error(e))
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let client = self.patient_client(grace).await?;
        gone_is_fine(client.stop_container(id, Some(options)).await.map_err(|e| self.error(e)))
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.client().await?.remove_container(id, Some(options)).await {
            // Somebody else removes it at this moment.
            Err(DockerError::DockerResponseServerError { status_code: 409, message })
                if message.contains("already in progress") =>
            {
                Ok(())
            }
            other => gone_is_fine(other.map_err(|e| self.error(e))),
        }
    }

    async fn image(&self, name: &str) -> Result<Option<Image>> {
        let found = match self.client().await?.inspect_image(name).await {
            Ok(found) => found,
            Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(self.error(error)),
        };
        let id = found.id.unwrap_or_default();
        let reference = found.repo_digests.and_then(|digests| digests.into_iter().next()).unwrap_or_else(|| id.clone());
        let user = found.config.and_then(|config| config.user).unwrap_or_default();
        Ok(Some(Image { id, reference, user: spec_user(&user).to_owned() }))
    }

    async fn pull(&self, name: &str) -> Result<()> {
        let options = CreateImageOptionsBuilder::new().from_image(name).build();
        let progress = self.client().await?.create_image(Some(options), None, None);
        progress.try_for_each(|_| async { Ok(()) }).await.map_err(|e| self.error(e))
    }

    async fn ensure_network(&self, name: &str, cidr: &str) -> Result<()> {
        self.make_network(name, cidr).await?;
        forward::allow(name).await
    }

    async fn remove_network(&self, name: &str) -> Result<()> {
        let client = self.client().await?;
        let found = match client.inspect_network(name, None::<InspectNetworkOptions>).await {
            Ok(found) => found,
            Err(error) => return gone_is_fine(Err(self.error(error))),
        };
        // Only what this kubelet has made is its to remove.
        if found.labels.is_some_and(|labels| labels.get(OWNER) == Some(&self.owner)) {
            forward::forbid(name).await?;
            return gone_is_fine(client.remove_network(name).await.map_err(|e| self.error(e)));
        }
        Ok(())
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<Event>>> {
        let mut filters = self.filters();
        filters.insert("type", vec!["container".into()]);
        filters.insert("event", ["start", "die", "destroy"].map(String::from).to_vec());
        // The stream connects when it is first polled: what happens until then must not be missed.
        let now = jiff::Timestamp::now();
        let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        let options = EventsOptionsBuilder::new().since(&since).filters(&filters).build();
        let endpoint = self.endpoint.clone();
        let events = self.client().await?.events(Some(options)).filter_map(move |event| {
            let event = event.map_err(|e| translate(&endpoint, e));
            std::future::ready(event.map(known_event).transpose())
        });
        Ok(events.boxed())
    }

    async fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecOutcome> {
        let client = self.client().await?;
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let run = async {
            let exec = client.create_exec(id, config).await.map_err(|e| self.error(e))?.id;
            let started = client.start_exec(&exec, None::<StartExecOptions>).await.map_err(|e| self.error(e))?;
            let mut text = Vec::new();
            if let StartExecResults::Attached { mut output, .. } = started {
                while let Some(part) = output.try_next().await.map_err(|e| self.error(e))? {
                    let part = part.into_bytes();
                    text.extend_from_slice(&part[..part.len().min(EXEC_OUTPUT_LIMIT - text.len())]);
                }
            }
            let ended = client.inspect_exec(&exec).await.map_err(|e| self.error(e))?;
            let output = String::from_utf8_lossy(&text).into_owned();
            Ok(ExecOutcome { exit_code: ended.exit_code.unwrap_or(-1), output })
        };
        tokio::time::timeout(timeout, run).await.map_err(|_| RuntimeError::Timeout(timeout))?
    }

    async fn logs(&self, id: &str, query: &LogQuery) -> Result<BoxStream<'static, Result<Bytes>>> {
        let tail = query.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let since = query.since.map_or(0, |second| i32::try_from(second).unwrap_or(i32::MAX));
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(query.follow)
            .timestamps(query.timestamps)
            .since(since)
            .tail(&tail)
            .build();
        let endpoint = self.endpoint.clone();
        let logs = self.client().await?.logs(id, Some(options));
        Ok(logs.map(move |part| part.map(LogOutput::into_bytes).map_err(|e| translate(&endpoint, e))).boxed())
    }
}

/// None: not an event of a pod's container.
fn known_event(message: bollard::models::EventMessage) -> Option<Event> {
    let kind = match message.action.as_deref()? {
        "start" => EventKind::Started,
        "die" => EventKind::Died,
        "destroy" => EventKind::Removed,
        _ => return None,
    };
    let actor = message.actor?;
    Some(Event { pod_uid: actor.attributes?.remove(POD_UID)?, id: actor.id?, kind })
}
