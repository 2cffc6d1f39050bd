//! The resources that the API has: one row each. Routing, discovery, OpenAPI, storage keys, gRPC dispatch and tables
//! read these rows; there are no handlers per kind. A new kind is a row and, where it has rules, a strategy.

mod subresource;

use std::sync::LazyLock;

use crate::columns::{self, Column};
use crate::schema::{TypeId, builtin};
use crate::strategy::{self, Strategy};

pub use subresource::*;

pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// Lower case, as in paths.
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    /// Groups of resources that `kubectl get` knows by one name.
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub subresources: &'static [Subresource],
    /// `metadata.generation` counts changes of `spec`.
    pub generation: bool,
    /// Fields for field selectors, beside `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [&'static str],
    pub columns: &'static [Column],
    pub strategy: &'static dyn Strategy,
    pub schema: TypeId,
}

const RBAC: &str = "rbac.authorization.k8s.io";

pub const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Resource {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// `pods`, `leases.coordination.k8s.io`: unique in the catalog, and the folder of its keys in etcd.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// A row with what most resources have.
fn row(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    let schema = builtin().of_kind(group, version, kind);
    let schema = schema.unwrap_or_else(|| panic!("schema/roots.rs lacks {group}/{version} {kind}"));
    Resource {
        group,
        version,
        kind,
        plural,
        singular: kind.to_ascii_lowercase().leak(),
        short_names: &[],
        categories: &[],
        namespaced: true,
        subresources: &[],
        generation: false,
        selectable: &[],
        columns: columns::PLAIN,
        strategy: &strategy::Plain,
        schema,
    }
}

/// All resources, in the order of discovery.
pub fn resources() -> &'static [Resource] {
    static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| {
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
                ..row("", "v1", "Endpoints", "endpoints")
            },
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
            },
            Resource {
                short_names: &["ns"],
                namespaced: false,
                subresources: &[STATUS, FINALIZE],
                selectable: &["status.phase"],
                columns: columns::NAMESPACES,
                strategy: &strategy::Namespaces,
                ..row("", "v1", "Namespace", "namespaces")
            },
            Resource {
                short_names: &["no"],
                namespaced: false,
                subresources: &[STATUS],
                selectable: &["spec.unschedulable"],
                columns: columns::NODES,
                strategy: &strategy::Nodes,
                ..row("", "v1", "Node", "nodes")
            },
            Resource {
                short_names: &["po"],
                categories: &["all"],
                subresources: &[STATUS, BINDING, LOG],
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
            },
            Resource {
                short_names: &["rc"],
                categories: &["all"],
                subresources: &[STATUS, SCALE],
                generation: true,
                selectable: &["status.replicas"],
                columns: columns::REPLICATION_CONTROLLERS,
                strategy: &strategy::ReplicationControllers,
                ..row("", "v1", "ReplicationController", "replicationcontrollers")
            },
            Resource {
                columns: columns::SECRETS,
                strategy: &strategy::Secrets,
                selectable: &["type"],
                ..row("", "v1", "Secret", "secrets")
            },
            Resource {
                short_names: &["svc"],
                categories: &["all"],
                subresources: &[STATUS],
                selectable: &["spec.clusterIP", "spec.type"],
                columns: columns::SERVICES,
                strategy: &strategy::Services,
                ..row("", "v1", "Service", "services")
            },
            Resource {
                columns: columns::LEASES,
                strategy: &strategy::Leases,
                ..row("coordination.k8s.io", "v1", "Lease", "leases")
            },
            Resource {
                namespaced: false,
                columns: columns::ROLE_BINDINGS,
                strategy: &strategy::RoleBindings { namespaced: false },
                ..row(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings")
            },
            Resource {
                namespaced: false,
                columns: columns::ROLES,
                strategy: &strategy::Roles { namespaced: false },
                ..row(RBAC, "v1", "ClusterRole", "clusterroles")
            },
            Resource {
                columns: columns::ROLE_BINDINGS,
                strategy: &strategy::RoleBindings { namespaced: true },
                ..row(RBAC, "v1", "RoleBinding", "rolebindings")
            },
            Resource {
                columns: columns::ROLES,
                strategy: &strategy::Roles { namespaced: true },
                ..row(RBAC, "v1", "Role", "roles")
            },
        ]
    });
    &RESOURCES
}

/// Groups and their versions, in the order of discovery; the first version is the preferred one.
pub fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for resource in resources() {
        match groups.iter_mut().find(|(group, _)| *group == resource.group) {
            Some((_, versions)) if versions.contains(&resource.version) => {}
            Some((_, versions)) => versions.push(resource.version),
            None => groups.push((resource.group, vec![resource.version])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = Vec::new();
        for resource in resources() {
            names.push(resource.qualified());
            names.extend(resource.short_names.iter().map(|n| (*n).to_owned()));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
