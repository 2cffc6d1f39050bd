//! The resources whose objects may own others, or lie in a namespace.
//!
//! This is the one list that a new resource must be added to for namespaces and the garbage collector to know it.
use client::{Object, ResourceRef};
use k8s_openapi::{
    Resource,
    api::{coordination::v1::Lease, core::v1 as core},
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
];

/// The resource that an owner reference names.
pub fn find(api_version: &str, kind: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.api_version == api_version && entry.kind == kind)
}
