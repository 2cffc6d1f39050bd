//! The work behind the actions of a plan: making the sandbox, starting and stopping a container, volumes. Each is one
//! future that ends with what came of it; nothing here decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, LifecycleHandler, Pod};

use super::config;
use super::plan::Trouble;
use crate::cluster::{ClusterError, Occurrence};
use crate::environment::{self, Objects, References, expand_all, services};
use crate::images::{ImageError, PullPolicy, Pulled};
use crate::pod::{self, PodRef};
use crate::probe;
use crate::runtime::{Container, Image, Mount, RuntimeError};
use crate::settings::Shared;
use crate::volumes::{PodDirectory, payload};

/// A failure and what to tell about it. The worker decides when to try again, unless it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub reason: &'static str,
    pub message: String,
    pub retry_at: Option<Timestamp>,
}

impl Failure {
    fn new(reason: &'static str, message: impl ToString) -> Self {
        Self { reason, message: message.to_string(), retry_at: None }
    }

    pub fn trouble(self, retry_at: Timestamp) -> Trouble {
        Trouble { reason: self.reason, message: self.message, retry_at: self.retry_at.unwrap_or(retry_at) }
    }
}

/// A container that was started, and what its image is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    pub container: Container,
    pub image: Image,
}

pub struct Work {
    pub shared: Arc<Shared>,
    pub pod: Arc<Pod>,
}

impl Work {
    fn pod_ref(&self) -> PodRef {
        PodRef::of(&self.pod)
    }

    fn tell(&self, occurrence: Occurrence) {
        self.shared.cluster.tell(&self.pod_ref(), occurrence);
    }

    fn directory(&self) -> PodDirectory {
        PodDirectory::new(&self.shared.settings.root, self.pod.metadata.uid.as_deref().unwrap_or_default())
    }

    pub async fn volumes(&self) -> Result<(), Failure> {
        let volumes = pod::spec(&self.pod).volumes.as_deref().unwrap_or_default();
        let failed = |message: String| {
            self.tell(Occurrence::warning("FailedMount", None, message.clone()));
            Failure::new("FailedMount", message)
        };
        let objects = self.fetch(&payload::references(volumes)).await.map_err(|e| failed(e.to_string()))?;
        let (directory, pod) = (self.directory(), self.pod.clone());
        let facts = self.shared.settings.facts(pod.status.as_ref().and_then(|status| status.pod_ip.clone()));
        let prepare = tokio::task::spawn_blocking(move || directory.prepare(&pod, &objects, &facts));
        let done = prepare.await.map_err(|error| failed(error.to_string()))?;
        done.map_err(|error| failed(error.to_string()))
    }

    pub async fn sandbox(&self, attempt: i32) -> Result<Started, Failure> {
        let runtime = &self.shared.runtime;
        let failed = |message: String| {
            self.tell(Occurrence::warning("FailedCreatePodSandBox", None, message.clone()));
            Failure::new("FailedCreatePodSandBox", message)
        };
        let config = config::sandbox(&self.pod, &self.shared.settings, attempt);
        let pause = self.shared.images.ensure(&config.image, PullPolicy::IfNotPresent, || ()).await;
        let (image, _) = pause.map_err(|error| failed(format!("Failed to create pod sandbox: {error}")))?;
        let make = async {
            let id = runtime.create(&config).await?;
            if let Err(error) = runtime.start(&id).await {
                // A host port that is taken, most likely: nothing of it must stay.
                runtime.remove(&id).await?;
                return Err(error);
            }
            runtime.inspect(&id).await?.ok_or_else(|| RuntimeError::NotFound(format!("sandbox {id} is gone")))
        };
        match make.await {
            Ok(container) => Ok(Started { container, image }),
            Err(error) => Err(failed(format!("Failed to create pod sandbox: {error}"))),
        }
    }

