//! The node that a pod names, and nodes that take no new pods.
use api::tolerations::tolerates;

use super::{Filter, Helps, Reason, Subject, taints};
use crate::{cache::NodeInfo, model::Node};

pub(super) struct NodeName;

impl Filter for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn check(&self, subject: &Subject<'_>, info: &NodeInfo, _: &Node, reasons: &mut Vec<Reason>) {
        let wanted = &subject.pod.node_name;
        if !wanted.is_empty() && **wanted != *info.name {
            reasons.push("node(s) didn't match the requested node name".into());
        }
    }

    fn helped_by(&self) -> &'static [Helps] {
        &[Helps::NodeProperties]
    }
}

pub(super) struct NodeUnschedulable;

impl Filter for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn check(&self, subject: &Subject<'_>, _: &NodeInfo, node: &Node, reasons: &mut Vec<Reason>) {
        let tolerated = || {
            let taint = taints::taint("node.kubernetes.io/unschedulable", "NoSchedule");
            subject.pod.tolerations.iter().any(|toleration| tolerates(toleration, &taint))
        };
        if node.unschedulable && !tolerated() {
            reasons.push("node(s) were unschedulable".into());
        }
    }

    fn helped_by(&self) -> &'static [Helps] {
        &[Helps::NodeProperties]
    }
}
