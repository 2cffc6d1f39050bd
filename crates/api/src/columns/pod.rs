//! The row of a pod: one word for what it is doing.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Column, NAME, since, text, wide};
use crate::meta;

pub const PODS: &[Column] = &[
    NAME,
    text("Ready", "Containers that are ready, of all containers.", |pod, _| ready(pod).into()),
    text("Status", "What the pod is doing, or why it is not.", |pod, _| status(pod).into()),
    text("Restarts", "How often its containers were restarted, and when last.", |pod, now| restarts(pod, now).into()),
    AGE,
    wide(text("IP", "The pod's address.", |pod, _| or(pod, "status.podIP"))),
    wide(text("Node", "The node that runs it.", |pod, _| or(pod, "spec.nodeName"))),
    wide(text("Nominated Node", "The node kept free for it.", |pod, _| or(pod, "status.nominatedNodeName"))),
    wide(text("Readiness Gates", "Extra conditions, met of all.", |pod, _| gates(pod).into())),
];

fn or(pod: &Value, path: &str) -> Value {
    super::or_none(meta::text_at(pod, path).to_owned())
}

fn list<'a>(pod: &'a Value, part: &str, field: &str) -> &'a [Value] {
    pod.get(part).and_then(|p| p.get(field)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    list(pod, "status", "conditions").iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str())
}

fn ready(pod: &Value) -> String {
    let all = list(pod, "spec", "containers").len();
    let statuses = list(pod, "status", "containerStatuses");
    let ready = statuses.iter().filter(|s| s["ready"] == Value::Bool(true) && !s["state"]["running"].is_null()).count();
    format!("{ready}/{all}")
}

/// Phase, then reasons that tell more: of the pod, of an init container that holds it up, of its containers.
fn status(pod: &Value) -> String {
    let phase = meta::text_at(pod, "status.phase");
    let reason = meta::text_at(pod, "status.reason");
    let mut word = if reason.is_empty() { phase.to_owned() } else { reason.to_owned() };
    if list(pod, "status", "conditions").iter().any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated")
    {
        word = "SchedulingGated".to_owned();
    }
    match initializing(pod) {
        Some(init) => word = init,
        None => {
            let mut running = false;
            for container in list(pod, "status", "containerStatuses").iter().rev() {
                let state = &container["state"];
                let waiting = state["waiting"]["reason"].as_str().unwrap_or("");
                if !waiting.is_empty() {
                    word = waiting.to_owned();
                } else if let Some(ended) = ended(&state["terminated"]) {
                    word = ended;
                } else if container["ready"] == Value::Bool(true) && !state["running"].is_null() {
                    running = true;
                }
            }
            if word == "Completed" && running {
                word = if condition(pod, "Ready") == Some("True") { "Running" } else { "NotReady" }.to_owned();
            }
        }
    }
    if meta::is_deleting(pod) {
        if reason == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !matches!(phase, "Succeeded" | "Failed") {
            return "Terminating".to_owned();
        }
    }
    word
}

fn ended(terminated: &Value) -> Option<String> {
    let terminated = terminated.as_object()?;
    let reason = terminated.get("reason").and_then(Value::as_str).unwrap_or("");
    let number = |field: &str| terminated.get(field).and_then(Value::as_i64).unwrap_or(0);
    Some(match (reason, number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

fn initializing(pod: &Value) -> Option<String> {
    let (specs, statuses) = (list(pod, "spec", "initContainers"), list(pod, "status", "initContainerStatuses"));
    for (at, container) in statuses.iter().enumerate() {
        let state = &container["state"];
        let sidecar = specs.iter().any(|s| s["name"] == container["name"] && s["restartPolicy"] == "Always");
        if state["terminated"]["exitCode"] == 0 || (sidecar && container["started"] == Value::Bool(true)) {
            continue;
        }
        if let Some(ended) = ended(&state["terminated"]) {
            return Some(format!("Init:{ended}"));
        }
        return Some(match state["waiting"]["reason"].as_str().unwrap_or("") {
            "" | "PodInitializing" => format!("Init:{at}/{}", specs.len()),
            waiting => format!("Init:{waiting}"),
        });
    }
    None
}

fn restarts(pod: &Value, now: Timestamp) -> String {
    let statuses = list(pod, "status", "containerStatuses").iter().chain(list(pod, "status", "initContainerStatuses"));
    let (mut count, mut last) = (0i64, "");
    for container in statuses {
        count = count.saturating_add(container["restartCount"].as_i64().unwrap_or(0));
        let finished = container["lastState"]["terminated"]["finishedAt"].as_str().unwrap_or("");
        // RFC 3339 in UTC: the order of the texts is that of the times.
        last = last.max(finished);
    }
    if count == 0 || last.is_empty() { count.to_string() } else { format!("{count} ({} ago)", since(last, now)) }
}

fn gates(pod: &Value) -> String {
    let gates = list(pod, "spec", "readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let met = gates.iter().filter(|gate| condition(pod, gate["conditionType"].as_str().unwrap_or("")) == Some("True"));
    format!("{}/{}", met.count(), gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_word_for_each_state() {
        let container = |state: Value, ready: bool| {
            json!({"status": {"phase": "Running", "containerStatuses": [{"ready": ready, "restartCount": 2, "state": state,
                "lastState": {"terminated": {"finishedAt": "2020-01-01T00:00:00Z"}}}]}, "spec": {"containers": [{}]}})
        };
        let now: Timestamp = "2020-01-01T00:05:00Z".parse().unwrap();
        let running = container(json!({"running": {}}), true);
        assert_eq!((status(&running).as_str(), ready(&running).as_str()), ("Running", "1/1"));
        assert_eq!(restarts(&running, now), "2 (5m ago)");
        let many = json!({"status": {"containerStatuses": [{"restartCount": i64::MAX}, {"restartCount": 1}]}});
        assert_eq!(restarts(&many, now), i64::MAX.to_string());
        assert_eq!(status(&container(json!({"waiting": {"reason": "ImagePullBackOff"}}), false)), "ImagePullBackOff");
        assert_eq!(status(&container(json!({"terminated": {"exitCode": 3}}), false)), "ExitCode:3");
        let mut going = running;
        going["metadata"] = json!({"deletionTimestamp": "2020-01-01T00:00:00Z"});
        assert_eq!(status(&going), "Terminating");
        let init = json!({"status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]},
            "spec": {"initContainers": [{"name": "i"}]}});
        assert_eq!(status(&init), "Init:0/1");
    }
}
