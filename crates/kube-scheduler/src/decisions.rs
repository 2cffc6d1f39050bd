//! The last decisions, with each node's reason or score, for `/debug/decisions`.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use daemon::health::{Reply, StatusCode, text};
use serde_json::{Value, json};

use crate::{
    algorithm::{Decision, Verdict},
    model::Pod,
    plugins::SCORES,
};

/// So many decisions are kept, and of each so many nodes.
const KEPT: usize = 128;
const NODES: usize = 50;

#[derive(Debug)]
struct Kept {
    namespace: String,
    pod: String,
    time: jiff::Timestamp,
    decision: Decision,
    looked_at: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Decisions(Arc<Mutex<VecDeque<Kept>>>);

impl Decisions {
    pub fn keep(&self, pod: &Pod, mut decision: Decision) {
        let looked_at = decision.nodes.len();
        if looked_at > NODES {
            // The best first, then those that were refused.
            let total = |verdict: &Verdict| match verdict {
                Verdict::Fits(scores) => scores.iter().sum(),
                Verdict::Refused { .. } => i64::MIN,
            };
            let by_total = |a: &(Arc<str>, Verdict), b: &(Arc<str>, Verdict)| total(&b.1).cmp(&total(&a.1));
            decision.nodes.select_nth_unstable_by(NODES, by_total);
            decision.nodes.truncate(NODES);
            decision.nodes.shrink_to_fit();
        }
        let name = pod.metadata.name.clone().unwrap_or_default();
        let kept = Kept {
            namespace: pod.namespace().to_owned(),
            pod: name,
            time: jiff::Timestamp::now(),
            decision,
            looked_at,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.pop_front();
        }
        all.push_back(kept);
    }

    /// The newest first; `pod=<namespace>/<name>` asks for one pod.
    pub fn answer(&self, query: &str) -> Reply {
        let wanted = query.split('&').find_map(|part| part.strip_prefix("pod="));
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |kept: &&Kept| wanted.is_none_or(|pod| format!("{}/{}", kept.namespace, kept.pod) == pod);
        let shown: Vec<Value> = all.iter().rev().filter(is_wanted).map(show).collect();
        text(StatusCode::OK, format!("{:#}\n", Value::from(shown)))
    }
}

fn show(kept: &Kept) -> Value {
    let nodes = kept.decision.nodes.iter().map(|(name, verdict)| match verdict {
        Verdict::Fits(scores) => {
            let by_plugin: serde_json::Map<String, Value> =
                SCORES.iter().zip(scores).map(|(plugin, score)| (plugin.name().to_owned(), (*score).into())).collect();
            json!({"node": **name, "score": scores.iter().sum::<i64>(), "scores": by_plugin})
        }
        Verdict::Refused { filter, reasons } => json!({"node": **name, "filter": filter, "reasons": reasons}),
    });
    let outcome = match &kept.decision.outcome {
        Ok(node) => json!({"node": **node}),
        Err(error) => json!({"unschedulable": error.message}),
    };
    json!({"time": kept.time.to_string(), "pod": format!("{}/{}", kept.namespace, kept.pod), "outcome": outcome,
        "nodesLookedAt": kept.looked_at, "nodes": nodes.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_nodes_of_the_last_decisions_are_kept() {
        let decisions = Decisions::default();
        for index in 0..KEPT + 1 {
            let pod: Pod = serde_json::from_value(
                json!({"metadata": {"name": format!("p{index}"), "namespace": "d"}, "spec": {}}),
            )
            .unwrap();
            let nodes = (0..100).map(|n| (format!("n{n}").into(), Verdict::Fits([n, 0, 0, 0, 0]))).collect();
            decisions.keep(&pod, Decision { outcome: Ok("n99".into()), nodes });
        }
        let all = decisions.0.lock().unwrap();
        assert_eq!((all.len(), all[0].pod.as_str()), (KEPT, "p1"));
        assert_eq!((all[0].looked_at, all[0].decision.nodes.len()), (100, NODES));
        assert!(all[0].decision.nodes.iter().any(|(name, _)| &**name == "n99"));
        assert!(all[0].decision.nodes.iter().all(|(name, _)| &**name != "n0"));
    }
}
