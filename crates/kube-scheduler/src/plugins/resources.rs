//! What pods ask of a node's resources: enough must be left, and better more than less.
use super::{Filter, Helps, MAX_SCORE, Reason, Score, Subject};
use crate::{cache::NodeInfo, model::Node};

pub(super) struct NodeResourcesFit;

impl Filter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn check(&self, subject: &Subject<'_>, info: &NodeInfo, node: &Node, reasons: &mut Vec<Reason>) {
        if info.pods as i64 + 1 > node.max_pods {
            reasons.push("Too many pods".into());
        }
        let (wanted, free) = (&subject.pod.requests, &node.allocatable);
        let lacks = |wanted: i64, offered: i64, taken: i64| wanted > 0 && wanted > offered - taken;
        if lacks(wanted.milli_cpu, free.milli_cpu, info.requested.milli_cpu) {
            reasons.push("Insufficient cpu".into());
        }
        if lacks(wanted.memory, free.memory, info.requested.memory) {
            reasons.push("Insufficient memory".into());
        }
        if lacks(wanted.ephemeral_storage, free.ephemeral_storage, info.requested.ephemeral_storage) {
            reasons.push("Insufficient ephemeral-storage".into());
        }
        for (name, wanted) in &wanted.other {
            let of = |list: &std::collections::BTreeMap<String, i64>| list.get(name).copied().unwrap_or_default();
            if lacks(*wanted, of(&free.other), of(&info.requested.other)) {
                reasons.push(format!("Insufficient {name}").into());
            }
        }
    }

    fn helped_by(&self) -> &'static [Helps] {
        &[Helps::Allocatable, Helps::PodGone]
    }
}

/// Processor and memory as they would be with the pod: what is taken, of what there is.
fn taken(subject: &Subject<'_>, info: &NodeInfo, node: &Node) -> [(i64, i64); 2] {
    let (wanted, offered) = (&subject.pod.requests, &node.allocatable);
    [
        (info.requested.scored_milli_cpu + wanted.scored_milli_cpu, offered.milli_cpu),
        (info.requested.scored_memory + wanted.scored_memory, offered.memory),
    ]
}

pub(super) struct LeastAllocated;

impl Score for LeastAllocated {
    fn name(&self) -> &'static str {
        "NodeResourcesLeastAllocated"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, subject: &Subject<'_>, info: &NodeInfo, node: &Node) -> i64 {
        let free = |(taken, offered): (i64, i64)| {
            if offered <= 0 || taken > offered {
                return 0;
            }
            (i128::from(offered - taken) * i128::from(MAX_SCORE) / i128::from(offered)) as i64
        };
        taken(subject, info, node).map(free).iter().sum::<i64>() / 2
    }
}

pub(super) struct BalancedAllocation;

impl Score for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, subject: &Subject<'_>, info: &NodeInfo, node: &Node) -> i64 {
        let fraction = |(taken, offered): (i64, i64)| {
            if offered <= 0 { 1.0 } else { (taken as f64 / offered as f64).min(1.0) }
        };
        let [cpu, memory] = taken(subject, info, node).map(fraction);
        // Half the distance is the standard deviation of two values.
        ((1.0 - (cpu - memory).abs() / 2.0) * MAX_SCORE as f64) as i64
    }
}
