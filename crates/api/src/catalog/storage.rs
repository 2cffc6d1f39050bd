//! `storage.k8s.io`.

use super::{Resource, STATUS, row};
use crate::{columns, strategy};

const GROUP: &str = "storage.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            namespaced: false,
            columns: columns::CSI_DRIVERS,
            strategy: &strategy::CsiDrivers,
            returns_deleted: true,
            unconditional_update: false,
            ..row(GROUP, "v1", "CSIDriver", "csidrivers")
        },
        Resource {
            namespaced: false,
            columns: columns::CSI_NODES,
            strategy: &strategy::CsiNodes,
            returns_deleted: true,
            unconditional_update: false,
            ..row(GROUP, "v1", "CSINode", "csinodes")
        },
        Resource {
            columns: columns::CSI_STORAGE_CAPACITIES,
            strategy: &strategy::CsiStorageCapacities,
            unconditional_update: false,
            ..row(GROUP, "v1", "CSIStorageCapacity", "csistoragecapacities")
        },
        Resource {
            short_names: &["sc"],
            namespaced: false,
            columns: columns::STORAGE_CLASSES,
            strategy: &strategy::StorageClasses,
            returns_deleted: true,
            ..row(GROUP, "v1", "StorageClass", "storageclasses")
        },
        Resource {
            namespaced: false,
            subresources: &[STATUS],
            columns: columns::VOLUME_ATTACHMENTS,
            strategy: &strategy::VolumeAttachments,
            returns_deleted: true,
            unconditional_update: false,
            ..row(GROUP, "v1", "VolumeAttachment", "volumeattachments")
        },
        Resource {
            short_names: &["vac"],
            namespaced: false,
            columns: columns::VOLUME_ATTRIBUTES_CLASSES,
            strategy: &strategy::VolumeAttributesClasses,
            returns_deleted: true,
            ..row(GROUP, "v1", "VolumeAttributesClass", "volumeattributesclasses")
        },
    ]
}
