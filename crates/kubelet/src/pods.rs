//! The pods of this node: a worker for each, told what the API and the runtime say. Finds what a killed kubelet left
//! running, and ends what the API knows no more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::pod::PodRef;
use crate::runtime::{Container, Event, Listed, RuntimeError};
use crate::settings::Shared;
use crate::volumes::known_pods;
use crate::worker::{Inbox, Message, Worker};

/// Events tell everything; this is for the one that got lost.
const RELIST: Duration = Duration::from_secs(60);
/// Between attempts to reach a runtime that is away.
const RECONNECT: Duration = Duration::from_millis(500);

/// What the API says of a pod of this node.
#[derive(Clone, Debug)]
pub enum Change {
    Is(Arc<Pod>),
    Gone(Arc<Pod>),
}

pub struct Pods {
    shared: Arc<Shared>,
    workers: HashMap<String, Inbox>,
    tasks: JoinSet<String>,
    /// Whose workers have ended, until the API says the same.
    ended: HashSet<String>,
    /// Why the runtime does not answer; None: it does.
    runtime_down: watch::Sender<Option<String>>,
}

impl Pods {
    pub fn new(shared: Arc<Shared>, runtime_down: watch::Sender<Option<String>>) -> Self {
        Self { shared, workers: HashMap::new(), tasks: JoinSet::new(), ended: HashSet::new(), runtime_down }
    }

