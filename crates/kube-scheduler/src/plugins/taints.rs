//! Taints of nodes and tolerations of pods.
use api::tolerations::tolerates;
use k8s_openapi::api::core::v1::Taint;

use super::{Filter, Helps, Reason, Score, Subject, scale};
use crate::{cache::NodeInfo, model::Node};

pub(super) struct TaintToleration;

pub(super) fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added: None }
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
