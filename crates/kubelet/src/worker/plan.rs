//! What to do next for one pod: a pure function of what the API wants, what the runtime has, and what the worker has under way.
//! It does nothing and asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as Spec, Pod};

use crate::names::identity_hash;
use crate::pod::{self, SANDBOX};
use crate::runtime::{Container, Exit, State};

/// The first wait before a container that ended is started again, after one restart at once.
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_MOST: Duration = Duration::from_secs(300);
/// Who ran that long has earned a restart at once.
const GOOD_RUN: Duration = Duration::from_secs(600);

/// Under these names the worker keeps troubles that are no container's.
pub const VOLUMES: &str = "volumes of the pod";
pub const FINISH: &str = "end of the pod";

/// Something that only one operation at a time may be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Volumes,
    /// Making a container of this name, or the sandbox.
    Start(String),
    Stop(String),
    Remove(String),
    Finish,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    PrepareVolumes,
    CreateSandbox {
        attempt: i32,
    },
    Start {
        container: String,
        sandbox: String,
        restart_count: i32,
        backoff: Duration,
    },
    Stop {
        id: String,
        grace: Duration,
        why: String,
    },
    Remove {
        id: String,
    },
    /// Nothing of the pod runs any more: directories go, and the pod leaves the API.
    Finish,
}

impl Action {
    pub fn slot(&self) -> Slot {
        match self {
            Self::PrepareVolumes => Slot::Volumes,
            Self::CreateSandbox { .. } => Slot::Start(SANDBOX.into()),
            Self::Start { container, .. } => Slot::Start(container.clone()),
            Self::Stop { id, .. } => Slot::Stop(id.clone()),
            Self::Remove { id } => Slot::Remove(id.clone()),
            Self::Finish => Slot::Finish,
        }
    }
}

/// Why something could not be done, as the pod's status shows it, and when to try again.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub reason: &'static str,
    pub message: String,
    pub retry_at: Timestamp,
}

/// What the probes of a running container say.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub started: bool,
    pub ready: bool,
    /// It is to be restarted: why, and how long it may take to end.
    pub unhealthy: Option<(String, Option<u32>)>,
}

/// What the worker knows beyond the API and the runtime.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The pod is gone from the API.
    pub gone: bool,
    pub busy: BTreeSet<Slot>,
    /// When the Stop under way is to be over, by container id.
    pub stops: BTreeMap<String, Timestamp>,
    /// By container name, or `POD`, or the id of a container that could not be stopped or removed.
    pub troubles: BTreeMap<String, Trouble>,
    /// By container id.
    pub health: BTreeMap<String, Health>,
    pub volumes_ready: bool,
    /// Why no pod can get an address yet.
    pub no_network: Option<String>,
    /// By the id of the content.
    pub image_references: BTreeMap<String, String>,
    /// What ended containers left as their last words, by id.
    pub last_words: BTreeMap<String, String>,
    pub started_at: Option<Timestamp>,
}

/// All that the decision is made from.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub pod: &'a Pod,
    pub containers: &'a BTreeMap<String, Container>,
    pub memory: &'a Memory,
    pub now: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Look again at this time even if nothing happens.
    pub wake_at: Option<Timestamp>,
}

impl<'a> View<'a> {
    pub fn terminating(&self) -> bool {
        self.memory.gone || pod::is_deleted(self.pod)
    }

    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&'a Container> {
        self.containers
            .values()
            .filter(|c| c.identity.is_sandbox())
            .max_by_key(|c| (c.identity.restart_count, c.created_at))
    }

    /// The attempts of a container, the newest first.
    pub fn attempts(&self, name: &str) -> Vec<&'a Container> {
        let mut found: Vec<_> = self.containers.values().filter(|c| c.identity.container == name).collect();
        found.sort_by_key(|c| std::cmp::Reverse((c.identity.restart_count, c.created_at)));
        found
    }

    pub fn latest(&self, name: &str) -> Option<&'a Container> {
        self.containers
            .values()
            .filter(|c| c.identity.container == name)
            .max_by_key(|c| (c.identity.restart_count, c.created_at))
    }

    /// The newest attempt within the sandbox of now: an init container runs again in a new sandbox.
    pub fn current(&self, name: &str) -> Option<&'a Container> {
        let born = self.sandbox().map(|sandbox| sandbox.created_at);
        self.latest(name).filter(|c| born.is_none_or(|born| c.created_at >= born))
    }

    /// No container of it will be started again.
    pub fn finished(&self) -> bool {
        if pod::is_finished(self.pod) || self.deadline().is_some_and(|at| at <= self.now) {
            return true;
        }
        let policy = pod::restart_policy(self.pod);
        let done = |name: &str| {
            self.latest(name).is_some_and(|c| matches!(&c.state, State::Exited(exit) if !policy.restarts(exit.code)))
        };
        let init_failed = pod::init_containers(self.pod).iter().filter(|spec| !pod::is_sidecar(spec)).any(|spec| {
            policy == pod::RestartPolicy::Never
                && self.current(&spec.name).is_some_and(|c| matches!(&c.state, State::Exited(exit) if exit.code != 0))
        });
        init_failed
            || !pod::containers(self.pod).is_empty() && pod::containers(self.pod).iter().all(|spec| done(&spec.name))
    }

    /// When the pod has been active for as long as it may.
    pub fn deadline(&self) -> Option<Timestamp> {
        let seconds = pod::spec(self.pod).active_deadline_seconds?;
        self.memory.started_at?.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// Every init container of this sandbox has done its work: later ones would not be there otherwise.
    pub fn initialized(&self) -> bool {
        if self.sandbox().is_none() && !self.finished() {
            return pod::init_containers(self.pod).is_empty();
        }
        pod::containers(self.pod).iter().any(|spec| self.current(&spec.name).is_some())
            || pod::init_containers(self.pod).iter().all(|spec| self.init_done(spec))
    }

    pub fn init_done(&self, spec: &Spec) -> bool {
        match self.current(&spec.name) {
            Some(c) if pod::is_sidecar(spec) => {
                c.is_running() && self.memory.health.get(&c.id).is_none_or(|h| h.started)
            }
            Some(c) => matches!(&c.state, State::Exited(Exit { code: 0, .. })),
            None => false,
        }
    }
}

