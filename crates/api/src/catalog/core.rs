//! The core group.

use super::{
    BINDING, EPHEMERAL_CONTAINERS, FINALIZE, LOG, RESIZE, Resource, SCALE, STATUS, Selectable, TOKEN, at, row,
};
use crate::{columns, strategy};

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            short_names: &["cm"],
            columns: columns::CONFIG_MAPS,
            strategy: &strategy::ConfigMaps,
            ..row("", "v1", "ConfigMap", "configmaps")
        },
        Resource {
            short_names: &["ep"],
            columns: columns::ENDPOINTS,
            strategy: &strategy::EndpointsRules,
            creates_on_update: true,
            ..row("", "v1", "Endpoints", "endpoints")
        },
        Resource {
            short_names: &["ev"],
            columns: columns::EVENTS,
            strategy: &strategy::Events,
            selectable: const {
                &[
                    at("involvedObject.kind"),
                    at("involvedObject.namespace"),
                    at("involvedObject.name"),
                    at("involvedObject.uid"),
                    at("involvedObject.apiVersion"),
                    at("involvedObject.resourceVersion"),
                    at("involvedObject.fieldPath"),
                    at("reason"),
                    at("reportingComponent"),
                    Selectable { name: "source", path: "source.component" },
                    at("type"),
                ]
            },
            creates_on_update: true,
            ..row("", "v1", "Event", "events")
        },
        Resource {
            short_names: &["limits"],
            columns: columns::CREATED,
            strategy: &strategy::LimitRanges,
            creates_on_update: true,
            ..row("", "v1", "LimitRange", "limitranges")
        },
        Resource {
            short_names: &["ns"],
            namespaced: false,
            subresources: &[FINALIZE, STATUS],
            selectable: const { &[at("status.phase")] },
            columns: columns::NAMESPACES,
            strategy: &strategy::Namespaces,
            returns_deleted: true,
            ..row("", "v1", "Namespace", "namespaces")
        },
        Resource {
            short_names: &["no"],
            namespaced: false,
            subresources: &[STATUS],
            selectable: const { &[at("spec.unschedulable")] },
            columns: columns::NODES,
            strategy: &strategy::Nodes,
            ..row("", "v1", "Node", "nodes")
        },
        Resource {
            short_names: &["pvc"],
            subresources: &[STATUS],
            columns: columns::PERSISTENT_VOLUME_CLAIMS,
            strategy: &strategy::PersistentVolumeClaims,
            returns_deleted: true,
            ..row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
        },
        Resource {
            short_names: &["pv"],
            namespaced: false,
            subresources: &[STATUS],
            columns: columns::PERSISTENT_VOLUMES,
            strategy: &strategy::PersistentVolumes,
            returns_deleted: true,
            ..row("", "v1", "PersistentVolume", "persistentvolumes")
        },
        Resource {
            short_names: &["po"],
            categories: &["all"],
            subresources: &[BINDING, EPHEMERAL_CONTAINERS, LOG, RESIZE, STATUS],
            generation: true,
            selectable: const {
                &[
                    at("spec.nodeName"),
                    at("spec.restartPolicy"),
                    at("spec.schedulerName"),
                    at("spec.serviceAccountName"),
                    at("spec.hostNetwork"),
                    at("status.phase"),
                    at("status.podIP"),
                    at("status.nominatedNodeName"),
                ]
            },
            columns: columns::PODS,
            strategy: &strategy::Pods,
            returns_deleted: true,
            ..row("", "v1", "Pod", "pods")
        },
        Resource {
            generation: true,
            columns: columns::POD_TEMPLATES,
            strategy: &strategy::PodTemplates,
            returns_deleted: true,
            ..row("", "v1", "PodTemplate", "podtemplates")
        },
        Resource {
            short_names: &["rc"],
            categories: &["all"],
            subresources: &[SCALE, STATUS],
            generation: true,
            selectable: const { &[at("status.replicas")] },
            columns: columns::REPLICATION_CONTROLLERS,
            strategy: &strategy::ReplicationControllers,
            ..row("", "v1", "ReplicationController", "replicationcontrollers")
        },
        Resource {
            short_names: &["quota"],
            subresources: &[STATUS],
            columns: columns::RESOURCE_QUOTAS,
            strategy: &strategy::ResourceQuotas,
            returns_deleted: true,
            ..row("", "v1", "ResourceQuota", "resourcequotas")
        },
        Resource {
            columns: columns::SECRETS,
            strategy: &strategy::Secrets,
            selectable: const { &[at("type")] },
            ..row("", "v1", "Secret", "secrets")
        },
        Resource {
            short_names: &["sa"],
            subresources: &[TOKEN],
            columns: columns::SERVICE_ACCOUNTS,
            strategy: &strategy::ServiceAccounts,
            returns_deleted: true,
            ..row("", "v1", "ServiceAccount", "serviceaccounts")
        },
        Resource {
            short_names: &["svc"],
            categories: &["all"],
            subresources: &[STATUS],
            selectable: const { &[at("spec.clusterIP"), at("spec.type")] },
            columns: columns::SERVICES,
            strategy: &strategy::Services,
            returns_deleted: true,
            creates_on_update: true,
            ..row("", "v1", "Service", "services")
        },
    ]
}
