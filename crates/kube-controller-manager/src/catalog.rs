//! The resources whose objects may own others, or lie in a namespace.
//!
//! These are rows of the API's catalog, without its schemas: those would take more memory here than all else. A test holds
//! that each is a row there as well.
use client::{Object, ResourceRef};
use k8s_openapi::{
    Resource,
    api::{coordination::v1::Lease, core::v1 as core, rbac::v1 as rbac},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub resource: ResourceRef,
    pub api_version: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
}

const fn entry<K: Object>(namespaced: bool) -> Entry {
    Entry { resource: K::RESOURCE, api_version: <K as Resource>::API_VERSION, kind: <K as Resource>::KIND, namespaced }
}

pub const CATALOG: &[Entry] = &[
    entry::<core::Pod>(true),
    entry::<core::ReplicationController>(true),
    entry::<core::Service>(true),
    entry::<core::Endpoints>(true),
    entry::<core::ConfigMap>(true),
    entry::<core::Secret>(true),
    entry::<core::Event>(true),
    entry::<Lease>(true),
    entry::<core::Node>(false),
    entry::<core::Namespace>(false),
    entry::<rbac::Role>(true),
    entry::<rbac::RoleBinding>(true),
    entry::<rbac::ClusterRole>(false),
    entry::<rbac::ClusterRoleBinding>(false),
];

/// The resource that an owner reference names.
pub fn find(api_version: &str, kind: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.api_version == api_version && entry.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_of_the_api_has_these_rows() {
        let row =
            |row: &std::sync::Arc<api::catalog::Served>| (row.qualified(), row.api_version(), row.kind, row.namespaced);
        let rows: Vec<_> = api::catalog::Catalog::builtin().served().iter().map(row).collect();
        for entry in CATALOG {
            let known = (entry.resource.to_string(), entry.api_version.to_owned(), entry.kind, entry.namespaced);
            assert!(rows.contains(&known), "{known:?}");
        }
    }
}
