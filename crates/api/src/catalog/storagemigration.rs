//! `storagemigration.k8s.io`.

use super::{Resource, STATUS, row};
use crate::{columns, strategy};

const GROUP: &str = "storagemigration.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![Resource {
        namespaced: false,
        subresources: &[STATUS],
        columns: columns::STORAGE_VERSION_MIGRATIONS,
        strategy: &strategy::StorageVersionMigrations,
        unconditional_update: false,
        ..row(GROUP, "v1", "StorageVersionMigration", "storageversionmigrations")
    }]
}