    pub async fn container(
        &self,
        name: &str,
        sandbox: Container,
        restart_count: i32,
        backoff: Duration,
    ) -> Result<Started, Failure> {
        let spec =
            pod::container(&self.pod, name).ok_or_else(|| Failure::new("CreateContainerError", "no such container"))?;
        let image = self.image(spec).await?;
        let config_error = |message: String| {
            self.tell(Occurrence::warning("Failed", Some(name), format!("Error: {message}")));
            Failure::new("CreateContainerConfigError", message)
        };
        if let Some(message) = config::refused_user(&self.pod, spec, &image.user) {
            return Err(config_error(message));
        }
        let start = self.start(spec, &sandbox, restart_count, backoff).await.map_err(config_error)?;
        let config = config::container(&self.pod, spec, &self.shared.settings, start);
        let runtime = &self.shared.runtime;
        let id = runtime.create(&config).await.map_err(|error| {
            let message = format!("Error response from runtime: {error}");
            self.tell(Occurrence::warning("Failed", Some(name), format!("Error: {message}")));
            Failure::new("CreateContainerError", message)
        })?;
        self.tell(Occurrence::normal("Created", Some(name), format!("Created container {name}")));
        let started = runtime.start(&id).await;
        let found = runtime.inspect(&id).await.map_err(|error| Failure::new("RunContainerError", error))?;
        let container = found.ok_or_else(|| Failure::new("RunContainerError", format!("container {id} is gone")))?;
        if let Err(error) = started {
            self.tell(Occurrence::warning(
                "Failed",
                Some(name),
                format!("Error: failed to start container \"{name}\": {error}"),
            ));
            // Docker keeps the reason with the container, which then counts as an attempt; otherwise this one never was.
            if !matches!(container.state, crate::runtime::State::Exited(_)) {
                let _ = runtime.remove(&id).await;
                return Err(Failure::new("RunContainerError", error));
            }
            return Ok(Started { container, image });
        }
        self.tell(Occurrence::normal("Started", Some(name), format!("Started container {name}")));
        if let Some(hook) = spec.lifecycle.as_ref().and_then(|hooks| hooks.post_start.as_ref())
            && let Err(message) =
                self.hook(hook, spec, &container, sandbox.ip.map(|ip| ip.to_string()), Duration::MAX).await
        {
            let message = format!("PostStartHookError: {message}");
            self.tell(Occurrence::warning("FailedPostStartHook", Some(name), message.clone()));
            let grace = Duration::from_secs(pod::grace_seconds(&self.pod).into());
            let _ = runtime.stop(&id, grace).await;
            let ended = runtime.inspect(&id).await.ok().flatten().unwrap_or(container);
            return Ok(Started { container: ended, image });
        }
        Ok(Started { container, image })
    }

    async fn image(&self, spec: &Spec) -> Result<Image, Failure> {
        let name = spec.image.clone().unwrap_or_default();
        let about = Some(spec.name.as_str());
        let pulling = || self.tell(Occurrence::normal("Pulling", about, format!("Pulling image \"{name}\"")));
        match self.shared.images.ensure(&name, PullPolicy::of(spec.image_pull_policy.as_deref()), pulling).await {
            Ok((image, Pulled::Present)) => {
                let message = format!("Container image \"{name}\" already present on machine");
                self.tell(Occurrence::normal("Pulled", about, message));
                Ok(image)
            }
            Ok((image, Pulled::In(time))) => {
                let message = format!("Successfully pulled image \"{name}\" in {}ms", time.as_millis());
                self.tell(Occurrence::normal("Pulled", about, message));
                Ok(image)
            }
            Err(error @ ImageError::BackOff { until, .. }) => {
                self.tell(Occurrence::normal("BackOff", about, error.to_string()));
                Err(Failure { retry_at: Some(until), ..Failure::new(error.reason(), error) })
            }
            Err(error) => {
                self.tell(Occurrence::warning("Failed", about, error.to_string()));
                Err(Failure::new(error.reason(), error))
            }
        }
    }

