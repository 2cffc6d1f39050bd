//! `resource.k8s.io`: devices and who has them.

use super::{Resource, STATUS, at, row};
use crate::{columns, strategy};

const GROUP: &str = "resource.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            namespaced: false,
            generation: true,
            strategy: &strategy::DeviceClasses,
            returns_deleted: true,
            ..row(GROUP, "v1", "DeviceClass", "deviceclasses")
        },
        Resource {
            namespaced: false,
            subresources: &[STATUS],
            generation: true,
            strategy: &strategy::DeviceTaintRules,
            returns_deleted: true,
            ..row(GROUP, "v1", "DeviceTaintRule", "devicetaintrules")
        },
        Resource {
            subresources: &[STATUS],
            columns: columns::RESOURCE_CLAIMS,
            strategy: &strategy::ResourceClaims,
            returns_deleted: true,
            ..row(GROUP, "v1", "ResourceClaim", "resourceclaims")
        },
        Resource {
            strategy: &strategy::ResourceClaimTemplates,
            returns_deleted: true,
            ..row(GROUP, "v1", "ResourceClaimTemplate", "resourceclaimtemplates")
        },
        Resource {
            namespaced: false,
            generation: true,
            selectable: const { &[at("spec.nodeName"), at("spec.driver")] },
            columns: columns::RESOURCE_SLICES,
            strategy: &strategy::ResourceSlices,
            returns_deleted: true,
            ..row(GROUP, "v1", "ResourceSlice", "resourceslices")
        },
    ]
}
