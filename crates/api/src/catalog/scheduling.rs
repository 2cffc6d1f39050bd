//! `scheduling.k8s.io`.

use super::{Resource, row};
use crate::{columns, strategy};

const GROUP: &str = "scheduling.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![Resource {
        short_names: &["pc"],
        namespaced: false,
        generation: true,
        columns: columns::PRIORITY_CLASSES,
        strategy: &strategy::PriorityClasses,
        ..row(GROUP, "v1", "PriorityClass", "priorityclasses")
    }]
}
