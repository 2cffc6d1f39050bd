//! The status of a pod as the API shows it: a pure function of what the decision is made from as well.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container as Spec, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{Trouble, VOLUMES, View, backoff, restart_time};
use crate::pod::{self, PodRef, RestartPolicy, SANDBOX};
use crate::runtime::{Container, Exit, State};

/// The conditions that the kubelet writes; others are somebody else's.
const CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// Reason and message of a condition that needs words.
type Why = Option<(&'static str, String)>;

/// The part of a status that the kubelet owns.
pub fn owned(status: &PodStatus) -> PodStatus {
    let own = |condition: &&PodCondition| CONDITIONS.contains(&condition.type_.as_str());
    PodStatus {
        conditions: Some(status.conditions.iter().flatten().filter(own).cloned().collect()),
        phase: status.phase.clone(),
        reason: status.reason.clone(),
        message: status.message.clone(),
        start_time: status.start_time.clone(),
        host_ip: status.host_ip.clone(),
        host_ips: status.host_ips.clone(),
        pod_ip: status.pod_ip.clone(),
        pod_ips: status.pod_ips.clone(),
        init_container_statuses: status.init_container_statuses.clone(),
        container_statuses: status.container_statuses.clone(),
        ..Default::default()
    }
}

/// What the kubelet has to say of the pod. `last` is what it said before: times of what has not changed stay.
pub fn status(view: View<'_>, last: &PodStatus, node_address: &str) -> PodStatus {
    let init: Vec<_> = pod::init_containers(view.pod).iter().map(|spec| container_status(view, spec, true)).collect();
    let containers: Vec<_> = pod::containers(view.pod).iter().map(|spec| container_status(view, spec, false)).collect();
    let phase = phase(view, &init, &containers);
    let late = view.deadline().is_some_and(|at| at <= view.now);
    let ip = if pod::host_network(view.pod) {
        view.sandbox().map(|_| node_address.to_owned())
    } else {
        view.sandbox().filter(|sandbox| sandbox.is_running()).and_then(|sandbox| sandbox.ip).map(|ip| ip.to_string())
    };
    let ip = ip.or_else(|| last.pod_ip.clone());
    let why = if late {
        (Some("DeadlineExceeded".into()), Some("Pod was active on the node longer than the specified deadline".into()))
    } else {
        (last.reason.clone(), last.message.clone())
    };
    PodStatus {
        conditions: Some(conditions(view, last, phase, &init, &containers)),
        phase: Some(phase.to_owned()),
        reason: why.0,
        message: why.1,
        start_time: last.start_time.clone().or_else(|| view.memory.started_at.map(|time| Time(round(time)))),
        host_ip: Some(node_address.to_owned()),
        host_ips: Some(vec![HostIP { ip: node_address.to_owned() }]),
        pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: ip,
        init_container_statuses: Some(init).filter(|list| !list.is_empty()),
        container_statuses: Some(containers),
        ..Default::default()
    }
}

fn phase(view: View<'_>, init: &[ContainerStatus], containers: &[ContainerStatus]) -> &'static str {
    match view.pod.status.as_ref().and_then(|s| s.phase.as_deref()) {
        Some("Succeeded") => return "Succeeded",
        Some("Failed") => return "Failed",
        _ => {}
    }
    if view.deadline().is_some_and(|at| at <= view.now) {
        return "Failed";
    }
    let ended = |s: &ContainerStatus| {
        let state = s.state.as_ref().and_then(|state| state.terminated.as_ref());
        // One that waits for its next start has ended too.
        state.or(s.last_state.as_ref().and_then(|state| state.terminated.as_ref())).map(|end| end.exit_code)
    };
    let running = |s: &ContainerStatus| s.state.as_ref().is_some_and(|state| state.running.is_some());
    let policy = if view.terminating() { RestartPolicy::Never } else { pod::restart_policy(view.pod) };
    if !view.initialized() {
        let failed = policy == RestartPolicy::Never
            && init.iter().any(|s| !running(s) && ended(s).is_some_and(|code| code != 0));
        return if failed { "Failed" } else { "Pending" };
    }
    if containers.iter().any(|s| !running(s) && ended(s).is_none()) {
        return "Pending";
    }
    if containers.iter().any(running) || policy == RestartPolicy::Always {
        return "Running";
    }
    let codes: Vec<i32> = containers.iter().filter_map(ended).collect();
    match (codes.iter().all(|code| *code == 0), policy) {
        (true, _) => "Succeeded",
        (false, RestartPolicy::Never) => "Failed",
        (false, _) => "Running",
    }
}

fn container_status(view: View<'_>, spec: &Spec, init: bool) -> ContainerStatus {
    let attempts = view.attempts(&spec.name);
    let newest = attempts.first().copied();
    let mut status = ContainerStatus {
        name: spec.name.clone(),
        image: spec.image.clone().unwrap_or_default(),
        ready: false,
        started: Some(false),
        state: Some(ContainerState::default()),
        last_state: Some(ContainerState::default()),
        ..Default::default()
    };
    let trouble = view.memory.troubles.get(&spec.name);
    let Some(newest) = newest else {
        status.state = Some(waiting(view, trouble, init));
        return status;
    };
    status.restart_count = newest.identity.restart_count;
    status.container_id = Some(format!("docker://{}", newest.id));
    status.image_id = image_id(view, newest);
    let earlier = attempts.iter().skip(1).find_map(|c| Some(terminated(view, c, exit(c)?)));
    match &newest.state {
        State::Created => status.state = Some(waiting(view, trouble, init)),
        State::Running { started_at } => {
            let health = view.memory.health.get(&newest.id);
            status.started = Some(health.is_some_and(|h| h.started));
            status.ready = if init { pod::is_sidecar(spec) } else { true } && health.is_some_and(|h| h.ready);
            status.state = Some(ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(Time(round(*started_at))) }),
                ..Default::default()
            });
            status.last_state = earlier.or(status.last_state);
        }
        State::Exited(ended) => {
            // An init container that did its work is ready: the pod can go on.
            status.ready = init && ended.code == 0;
            let now = terminated(view, newest, ended);
            match why_waiting(view, spec, newest, ended, init, trouble) {
                Some((reason, message)) => {
                    status.state = Some(waiting_for(reason, message));
                    status.last_state = Some(now);
                }
                None => {
                    status.state = Some(now);
                    status.last_state = earlier.or(status.last_state);
                }
            }
        }
    }
    status
}

