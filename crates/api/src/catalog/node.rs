//! `node.k8s.io`.

use super::{Resource, row};
use crate::{columns, strategy};

const GROUP: &str = "node.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![Resource {
        namespaced: false,
        columns: columns::RUNTIME_CLASSES,
        strategy: &strategy::RuntimeClasses,
        unconditional_update: false,
        creates_on_update: true,
        ..row(GROUP, "v1", "RuntimeClass", "runtimeclasses")
    }]
}
