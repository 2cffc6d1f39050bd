//! `discovery.k8s.io`.

use super::{Resource, Version, also, row};
use crate::conversion::discovery::ENDPOINT_SLICE;
use crate::{columns, strategy};

const GROUP: &str = "discovery.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            generation: true,
            columns: columns::ENDPOINT_SLICES,
            strategy: &strategy::EndpointSlices,
            ..row(GROUP, "v1", "EndpointSlice", "endpointslices")
        }
        .shown_as([Version { conversion: &ENDPOINT_SLICE, ..also(GROUP, "v1beta1", "EndpointSlice") }]),
    ]
}
