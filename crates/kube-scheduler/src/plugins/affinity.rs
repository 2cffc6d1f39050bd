//! Node selectors and node affinity.
use super::{Filter, Helps, Reason, Score, Subject, scale};
use crate::{cache::NodeInfo, model::Node};

pub(super) struct NodeAffinity;

impl Filter for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn check(&self, subject: &Subject<'_>, _: &NodeInfo, node: &Node, reasons: &mut Vec<Reason>) {
        if !subject.pod.affinity.allows(node) {
            reasons.push("node(s) didn't match Pod's node affinity/selector".into());
        }
    }

    fn helped_by(&self) -> &'static [Helps] {
        &[Helps::NodeProperties]
    }
}

impl Score for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, subject: &Subject<'_>, _: &NodeInfo, node: &Node) -> i64 {
        let preferred = subject.pod.affinity.preferred.iter();
        preferred.filter(|(_, term)| term.matches(node)).map(|(weight, _)| weight).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        scale(scores, false);
    }
}
