//! Taints of nodes and tolerations of pods.
use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{Filter, Helps, Reason, Score, Subject, scale};
use crate::{cache::NodeInfo, model::Node};

pub(super) struct TaintToleration;

pub(super) fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added: None }
}

pub(super) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        // Without a key only `Exists` is meant for all.
        None | Some("" | "Equal") => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        Some(_) => false,
    }
}

impl Filter for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn check(&self, subject: &Subject<'_>, _: &NodeInfo, node: &Node, reasons: &mut Vec<Reason>) {
        let forbids = |taint: &&Taint| {
            matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
                && !subject.pod.tolerations.iter().any(|toleration| tolerates(toleration, taint))
        };
        if let Some(taint) = node.taints.iter().find(forbids) {
            let value = taint.value.as_deref().unwrap_or_default();
            reasons.push(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key).into());
        }
    }

    fn helped_by(&self) -> &'static [Helps] {
        &[Helps::NodeProperties]
    }
}

impl Score for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn weight(&self) -> i64 {
        3
    }

    /// Counts the taints that the pod would rather not have; turned round by `normalize`.
    fn score(&self, subject: &Subject<'_>, _: &NodeInfo, node: &Node) -> i64 {
        let unwanted = node.taints.iter().filter(|taint| {
            taint.effect == "PreferNoSchedule"
                && !subject.pod.tolerations.iter().any(|toleration| tolerates(toleration, taint))
        });
        unwanted.count() as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        scale(scores, true);
    }
}
