//! What people see of a pod in each situation, as one line.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::super::plan::{Health, Memory};
use super::*;
use crate::runtime::Identity;

const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pod(policy: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"restartPolicy": policy, "containers": [{"name": "a", "image": "i"}]}
    }))
    .unwrap()
}

fn container(name: &str, count: i32, backoff: u64, state: State) -> Container {
    Container {
        id: format!("{name}{count}"),
        identity: Identity {
            pod: PodRef { namespace: "n".into(), name: "p".into(), uid: "u".into() },
            container: name.into(),
            hash: "h".into(),
            restart_count: count,
            backoff: Duration::from_secs(backoff),
            grace_seconds: 30,
        },
        image: "i".into(),
        image_id: "sha256:1".into(),
        created_at: at(NOW - 50 + i64::from(count)),
        state,
        ip: (name == SANDBOX).then(|| "10.0.0.1".parse().unwrap()),
    }
}

fn running(name: &str, count: i32) -> Container {
    container(name, count, 0, State::Running { started_at: at(NOW - 40) })
}

fn exited(name: &str, count: i32, backoff: u64, code: i32) -> Container {
    let (started_at, finished_at) = (Some(at(NOW - 40)), at(NOW - 1));
    container(
        name,
        count,
        backoff,
        State::Exited(Exit { code, started_at, finished_at, out_of_memory: false, error: None }),
    )
}

fn line(pod: &Pod, containers: impl IntoIterator<Item = Container>, memory: &Memory) -> String {
    let containers: BTreeMap<_, _> = containers.into_iter().map(|c| (c.id.clone(), c)).collect();
    let view = View { pod, containers: &containers, memory, now: at(NOW) };
    let status = status(view, &PodStatus::default(), "192.168.0.3");
    let value = serde_json::to_value(&status).unwrap();
    let conditions: Vec<String> = value["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["status"] == "True")
        .map(|c| c["type"].as_str().unwrap().to_owned())
        .collect();
    let mut shown = vec![value["phase"].as_str().unwrap().to_owned(), conditions.join(",")];
    for status in value["containerStatuses"].as_array().unwrap() {
        let state = &status["state"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        shown.push(if state["running"].is_object() {
            "running".into()
        } else if state["waiting"].is_object() {
            format!("{}: {}", text(&state["waiting"]["reason"]), text(&state["waiting"]["message"]))
        } else {
            format!("{} {}", text(&state["terminated"]["reason"]), state["terminated"]["exitCode"])
        });
        shown.push(format!("restarts {}", status["restartCount"]));
        if let Some(code) = status["lastState"]["terminated"]["exitCode"].as_i64() {
            shown.push(format!("last {code}"));
        }
    }
    shown.push(text_or_none(&value["podIP"]));
    shown.join(" | ")
}

fn text_or_none(value: &Value) -> String {
    value.as_str().unwrap_or("no address").to_owned()
}

fn well(id: &str) -> Memory {
    let health = Health { started: true, ready: true, unhealthy: None };
    Memory { health: [(id.to_owned(), health)].into(), ..Memory::default() }
}

#[test]
fn from_creation_to_running() {
    let none = Memory::default();
    assert_eq!(
        line(&pod("Always"), [], &none),
        "Pending | Initialized | ContainerCreating:  | restarts 0 | no address"
    );
    assert_eq!(
        line(&pod("Always"), [running("POD", 0)], &none),
        "Pending | PodReadyToStartContainers,Initialized | ContainerCreating:  | restarts 0 | 10.0.0.1"
    );
    assert_eq!(
        line(&pod("Always"), [running("POD", 0), running("a", 0)], &well("a0")),
        "Running | PodReadyToStartContainers,Initialized,Ready,ContainersReady | running | restarts 0 | 10.0.0.1"
    );
    let mut unready = well("a0");
    unready.health.get_mut("a0").unwrap().ready = false;
    assert_eq!(
        line(&pod("Always"), [running("POD", 0), running("a", 0)], &unready),
        "Running | PodReadyToStartContainers,Initialized | running | restarts 0 | 10.0.0.1"
    );
}

#[test]
fn troubles_are_shown_where_they_are() {
    let trouble = |name: &str, reason, message: &str| {
        let trouble = Trouble { reason, message: message.into(), retry_at: at(NOW + 5) };
        Memory { troubles: [(name.to_owned(), trouble)].into(), ..Memory::default() }
    };
    assert_eq!(
        line(&pod("Always"), [running("POD", 0)], &trouble("a", "ErrImagePull", "no such image")),
        "Pending | PodReadyToStartContainers,Initialized | ErrImagePull: no such image | restarts 0 | 10.0.0.1"
    );
    assert_eq!(
        line(&pod("Always"), [], &trouble(SANDBOX, "FailedCreatePodSandBox", "port is taken")),
        "Pending | Initialized | ContainerCreating: port is taken | restarts 0 | no address"
    );
    let offline = Memory { no_network: Some("no range".into()), ..Memory::default() };
    assert_eq!(
        line(&pod("Always"), [], &offline),
        "Pending | Initialized | ContainerCreating: no range | restarts 0 | no address"
    );
}

#[test]
fn ends_and_restarts() {
    let none = Memory::default();
    let show = |policy: &str, ended: Container| line(&pod(policy), [running("POD", 0), ended], &none);
    let up = "PodReadyToStartContainers,Initialized";
    assert_eq!(show("Always", exited("a", 0, 0, 1)), format!("Running | {up} | Error 1 | restarts 0 | 10.0.0.1"));
    let message = "back-off 1m20s restarting failed container=a pod=p_n(u)";
    assert_eq!(
        show("Always", exited("a", 3, 80, 1)),
        format!("Running | {up} | CrashLoopBackOff: {message} | restarts 3 | last 1 | 10.0.0.1")
    );
    assert_eq!(show("Never", exited("a", 0, 0, 0)), format!("Succeeded | {up} | Completed 0 | restarts 0 | 10.0.0.1"));
    assert_eq!(show("Never", exited("a", 0, 0, 2)), format!("Failed | {up} | Error 2 | restarts 0 | 10.0.0.1"));
    assert_eq!(
        line(&pod("Always"), [running("POD", 0), exited("a", 0, 0, 1), running("a", 1)], &well("a1")),
        format!("Running | {up},Ready,ContainersReady | running | restarts 1 | last 1 | 10.0.0.1")
    );
}

#[test]
fn an_unchanged_status_is_the_same_later() {
    let containers: BTreeMap<_, _> = [running("POD", 0), running("a", 0)].map(|c| (c.id.clone(), c)).into();
    let (pod, memory) = (pod("Always"), Memory { started_at: Some(at(NOW)), ..well("a0") });
    let view = |now| View { pod: &pod, containers: &containers, memory: &memory, now: at(now) };
    let first = status(view(NOW), &PodStatus::default(), "192.168.0.3");
    assert_eq!(status(view(NOW + 500), &first, "192.168.0.3"), first);
    let json = serde_json::to_vec(&first).unwrap();
    let echo: PodStatus = serde_json::from_slice(&json).unwrap();
    assert_eq!(owned(&echo), first, "what comes back from the API is what was sent");
}
