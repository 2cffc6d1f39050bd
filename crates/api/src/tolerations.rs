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

/// Both lists, without what another of them tolerates as well.
pub fn merge(first: &[Toleration], second: &[Toleration]) -> Vec<Toleration> {
    let all: Vec<&Toleration> = first.iter().chain(second).collect();
    let mut merged: Vec<Toleration> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        // Of equal ones the first stays.
        let wider = |other: &&&Toleration| *other != one && includes(other, one);
        if !merged.iter().any(|other| includes(other, one)) && !all[at + 1..].iter().any(|other| wider(&other)) {
            merged.push((*one).clone());
        }
    }
    merged
}

/// Whether all that the other tolerates is tolerated by this one.
pub fn includes(this: &Toleration, other: &Toleration) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if this == other {
        return true;
    }
    let (key, effect, operator) = (text(&this.key), text(&this.effect), text(&this.operator));
    if (key != text(&other.key) && !(key.is_empty() && operator == "Exists"))
        || (effect != text(&other.effect) && !effect.is_empty())
    {
        return false;
    }
    if effect == "NoExecute"
        && let Some(seconds) = this.toleration_seconds
        && other.toleration_seconds.is_none_or(|other| other > seconds)
    {
        return false;
    }
    match operator.as_str() {
        "" | "Equal" => ["", "Equal"].contains(&&*text(&other.operator)) && text(&this.value) == text(&other.value),
        "Exists" => true,
        _ => false,
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

    #[test]
    fn merged_lists_have_nothing_twice() {
        let read = |list: Value| -> Vec<Toleration> { serde_json::from_value(list).unwrap() };
        let exact = json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"});
        let wide = json!({"key": "k", "operator": "Exists"});
        let everything = json!({"operator": "Exists"});
        let short = json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let long = json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9});
        for (first, second, expected) in [
            (json!([exact]), json!([exact]), json!([exact])),
            (json!([exact]), json!([wide]), json!([wide])),
            (json!([wide]), json!([exact]), json!([wide])),
            (json!([exact, short]), json!([everything]), json!([everything])),
            (json!([short]), json!([long]), json!([long])),
            (json!([exact]), json!([short]), json!([exact, short])),
        ] {
            let merged = merge(&read(first.clone()), &read(second.clone()));
            assert_eq!(merged, read(expected), "{first} {second}");
        }
    }
}