/// What an ended container waits for before its next start. None: it has ended for good, or starts at this moment.
fn why_waiting(
    view: View<'_>,
    spec: &Spec,
    ended: &Container,
    exit: &Exit,
    init: bool,
    trouble: Option<&Trouble>,
) -> Option<(String, String)> {
    if view.terminating() || view.finished() {
        return None;
    }
    let restarts = match init {
        true if pod::is_sidecar(spec) => true,
        true => exit.code != 0,
        false => pod::restart_policy(view.pod).restarts(exit.code),
    };
    if let Some(trouble) = trouble {
        return Some((trouble.reason.to_owned(), trouble.message.clone()));
    }
    if !restarts || restart_time(ended, exit) <= view.now {
        return None;
    }
    let PodRef { namespace, name, uid } = PodRef::of(view.pod);
    let wait = backoff(ended, exit).0;
    let message = format!(
        "back-off {} restarting failed container={} pod={name}_{namespace}({uid})",
        go_duration(wait),
        spec.name
    );
    Some(("CrashLoopBackOff".into(), message))
}

/// `1m20s`, as the message has been written for ten years.
fn go_duration(time: std::time::Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

fn waiting_for(reason: impl Into<String>, message: impl Into<String>) -> ContainerState {
    let message = Some(message.into()).filter(|text: &String| !text.is_empty());
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.into()), message }),
        ..Default::default()
    }
}

/// A container that has never run.
fn waiting(view: View<'_>, own: Option<&Trouble>, init: bool) -> ContainerState {
    if let Some(trouble) = own {
        return waiting_for(trouble.reason, &trouble.message);
    }
    // What holds up the whole pod is told by each of its containers.
    if let Some(trouble) = [SANDBOX, VOLUMES].iter().find_map(|name| view.memory.troubles.get(*name)) {
        return waiting_for("ContainerCreating", &trouble.message);
    }
    match &view.memory.no_network {
        Some(why) if !pod::host_network(view.pod) => waiting_for("ContainerCreating", why),
        _ if init || !pod::init_containers(view.pod).is_empty() && !view.initialized() => {
            waiting_for("PodInitializing", "")
        }
        _ => waiting_for("ContainerCreating", ""),
    }
}