    /// `changes` must have told every pod of the API before `synced` ends: only then is it known which containers are nobody's.
    pub async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        synced: impl Future<Output = ()>,
        token: CancellationToken,
    ) -> Result<(), String> {
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = synced => {}
        }
        let mut events = tokio::select! {
            () = token.cancelled() => return Ok(()),
            (events, containers) = self.first_look() => {
                let mut pods = Vec::new();
                while let Ok(change) = changes.try_recv() {
                    pods.push(change);
                }
                self.adopt(pods, containers).await;
                Some(events)
            }
        };
        let mut relist = tokio::time::interval_at(Instant::now() + RELIST, RELIST);
        relist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = async {
                match &mut events {
                    Some(stream) => stream.next().await,
                    None => {
                        tokio::time::sleep(RECONNECT).await;
                        None
                    }
                }
            };
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                change = changes.recv() => match change {
                    Some(change) => self.change(change),
                    None => return Err("the reflector of pods has ended".into()),
                },
                event = event => match event {
                    Some(Ok(event)) => self.event(event),
                    _ended => events = self.reconnect().await,
                },
                _ = relist.tick() => if let Err(error) = self.relist().await {
                    // The stream of events is about to end, and will tell.
                    tracing::debug!("listing containers: {error}");
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(uid) => {
                        self.workers.remove(&uid);
                        self.ended.insert(uid);
                    }
                    Err(error) => return Err(format!("a pod's worker has ended: {error}")),
                },
            }
        }
    }

    /// Waits until the runtime answers. Events from before the list are told too, so that nothing falls between.
    async fn first_look(&self) -> (BoxStream<'static, Result<Event, RuntimeError>>, Vec<Container>) {
        loop {
            match self.look().await {
                Ok(seen) => {
                    self.set_down(None);
                    return seen;
                }
                Err(error) => self.set_down(Some(error.to_string())),
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn look(&self) -> Result<(BoxStream<'static, Result<Event, RuntimeError>>, Vec<Container>), RuntimeError> {
        let runtime = &self.shared.runtime;
        let events = runtime.events().await?;
        let mut containers = Vec::new();
        for listed in runtime.list().await? {
            containers.extend(runtime.inspect(&listed.id).await?);
        }
        Ok((events, containers))
    }

    fn set_down(&self, why: Option<String>) {
        self.runtime_down.send_if_modified(|known| {
            if let (None, Some(why)) = (&*known, &why) {
                tracing::warn!("container runtime is down: {why}");
            } else if let (Some(_), None) = (&*known, &why) {
                tracing::info!("container runtime answers");
            }
            let changed = *known != why;
            *known = why;
            changed
        });
    }

    /// The first decision: who goes on, who begins, and who has to go.
    async fn adopt(&mut self, changes: Vec<Change>, containers: Vec<Container>) {
        let references = self.references(&containers).await;
        let mut by_pod: BTreeMap<String, Vec<Container>> = BTreeMap::new();
        for container in containers {
            by_pod.entry(container.identity.pod.uid.clone()).or_default().push(container);
        }
        let mut pods: BTreeMap<String, Arc<Pod>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Is(pod) => drop(pods.insert(uid(&pod), pod)),
                Change::Gone(pod) => drop(pods.remove(&uid(&pod))),
            }
        }
        if !by_pod.is_empty() {
            tracing::info!("found containers of {} pods; {} pods are bound to this node", by_pod.len(), pods.len());
        }
        for (uid, pod) in pods {
            let own = by_pod.remove(&uid).unwrap_or_default();
            self.begin(pod, own, references.clone());
        }
        for uid in known_pods(&self.shared.settings.root) {
            if !self.workers.contains_key(&uid) {
                by_pod.entry(uid).or_default();
            }
        }
        for (uid, left) in by_pod {
            let pod = Arc::new(remains(&uid, &left));
            tracing::info!("pod {} ({uid}) is gone from the API: cleaning up", PodRef::of(&pod));
            self.begin(pod, left, BTreeMap::new());
            self.tell(&uid, Message::Gone);
        }
    }

    /// What the images of these containers are called.
    async fn references(&self, containers: &[Container]) -> BTreeMap<String, String> {
        let mut references = BTreeMap::new();
        for container in containers {
            if !references.contains_key(&container.image_id)
                && let Ok(Some(image)) = self.shared.runtime.image(&container.image_id).await
            {
                references.insert(image.id, image.reference);
            }
        }
        references
    }

    fn begin(&mut self, pod: Arc<Pod>, containers: Vec<Container>, references: BTreeMap<String, String>) {
        let uid = uid(&pod);
        let (inbox, messages) = mpsc::unbounded_channel();
        let worker = Worker::new(self.shared.clone(), pod, containers, references);
        self.workers.insert(uid.clone(), inbox);
        self.tasks.spawn(async move {
            worker.run(messages).await;
            uid
        });
    }

    fn tell(&self, uid: &str, message: Message) {
        if let Some(inbox) = self.workers.get(uid) {
            // A worker that has just ended needs to know no more.
            let _ = inbox.send(message);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Is(pod) => {
                let uid = uid(&pod);
                if self.workers.contains_key(&uid) {
                    self.tell(&uid, Message::Pod(pod));
                } else if !self.ended.contains(&uid) {
                    self.begin(pod, Vec::new(), BTreeMap::new());
                }
            }
            Change::Gone(pod) => {
                let uid = uid(&pod);
                self.ended.remove(&uid);
                self.tell(&uid, Message::Gone);
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.tell(&event.pod_uid, Message::Event(event.kind, event.id));
    }

    /// None: not yet.
    async fn reconnect(&self) -> Option<BoxStream<'static, Result<Event, RuntimeError>>> {
        let again = async {
            let events = self.shared.runtime.events().await?;
            // The stream connects late: only an answer proves that somebody is there.
            self.relist().await?;
            Ok(events)
        };
        match again.await {
            Ok(events) => {
                self.set_down(None);
                Some(events)
            }
            Err(error) => {
                let error: RuntimeError = error;
                self.set_down(Some(error.to_string()));
                None
            }
        }
    }

    async fn relist(&self) -> Result<(), RuntimeError> {
        let listed = self.shared.runtime.list().await?;
        let mut by_pod: HashMap<&str, Vec<&Listed>> = HashMap::new();
        for container in &listed {
            by_pod.entry(&container.identity.pod.uid).or_default().push(container);
        }
        for uid in self.workers.keys() {
            let own = by_pod.remove(uid.as_str()).unwrap_or_default();
            for container in &own {
                self.tell(uid, Message::Seen { id: container.id.clone(), running: container.running });
            }
            self.tell(uid, Message::Only(Arc::new(own.iter().map(|container| container.id.clone()).collect())));
        }
        Ok(())
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

/// A pod of which only containers or directories are left: enough to end it as any other.
fn remains(uid: &str, containers: &[Container]) -> Pod {
    let identity = containers.first().map(|container| &container.identity);
    Pod {
        metadata: ObjectMeta {
            uid: Some(uid.to_owned()),
            name: identity.map(|identity| identity.pod.name.clone()),
            namespace: identity.map(|identity| identity.pod.namespace.clone()),
            deletion_grace_period_seconds: containers.iter().map(|c| i64::from(c.identity.grace_seconds)).max(),
            ..Default::default()
        },
        spec: Some(PodSpec::default()),
        status: None,
    }
}
