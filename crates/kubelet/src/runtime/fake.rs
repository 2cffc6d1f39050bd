//! A runtime in memory, for tests and hollow nodes: keeps the contract of the real one, runs nothing. A container runs until
//! it is stopped or `exit` is called.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{
    Container, ContainerConfig, Event, EventKind, ExecOutcome, Exit, Image, Info, Listed, LogQuery, Network, Result,
    Runtime, RuntimeError, State,
};
use crate::images::full_name;

const EVENTS: usize = 1024;

pub struct Fake {
    state: Mutex<Inner>,
    events: broadcast::Sender<Event>,
}

#[derive(Default)]
struct Inner {
    containers: BTreeMap<String, Container>,
    images: BTreeSet<String>,
    missing: BTreeSet<String>,
    networks: BTreeMap<String, String>,
    logs: BTreeMap<String, String>,
    exec: BTreeMap<Vec<String>, i64>,
    created: u32,
    down: bool,
}

impl Default for Fake {
    fn default() -> Self {
        Self { state: Mutex::default(), events: broadcast::channel(EVENTS).0 }
    }
}

impl Fake {
    /// As if the registry had no image of this name.
    pub fn lacks_image(&self, name: &str) {
        self.lock().missing.insert(full(name));
    }

    /// Away, or back again.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// What this command answers; others answer 0.
    pub fn set_exec(&self, command: &[&str], exit_code: i64) {
        self.lock().exec.insert(command.iter().map(ToString::to_string).collect(), exit_code);
    }

    pub fn write_log(&self, id: &str, text: &str) {
        self.lock().logs.entry(id.to_owned()).or_default().push_str(text);
    }

    /// The container's process ends.
    pub fn exit(&self, id: &str, code: i32) {
        self.end(id, code);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().expect("no panic holds this lock")
    }

    fn up(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.down {
            return Err(RuntimeError::Down { endpoint: "fake".into(), message: "switched off".into() });
        }
        Ok(inner)
    }

    fn end(&self, id: &str, code: i32) {
        let mut inner = self.lock();
        let Some(container) = inner.containers.get_mut(id) else { return };
        let State::Running { started_at } = container.state else { return };
        let exit = Exit {
            code,
            started_at: Some(started_at),
            finished_at: Timestamp::now(),
            out_of_memory: false,
            error: None,
        };
        container.state = State::Exited(exit);
        self.tell(container, EventKind::Died);
    }

    fn tell(&self, container: &Container, kind: EventKind) {
        // Nobody listening is no error.
        let _ = self.events.send(Event { pod_uid: container.identity.pod.uid.clone(), id: container.id.clone(), kind });
    }
}

fn full(name: &str) -> String {
    full_name(name).unwrap_or_else(|| name.to_owned())
}

#[async_trait]
impl Runtime for Fake {
    async fn info(&self) -> Result<Info> {
        drop(self.up()?);
        let text = |text: &str| text.to_owned();
        Ok(Info { name: "fake", version: text("1"), kernel: text("none"), os_image: text("none"), root_dir: text("/") })
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let listed = |container: &Container| Listed {
            id: container.id.clone(),
            identity: container.identity.clone(),
            running: container.is_running(),
        };
        Ok(self.up()?.containers.values().map(listed).collect())
    }

    async fn inspect(&self, id: &str) -> Result<Option<Container>> {
        Ok(self.up()?.containers.get(id).cloned())
    }

    async fn create(&self, config: &ContainerConfig) -> Result<String> {
        let mut inner = self.up()?;
        if !inner.images.contains(&full(&config.image)) {
            return Err(RuntimeError::NotFound(format!("No such image: {}", config.image)));
        }
        if let Network::Pod(name) = &config.network
            && !inner.networks.contains_key(name)
        {
            return Err(RuntimeError::NotFound(format!("network {name} not found")));
        }
        inner.created += 1;
        let id = format!("{:064x}", inner.created);
        let [_, b, c, d] = inner.created.to_be_bytes();
        let container = Container {
            id: id.clone(),
            identity: config.identity.clone(),
            image: config.image.clone(),
            image_id: format!("sha256:{}", config.image),
            created_at: Timestamp::now(),
            state: State::Created,
            ip: matches!(config.network, Network::Pod(_)).then_some(IpAddr::V4(Ipv4Addr::new(10, b, c, d))),
        };
        inner.containers.insert(id.clone(), container);
        Ok(id)
    }

    async fn start(&self, id: &str) -> Result<()> {
        let mut inner = self.up()?;
        let Some(container) = inner.containers.get_mut(id) else {
            return Err(RuntimeError::NotFound(format!("No such container: {id}")));
        };
        if !container.is_running() {
            container.state = State::Running { started_at: Timestamp::now() };
            self.tell(container, EventKind::Started);
        }
        Ok(())
    }

    async fn stop(&self, id: &str, _grace: Duration) -> Result<()> {
        drop(self.up()?);
        self.end(id, 143);
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        drop(self.up()?);
        self.end(id, 137);
        let removed = self.lock().containers.remove(id);
        if let Some(container) = removed {
            self.tell(&container, EventKind::Removed);
        }
        Ok(())
    }

    async fn image(&self, name: &str) -> Result<Option<Image>> {
        let image =
            || Image { id: format!("sha256:{name}"), reference: format!("{name}@sha256:0"), user: String::new() };
        Ok(self.up()?.images.contains(&full(name)).then(image))
    }

    async fn pull(&self, name: &str) -> Result<()> {
        let mut inner = self.up()?;
        if inner.missing.contains(&full(name)) {
            return Err(RuntimeError::NotFound(format!("manifest for {name} not found")));
        }
        inner.images.insert(full(name));
        Ok(())
    }

    async fn ensure_network(&self, name: &str, cidr: &str) -> Result<()> {
        self.up()?.networks.insert(name.to_owned(), cidr.to_owned());
        Ok(())
    }

    async fn remove_network(&self, name: &str) -> Result<()> {
        self.up()?.networks.remove(name);
        Ok(())
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<Event>>> {
        drop(self.up()?);
        let missed = |_| RuntimeError::Down { endpoint: "fake".into(), message: "events were missed".into() };
        Ok(BroadcastStream::new(self.events.subscribe()).map(move |event| event.map_err(missed)).boxed())
    }

    async fn exec(&self, id: &str, command: &[String], _timeout: Duration) -> Result<ExecOutcome> {
        let inner = self.up()?;
        match inner.containers.get(id) {
            Some(container) if container.is_running() => {
                Ok(ExecOutcome { exit_code: inner.exec.get(command).copied().unwrap_or(0), output: String::new() })
            }
            Some(_) => Err(RuntimeError::Refused { status: 409, message: format!("Container {id} is not running") }),
            None => Err(RuntimeError::NotFound(format!("No such container: {id}"))),
        }
    }

    async fn logs(&self, id: &str, _query: &LogQuery) -> Result<BoxStream<'static, Result<Bytes>>> {
        let inner = self.up()?;
        if !inner.containers.contains_key(id) {
            return Err(RuntimeError::NotFound(format!("No such container: {id}")));
        }
        let text = inner.logs.get(id).cloned().unwrap_or_default();
        Ok(futures::stream::iter([Ok(Bytes::from(text))]).boxed())
    }
}
