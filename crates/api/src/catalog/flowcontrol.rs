//! `flowcontrol.apiserver.k8s.io`.

use super::{Resource, STATUS, row};
use crate::{columns, strategy};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            namespaced: false,
            subresources: &[STATUS],
            generation: true,
            columns: columns::FLOW_SCHEMAS,
            strategy: &strategy::FlowSchemas,
            ..row(GROUP, "v1", "FlowSchema", "flowschemas")
        },
        Resource {
            namespaced: false,
            subresources: &[STATUS],
            generation: true,
            columns: columns::PRIORITY_LEVEL_CONFIGURATIONS,
            strategy: &strategy::PriorityLevelConfigurations,
            ..row(GROUP, "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations")
        },
    ]
}
