//! What to do about a node, by what it says of itself and since when it has been silent. Pure.
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that a silent node says nothing about any more.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// For a node that has been heard of.
    pub silent: Duration,
    /// For a node that has not said anything yet.
    pub startup: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    NotReady,
    Unknown,
}

pub fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

pub fn readiness(node: &Node) -> Readiness {
    match condition(node, "Ready").map(|condition| condition.status.as_str()) {
        Some("True") => Readiness::Ready,
        Some("False") => Readiness::NotReady,
        _ => Readiness::Unknown,
    }
}

/// The conditions that a node which has been silent for so long must have; `None` when it is not silent, or has them.
/// Times are left to the caller.
pub fn silence(node: &Node, silent_for: Duration, grace: Grace) -> Option<Vec<NodeCondition>> {
    let heard = condition(node, "Ready").is_some();
    let grace = if heard { grace.silent } else { grace.startup };
    if silent_for <= grace {
        return None;
    }
    let unknown = |kind: &str| {
        let old = condition(node, kind);
        if old.is_some_and(|old| old.status == "Unknown") {
            return None;
        }
        let (reason, message) = match old {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        Some(NodeCondition {
            type_: kind.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: old.and_then(|old| old.last_heartbeat_time.clone()),
            last_transition_time: None,
        })
    };
    let changed: Vec<_> = REPORTED.iter().filter_map(|kind| unknown(kind)).collect();
    (!changed.is_empty()).then_some(changed)
}

/// The taints that a node should have; `None` when it has them. Taints that are not of this controller stay as they are.
///
/// `evict` is false when all nodes have fallen silent: then it is rather we who are cut off, and no pod should go.
pub fn taints(node: &Node, evict: bool) -> Option<Vec<Taint>> {
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    let readiness = readiness(node);
    let unready = match readiness {
        Readiness::Ready => None,
        Readiness::NotReady => Some(NOT_READY),
        Readiness::Unknown => Some(UNREACHABLE),
    };
    if let Some(key) = unready {
        wanted.push((key, "NoSchedule"));
        if evict {
            wanted.push((key, "NoExecute"));
        }
    }
    for (kind, key) in [
        ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "node.kubernetes.io/pid-pressure"),
        ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ] {
        if condition(node, kind).is_some_and(|condition| condition.status == "True") {
            wanted.push((key, "NoSchedule"));
        }
    }
    let spec = node.spec.as_ref();
    if spec.and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }

    let old = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut new: Vec<Taint> = old.iter().filter(|taint| !is_ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in wanted {
        if !new.iter().any(|taint| taint.key == key && taint.effect == effect) {
            new.push(Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added: None });
        }
    }
    (new != old).then_some(new)
}

fn is_ours(taint: &Taint) -> bool {
    const OURS: [&str; 7] = [
        NOT_READY,
        UNREACHABLE,
        UNSCHEDULABLE,
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/network-unavailable",
    ];
    let of_readiness = taint.key == NOT_READY || taint.key == UNREACHABLE;
    OURS.contains(&taint.key.as_str())
        && (taint.effect == "NoSchedule" || (taint.effect == "NoExecute" && of_readiness))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GRACE: Grace = Grace { silent: Duration::from_secs(40), startup: Duration::from_secs(60) };

    fn node(spec: Value, conditions: Value) -> Node {
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
            "spec": spec, "status": {"conditions": conditions}}))
        .unwrap()
    }

    fn says(ready: &str) -> Value {
        json!([{"type": "Ready", "status": ready}, {"type": "DiskPressure", "status": "False"}])
    }

    fn reasons(node: &Node, seconds: u64) -> Vec<String> {
        let changed = silence(node, Duration::from_secs(seconds), GRACE).into_iter().flatten();
        changed.map(|condition| format!("{}:{}", condition.type_, condition.reason.unwrap())).collect()
    }

    #[test]
    fn silence_makes_conditions_unknown() {
        let spoke = node(json!({}), says("True"));
        assert!(reasons(&spoke, 40).is_empty());
        let expected = [
            "Ready:NodeStatusUnknown",
            "MemoryPressure:NodeStatusNeverUpdated",
            "DiskPressure:NodeStatusUnknown",
            "PIDPressure:NodeStatusNeverUpdated",
        ];
        assert_eq!(reasons(&spoke, 41), expected);
        let new = node(json!({}), json!([]));
        assert!(reasons(&new, 60).is_empty());
        assert_eq!(reasons(&new, 61).len(), 4);
        let known = REPORTED.map(|kind| json!({"type": kind, "status": "Unknown"}));
        assert!(reasons(&node(json!({}), json!(known)), 100).is_empty());
    }

    #[test]
    fn taints_follow_the_conditions() {
        let foreign = json!({"key": "k", "effect": "NoExecute"});
        let stale = json!({"key": NOT_READY, "effect": "NoExecute"});
        let text = |node: Node, evict: bool| {
            let list = taints(&node, evict).map(|list| {
                list.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect::<Vec<_>>().join(" ")
            });
            list.map(|list| list.replace("node.kubernetes.io/", ""))
        };
        assert_eq!(text(node(json!({}), says("True")), true), None);
        assert_eq!(
            text(node(json!({}), says("False")), true).as_deref(),
            Some("not-ready:NoSchedule not-ready:NoExecute")
        );
        assert_eq!(
            text(node(json!({"taints": [foreign, stale]}), says("Unknown")), true).as_deref(),
            Some("k:NoExecute unreachable:NoSchedule unreachable:NoExecute")
        );
        assert_eq!(text(node(json!({}), says("Unknown")), false).as_deref(), Some("unreachable:NoSchedule"));
        assert_eq!(text(node(json!({"taints": [foreign, stale]}), says("True")), true).as_deref(), Some("k:NoExecute"));
        assert_eq!(
            text(
                node(
                    json!({"unschedulable": true}),
                    json!([{"type": "Ready", "status": "True"},
                {"type": "MemoryPressure", "status": "True"}])
                ),
                true
            )
            .as_deref(),
            Some("memory-pressure:NoSchedule unschedulable:NoSchedule")
        );
    }
}
