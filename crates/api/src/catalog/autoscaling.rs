//! `autoscaling`.

use super::{Resource, STATUS, row};
use crate::{columns, strategy};

const GROUP: &str = "autoscaling";

pub(super) fn rows() -> Vec<Resource> {
    vec![Resource {
        short_names: &["hpa"],
        categories: &["all"],
        subresources: &[STATUS],
        columns: columns::HORIZONTAL_POD_AUTOSCALERS,
        strategy: &strategy::HorizontalPodAutoscalers,
        ..row(GROUP, "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
    }]
}
