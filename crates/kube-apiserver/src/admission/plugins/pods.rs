//! What is added to new pods.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

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
