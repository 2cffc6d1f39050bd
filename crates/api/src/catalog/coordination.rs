//! `coordination.k8s.io`.

use super::{Resource, row};
use crate::{columns, strategy};

const GROUP: &str = "coordination.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            columns: columns::LEASES,
            strategy: &strategy::Leases,
            unconditional_update: false,
            creates_on_update: true,
            ..row(GROUP, "v1", "Lease", "leases")
        },
        Resource {
            columns: columns::LEASE_CANDIDATES,
            strategy: &strategy::LeaseCandidates,
            unconditional_update: false,
            creates_on_update: true,
            ..row(GROUP, "v1beta1", "LeaseCandidate", "leasecandidates")
        },
    ]
}
