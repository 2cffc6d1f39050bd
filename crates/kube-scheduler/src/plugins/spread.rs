//! Pods of one controller or service should not all stop with one node.
use super::{MAX_SCORE, Score, Subject};
use crate::{cache::NodeInfo, model::Node};

pub(super) struct Spread;

impl Score for Spread {
    fn name(&self) -> &'static str {
        "SelectorSpread"
    }

    fn weight(&self) -> i64 {
        2
    }

    /// Counts the pods of the same groups; turned round by `normalize`.
    fn score(&self, subject: &Subject<'_>, info: &NodeInfo, _: &Node) -> i64 {
        let counts = subject.groups.iter().filter_map(|group| info.groups.get(group));
        counts.copied().max().unwrap_or_default().into()
    }

    fn normalize(&self, scores: &mut [i64]) {
        let most = scores.iter().copied().max().unwrap_or_default();
        for score in scores {
            *score = if most == 0 { MAX_SCORE } else { (most - *score) * MAX_SCORE / most };
        }
    }
}
