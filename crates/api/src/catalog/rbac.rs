//! `rbac.authorization.k8s.io`.

use super::{Resource, row};
use crate::{columns, strategy};

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            namespaced: false,
            columns: columns::ROLE_BINDINGS,
            strategy: &strategy::RoleBindings { namespaced: false },
            creates_on_update: true,
            ..row(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings")
        },
        Resource {
            namespaced: false,
            columns: columns::CREATED,
            strategy: &strategy::Roles { namespaced: false },
            creates_on_update: true,
            ..row(RBAC, "v1", "ClusterRole", "clusterroles")
        },
        Resource {
            columns: columns::ROLE_BINDINGS,
            strategy: &strategy::RoleBindings { namespaced: true },
            creates_on_update: true,
            ..row(RBAC, "v1", "RoleBinding", "rolebindings")
        },
        Resource {
            columns: columns::CREATED,
            strategy: &strategy::Roles { namespaced: true },
            creates_on_update: true,
            ..row(RBAC, "v1", "Role", "roles")
        },
    ]
}
