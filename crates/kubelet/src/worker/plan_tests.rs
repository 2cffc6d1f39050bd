//! One row a situation: what the pod is, what runs, and what is to be done about it.

use serde_json::{Value, json};

use super::*;
use crate::runtime::Identity;

const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec})).unwrap()
}

fn one() -> Pod {
    pod(json!({"containers": [{"name": "a", "image": "i"}]}))
}

/// `name` or `name#restarts`, made 100 seconds ago; the backoff is 0.
fn made(name: &str, state: State) -> Container {
    let (name, count) = name.split_once('#').unwrap_or((name, "0"));
    let spec = Spec { name: name.into(), image: Some("i".into()), ..Default::default() };
    Container {
        id: format!("{name}{count}"),
        identity: Identity {
            pod: crate::pod::PodRef { namespace: "n".into(), name: "p".into(), uid: "u".into() },
            container: name.into(),
            hash: identity_hash(&spec),
            restart_count: count.parse().unwrap(),
            backoff: Duration::ZERO,
            grace_seconds: 30,
        },
        image: "i".into(),
        image_id: "sha256:i".into(),
        created_at: at(NOW - 100 + count.parse::<i64>().unwrap()),
        state,
        ip: (name == SANDBOX).then(|| "10.0.0.1".parse().unwrap()),
    }
}

fn running(name: &str) -> Container {
    made(name, State::Running { started_at: at(NOW - 99) })
}

fn exited(name: &str, code: i32, ago: i64) -> Container {
    let exit =
        Exit { code, started_at: Some(at(NOW - 99)), finished_at: at(NOW - ago), out_of_memory: false, error: None };
    made(name, State::Exited(exit))
}

fn waits(mut container: Container, seconds: u64) -> Container {
    container.identity.backoff = Duration::from_secs(seconds);
    container
}

fn ready() -> Memory {
    Memory { volumes_ready: true, started_at: Some(at(NOW - 100)), ..Memory::default() }
}

fn decide(pod: &Pod, containers: impl IntoIterator<Item = Container>, memory: &Memory) -> (Vec<String>, Option<i64>) {
    let containers = containers.into_iter().map(|c| (c.id.clone(), c)).collect();
    let plan = plan(View { pod, containers: &containers, memory, now: at(NOW) });
    let actions = plan.actions.iter().map(|action| match action {
        Action::PrepareVolumes => "volumes".to_owned(),
        Action::CreateSandbox { attempt } => format!("sandbox {attempt}"),
        Action::Start { container, sandbox, restart_count, backoff } => {
            format!("start {container}#{restart_count} in {sandbox}, then wait {}", backoff.as_secs())
        }
        Action::Stop { id, grace, .. } => format!("stop {id} in {}", grace.as_secs()),
        Action::Remove { id } => format!("remove {id}"),
        Action::Finish => "finish".to_owned(),
    });
    (actions.collect(), plan.wake_at.map(|time| time.as_second() - NOW))
}

#[test]
fn from_nothing_to_running() {
    let pod = one();
    let none = Memory::default();
    assert_eq!(decide(&pod, [], &none).0, ["volumes", "sandbox 0"], "both at once");
    assert_eq!(decide(&pod, [], &ready()).0, ["sandbox 0"]);
    assert_eq!(decide(&pod, [running("POD")], &none).0, ["volumes"]);
    assert_eq!(decide(&pod, [running("POD")], &ready()).0, ["start a#0 in POD0, then wait 0"]);
    assert_eq!(decide(&pod, [running("POD"), running("a")], &ready()).0, [""; 0]);

    let offline = Memory { no_network: Some("no range".into()), ..ready() };
    assert_eq!(decide(&pod, [], &offline).0, [""; 0]);
    let host = self::pod(json!({"hostNetwork": true, "containers": [{"name": "a", "image": "i"}]}));
    assert_eq!(decide(&host, [], &offline).0, ["sandbox 0"], "the host's network is always there");

    let mut busy = ready();
    busy.busy.insert(Slot::Start(SANDBOX.into()));
    assert_eq!(decide(&pod, [], &busy).0, [""; 0]);
    let mut held = ready();
    held.troubles.insert("a".into(), Trouble { reason: "ErrImagePull", message: String::new(), retry_at: at(NOW + 7) });
    assert_eq!(decide(&pod, [running("POD")], &held), (vec![], Some(7)));
}

