//! `coordination.k8s.io`.

use super::{Resource, row};
use crate::{columns, strategy};

pub(super) fn rows() -> Vec<Resource> {
    vec![Resource {
        columns: columns::LEASES,
        strategy: &strategy::Leases,
        ..row("coordination.k8s.io", "v1", "Lease", "leases")
    }]
}
