//! What decides on a node: filters say whether a pod can run there, scores how well.
//!
//! A new plugin is one file and one row here. Plugins see one pod and one node, and hold no state.
mod affinity;
mod node;
mod ports;
mod resources;
mod spread;
mod taints;

use std::borrow::Cow;

use crate::{
    cache::{Group, NodeInfo},
    model::{Node, Pod},
};

/// Why a node can't take a pod, in upstream's words.
pub type Reason = Cow<'static, str>;

/// The best score of a plugin; the worst is 0.
pub const MAX_SCORE: i64 = 100;

/// A pod, and what is worked out once for all nodes.
#[derive(Debug)]
pub struct Subject<'a> {
    pub pod: &'a Pod,
    pub groups: Vec<Group>,
}

/// What may make room for a pod that no node could take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helps {
    /// A node is new, or offers more.
    Allocatable,
    /// A node is new, or its labels, taints or schedulability are others.
    NodeProperties,
    /// A pod has left its node.
    PodGone,
}

pub trait Filter: Sync {
    fn name(&self) -> &'static str;
    /// Reasons are added; none means that the pod can run there.
    fn check(&self, subject: &Subject<'_>, info: &NodeInfo, node: &Node, reasons: &mut Vec<Reason>);
    /// What can undo a refusal of this plugin.
    fn helped_by(&self) -> &'static [Helps];
}

pub trait Score: Sync {
    fn name(&self) -> &'static str;
    fn weight(&self) -> i64;
    fn score(&self, subject: &Subject<'_>, info: &NodeInfo, node: &Node) -> i64;
    /// Brings the scores of all nodes into 0 to [`MAX_SCORE`], where `score` does not.
    fn normalize(&self, _scores: &mut [i64]) {}
}

/// In the order in which they run; the first that refuses a node ends its check.
pub static FILTERS: &[&dyn Filter] = &[
    &node::NodeUnschedulable,
    &node::NodeName,
    &taints::TaintToleration,
    &affinity::NodeAffinity,
    &ports::NodePorts,
    &resources::NodeResourcesFit,
];

/// One number of each of [`SCORES`]; an array, for there is one for each node that fits.
pub type Scores = [i64; 5];

pub static SCORES: [&dyn Score; 5] = [
    &resources::LeastAllocated,
    &resources::BalancedAllocation,
    &taints::TaintToleration,
    &affinity::NodeAffinity,
    &spread::Spread,
];

/// Scales to 0 to [`MAX_SCORE`] by the largest; reversed, the largest becomes the worst.
fn scale(scores: &mut [i64], reverse: bool) {
    let largest = scores.iter().copied().max().unwrap_or_default();
    for score in scores {
        let scaled = if largest == 0 { 0 } else { *score * MAX_SCORE / largest };
        *score = if reverse { MAX_SCORE - scaled } else { scaled };
    }
}

#[cfg(test)]
mod tests;
