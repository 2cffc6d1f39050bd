//! The core group.

use super::{
    BINDING, EPHEMERAL_CONTAINERS, EXTENSIONS_CONTROLLER_SCALE, FINALIZE, LOG, RESIZE, Resource, Review, SCALE, STATUS,
    Version, also, old, row,
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
            ..row("", "v1", "Endpoints", "endpoints")
        }
        .shown_as(old::versions("Endpoints")),
        Resource {
            short_names: &["ev"],
            columns: columns::EVENTS,
            strategy: &strategy::Events,
            selectable: &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ],
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
            ..row("", "v1", "LimitRange", "limitranges")
        }
        .shown_as(old::versions("LimitRange")),
        Resource {
            short_names: &["ns"],
            namespaced: false,
            subresources: &[FINALIZE, STATUS],
            selectable: &["status.phase"],
            columns: columns::NAMESPACES,
            strategy: &strategy::Namespaces,
            ..row("", "v1", "Namespace", "namespaces")
        }
        .shown_as(old::versions("Namespace")),
        Resource {
            short_names: &["no"],
            namespaced: false,
            subresources: &[STATUS],
            selectable: &["spec.unschedulable"],
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
            ..row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
        },
        Resource {
            short_names: &["pv"],
            namespaced: false,
            subresources: &[STATUS],
            columns: columns::PERSISTENT_VOLUMES,
            strategy: &strategy::PersistentVolumes,
            ..row("", "v1", "PersistentVolume", "persistentvolumes")
        },
        Resource {
            short_names: &["po"],
            categories: &["all"],
            subresources: &[BINDING, EPHEMERAL_CONTAINERS, LOG, RESIZE, STATUS],
            generation: true,
            selectable: &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ],
            columns: columns::PODS,
            strategy: &strategy::Pods,
            ..row("", "v1", "Pod", "pods")
        }
        .shown_as(old::versions("Pod")),
        Resource {
            generation: true,
            columns: columns::POD_TEMPLATES,
            strategy: &strategy::PodTemplates,
            ..row("", "v1", "PodTemplate", "podtemplates")
        },
        Resource {
            short_names: &["rc"],
            categories: &["all"],
            subresources: &[SCALE, STATUS],
            generation: true,
            selectable: &["status.replicas"],
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
            ..row("", "v1", "ResourceQuota", "resourcequotas")
        }
        .shown_as(old::versions("ResourceQuota")),
        Resource {
            columns: columns::SECRETS,
            strategy: &strategy::Secrets,
            selectable: &["type"],
            ..row("", "v1", "Secret", "secrets")
        }
        .shown_as(old::versions("Secret")),
        Resource {
            short_names: &["sa"],
            columns: columns::SERVICE_ACCOUNTS,
            strategy: &strategy::ServiceAccounts,
            ..row("", "v1", "ServiceAccount", "serviceaccounts")
        }
        .shown_as(old::versions("ServiceAccount")),
        Resource {
            short_names: &["svc"],
            categories: &["all"],
            subresources: &[STATUS],
            selectable: &["spec.clusterIP", "spec.type"],
            columns: columns::SERVICES,
            strategy: &strategy::Services,
            ..row("", "v1", "Service", "services")
        }
        .shown_as(old::versions("Service")),
    ]
}
