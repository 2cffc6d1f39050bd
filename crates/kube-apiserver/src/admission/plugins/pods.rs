//! What is added to new pods.

use std::collections::BTreeSet;

use api::meta;
use api::quota::is_extended;
use api::status::Status;
use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::admission::{Attempt, Operation, Plugin};

/// Images are pulled anew for each pod, so that only who may pull an image can run it.
pub struct AlwaysPullImages;

impl AlwaysPullImages {
    pub const NAME: &str = "AlwaysPullImages";
}

#[async_trait]
impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is_of("", "pods")
            && attempt.operation != Operation::Delete
            && ["", "ephemeralcontainers"].contains(&attempt.context.subresource())
    }

    async fn admit(&self, _: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.insert("imagePullPolicy".into(), "Always".into());
            }
        }
        Ok(())
    }
}

/// Pods stay for five minutes on a node that is not ready or cannot be reached, unless they say otherwise.
pub struct DefaultTolerationSeconds;

impl DefaultTolerationSeconds {
    pub const NAME: &str = "DefaultTolerationSeconds";
}

const TOLERATED_SECONDS: i64 = 300;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "pods")
    }

    async fn admit(&self, _: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
        let tolerations = meta::object_mut(pod, "spec").entry("tolerations").or_insert_with(|| json!([]));
        let Some(list) = tolerations.as_array_mut() else { return Ok(()) };
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            if !list.iter().any(|toleration| tolerates(toleration, key)) {
                list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                    "tolerationSeconds": TOLERATED_SECONDS}));
            }
        }
        Ok(())
    }
}

/// Pods that ask for a device tolerate the taint of the device's name, which keeps others away from such nodes.
pub struct ExtendedResourceToleration;

impl ExtendedResourceToleration {
    pub const NAME: &str = "ExtendedResourceToleration";
}

#[async_trait]
impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "pods") || attempt.is(Operation::Update, "pods")
    }

    async fn admit(&self, _: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
        let lists = ["containers", "initContainers"].map(|list| pod["spec"].get(list).and_then(Value::as_array));
        let requests =
            lists.into_iter().flatten().flatten().filter_map(|one| meta::at(one, "resources.requests")?.as_object());
        let names: BTreeSet<String> = requests.flat_map(Map::keys).filter(|name| is_extended(name)).cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        let tolerations = meta::object_mut(pod, "spec").entry("tolerations").or_insert_with(|| json!([]));
        let Some(list) = tolerations.as_array_mut() else { return Ok(()) };
        for name in names {
            let toleration = json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
            let same = |one: &&mut Value| {
                one["key"] == name.as_str() && one["effect"] == "NoSchedule" && one.get("value").is_none()
            };
            match list.iter_mut().find(same) {
                Some(there) => *there = toleration,
                None => list.push(toleration),
            }
        }
        Ok(())
    }
}

/// Pods keep others away from a node, and from nothing larger.
pub struct LimitPodHardAntiAffinityTopology;

impl LimitPodHardAntiAffinityTopology {
    pub const NAME: &str = "LimitPodHardAntiAffinityTopology";
}

#[async_trait]
impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "pods") || attempt.is(Operation::Update, "pods")
    }

    async fn validate(&self, attempt: &Attempt<'_>, pod: &Value) -> Result<(), Status> {
        let terms = meta::at(pod, "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution");
        let keys =
            terms.and_then(Value::as_array).into_iter().flatten().filter_map(|term| term["topologyKey"].as_str());
        let wider = keys.into_iter().find(|key| *key != HOSTNAME);
        let Some(key) = wider else { return Ok(()) };
        let why = format!(
            "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"
        );
        Err(attempt.forbidden(meta::name(pod), why))
    }
}

const HOSTNAME: &str = "kubernetes.io/hostname";

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let text = |field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or("");
    let key = text("key");
    (key == taint || key.is_empty()) && ["", "NoExecute"].contains(&text("effect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_of_everything_is_one_of_this() {
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "t", "operator": "Exists", "effect": "NoExecute"}), true),
            (json!({"key": "t", "effect": "NoSchedule"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
        ] {
            assert_eq!(tolerates(&toleration, "t"), expected, "{toleration}");
        }
    }
}
