//! `batch`: pods that end.

use super::{Resource, STATUS, Selectable, also, row};
use crate::{columns, strategy};

const GROUP: &str = "batch";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            short_names: &["cj"],
            categories: &["all"],
            subresources: &[STATUS],
            generation: true,
            columns: columns::CRON_JOBS,
            strategy: &strategy::CronJobs,
            ..row(GROUP, "v1", "CronJob", "cronjobs")
        }
        .shown_as([also(GROUP, "v1beta1", "CronJob")]),
        Resource {
            categories: &["all"],
            subresources: &[STATUS],
            generation: true,
            columns: columns::JOBS,
            strategy: &strategy::Jobs,
            selectable: &[Selectable { name: "status.successful", path: "status.succeeded" }],
            ..row(GROUP, "v1", "Job", "jobs")
        },
    ]
}
