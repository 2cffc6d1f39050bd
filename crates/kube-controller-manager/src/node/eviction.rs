//! When a pod must leave a node that does not want it any more. Pure.
use std::time::Duration;

use api::tolerations::tolerates;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Taint, Toleration};

/// `None`: it may stay. A taint that does not say since when it is there is there since now.
pub fn leaves_at(taints: &[Taint], tolerations: &[Toleration], now: Timestamp) -> Option<Timestamp> {
    let mut leaves: Option<Timestamp> = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let matching: Vec<_> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Some(now);
        }
        // The shortest of those that have an end.
        let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds).min();
        if let Some(seconds) = seconds {
            let stays = Duration::from_secs(seconds.try_into().unwrap_or_default());
            let end = since.checked_add(stays).unwrap_or(Timestamp::MAX);
            leaves = Some(leaves.map_or(end, |earlier| earlier.min(end)));
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn tolerations_bound_the_stay() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let taint = json!([{"key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]);
        let for_seconds = |seconds: i64| json!({"key": "k", "operator": "Exists", "tolerationSeconds": seconds});
        for (taints, tolerations, expected) in [
            (json!([]), json!([]), None),
            (json!([{"key": "k", "effect": "NoSchedule"}]), json!([]), None),
            (taint.clone(), json!([]), Some("2026-01-01T00:01:00Z")),
            (taint.clone(), json!([{"key": "k", "operator": "Exists"}]), None),
            (taint.clone(), json!([{"operator": "Exists", "effect": "NoExecute"}]), None),
            (taint.clone(), json!([for_seconds(300)]), Some("2026-01-01T00:05:00Z")),
            (taint.clone(), json!([for_seconds(300), for_seconds(30)]), Some("2026-01-01T00:00:30Z")),
            (taint.clone(), json!([for_seconds(-5)]), Some("2026-01-01T00:00:00Z")),
            (taint.clone(), json!([{"key": "other", "operator": "Exists"}]), Some("2026-01-01T00:01:00Z")),
        ] as [(Value, Value, Option<&str>); 9]
        {
            let (of, all): (Vec<Taint>, Vec<Toleration>) =
                (serde_json::from_value(taints).unwrap(), serde_json::from_value(tolerations.clone()).unwrap());
            let expected = expected.map(|time| time.parse().unwrap());
            assert_eq!(leaves_at(&of, &all, now), expected, "{tolerations}");
        }
    }
}