/// How long to wait after this end, and what the next attempt is to wait after its own.
pub fn backoff(ended: &Container, exit: &Exit) -> (Duration, Duration) {
    let wait = if exit.ran_for() >= GOOD_RUN { Duration::ZERO } else { ended.identity.backoff };
    let next = if wait.is_zero() { BACKOFF_FIRST } else { (wait * 2).min(BACKOFF_MOST) };
    (wait, next)
}

/// When a container that ended may be started again.
pub fn restart_time(ended: &Container, exit: &Exit) -> Timestamp {
    exit.finished_at.checked_add(backoff(ended, exit).0).unwrap_or(Timestamp::MAX)
}

pub fn plan(view: View<'_>) -> Plan {
    let mut planner = Planner { view, plan: Plan::default() };
    if view.terminating() {
        planner.terminate();
    } else if view.finished() {
        planner.rest();
    } else {
        planner.advance();
    }
    planner.plan.actions.retain(|action| !view.memory.busy.contains(&action.slot()));
    planner.plan
}

struct Planner<'a> {
    view: View<'a>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn act(&mut self, action: Action) {
        // One that has just failed is tried again a little later.
        if let Action::Stop { id, .. } | Action::Remove { id } = &action
            && self.held(id)
        {
            return;
        }
        self.plan.actions.push(action);
    }

    fn wake(&mut self, at: Timestamp) {
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn busy(&self, slot: &Slot) -> bool {
        self.view.memory.busy.contains(slot)
    }

    /// Whether a failure of this is too recent to try again.
    fn held(&mut self, name: &str) -> bool {
        match self.view.memory.troubles.get(name) {
            Some(trouble) if trouble.retry_at > self.view.now => {
                self.wake(trouble.retry_at);
                true
            }
            _ => false,
        }
    }

    /// The pod is to go: containers first, then those that serve them, then the sandbox, then everything that is left.
    fn terminate(&mut self) {
        if self.stop_all("the pod is deleted") {
            return;
        }
        // What is about to be made must be known before it can be taken away.
        if self.view.memory.busy.iter().any(|slot| matches!(slot, Slot::Start(_) | Slot::Volumes)) {
            return;
        }
        for id in self.view.containers.keys() {
            self.act(Action::Remove { id: id.clone() });
        }
        if self.view.containers.is_empty() && !self.held(FINISH) {
            self.act(Action::Finish);
        }
    }

    /// The pod has ended but stays in the API: what ran is kept for its log.
    fn rest(&mut self) {
        if !self.stop_all("the pod has ended") {
            for sandbox in self.view.containers.values().filter(|c| c.identity.is_sandbox()) {
                self.act(Action::Remove { id: sandbox.id.clone() });
            }
        }
    }

    /// Returns whether anything but sandboxes runs.
    fn stop_all(&mut self, why: &str) -> bool {
        let grace = Duration::from_secs(pod::grace_seconds(self.view.pod).into());
        let running: Vec<_> =
            self.view.containers.values().filter(|c| c.is_running() && !c.identity.is_sandbox()).collect();
        let serves = |c: &Container| pod::container(self.view.pod, &c.identity.container).is_some_and(pod::is_sidecar);
        let first: Vec<_> = running.iter().copied().filter(|c| !serves(c)).collect();
        let now = if first.is_empty() { &running } else { &first };
        for container in now {
            self.stop(container, grace, why);
        }
        !running.is_empty()
    }

    fn stop(&mut self, container: &Container, grace: Duration, why: &str) {
        let deadline = self.view.now.checked_add(grace).unwrap_or(Timestamp::MAX);
        // Somebody wants it sooner than the stop that is under way: ask once more.
        let hurry = self.view.memory.stops.get(&container.id).is_some_and(|until| deadline < *until);
        if self.busy(&Slot::Stop(container.id.clone())) && !hurry {
            return;
        }
        if hurry && grace.is_zero() {
            self.act(Action::Remove { id: container.id.clone() });
        } else if !hurry {
            self.act(Action::Stop { id: container.id.clone(), grace, why: why.to_owned() });
        }
    }

    /// The pod is to run.
    fn advance(&mut self) {
        if let Some(deadline) = self.view.deadline() {
            self.wake(deadline);
        }
        self.prune();
        if !self.view.memory.volumes_ready && !self.held(VOLUMES) {
            self.act(Action::PrepareVolumes);
        }
        let Some(sandbox) = self.sandbox() else { return };
        if !self.view.memory.volumes_ready {
            return;
        }
        if !self.initialize(sandbox) {
            return;
        }
        for spec in pod::containers(self.view.pod) {
            let policy = pod::restart_policy(self.view.pod);
            self.keep_running(spec, sandbox, self.view.latest(&spec.name), |exit| policy.restarts(exit.code));
        }
    }

    /// The sandbox, once it runs.
    fn sandbox(&mut self) -> Option<&'a Container> {
        let newest = self.view.sandbox();
        if let Some(sandbox) = newest.filter(|sandbox| sandbox.is_running()) {
            return Some(sandbox);
        }
        if self.busy(&Slot::Start(SANDBOX.into())) {
            return None;
        }
        // Without it the others have no network: they go first, and come again with the next one.
        if newest.is_some() && self.stop_all("the pod's sandbox has ended") {
            return None;
        }
        if self.view.memory.no_network.is_some() && !pod::host_network(self.view.pod) || self.held(SANDBOX) {
            return None;
        }
        self.act(Action::CreateSandbox { attempt: newest.map_or(0, |old| old.identity.restart_count + 1) });
        None
    }

    /// Init containers one after the other. Returns whether the others may run.
    fn initialize(&mut self, sandbox: &Container) -> bool {
        let specs = pod::init_containers(self.view.pod);
        let done = self.view.initialized();
        for spec in specs {
            let current = self.view.current(&spec.name);
            if pod::is_sidecar(spec) {
                self.keep_running(spec, sandbox, self.view.latest(&spec.name), |_| true);
            } else if !done && !self.view.init_done(spec) {
                let last = if current.is_some() { current } else { self.view.latest(&spec.name) };
                let again = |exit: &Exit| current.is_none() || exit.code != 0;
                self.keep_running(spec, sandbox, last, again);
            }
            if !done && !self.view.init_done(spec) {
                return false;
            }
        }
        true
    }

    fn keep_running(
        &mut self,
        spec: &Spec,
        sandbox: &Container,
        latest: Option<&Container>,
        restarts: impl Fn(&Exit) -> bool,
    ) {
        let start = |restart_count, backoff| Action::Start {
            container: spec.name.clone(),
            sandbox: sandbox.id.clone(),
            restart_count,
            backoff,
        };
        if self.busy(&Slot::Start(spec.name.clone())) {
            return;
        }
        let Some(container) = latest else {
            if !self.held(&spec.name) {
                self.act(start(0, Duration::ZERO));
            }
            return;
        };
        let changed = container.identity.hash != identity_hash(spec);
        match &container.state {
            // Left by a kubelet that was killed between the two calls: it never ran.
            State::Created => self.act(Action::Remove { id: container.id.clone() }),
            State::Running { .. } => {
                let grace = pod::grace_seconds(self.view.pod);
                if changed {
                    let why = format!("Container {} definition changed, will be restarted", spec.name);
                    self.stop(container, Duration::from_secs(grace.into()), &why);
                } else if let Some((why, own)) =
                    self.view.memory.health.get(&container.id).and_then(|h| h.unhealthy.clone())
                {
                    self.stop(container, Duration::from_secs(own.unwrap_or(grace).into()), &why);
                }
            }
            State::Exited(exit) if changed || restarts(exit) => {
                let (_, next) = backoff(container, exit);
                let at = restart_time(container, exit);
                if !changed && at > self.view.now {
                    self.wake(at);
                } else if !self.held(&spec.name) {
                    self.act(start(container.identity.restart_count + 1, next));
                }
            }
            State::Exited(_) => {}
        }
    }

    /// Of what has ended, the last of each container stays (for its log); older ones and dead sandboxes go.
    fn prune(&mut self) {
        let mut names: Vec<&str> = self.view.containers.values().map(|c| c.identity.container.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let dead = self.view.attempts(name).into_iter().filter(|c| !c.is_running());
            let newest_runs = self.view.latest(name).is_some_and(Container::is_running);
            let keep = usize::from(name != SANDBOX || !newest_runs);
            for old in dead.skip(keep) {
                self.act(Action::Remove { id: old.id.clone() });
            }
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
