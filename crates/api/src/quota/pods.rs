//! What pods use.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Affinity, Container, Pod, PodAffinityTerm, ScopedResourceSelectorRequirement as Scope,
};
use k8s_openapi::jiff;
use serde::Deserialize;
use serde_json::Value;

use super::{selects, whole};
use crate::meta;
use crate::resources::{Amounts, Counting, Side, of_container, of_pod, pod_level};

const TRACKED: [&str; 11] = [
    "count/pods",
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// Where a quota has one of these, every container must say it.
const MUST_BE_SAID: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const REQUESTS: &str = "requests.";
const HUGE_PAGES: &str = "hugepages-";

/// Not of Kubernetes itself: `example.com/device`. Devices by their class are asked for in the same way.
pub fn is_extended(name: &str) -> bool {
    name.starts_with("deviceclass.resource.kubernetes.io/") || (name.contains('/') && !name.contains("kubernetes.io/"))
}

pub(super) fn tracks(name: &str) -> bool {
    TRACKED.contains(&name)
        || name.strip_prefix(REQUESTS).unwrap_or(name).starts_with(HUGE_PAGES)
        || name.strip_prefix(REQUESTS).is_some_and(is_extended)
}

pub(super) fn usage(object: &Value, now: Timestamp) -> Amounts {
    let mut used = Amounts::from([("count/pods".to_owned(), whole(1))]);
    let Ok(pod) = Pod::deserialize(object) else { return used };
    if is_over(&pod, now) {
        return used;
    }
    let counting = Counting { overhead: true, status: true };
    used.extend(named(&of_pod(&pod, Side::Requests, counting), &of_pod(&pod, Side::Limits, counting)));
    used
}

/// A pod that has ended, or should have, holds nothing but its name.
fn is_over(pod: &Pod, now: Timestamp) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let end = pod.metadata.deletion_timestamp.as_ref().zip(pod.metadata.deletion_grace_period_seconds);
    let late = end
        .is_some_and(|(time, grace)| time.0.checked_add(SignedDuration::from_secs(grace)).is_ok_and(|last| now > last));
    late || matches!(phase, Some("Failed" | "Succeeded"))
}

/// As quotas name what is asked for and what is the limit.
fn named(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut named = Amounts::from([("pods".to_owned(), whole(1))]);
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            named.insert(name.to_owned(), *request);
            named.insert(format!("{REQUESTS}{name}"), *request);
        }
        if let Some(limit) = limits.get(name) {
            named.insert(format!("limits.{name}"), *limit);
        }
    }
    for (name, request) in requests {
        if name.starts_with(HUGE_PAGES) {
            named.insert(name.clone(), *request);
            named.insert(format!("{REQUESTS}{name}"), *request);
        } else if is_extended(name) {
            named.insert(format!("{REQUESTS}{name}"), *request);
        }
    }
    named
}

pub(super) fn missing(required: &[&str], object: &Value) -> Option<String> {
    let required: Vec<&str> = required.iter().filter(|name| MUST_BE_SAID.contains(name)).copied().collect();
    if required.is_empty() {
        return None;
    }
    let spec = Pod::deserialize(object).ok()?.spec?;
    // Who says it of the pod as a whole need not say it of each container.
    if pod_level(&spec) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let containers: Vec<&Container> = spec.containers.iter().chain(spec.init_containers.iter().flatten()).collect();
    for container in containers {
        let said = named(&of_container(container, Side::Requests), &of_container(container, Side::Limits));
        for name in required.iter().filter(|name| !said.contains_key(**name)) {
            missing.entry(name).or_default().insert(&container.name);
        }
    }
    let list = missing
        .into_iter()
        .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")));
    let list: Vec<String> = list.collect();
    (!list.is_empty()).then(|| format!("must specify {}", list.join("; ")))
}

