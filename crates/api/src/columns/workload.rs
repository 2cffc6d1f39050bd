//! The rows of what makes pods, and of budgets for them.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    AGE, Column, NAME, containers, count, duration, integer, label_selector, list, number, or_none, pairs, since, text,
    text_or, wide,
};
use crate::meta::{self, at, text_at};

const TEMPLATE: &str = "spec.template";
const CONTAINERS: Column =
    wide(text("Containers", "Names of the template's containers.", |o, _| containers(o, TEMPLATE, "name")));
const IMAGES: Column =
    wide(text("Images", "Images of the template's containers.", |o, _| containers(o, TEMPLATE, "image")));
const SELECTOR: Column =
    wide(text("Selector", "What selects its pods.", |o, _| label_selector(at(o, "spec.selector"))));

pub const POD_TEMPLATES: &[Column] = &[
    NAME,
    text("Containers", "Names of the template's containers.", |o, _| containers(o, "template", "name")),
    text("Images", "Images of the template's containers.", |o, _| containers(o, "template", "image")),
    text("Pod Labels", "Labels of the template.", |o, _| or_none(pairs(at(o, "template.metadata.labels")))),
];

pub const REPLICA_SETS: &[Column] = &[
    NAME,
    integer("Desired", "Pods wanted.", |rs, _| number(rs, "spec.replicas")),
    integer("Current", "Pods that exist.", |rs, _| number(rs, "status.replicas")),
    integer("Ready", "Pods that are ready.", |rs, _| number(rs, "status.readyReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const DEPLOYMENTS: &[Column] = &[
    NAME,
    text("Ready", "Pods that are ready, of those wanted.", |d, _| ready(d)),
    text("Up-to-date", "Pods of the newest template.", |d, _| number(d, "status.updatedReplicas")),
    text("Available", "Pods that have been ready for long enough.", |d, _| number(d, "status.availableReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const STATEFUL_SETS: &[Column] =
    &[NAME, text("Ready", "Pods that are ready, of those wanted.", |s, _| ready(s)), AGE, CONTAINERS, IMAGES];

pub const DAEMON_SETS: &[Column] = &[
    NAME,
    integer("Desired", "Nodes that should have a pod.", |d, _| number(d, "status.desiredNumberScheduled")),
    integer("Current", "Nodes that have one, of those that should.", |d, _| number(d, "status.currentNumberScheduled")),
    integer("Ready", "Nodes whose pod is ready.", |d, _| number(d, "status.numberReady")),
    integer("Up-to-date", "Nodes with a pod of the newest template.", |d, _| {
        number(d, "status.updatedNumberScheduled")
    }),
    integer("Available", "Nodes whose pod has been ready for long enough.", |d, _| number(d, "status.numberAvailable")),
    text("Node Selector", "The labels of its nodes.", |d, _| or_none(pairs(at(d, "spec.template.spec.nodeSelector")))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const CONTROLLER_REVISIONS: &[Column] = &[
    NAME,
    text("Controller", "Whose state it is.", |revision, _| controller(revision)),
    text("Revision", "Its number.", |revision, _| number(revision, "revision")),
    AGE,
];

pub const JOBS: &[Column] = &[
    NAME,
    text("Status", "What the job is doing.", |job, _| job_status(job).into()),
    text("Completions", "Pods that succeeded, of those that should.", |job, _| completions(job).into()),
    text("Duration", "How long it runs, or ran.", |job, now| ran_for(job, now).into()),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const JOB_TEMPLATE: &str = "spec.jobTemplate.spec.template";

pub const CRON_JOBS: &[Column] = &[
    NAME,
    text("Schedule", "When it makes jobs.", |c, _| text_at(c, "spec.schedule").into()),
    text("Timezone", "The time zone of the schedule.", |c, _| text_or(c, "spec.timeZone", "<none>")),
    super::boolean("Suspend", "Whether it makes no more jobs.", |c, _| match at(c, "spec.suspend") {
        Some(Value::Bool(true)) => "True".into(),
        Some(_) => "False".into(),
        None => "<unset>".into(),
    }),
    integer("Active", "Jobs that run.", |c, _| count(c, "status.active").into()),
    text("Last Schedule", "When it made a job last.", |c, now| match text_at(c, "status.lastScheduleTime") {
        "" => "<none>".into(),
        time => since(time, now).into(),
    }),
    AGE,
    wide(text("Containers", "Names of the template's containers.", |c, _| containers(c, JOB_TEMPLATE, "name"))),
    wide(text("Images", "Images of the template's containers.", |c, _| containers(c, JOB_TEMPLATE, "image"))),
    wide(text("Selector", "What selects its pods.", |c, _| label_selector(at(c, "spec.jobTemplate.spec.selector")))),
];

pub const POD_DISRUPTION_BUDGETS: &[Column] = &[
    NAME,
    text("Min Available", "Pods that must be left.", |b, _| amount(b, "spec.minAvailable")),
    text("Max Unavailable", "Pods that may be away.", |b, _| amount(b, "spec.maxUnavailable")),
    integer("Allowed Disruptions", "Pods that may be evicted now.", |b, _| number(b, "status.disruptionsAllowed")),
    AGE,
];

fn ready(object: &Value) -> Value {
    format!("{}/{}", number(object, "status.readyReplicas"), number(object, "spec.replicas")).into()
}

/// A number or a percentage.
fn amount(object: &Value, path: &str) -> Value {
    match at(object, path) {
        Some(Value::String(percent)) => percent.as_str().into(),
        Some(number) => number.to_string().into(),
        None => "N/A".into(),
    }
}

/// `daemonset.apps/name` of the owner that controls the object.
fn controller(object: &Value) -> Value {
    let owner = list(object, "metadata.ownerReferences").iter().find(|owner| owner["controller"] == Value::Bool(true));
    let Some(owner) = owner else { return "<none>".into() };
    let of = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let kind = of("kind").to_lowercase();
    match of("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", of("name")).into(),
        None => format!("{kind}/{}", of("name")).into(),
    }
}

fn job_status(job: &Value) -> &'static str {
    let is = |kind: &str| {
        let condition = list(job, "status.conditions").iter().find(|c| c["type"] == kind);
        condition.is_some_and(|c| c["status"] == "True")
    };
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if meta::is_deleting(job) => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Value) -> String {
    let succeeded = number(job, "status.succeeded");
    match (at(job, "spec.completions"), at(job, "spec.parallelism").and_then(Value::as_i64)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, Some(parallel)) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn ran_for(job: &Value, now: Timestamp) -> String {
    let time = |path| text_at(job, path).parse::<Timestamp>();
    let Ok(start) = time("status.startTime") else { return String::new() };
    duration(time("status.completionTime").unwrap_or(now).as_second() - start.as_second())
}

#[cfg(test)]
mod tests {
    use super::super::tests::cells;
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let spec = json!({"replicas": 3, "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {"nodeSelector": {"d": "e"}, "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}});
        let of = |status: Value| json!({"metadata": {"name": "x"}, "spec": spec, "status": status});
        for (columns, status, wanted) in [
            (DEPLOYMENTS, json!({"readyReplicas": 2, "updatedReplicas": 1}), "x 2/3 1 0 <unknown> c,d i,j a=b"),
            (REPLICA_SETS, json!({"replicas": 2, "readyReplicas": 1}), "x 3 2 1 <unknown> c,d i,j a=b"),
            (STATEFUL_SETS, json!({}), "x 0/3 <unknown> c,d i,j"),
            (DAEMON_SETS, json!({"desiredNumberScheduled": 4}), "x 4 0 0 0 0 d=e <unknown> c,d i,j a=b"),
            (JOBS, json!({"startTime": "1969-12-31T23:59:00Z"}), "x Running 0/1 60s <unknown> c,d i,j a=b"),
            (
                JOBS,
                json!({"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}),
                "x Complete 1/1  <unknown> c,d i,j a=b",
            ),
        ] {
            assert_eq!(cells(columns, &of(status)), wanted);
        }
        let cron = json!({"metadata": {"name": "x"}, "spec": {"schedule": "@hourly", "suspend": false,
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}}});
        assert_eq!(cells(CRON_JOBS, &cron), "x @hourly <none> False 0 <none> <unknown> c i <none>");
        let budget = json!({"metadata": {"name": "x"}, "spec": {"minAvailable": "50%"}});
        assert_eq!(cells(POD_DISRUPTION_BUDGETS, &budget), "x 50% N/A 0 <unknown>");
        let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": true});
        let revision = json!({"metadata": {"name": "x", "ownerReferences": [owner]}, "revision": 3});
        assert_eq!(cells(CONTROLLER_REVISIONS, &revision), "x daemonset.apps/d 3 <unknown>");
    }
}
