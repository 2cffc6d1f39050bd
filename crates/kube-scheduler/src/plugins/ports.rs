//! Ports of the node that pods take for themselves.
use super::{Filter, Helps, Reason, Subject};
use crate::{cache::NodeInfo, model::Node};

pub(super) struct NodePorts;

impl Filter for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn check(&self, subject: &Subject<'_>, info: &NodeInfo, _: &Node, reasons: &mut Vec<Reason>) {
        if subject.pod.ports.iter().any(|port| info.ports.iter().any(|taken| taken.conflicts(port))) {
            reasons.push("node(s) didn't have free ports for the requested pod ports".into());
        }
    }

    fn helped_by(&self) -> &'static [Helps] {
        &[Helps::PodGone, Helps::NodeProperties]
    }
}