/// Whether the pod has a time by which it must be over.
pub fn is_terminating(pod: &Value) -> bool {
    meta::at(pod, "spec.activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds >= 0)
}

pub(super) fn in_scope(scope: &Scope, pod: &Value) -> bool {
    let best_effort = || meta::text_at(pod, "status.qosClass") == "BestEffort";
    match scope.scope_name.as_str() {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            let class = meta::text_at(pod, "spec.priorityClassName");
            selects(scope, if class.is_empty() { &[] } else { std::slice::from_ref(&class) })
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn crosses_namespaces(pod: &Value) -> bool {
    let affinity = meta::at(pod, "spec.affinity").and_then(|affinity| Affinity::deserialize(affinity).ok());
    let Some(affinity) = affinity else { return false };
    let crosses = |term: &PodAffinityTerm| {
        term.namespaces.as_ref().is_some_and(|list| !list.is_empty()) || term.namespace_selector.is_some()
    };
    let near = affinity.pod_affinity.unwrap_or_default();
    let far = affinity.pod_anti_affinity.unwrap_or_default();
    let required = [
        near.required_during_scheduling_ignored_during_execution,
        far.required_during_scheduling_ignored_during_execution,
    ];
    let preferred = [
        near.preferred_during_scheduling_ignored_during_execution,
        far.preferred_during_scheduling_ignored_during_execution,
    ];
    required.iter().flatten().flatten().any(crosses)
        || preferred.iter().flatten().flatten().any(|weighted| crosses(&weighted.pod_affinity_term))
}

#[cfg(test)]
mod tests {
    use super::super::Evaluator;
    use super::super::tests::{scope, told};
    use super::*;
    use serde_json::json;

    #[test]
    fn usage_is_named_as_quotas_name_it() {
        let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {
            "requests": {"cpu": "1", "example.com/x": "2", "hugepages-2Mi": "4Mi"}, "limits": {"memory": "1Gi"}}}]}});
        assert_eq!(
            told(&Evaluator::Pods, &pod),
            "count/pods=1,cpu=1,hugepages-2Mi=4Mi,limits.memory=1Gi,pods=1,requests.cpu=1,requests.example.com/x=2,requests.hugepages-2Mi=4Mi"
        );
        for (extra, over) in [
            (json!({"status": {"phase": "Succeeded"}}), true),
            (json!({"status": {"phase": "Running"}}), false),
            (
                json!({"metadata": {"deletionTimestamp": "2026-11-25T00:00:00Z", "deletionGracePeriodSeconds": 30}}),
                true,
            ),
            (
                json!({"metadata": {"deletionTimestamp": "2026-11-25T23:59:59Z", "deletionGracePeriodSeconds": 30}}),
                false,
            ),
        ] {
            let mut pod = pod.clone();
            pod.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            assert_eq!(told(&Evaluator::Pods, &pod) == "count/pods=1", over, "{extra}");
        }
        for (name, is) in [
            ("requests.example.com/x", true),
            ("example.com/x", false),
            ("requests.kubernetes.io/x", false),
            ("requests.hugepages-1Gi", true),
            ("hugepages-1Gi", true),
            ("services", false),
        ] {
            assert_eq!(tracks(name), is, "{name}");
        }
    }

    #[test]
    fn what_must_be_said() {
        let pod = |spec: Value| json!({"metadata": {}, "spec": spec});
        let two = json!({"containers": [{"name": "b"}, {"name": "a", "resources": {"requests": {"cpu": "1"}}}]});
        assert_eq!(
            missing(&["requests.cpu", "limits.cpu", "pods"], &pod(two.clone())).as_deref(),
            Some("must specify limits.cpu for: a,b; requests.cpu for: b")
        );
        assert_eq!(missing(&["pods", "requests.ephemeral-storage"], &pod(two.clone())), None);
        let mut whole = two;
        whole["resources"] = json!({"limits": {"cpu": "1"}});
        assert_eq!(missing(&["limits.cpu"], &pod(whole)), None);
    }

    #[test]
    fn scopes() {
        let pod = json!({"metadata": {}, "spec": {"containers": [], "priorityClassName": "high", "activeDeadlineSeconds": 5,
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "t", "namespaces": ["x"]}]}}},
            "status": {"qosClass": "BestEffort"}});
        let plain = json!({"metadata": {}, "spec": {"containers": []}, "status": {"qosClass": "Burstable"}});
        for (scope, of_pod, of_plain) in [
            (scope("Terminating", "Exists", &[]), true, false),
            (scope("NotTerminating", "Exists", &[]), false, true),
            (scope("BestEffort", "Exists", &[]), true, false),
            (scope("NotBestEffort", "Exists", &[]), false, true),
            (scope("PriorityClass", "Exists", &[]), true, false),
            (scope("PriorityClass", "DoesNotExist", &[]), false, true),
            (scope("PriorityClass", "In", &["high"]), true, false),
            (scope("PriorityClass", "NotIn", &["high"]), false, true),
            (scope("CrossNamespacePodAffinity", "Exists", &[]), true, false),
            (scope("VolumeAttributesClass", "Exists", &[]), false, false),
        ] {
            assert_eq!((in_scope(&scope, &pod), in_scope(&scope, &plain)), (of_pod, of_plain), "{scope:?}");
        }
    }
}
