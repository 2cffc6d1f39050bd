//! The shell around the plan: takes what is told to the worker, asks the plan, does the work beside, reports the status.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::inspect::inspect;
use super::plan::{Action, FINISH, Health, Memory, Slot, VOLUMES, View, plan};
use super::start::{Failure, Started, Work};
use super::status::{owned, status};
use crate::cluster::{ClusterError, Occurrence};
use crate::pod::{self, PodRef, SANDBOX};
use crate::probe::{Report, Target, Verdict, has_probes};
use crate::runtime::{Container, EventKind, RuntimeError, State};
use crate::settings::Shared;
use crate::volumes::PodDirectory;

/// Between attempts at what failed.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);
/// How often files of config maps and secrets are brought up to date.
const REFRESH: Duration = Duration::from_secs(60);
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);

/// What is told to a worker.
#[derive(Clone, Debug)]
pub enum Message {
    /// The pod as the API has it now.
    Pod(Arc<Pod>),
    /// It is gone from the API.
    Gone,
    /// Something happened to this container.
    Event(EventKind, String),
    /// The runtime's list says so.
    Seen { id: String, running: bool },
    /// The runtime's list has none but these.
    Only(Arc<Vec<String>>),
}

/// What has ended.
enum Done {
    Volumes(Result<(), Failure>),
    Started(String, Result<Started, Failure>),
    Stopped(String, Result<(), RuntimeError>),
    Removed(String, Result<(), RuntimeError>),
    Inspected(String, Result<Option<Container>, RuntimeError>, Option<String>),
    Reported(Box<PodStatus>, Result<(), ClusterError>),
    Finished(Result<(), String>),
}

pub struct Worker {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    containers: BTreeMap<String, Container>,
    memory: Memory,
    work: JoinSet<Done>,
    /// Inspections under way; true: something happened since it was asked.
    inspections: HashMap<String, bool>,
    /// Of which something was heard before the start that made them had ended.
    unheeded: HashSet<String>,
    failures: HashMap<String, u32>,
    probes: JoinSet<()>,
    probe_handles: HashMap<String, AbortHandle>,
    reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
    /// The status that the API has from us.
    reported: PodStatus,
    reporting: bool,
    report_after: Option<Timestamp>,
    refreshed_at: Timestamp,
    /// Containers of the ending pod go one by one: what is left of them says nothing any more.
    vanishing: bool,
    finished: bool,
}

impl Worker {
    /// `containers` is what the runtime has of the pod already, `references` what their images are called.
    pub fn new(
        shared: Arc<Shared>,
        pod: Arc<Pod>,
        containers: Vec<Container>,
        references: BTreeMap<String, String>,
    ) -> Self {
        let given = pod.status.clone().unwrap_or_default();
        let memory = Memory {
            started_at: Some(given.start_time.as_ref().map_or_else(Timestamp::now, |time| time.0)),
            volumes_ready: pod::spec(&pod).volumes.as_ref().is_none_or(Vec::is_empty),
            image_references: references,
            ..Memory::default()
        };
        let mut worker = Self {
            shared,
            pod,
            containers: BTreeMap::new(),
            memory,
            work: JoinSet::new(),
            inspections: HashMap::new(),
            unheeded: HashSet::new(),
            failures: HashMap::new(),
            probes: JoinSet::new(),
            probe_handles: HashMap::new(),
            reports: mpsc::unbounded_channel(),
            reported: owned(&given),
            reporting: false,
            report_after: None,
            refreshed_at: Timestamp::now(),
            vanishing: false,
            finished: false,
        };
        for container in containers {
            worker.observe(container);
        }
        worker
    }

