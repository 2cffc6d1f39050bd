//! `autoscaling`.

use super::{Resource, STATUS, Version, also, row};
use crate::conversion::autoscaling as conversion;
use crate::{columns, strategy};

const GROUP: &str = "autoscaling";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            short_names: &["hpa"],
            categories: &["all"],
            subresources: &[STATUS],
            columns: columns::HORIZONTAL_POD_AUTOSCALERS,
            strategy: &strategy::HorizontalPodAutoscalers,
            ..row(GROUP, "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
        }
        .shown_as([
            Version { conversion: &conversion::V1, ..also(GROUP, "v1", "HorizontalPodAutoscaler") },
            Version { conversion: &conversion::V2BETA2, ..also(GROUP, "v2beta2", "HorizontalPodAutoscaler") },
        ]),
    ]
}
