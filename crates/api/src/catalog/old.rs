//! The core group in v1beta3 and v1beta1: what differs between kinds.

use super::{BINDING, FINALIZE, LOG, STATUS, Style, Subresource, Version, also};
use crate::columns::Column;
use crate::columns::old as columns;
use crate::conversion::core::{self, v1beta3};
use crate::conversion::{Conversion, SAME};

const BINDING_V1BETA3: Subresource = Subresource { body: Some(("", "v1beta3", "Binding")), ..BINDING };
const BINDING_V1BETA1: Subresource = Subresource { body: Some(("", "v1beta1", "Binding")), ..BINDING };

/// A kind in both versions. It is called otherwise in v1beta1 where `minion` says so.
struct Old {
    kind: &'static str,
    kind_v1beta1: &'static str,
    names: &'static [&'static str],
    names_v1beta1: &'static [&'static str],
    singular_v1beta1: Option<&'static str>,
    v1beta3: &'static Conversion,
    v1beta1: &'static Conversion,
    subresources: &'static [Subresource],
    subresources_v1beta1: &'static [Subresource],
    fields: &'static [(&'static str, &'static str)],
    columns: [Option<&'static [Column]>; 2],
    any_case: bool,
}

const fn kind(kind: &'static str) -> Old {
    Old {
        kind,
        kind_v1beta1: kind,
        names: &[],
        names_v1beta1: &[],
        singular_v1beta1: None,
        v1beta3: &SAME,
        v1beta1: &core::PLAIN,
        subresources: &[],
        subresources_v1beta1: &[],
        fields: &[("name", "metadata.name"), ("id", "metadata.name")],
        columns: [None, None],
        any_case: false,
    }
}

const KINDS: &[Old] = &[
    Old { v1beta1: &core::BINDING, ..kind("Binding") },
    Old { v1beta1: &core::ENDPOINTS, any_case: true, ..kind("Endpoints") },
    Old { v1beta1: &core::EVENT, any_case: true, ..kind("Event") },
    Old { v1beta1: &core::LIMIT_RANGE, any_case: true, ..kind("LimitRange") },
    Old { subresources: &[FINALIZE, STATUS], subresources_v1beta1: &[FINALIZE, STATUS], ..kind("Namespace") },
    Old {
        kind_v1beta1: "Minion",
        names: &["nodes", "minions"],
        names_v1beta1: &["minions", "nodes"],
        singular_v1beta1: Some("minion"),
        v1beta1: &core::MINION,
        subresources: &[STATUS],
        subresources_v1beta1: &[STATUS],
        columns: [None, Some(columns::MINIONS)],
        ..kind("Node")
    },
    Old {
        v1beta3: &v1beta3::POD,
        v1beta1: &core::POD,
        subresources: &[BINDING_V1BETA3, LOG, STATUS],
        subresources_v1beta1: &[BINDING_V1BETA1, LOG, STATUS],
        fields: &[
            ("name", "metadata.name"),
            ("id", "metadata.name"),
            ("spec.host", "spec.nodeName"),
            ("DesiredState.Host", "spec.nodeName"),
            ("DesiredState.Status", "status.phase"),
        ],
        columns: [Some(columns::PODS_V1BETA3), Some(columns::PODS_V1BETA1)],
        any_case: true,
        ..kind("Pod")
    },
    Old {
        names_v1beta1: &["replicationControllers", "replicationcontrollers"],
        v1beta3: &v1beta3::REPLICATION_CONTROLLER,
        v1beta1: &core::REPLICATION_CONTROLLER,
        subresources: &[STATUS],
        columns: [Some(columns::CONTROLLERS_V1BETA3), Some(columns::CONTROLLERS_V1BETA1)],
        any_case: true,
        ..kind("ReplicationController")
    },
    Old {
        v1beta1: &core::RESOURCE_QUOTA,
        subresources: &[STATUS],
        subresources_v1beta1: &[STATUS],
        any_case: true,
        ..kind("ResourceQuota")
    },
    Old { any_case: true, ..kind("Secret") },
    Old {
        v1beta3: &v1beta3::SERVICE,
        v1beta1: &core::SERVICE,
        columns: [Some(columns::SERVICES_V1BETA3), Some(columns::SERVICES_V1BETA1)],
        ..kind("Service")
    },
    Old { v1beta1: &core::SERVICE_ACCOUNT, ..kind("ServiceAccount") },
];

/// The versions before v1 of a kind of the core group.
pub(super) fn versions(of: &str) -> Vec<Version> {
    let Some(old) = KINDS.iter().find(|old| old.kind == of) else { return Vec::new() };
    let version = |version, kind, style| Version {
        protobuf: false,
        style,
        any_case: old.any_case,
        fields: old.fields,
        ..also("", version, kind)
    };
    vec![
        Version {
            conversion: old.v1beta3,
            names: old.names,
            subresources: Some(old.subresources),
            columns: old.columns[0],
            ..version("v1beta3", old.kind, Style::Linked)
        },
        Version {
            conversion: old.v1beta1,
            names: old.names_v1beta1,
            singular: old.singular_v1beta1,
            subresources: Some(old.subresources_v1beta1),
            columns: old.columns[1],
            ..version("v1beta1", old.kind_v1beta1, Style::Flat)
        },
    ]
}
