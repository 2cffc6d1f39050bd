//! Which of several replicas are given up first.
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::model::{DELETION_COST, Pod};

/// Smaller goes first: not assigned, pending, not ready, cheaper, crowded on its node, ready for a shorter time, restarted
/// more often, younger.
type Rank = (bool, u8, bool, i32, Reverse<usize>, Reverse<Option<Timestamp>>, Reverse<i32>, Reverse<Option<Timestamp>>);

fn rank(pod: &Pod, on_node: usize) -> Rank {
    let phase = match pod.status.phase.as_str() {
        "" | "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = pod.metadata.annotations.as_ref().and_then(|all| all.get(DELETION_COST)?.parse().ok());
    (
        !pod.spec.node_name.is_empty(),
        phase,
        pod.is_ready(),
        cost.unwrap_or_default(),
        Reverse(on_node),
        Reverse(pod.ready_since()),
        Reverse(pod.restarts()),
        Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)),
    )
}

pub(super) fn first_to_go(active: &[Arc<Pod>], count: usize) -> Vec<Arc<Pod>> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in active.iter().filter(|pod| !pod.spec.node_name.is_empty()) {
        *on_node.entry(&pod.spec.node_name).or_default() += 1;
    }
    let mut pods = active.to_vec();
    pods.sort_by_cached_key(|pod| rank(pod, on_node.get(pod.spec.node_name.as_str()).copied().unwrap_or_default()));
    pods.truncate(count);
    pods
}