    /// Runs until nothing of the pod is left.
    pub async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        let mut no_network = self.shared.no_network.clone();
        self.memory.no_network = no_network.borrow_and_update().clone();
        loop {
            let wake_at = self.turn();
            if self.finished {
                return;
            }
            let wait = wake_at.map_or(NOTHING_TO_DO, |at| {
                // Never a busy loop, whatever the clock does.
                Duration::try_from(at.duration_since(Timestamp::now()))
                    .unwrap_or_default()
                    .max(Duration::from_millis(1))
            });
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return,
                },
                Some(done) = self.work.join_next() => self.settle(done.expect("work does not panic")),
                Some(report) = self.reports.1.recv() => self.judge(report),
                changed = no_network.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.memory.no_network = no_network.borrow_and_update().clone();
                }
                Some(_) = self.probes.join_next() => {}
                () = tokio::time::sleep(wait) => {}
            }
            // What has come meanwhile counts for the same decision.
            while let Ok(message) = inbox.try_recv() {
                self.hear(message);
            }
        }
    }

    fn view(&self) -> View<'_> {
        View { pod: &self.pod, containers: &self.containers, memory: &self.memory, now: Timestamp::now() }
    }

    /// Starts what there is to do. Returns when to look again.
    fn turn(&mut self) -> Option<Timestamp> {
        let plan = plan(self.view());
        let mut wake_at = plan.wake_at;
        for action in plan.actions {
            self.act(action);
        }
        self.report();
        let mut sooner = |at: Timestamp| wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
        if let Some(at) = self.report_after.filter(|_| !self.reporting) {
            sooner(at);
        }
        if let Some(at) = self.refresh() {
            sooner(at);
        }
        wake_at
    }

    /// Volumes that show API objects follow them.
    fn refresh(&mut self) -> Option<Timestamp> {
        let shows = pod::spec(&self.pod).volumes.iter().flatten().any(|volume| {
            volume.config_map.is_some()
                || volume.secret.is_some()
                || volume.projected.is_some()
                || volume.downward_api.is_some()
        });
        if !shows || !self.memory.volumes_ready || self.view().terminating() {
            return None;
        }
        let next = self.refreshed_at.checked_add(REFRESH).ok()?;
        if next <= Timestamp::now() && !self.memory.busy.contains(&Slot::Volumes) {
            self.act(Action::PrepareVolumes);
        }
        Some(next.max(Timestamp::now().checked_add(Duration::from_secs(1)).ok()?))
    }

    fn act(&mut self, action: Action) {
        let work = Work { shared: self.shared.clone(), pod: self.pod.clone() };
        let slot = action.slot();
        match action {
            Action::PrepareVolumes => {
                self.refreshed_at = Timestamp::now();
                self.work.spawn(async move { Done::Volumes(work.volumes().await) });
            }
            Action::CreateSandbox { attempt } => {
                self.work.spawn(async move { Done::Started(SANDBOX.into(), work.sandbox(attempt).await) });
            }
            Action::Start { container, sandbox, restart_count, backoff } => {
                let Some(sandbox) = self.containers.get(&sandbox).cloned() else { return };
                self.work.spawn(async move {
                    let started = work.container(&container, sandbox, restart_count, backoff).await;
                    Done::Started(container, started)
                });
            }
            Action::Stop { id, grace, why } => {
                let Some(container) = self.containers.get(&id).cloned() else { return };
                let until = Timestamp::now().checked_add(grace).unwrap_or(Timestamp::MAX);
                self.memory.stops.insert(id.clone(), until);
                let ip = self.view().sandbox().and_then(|sandbox| sandbox.ip).map(|ip| ip.to_string());
                self.work.spawn(async move { Done::Stopped(id, work.stop(container, ip, grace, why).await) });
            }
            Action::Remove { id } => {
                self.vanishing |= self.view().terminating();
                let runtime = self.shared.runtime.clone();
                self.work.spawn(async move {
                    let removed = runtime.remove(&id).await;
                    Done::Removed(id, removed)
                });
            }
            Action::Finish => {
                let in_api = !self.memory.gone;
                self.work.spawn(async move { Done::Finished(work.finish(in_api).await) });
            }
        }
        self.memory.busy.insert(slot);
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Pod(pod) => self.pod = pod,
            Message::Gone => self.memory.gone = true,
            Message::Event(EventKind::Removed, id) => self.forget(&id),
            Message::Event(EventKind::Started, id) => self.seen(id, true),
            Message::Event(EventKind::Died, id) => self.seen(id, false),
            Message::Seen { id, running } => self.seen(id, running),
            Message::Only(ids) => {
                let gone: Vec<String> = self.containers.keys().filter(|id| !ids.contains(id)).cloned().collect();
                // One that was started after the list was made is not in it.
                for id in gone {
                    self.inspect(id);
                }
            }
        }
    }

    fn seen(&mut self, id: String, running: bool) {
        let starting = self.memory.busy.iter().any(|slot| matches!(slot, Slot::Start(_)));
        match self.containers.get(&id) {
            Some(known) if known.is_running() == running => {}
            // The start that is under way brings it, as it was before it ended.
            None if starting && !running => {
                self.unheeded.insert(id);
            }
            None if starting => {}
            _ => self.inspect(id),
        }
    }

    fn inspect(&mut self, id: String) {
        if let Some(again) = self.inspections.get_mut(&id) {
            *again = true;
            return;
        }
        self.inspections.insert(id.clone(), false);
        let shared = self.shared.clone();
        let pod = self.pod.clone();
        self.work.spawn(async move {
            let (found, words) = inspect(&shared, &pod, &id).await;
            Done::Inspected(id, found, words)
        });
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Volumes(result) => {
                self.memory.busy.remove(&Slot::Volumes);
                if self.tried(VOLUMES, result).is_some() {
                    self.memory.volumes_ready = true;
                }
            }
            Done::Started(name, result) => {
                self.memory.busy.remove(&Slot::Start(name.clone()));
                if let Some(started) = self.tried(&name, result) {
                    self.memory.image_references.insert(started.image.id, started.image.reference);
                    let id = started.container.id.clone();
                    self.observe(started.container);
                    if self.unheeded.remove(&id) {
                        self.inspect(id);
                    }
                }
                if !self.memory.busy.iter().any(|slot| matches!(slot, Slot::Start(_))) {
                    for id in std::mem::take(&mut self.unheeded) {
                        self.inspect(id);
                    }
                }
            }
            Done::Stopped(id, result) => {
                self.memory.busy.remove(&Slot::Stop(id.clone()));
                self.memory.stops.remove(&id);
                if self.tried(&id, result.map_err(failure)).is_some()
                    && self.containers.get(&id).is_some_and(Container::is_running)
                {
                    self.inspect(id);
                }
            }
            Done::Removed(id, result) => {
                self.memory.busy.remove(&Slot::Remove(id.clone()));
                if self.tried(&id, result.map_err(failure)).is_some() {
                    self.forget(&id);
                }
            }
            Done::Inspected(id, result, words) => {
                let again = self.inspections.remove(&id).unwrap_or(false);
                if let Some(words) = words {
                    self.memory.last_words.insert(id.clone(), words);
                }
                match result {
                    Ok(Some(container)) => self.observe(container),
                    Ok(None) => self.forget(&id),
                    // The next list tells.
                    Err(error) => tracing::debug!(pod = %PodRef::of(&self.pod), "inspecting {id}: {error}"),
                }
                if again {
                    self.inspect(id);
                }
            }
            Done::Reported(status, result) => self.reported(*status, result),
            Done::Finished(result) => {
                self.memory.busy.remove(&Slot::Finish);
                let result = result.map_err(|message| Failure { reason: "FailedCleanup", message, retry_at: None });
                self.finished = self.tried(FINISH, result).is_some();
            }
        }
    }

    /// Notes how an attempt went, and when the next may be.
    fn tried<T>(&mut self, what: &str, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => {
                self.failures.remove(what);
                self.memory.troubles.remove(what);
                Some(value)
            }
            Err(failure) => {
                let count = self.failures.entry(what.to_owned()).or_default();
                let delay = RETRY_FIRST.saturating_mul(1 << (*count).min(6)).min(RETRY_MOST);
                *count += 1;
                let retry_at = Timestamp::now().checked_add(delay).unwrap_or(Timestamp::MAX);
                tracing::info!(pod = %PodRef::of(&self.pod), "{what}: {}: {}", failure.reason, failure.message);
                self.memory.troubles.insert(what.to_owned(), failure.trouble(retry_at));
                None
            }
        }
    }

    /// Takes a container as the runtime shows it.
    fn observe(&mut self, container: Container) {
        let id = container.id.clone();
        let name = container.identity.container.clone();
        match &container.state {
            State::Running { .. } if name != SANDBOX && !self.memory.health.contains_key(&id) => {
                let health = self.watch(&container, &name);
                self.memory.health.insert(id.clone(), health);
            }
            State::Exited(_) => {
                self.end_probes(&id);
                if name != SANDBOX && !self.memory.last_words.contains_key(&id) {
                    let directory = PodDirectory::new(&self.shared.settings.root, &container.identity.pod.uid);
                    if let Some(words) = directory.read_last_words(&name, container.identity.restart_count) {
                        self.memory.last_words.insert(id.clone(), words);
                    }
                }
            }
            _ => {}
        }
        self.containers.insert(id, container);
    }

    /// The health that a running container begins with; its probes start to ask.
    fn watch(&mut self, container: &Container, name: &str) -> Health {
        let well = Health { started: true, ready: true, unhealthy: None };
        let Some(spec) = pod::container(&self.pod, name).filter(|spec| has_probes(spec)) else { return well };
        let sandbox_ip = self.view().sandbox().and_then(|sandbox| sandbox.ip).map(|ip| ip.to_string());
        let target = Target {
            runtime: self.shared.runtime.clone(),
            container_id: container.id.clone(),
            host: sandbox_ip.unwrap_or_else(|| self.shared.settings.node_address.clone()),
            spec: Arc::new(spec.clone()),
            reports: self.reports.0.clone(),
        };
        let fresh = Health {
            started: spec.startup_probe.is_none(),
            ready: spec.startup_probe.is_none() && spec.readiness_probe.is_none(),
            unhealthy: None,
        };
        let handle = self.probes.spawn(target.watch());
        self.probe_handles.insert(container.id.clone(), handle);
        // A kubelet that was restarted goes on from what it last said of this very container.
        let docker_id = format!("docker://{}", container.id);
        let status = self.pod.status.as_ref().into_iter();
        let mut known = status.flat_map(|s| s.container_statuses.iter().chain(&s.init_container_statuses).flatten());
        match known.find(|status| status.container_id.as_ref() == Some(&docker_id)) {
            Some(status) => {
                Health { started: status.started.unwrap_or(fresh.started), ready: status.ready, unhealthy: None }
            }
            None => fresh,
        }
    }

    fn end_probes(&mut self, id: &str) {
        self.memory.health.remove(id);
        if let Some(handle) = self.probe_handles.remove(id) {
            handle.abort();
        }
    }

    fn forget(&mut self, id: &str) {
        self.end_probes(id);
        self.containers.remove(id);
        self.memory.last_words.remove(id);
        self.memory.troubles.remove(id);
        self.failures.remove(id);
    }

    fn judge(&mut self, report: Report) {
        let Some(container) = self.containers.get(&report.container_id) else { return };
        let name = container.identity.container.clone();
        let has_readiness = pod::container(&self.pod, &name).is_some_and(|spec| spec.readiness_probe.is_some());
        let Some(health) = self.memory.health.get_mut(&report.container_id) else { return };
        match report.verdict {
            Verdict::Started => {
                health.started = true;
                health.ready |= !has_readiness;
            }
            Verdict::Ready(ready) => health.ready = ready,
            Verdict::Unhealthy(why, grace) => health.unhealthy = Some((why, grace)),
            Verdict::Failed(message) => {
                let about = PodRef::of(&self.pod);
                self.shared.cluster.tell(&about, Occurrence::warning("Unhealthy", Some(&name), message));
            }
        }
    }

    /// Sends the status if the API does not have it yet; one at a time, always the newest.
    fn report(&mut self) {
        let held = self.report_after.is_some_and(|at| at > Timestamp::now());
        let vanished = self.vanishing || self.containers.is_empty() && self.view().terminating();
        if self.reporting || held || self.memory.gone || vanished {
            return;
        }
        let now = status(self.view(), &self.reported, &self.shared.settings.node_address);
        if now == self.reported {
            return;
        }
        self.reporting = true;
        let (shared, about) = (self.shared.clone(), PodRef::of(&self.pod));
        self.work.spawn(async move {
            let result = shared.cluster.update_status(&about, &now).await;
            Done::Reported(Box::new(now), result)
        });
    }

    fn reported(&mut self, status: PodStatus, result: Result<(), ClusterError>) {
        self.reporting = false;
        self.report_after = None;
        match result {
            Ok(()) => self.reported = status,
            // The watch will say so too.
            Err(ClusterError::Gone(_)) => self.reported = status,
            Err(ClusterError::Failed(message)) => {
                tracing::debug!(pod = %PodRef::of(&self.pod), "status: {message}");
                self.report_after = Timestamp::now().checked_add(RETRY_FIRST).ok();
            }
        }
    }
}

fn failure(error: RuntimeError) -> Failure {
    Failure { reason: "RuntimeError", message: error.to_string(), retry_at: None }
}

/// How a worker is told something.
pub type Inbox = mpsc::UnboundedSender<Message>;
