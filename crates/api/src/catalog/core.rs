//! The core group.

use super::{
    BINDING, EPHEMERAL_CONTAINERS, EXTENSIONS_CONTROLLER_SCALE, FINALIZE, LOG, RESIZE, Resource, Review, SCALE, STATUS,
    Selectable, TOKEN, Version, also, at, old, row,
};
use crate::conversion::events;
use crate::{columns, strategy};

/// An event as `events.k8s.io` has it.
fn named(version: Version) -> Version {
    Version { conversion: &events::EVENT, fields: events::FIELDS, ..version }
}

pub(super) fn rows() -> Vec<Resource> {
    vec![
        // Binds a pod that the body names.
        Resource { verbs: &["create"], review: Some(Review::Binding), ..row("", "v1", "Binding", "bindings") }
            .shown_as(old::versions("Binding")),
        Resource {
            short_names: &["cs"],
            namespaced: false,
            verbs: &["get", "list"],
            columns: columns::COMPONENT_STATUSES,
            review: Some(Review::ComponentStatus),
            ..row("", "v1", "ComponentStatus", "componentstatuses")
        },
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
        }
        .shown_as(old::versions("Endpoints")),
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
        }
        .shown_as(old::versions("Event"))
        .shown_as([
            Version { validate_create: Some(events::validate_create), ..named(also("events.k8s.io", "v1", "Event")) },
            named(also("events.k8s.io", "v1beta1", "Event")),
        ]),
        Resource {
            short_names: &["limits"],
            columns: columns::CREATED,
            strategy: &strategy::LimitRanges,
            creates_on_update: true,
            ..row("", "v1", "LimitRange", "limitranges")
        }
        .shown_as(old::versions("LimitRange")),
        Resource {
            short_names: &["ns"],
            namespaced: false,
            subresources: &[FINALIZE, STATUS],
            selectable: const { &[at("status.phase")] },
            columns: columns::NAMESPACES,
            strategy: &strategy::Namespaces,
            returns_deleted: true,
            ..row("", "v1", "Namespace", "namespaces")
        }
        .shown_as(old::versions("Namespace")),
        Resource {
            short_names: &["no"],
            namespaced: false,
            subresources: &[STATUS],
            selectable: const { &[at("spec.unschedulable")] },
            columns: columns::NODES,
            strategy: &strategy::Nodes,
            ..row("", "v1", "Node", "nodes")
        }
        .shown_as(old::versions("Node")),
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
        }
        .shown_as(old::versions("Pod")),
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
        }
        .shown_as(old::versions("ReplicationController"))
        // Scales were of this group before every group had them.
        .shown_as([Version {
            kind: "ReplicationControllerDummy",
            verbs: Some(&[]),
            subresources: Some(&[EXTENSIONS_CONTROLLER_SCALE]),
            group: "extensions",
            version: "v1beta1",
            ..also("", "v1", "ReplicationController")
        }]),
        Resource {
            short_names: &["quota"],
            subresources: &[STATUS],
            columns: columns::RESOURCE_QUOTAS,
            strategy: &strategy::ResourceQuotas,
            returns_deleted: true,
            ..row("", "v1", "ResourceQuota", "resourcequotas")
        }
        .shown_as(old::versions("ResourceQuota")),
        Resource {
            columns: columns::SECRETS,
            strategy: &strategy::Secrets,
            selectable: const { &[at("type")] },
            ..row("", "v1", "Secret", "secrets")
        }
        .shown_as(old::versions("Secret")),
        Resource {
            short_names: &["sa"],
            subresources: &[TOKEN],
            columns: columns::SERVICE_ACCOUNTS,
            strategy: &strategy::ServiceAccounts,
            returns_deleted: true,
            ..row("", "v1", "ServiceAccount", "serviceaccounts")
        }
        .shown_as(old::versions("ServiceAccount")),
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
        }
        .shown_as(old::versions("Service")),
    ]
}
