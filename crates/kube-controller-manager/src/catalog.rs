//! The resources whose objects may own others, or lie in a namespace.
//!
//! These are the rows of the API's catalog, without its schemas: those would take more memory here than all else. A test
//! holds the two together, so that a new row there is a new line here.
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
    fn the_catalog_of_the_api_has_the_same_rows() {
        let mut known: Vec<_> = CATALOG
            .iter()
            .map(|entry| (entry.resource.to_string(), entry.api_version.to_owned(), entry.kind, entry.namespaced))
            .collect();
        let row =
            |row: &std::sync::Arc<api::catalog::Served>| (row.qualified(), row.api_version(), row.kind, row.namespaced);
        let mut rows: Vec<_> = api::catalog::Catalog::builtin().served().iter().map(row).collect();
        known.sort();
        rows.sort();
        assert_eq!(known, rows);
    }
}
