//! `apps`: what keeps pods running, in `extensions` before.

use super::{
    EXTENSIONS_ROLLBACK, EXTENSIONS_SCALE, ROLLBACK_V1BETA1, Resource, SCALE_V1BETA1, SCALE_V1BETA2, SELECTOR_SCALE,
    STATUS, Version, also, at, row,
};
use crate::conversion::apps as conversion;
use crate::{columns, strategy};

const GROUP: &str = "apps";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            columns: columns::CONTROLLER_REVISIONS,
            strategy: &strategy::ControllerRevisions,
            ..row(GROUP, "v1", "ControllerRevision", "controllerrevisions")
        }
        .shown_as([also(GROUP, "v1beta1", "ControllerRevision"), also(GROUP, "v1beta2", "ControllerRevision")]),
        Resource {
            short_names: &["ds"],
            categories: &["all"],
            subresources: &[STATUS],
            generation: true,
            columns: columns::DAEMON_SETS,
            strategy: &strategy::DaemonSets,
            ..row(GROUP, "v1", "DaemonSet", "daemonsets")
        }
        .shown_as([
            Version {
                conversion: &conversion::EXTENSIONS_DAEMON_SET,
                orphans: true,
                ..also("extensions", "v1beta1", "DaemonSet")
            },
            Version { orphans: true, ..also(GROUP, "v1beta2", "DaemonSet") },
        ]),
        Resource {
            short_names: &["deploy"],
            categories: &["all"],
            subresources: &[SELECTOR_SCALE, STATUS],
            generation: true,
            columns: columns::DEPLOYMENTS,
            strategy: &strategy::Deployments,
            ..row(GROUP, "v1", "Deployment", "deployments")
        }
        .shown_as([
            Version {
                conversion: &conversion::EXTENSIONS_DEPLOYMENT,
                subresources: Some(&[EXTENSIONS_ROLLBACK, EXTENSIONS_SCALE, STATUS]),
                orphans: true,
                ..also("extensions", "v1beta1", "Deployment")
            },
            Version {
                conversion: &conversion::DEPLOYMENT_V1BETA1,
                subresources: Some(&[ROLLBACK_V1BETA1, SCALE_V1BETA1, STATUS]),
                orphans: true,
                ..also(GROUP, "v1beta1", "Deployment")
            },
            Version {
                subresources: Some(&[SCALE_V1BETA2, STATUS]),
                orphans: true,
                ..also(GROUP, "v1beta2", "Deployment")
            },
        ]),
        Resource {
            short_names: &["rs"],
            categories: &["all"],
            subresources: &[SELECTOR_SCALE, STATUS],
            generation: true,
            selectable: const { &[at("status.replicas")] },
            columns: columns::REPLICA_SETS,
            strategy: &strategy::ReplicaSets,
            ..row(GROUP, "v1", "ReplicaSet", "replicasets")
        }
        .shown_as([
            Version {
                conversion: &conversion::EXTENSIONS_REPLICA_SET,
                subresources: Some(&[EXTENSIONS_SCALE, STATUS]),
                orphans: true,
                ..also("extensions", "v1beta1", "ReplicaSet")
            },
            Version {
                subresources: Some(&[SCALE_V1BETA2, STATUS]),
                orphans: true,
                ..also(GROUP, "v1beta2", "ReplicaSet")
            },
        ]),
        Resource {
            short_names: &["sts"],
            categories: &["all"],
            subresources: &[SELECTOR_SCALE, STATUS],
            generation: true,
            columns: columns::STATEFUL_SETS,
            strategy: &strategy::StatefulSets,
            ..row(GROUP, "v1", "StatefulSet", "statefulsets")
        }
        .shown_as([
            Version {
                conversion: &conversion::STATEFUL_SET_V1BETA1,
                subresources: Some(&[SCALE_V1BETA1, STATUS]),
                orphans: true,
                ..also(GROUP, "v1beta1", "StatefulSet")
            },
            Version {
                subresources: Some(&[SCALE_V1BETA2, STATUS]),
                orphans: true,
                ..also(GROUP, "v1beta2", "StatefulSet")
            },
        ]),
    ]
}
