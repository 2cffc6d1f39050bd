//! Chooses a node for a pod. Pure: the cache and the plugins in, a decision out.
use std::{collections::BTreeMap, sync::Arc};

use rand::{Rng, rngs::SmallRng};

use crate::{
    cache::Cache,
    model::Pod,
    plugins::{FILTERS, Helps, Reason, SCORES, Scores, Subject},
};

/// Up to so many nodes all are looked at.
const ALWAYS_ALL: usize = 100;

/// What was decided about one node.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The weighted scores in the order of [`SCORES`].
    Fits(Scores),
    Refused {
        filter: &'static str,
        reasons: Vec<Reason>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub outcome: Result<Arc<str>, Unschedulable>,
    pub nodes: Vec<(Arc<str>, Verdict)>,
}

/// No node can take the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Unschedulable {
    pub message: String,
    /// What may change that.
    pub helped_by: Vec<Helps>,
}

/// How many nodes that fit are enough: on large clusters the best of a part is as good as the best of all.
fn enough(nodes: usize) -> usize {
    if nodes <= ALWAYS_ALL {
        return nodes;
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(ALWAYS_ALL)
}

/// Where the search begins goes round, so that all nodes have their turn.
#[derive(Debug, Default)]
pub struct Algorithm {
    next: usize,
}

impl Algorithm {
    pub fn decide(&mut self, pod: &Pod, cache: &Cache, rng: &mut SmallRng) -> Decision {
        let places = cache.nodes();
        let subject = Subject { pod, groups: cache.groups_of(pod) };
        let enough = enough(cache.node_count());
        let mut nodes = Vec::new();
        let mut fitting = Vec::new();
        let mut looked_at = 0;
        let mut reasons = Vec::new();
        while looked_at < places.len() && fitting.len() < enough {
            let info = &places[(self.next + looked_at) % places.len()];
            looked_at += 1;
            let Some(node) = &info.node else { continue };
            let refused = FILTERS.iter().find(|filter| {
                filter.check(&subject, info, node, &mut reasons);
                !reasons.is_empty()
            });
            match refused {
                None => fitting.push((info, node.as_ref())),
                Some(filter) => {
                    let reasons = std::mem::take(&mut reasons);
                    nodes.push((info.name.clone(), Verdict::Refused { filter: filter.name(), reasons }));
                }
            }
        }
        self.next = if places.is_empty() { 0 } else { (self.next + looked_at) % places.len() };
        if fitting.is_empty() {
            let outcome = Err(unschedulable(&nodes));
            return Decision { outcome, nodes };
        }

        let mut all = vec![Scores::default(); fitting.len()];
        // A single node needs no comparison.
        if fitting.len() > 1 {
            let mut column = Vec::with_capacity(fitting.len());
            for (index, score) in SCORES.iter().enumerate() {
                column.clear();
                column.extend(fitting.iter().map(|(info, node)| score.score(&subject, info, node)));
                score.normalize(&mut column);
                for (scores, value) in all.iter_mut().zip(&column) {
                    scores[index] = value * score.weight();
                }
            }
        }
        let chosen = best(&all, rng);
        let outcome = Ok(fitting[chosen].0.name.clone());
        nodes.extend(fitting.iter().zip(all).map(|((info, _), scores)| (info.name.clone(), Verdict::Fits(scores))));
        Decision { outcome, nodes }
    }
}

/// One of the best, by chance.
fn best(all: &[Scores], rng: &mut SmallRng) -> usize {
    let (mut chosen, mut most, mut ties) = (0, i64::MIN, 0);
    for (index, scores) in all.iter().enumerate() {
        let total: i64 = scores.iter().sum();
        if total > most {
            (chosen, most, ties) = (index, total, 1);
        } else if total == most {
            ties += 1;
            if rng.random_range(0..ties) == 0 {
                chosen = index;
            }
        }
    }
    chosen
}

fn unschedulable(nodes: &[(Arc<str>, Verdict)]) -> Unschedulable {
    if nodes.is_empty() {
        let helped_by = vec![Helps::NodeProperties, Helps::Allocatable];
        return Unschedulable { message: "no nodes available to schedule pods".to_owned(), helped_by };
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut helped_by = Vec::new();
    for (_, verdict) in nodes {
        let Verdict::Refused { filter, reasons } = verdict else { continue };
        for reason in reasons {
            *counts.entry(reason).or_default() += 1;
        }
        let filter = FILTERS.iter().find(|known| known.name() == *filter);
        for helps in filter.map_or(&[][..], |filter| filter.helped_by()) {
            if !helped_by.contains(helps) {
                helped_by.push(*helps);
            }
        }
    }
    let mut parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    let message = format!("0/{} nodes are available: {}.", nodes.len(), parts.join(", "));
    Unschedulable { message, helped_by }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use serde_json::{Value, json};

    use super::*;

    fn cache(nodes: &[(&str, Value, &str)]) -> Cache {
        let mut cache = Cache::default();
        for (name, spec, cpu) in nodes {
            let json = json!({"metadata": {"name": name}, "spec": spec,
                "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"}}});
            cache.set_node(Arc::new(serde_json::from_value(json).unwrap()));
        }
        cache
    }

    fn pod(uid: &str, cpu: &str) -> Pod {
        let owner = json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": "rc", "uid": "rc", "controller": true}]);
        let json = json!({"metadata": {"uid": uid, "name": uid, "namespace": "default", "ownerReferences": owner},
            "spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}});
        serde_json::from_value(json).unwrap()
    }

    fn rng() -> SmallRng {
        SmallRng::seed_from_u64(1)
    }

    #[test]
    fn the_message_counts_the_reasons() {
        let tainted = json!({"taints": [{"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}]});
        let cache = cache(&[("a", tainted, "4"), ("b", json!({}), "1"), ("c", json!({}), "1")]);
        let decision = Algorithm::default().decide(&pod("p", "2"), &cache, &mut rng());
        let error = decision.outcome.unwrap_err();
        assert_eq!(
            error.message,
            "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/master: }, 2 Insufficient cpu."
        );
        assert_eq!(error.helped_by, [Helps::NodeProperties, Helps::Allocatable, Helps::PodGone]);
        let none = Algorithm::default().decide(&pod("p", "2"), &Cache::default(), &mut rng()).outcome.unwrap_err();
        assert_eq!(none.message, "no nodes available to schedule pods");
    }

    #[test]
    fn the_emptier_node_wins_and_replicas_spread() {
        let mut cache = cache(&[("a", json!({}), "4"), ("b", json!({}), "4"), ("c", json!({}), "4")]);
        let mut other = pod("other", "3");
        other.metadata.owner_references = None;
        cache.add_pod(Arc::new(other), "a");
        let mut algorithm = Algorithm::default();
        let mut chosen = Vec::new();
        for uid in ["1", "2"] {
            let pod = pod(uid, "100m");
            let node = algorithm.decide(&pod, &cache, &mut rng()).outcome.unwrap();
            cache.add_pod(Arc::new(pod), &node);
            chosen.push(node.to_string());
        }
        chosen.sort();
        assert_eq!(chosen, ["b", "c"]);
    }

    #[test]
    fn large_clusters_are_searched_in_part_and_in_turn() {
        assert_eq!([10, 100, 200, 1000, 5000].map(enough), [10, 100, 100, 420, 500]);
        let names: Vec<String> = (0..1000).map(|index| format!("n{index:04}")).collect();
        let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), json!({}), "4")).collect();
        let cache = cache(&nodes);
        let mut algorithm = Algorithm::default();
        assert_eq!(algorithm.decide(&pod("p", "1"), &cache, &mut rng()).nodes.len(), 420);
        assert_eq!(algorithm.decide(&pod("p", "1"), &cache, &mut rng()).nodes[0].0.as_ref(), "n0420");
    }
}
