//! `apps`: what keeps pods running.

use super::{Resource, SELECTOR_SCALE, STATUS, at, row};
use crate::{columns, strategy};

const GROUP: &str = "apps";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            columns: columns::CONTROLLER_REVISIONS,
            strategy: &strategy::ControllerRevisions,
            ..row(GROUP, "v1", "ControllerRevision", "controllerrevisions")
        },
        Resource {
            short_names: &["ds"],
            categories: &["all"],
            subresources: &[STATUS],
            generation: true,
            columns: columns::DAEMON_SETS,
            strategy: &strategy::DaemonSets,
            ..row(GROUP, "v1", "DaemonSet", "daemonsets")
        },
        Resource {
            short_names: &["deploy"],
            categories: &["all"],
            subresources: &[SELECTOR_SCALE, STATUS],
            generation: true,
            columns: columns::DEPLOYMENTS,
            strategy: &strategy::Deployments,
            ..row(GROUP, "v1", "Deployment", "deployments")
        },
        Resource {
            short_names: &["rs"],
            categories: &["all"],
            subresources: &[SELECTOR_SCALE, STATUS],
            generation: true,
            selectable: const { &[at("status.replicas")] },
            columns: columns::REPLICA_SETS,
            strategy: &strategy::ReplicaSets,
            ..row(GROUP, "v1", "ReplicaSet", "replicasets")
        },
        Resource {
            short_names: &["sts"],
            categories: &["all"],
            subresources: &[SELECTOR_SCALE, STATUS],
            generation: true,
            columns: columns::STATEFUL_SETS,
            strategy: &strategy::StatefulSets,
            ..row(GROUP, "v1", "StatefulSet", "statefulsets")
        },
    ]
}
