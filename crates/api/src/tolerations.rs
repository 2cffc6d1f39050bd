//! Which taints of a node a pod bears. Scheduling and eviction ask the same question.
use k8s_openapi::api::core::v1::{Taint, Toleration};

pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    // An empty effect or key means all of them.
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        // All keys are meant by `Exists` only.
        None | Some("" | "Equal") => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn table() {
        let taint: Taint = serde_json::from_value(json!({"key": "k", "value": "v", "effect": "NoSchedule"})).unwrap();
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "k", "operator": "Exists"}), true),
            (json!({"key": "k", "value": "v"}), true),
            (json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}), true),
            (json!({"key": "k", "value": "w"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
            (json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"value": "v"}), false),
            (json!({"key": "k", "operator": "Lt", "value": "v"}), false),
        ] as [(Value, bool); 9]
        {
            assert_eq!(
                tolerates(&serde_json::from_value(toleration.clone()).unwrap(), &taint),
                expected,
                "{toleration}"
            );
        }
    }
}