#[test]
fn restarts_with_backoff() {
    let with = |policy: &str| pod(json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i"}]}));
    let again = |container: Container| decide(&with("Always"), [running("POD"), container], &ready());
    assert_eq!(again(exited("a", 1, 0)).0, ["start a#1 in POD0, then wait 10"], "the first time at once");
    assert_eq!(again(waits(exited("a#1", 1, 3), 10)), (vec![], Some(7)));
    assert_eq!(again(waits(exited("a#1", 1, 10), 10)).0, ["start a#2 in POD0, then wait 20"]);
    assert_eq!(again(waits(exited("a#5", 1, 160), 160)).0, ["start a#6 in POD0, then wait 300"]);
    assert_eq!(again(waits(exited("a#6", 1, 300), 300)).0, ["start a#7 in POD0, then wait 300"]);
    let mut long = waits(exited("a#6", 1, 0), 300);
    if let State::Exited(exit) = &mut long.state {
        exit.started_at = Some(at(NOW - 600));
    }
    assert_eq!(again(long).0, ["start a#7 in POD0, then wait 10"], "ten good minutes are forgiven");

    for (policy, code, starts) in
        [("Always", 0, true), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Never", 0, false), ("Never", 1, false)]
    {
        let actions = decide(&with(policy), [running("POD"), exited("a", code, 0)], &ready()).0;
        let expected = if starts { "start a#1 in POD0, then wait 10" } else { "remove POD0" };
        assert_eq!(actions, [expected], "{policy} {code}");
    }
}

#[test]
fn what_was_left_half_made_is_made_anew() {
    assert_eq!(decide(&one(), [running("POD"), made("a", State::Created)], &ready()).0, ["remove a0"]);
    assert_eq!(decide(&one(), [made("POD", State::Created)], &ready()).0, ["sandbox 1"]);
}

#[test]
fn a_dead_sandbox_takes_the_others_with_it() {
    let pod = one();
    assert_eq!(decide(&pod, [exited("POD", 137, 1), running("a")], &ready()).0, ["stop a0 in 30"]);
    assert_eq!(decide(&pod, [exited("POD", 137, 1), exited("a", 143, 0)], &ready()).0, ["sandbox 1"]);
    let actions = decide(&pod, [exited("POD", 137, 1), running("POD#1"), exited("a", 143, 0)], &ready()).0;
    assert_eq!(actions, ["remove POD0", "start a#1 in POD1, then wait 10"]);
}

#[test]
fn changed_and_unhealthy_containers_are_stopped() {
    let changed = pod(json!({"containers": [{"name": "a", "image": "other"}]}));
    assert_eq!(decide(&changed, [running("POD"), running("a")], &ready()).0, ["stop a0 in 30"]);
    let actions = decide(&changed, [running("POD"), waits(exited("a", 143, 0), 300)], &ready()).0;
    assert_eq!(actions, ["start a#1 in POD0, then wait 300"], "at once, whatever the back-off was");
    let mut ill = ready();
    let unhealthy = Some(("failed liveness probe".to_owned(), Some(5)));
    ill.health.insert("a0".into(), Health { started: true, ready: true, unhealthy });
    assert_eq!(decide(&one(), [running("POD"), running("a")], &ill).0, ["stop a0 in 5"]);
}

#[test]
fn init_containers_one_after_the_other() {
    let pod = pod(json!({
        "initContainers": [{"name": "x", "image": "i"}, {"name": "y", "image": "i"}],
        "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    }));
    let decide = |containers: Vec<Container>| decide(&pod, containers, &ready()).0;
    assert_eq!(decide(vec![running("POD")]), ["start x#0 in POD0, then wait 0"]);
    assert_eq!(decide(vec![running("POD"), running("x")]), [""; 0]);
    assert_eq!(decide(vec![running("POD"), exited("x", 1, 0)]), ["start x#1 in POD0, then wait 10"]);
    assert_eq!(decide(vec![running("POD"), exited("x", 0, 0)]), ["start y#0 in POD0, then wait 0"]);
    let both = ["start a#0 in POD0, then wait 0", "start b#0 in POD0, then wait 0"];
    assert_eq!(decide(vec![running("POD"), exited("x", 0, 0), exited("y", 0, 0)]), both);
    let pruned = vec![running("POD"), running("a"), running("b")];
    assert_eq!(decide(pruned), [""; 0], "who runs was initialized, whatever became of the init containers");
    let mut anew = running("POD#1");
    anew.created_at = at(NOW);
    let actions = decide(vec![anew, exited("x", 0, 0), exited("y", 0, 0), exited("a", 137, 0), exited("b", 137, 0)]);
    assert_eq!(actions, ["start x#1 in POD1, then wait 10"], "a new sandbox is initialized anew");
}

#[test]
fn sidecars_run_beside_and_end_last() {
    let mut pod = pod(json!({
        "initContainers": [{"name": "s", "image": "i", "restartPolicy": "Always"}],
        "containers": [{"name": "a", "image": "i"}]
    }));
    assert_eq!(decide(&pod, [running("POD")], &ready()).0, ["start s#0 in POD0, then wait 0"]);
    assert_eq!(decide(&pod, [running("POD"), running("s")], &ready()).0, ["start a#0 in POD0, then wait 0"]);
    let actions = decide(&pod, [running("POD"), exited("s", 0, 0), running("a")], &ready()).0;
    assert_eq!(actions, ["start s#1 in POD0, then wait 10"]);
    pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(NOW)));
    assert_eq!(decide(&pod, [running("POD"), running("s"), running("a")], &ready()).0, ["stop a0 in 30"]);
    assert_eq!(decide(&pod, [running("POD"), running("s"), exited("a", 0, 0)], &ready()).0, ["stop s0 in 30"]);
}

#[test]
fn the_end_of_a_pod() {
    let mut pod = one();
    pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(NOW)));
    pod.metadata.deletion_grace_period_seconds = Some(3);
    assert_eq!(decide(&pod, [running("POD"), running("a")], &ready()).0, ["stop a0 in 3"]);
    assert_eq!(decide(&pod, [running("POD"), exited("a", 0, 0)], &ready()).0, ["remove POD0", "remove a0"]);
    assert_eq!(decide(&pod, [], &ready()).0, ["finish"]);
    let mut starting = ready();
    starting.busy.insert(Slot::Start("a".into()));
    assert_eq!(decide(&pod, [running("POD")], &starting).0, [""; 0], "what is being made has to be known first");

    let mut stopping = ready();
    stopping.busy.insert(Slot::Stop("a0".into()));
    stopping.stops.insert("a0".into(), at(NOW + 20));
    pod.metadata.deletion_grace_period_seconds = Some(30);
    assert_eq!(decide(&pod, [running("POD"), running("a")], &stopping).0, [""; 0]);
    pod.metadata.deletion_grace_period_seconds = Some(0);
    assert_eq!(decide(&pod, [running("POD"), running("a")], &stopping).0, ["remove a0"], "somebody is in a hurry");

    let gone = Memory { gone: true, ..ready() };
    assert_eq!(decide(&one(), [running("POD"), running("a")], &gone).0, ["stop a0 in 30"]);
}

#[test]
fn a_pod_that_is_over() {
    let mut pod = pod(json!({"activeDeadlineSeconds": 200, "containers": [{"name": "a", "image": "i"}]}));
    assert_eq!(decide(&pod, [running("POD"), running("a")], &ready()), (vec![], Some(100)));
    pod.spec.as_mut().unwrap().active_deadline_seconds = Some(50);
    assert_eq!(decide(&pod, [running("POD"), running("a")], &ready()).0, ["stop a0 in 30"]);
    assert_eq!(decide(&pod, [running("POD"), exited("a", 0, 0)], &ready()).0, ["remove POD0"], "its log is kept");
    let mut failed = one();
    failed.status = Some(serde_json::from_value(json!({"phase": "Failed"})).unwrap());
    assert_eq!(decide(&failed, [], &ready()).0, [""; 0]);
}

#[test]
fn old_attempts_are_pruned() {
    let attempts = [running("POD"), exited("a", 1, 9), exited("a#1", 1, 5), running("a#2")];
    assert_eq!(decide(&one(), attempts, &ready()).0, ["remove a0"], "the last one that ended has a log to read");
    let sandboxes = [exited("POD", 1, 9), exited("POD#1", 1, 5), running("POD#2"), running("a#3")];
    assert_eq!(decide(&one(), sandboxes, &ready()).0, ["remove POD1", "remove POD0"]);
}