fn exit(container: &Container) -> Option<&Exit> {
    match &container.state {
        State::Exited(exit) => Some(exit),
        _ => None,
    }
}

fn terminated(view: View<'_>, container: &Container, exit: &Exit) -> ContainerState {
    let reason = if exit.out_of_memory {
        "OOMKilled"
    } else if exit.error.is_some() && exit.started_at.is_none() {
        "ContainerCannotRun"
    } else if exit.code == 0 {
        "Completed"
    } else {
        "Error"
    };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("docker://{}", container.id)),
            exit_code: exit.code,
            reason: Some(reason.to_owned()),
            message: view.memory.last_words.get(&container.id).cloned().or_else(|| exit.error.clone()),
            started_at: exit.started_at.map(|time| Time(round(time))),
            finished_at: Some(Time(round(exit.finished_at))),
            signal: None,
        }),
        ..Default::default()
    }
}

fn image_id(view: View<'_>, container: &Container) -> String {
    match view.memory.image_references.get(&container.image_id) {
        Some(reference) if reference.contains('@') => format!("docker-pullable://{reference}"),
        _ => format!("docker://{}", container.image_id),
    }
}

fn conditions(
    view: View<'_>,
    last: &PodStatus,
    phase: &str,
    init: &[ContainerStatus],
    containers: &[ContainerStatus],
) -> Vec<PodCondition> {
    let unready: Vec<&str> = containers.iter().filter(|s| !s.ready).map(|s| s.name.as_str()).collect();
    let incomplete: Vec<&str> = init.iter().filter(|s| !s.ready).map(|s| s.name.as_str()).collect();
    let succeeded = phase == "Succeeded";
    let completed = || Some(("PodCompleted", String::new()));
    let initialized = match () {
        () if succeeded => (true, completed()),
        () if view.initialized() => (true, None),
        () => (
            false,
            Some((
                "ContainersNotInitialized",
                format!("containers with incomplete status: [{}]", incomplete.join(" ")),
            )),
        ),
    };
    let containers_ready = match () {
        () if succeeded => (false, completed()),
        () if phase == "Failed" => (false, Some(("PodFailed", String::new()))),
        () if unready.is_empty() => (true, None),
        () => (false, Some(("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))))),
    };
    // The gates are others' conditions.
    let given = view.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let open_gates: Vec<&str> = pod::spec(view.pod)
        .readiness_gates
        .iter()
        .flatten()
        .map(|gate| gate.condition_type.as_str())
        .filter(|gate| !given.iter().any(|c| c.type_ == *gate && c.status == "True"))
        .collect();
    let ready = if containers_ready.0 && !open_gates.is_empty() {
        let message = open_gates.iter().map(|gate| {
            format!("corresponding condition of pod readiness gate \"{gate}\" does not exist or is not True.")
        });
        (false, Some(("ReadinessGatesNotReady", message.collect::<Vec<_>>().join(" "))))
    } else {
        containers_ready.clone()
    };
    let sandbox_ready = (view.sandbox().is_some_and(Container::is_running), None);
    let known = last.conditions.as_deref().unwrap_or_default();
    let states = [sandbox_ready, initialized, ready, containers_ready];
    let condition = |(kind, (holds, why)): (&str, (bool, Why))| {
        let status = if holds { "True" } else { "False" };
        let same = known.iter().find(|c| c.type_ == kind && c.status == status);
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: same.and_then(|c| c.last_transition_time.clone()).or(Some(Time(round(view.now)))),
            reason: why.as_ref().map(|(reason, _)| (*reason).to_owned()),
            message: why.map(|(_, message)| message).filter(|text| !text.is_empty()),
            ..Default::default()
        }
    };
    CONDITIONS.into_iter().zip(states).map(condition).collect()
}

/// The API keeps whole seconds: what is sent must be what comes back.
pub fn round(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