    async fn start<'a>(
        &self,
        spec: &Spec,
        sandbox: &'a Container,
        restart_count: i32,
        backoff: Duration,
    ) -> Result<config::Start<'a>, String> {
        let settings = &self.shared.settings;
        let address = || pod::host_network(&self.pod).then(|| settings.node_address.clone());
        let facts = settings.facts(sandbox.ip.map(|ip| ip.to_string()).or_else(address));
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let links = pod::spec(&self.pod).enable_service_links.unwrap_or(true);
        let api_service = ["default"].into_iter().filter(|other| *other != namespace);
        let known = std::iter::once(namespace).chain(api_service).flat_map(|space| self.shared.cluster.services(space));
        let known = services::visible(namespace, links, known);
        let objects = self.fetch(&environment::references(spec)).await.map_err(|error| error.to_string())?;
        let env = environment::build(&self.pod, spec, &known, &objects, &facts).map_err(|error| error.to_string())?;
        let (pod, spec) = (self.pod.clone(), spec.clone());
        let (directory, for_mounts) = (self.directory(), env.clone());
        let (command, args) = (expand_all(spec.command.as_ref(), &env), expand_all(spec.args.as_ref(), &env));
        let mounts = tokio::task::spawn_blocking(move || {
            let mut mounts = directory.mounts(&pod, &spec, &for_mounts)?;
            mounts.push(Mount {
                host_path: directory.last_words(&spec.name, restart_count)?.to_string_lossy().into_owned(),
                container_path: spec.termination_message_path.clone().unwrap_or_else(|| "/dev/termination-log".into()),
                read_only: false,
                propagation: None,
            });
            Ok(mounts)
        });
        let mounts = mounts.await.map_err(|error| error.to_string())?;
        let mounts = mounts.map_err(|error: crate::volumes::VolumeError| error.to_string())?;
        Ok(config::Start { sandbox: &sandbox.id, restart_count, backoff, env, command, args, mounts })
    }

    /// The objects as far as they exist. Fails when the API can't be asked.
    async fn fetch(&self, references: &References) -> Result<Objects, ClusterError> {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut objects = Objects::default();
        for name in &references.config_maps {
            match self.shared.cluster.config_map(namespace, name).await {
                Ok(found) => drop(objects.config_maps.insert(name.clone(), found)),
                Err(ClusterError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for name in &references.secrets {
            match self.shared.cluster.secret(namespace, name).await {
                Ok(found) => drop(objects.secrets.insert(name.clone(), found)),
                Err(ClusterError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(objects)
    }

    pub async fn stop(
        &self,
        container: Container,
        pod_ip: Option<String>,
        grace: Duration,
        why: String,
    ) -> Result<(), RuntimeError> {
        let name = container.identity.container.as_str();
        self.tell(Occurrence::normal("Killing", Some(name), format!("Stopping container {name}: {why}")));
        let began = Instant::now();
        if let Some(spec) = pod::container(&self.pod, name)
            && let Some(hook) = spec.lifecycle.as_ref().and_then(|hooks| hooks.pre_stop.as_ref())
            && !grace.is_zero()
            && let Err(message) = self.hook(hook, spec, &container, pod_ip, grace).await
        {
            self.tell(Occurrence::warning("FailedPreStopHook", Some(name), format!("PreStopHook failed: {message}")));
        }
        // A hook that took all the time leaves two seconds, as upstream gives.
        let left = if grace.is_zero() {
            grace
        } else {
            grace.saturating_sub(began.elapsed()).max(Duration::from_secs(2).min(grace))
        };
        self.shared.runtime.stop(&container.id, left).await
    }

    async fn hook(
        &self,
        hook: &LifecycleHandler,
        spec: &Spec,
        container: &Container,
        pod_ip: Option<String>,
        time: Duration,
    ) -> Result<(), String> {
        if let Some(pause) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(pause.seconds.max(0).unsigned_abs()).min(time)).await;
            return Ok(());
        }
        let time = time.min(Duration::from_secs(86_400));
        if let Some(exec) = &hook.exec {
            let command = exec.command.clone().unwrap_or_default();
            let outcome =
                self.shared.runtime.exec(&container.id, &command, time).await.map_err(|error| error.to_string())?;
            return match outcome.exit_code {
                0 => Ok(()),
                code => Err(format!("command exited with {code}: {}", outcome.output.trim())),
            };
        }
        if let Some(get) = &hook.http_get {
            let host = pod_ip.unwrap_or_else(|| self.shared.settings.node_address.clone());
            return probe::http_get(get, spec, &host, time.min(Duration::from_secs(60))).await;
        }
        Ok(())
    }

    /// Everything that is left of the pod on this node, and then the pod itself.
    pub async fn finish(&self, in_api: bool) -> Result<(), String> {
        let directory = self.directory();
        let removed =
            tokio::task::spawn_blocking(move || directory.remove()).await.map_err(|error| error.to_string())?;
        removed.map_err(|error| error.to_string())?;
        if !in_api {
            return Ok(());
        }
        match self.shared.cluster.delete_pod(&self.pod_ref()).await {
            Ok(()) | Err(ClusterError::Gone(_)) => Ok(()),
            Err(ClusterError::Failed(message)) => Err(message),
        }
    }
}
