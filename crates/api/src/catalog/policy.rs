//! `policy`.

use super::{Resource, STATUS, Version, also, row};
use crate::conversion::policy::POD_DISRUPTION_BUDGET;
use crate::{columns, strategy};

const GROUP: &str = "policy";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            short_names: &["pdb"],
            subresources: &[STATUS],
            generation: true,
            columns: columns::POD_DISRUPTION_BUDGETS,
            strategy: &strategy::PodDisruptionBudgets,
            unconditional_update: false,
            ..row(GROUP, "v1", "PodDisruptionBudget", "poddisruptionbudgets")
        }
        .shown_as([Version { conversion: &POD_DISRUPTION_BUDGET, ..also(GROUP, "v1beta1", "PodDisruptionBudget") }]),
    ]
}
