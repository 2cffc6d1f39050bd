//! Cron jobs.

use k8s_openapi::api::batch::v1::CronJobSpec;
use serde_json::{Value, json};

use super::{Strategy, begin, job, keep, part_mut, template, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{self, checks, cron};

pub struct CronJobs;

/// A job's name adds eleven bytes to this one, and has to fit into a label.
const LONGEST_NAME: usize = 52;

impl Strategy for CronJobs {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        template::default(spec.get_mut("jobTemplate").and_then(|job| job.pointer_mut("/spec/template")));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: CronJobSpec = typed(object.get("spec"));
        let place = path.child("schedule");
        if spec.schedule.is_empty() {
            errors.required(&place, "");
        } else {
            if let Some(why) = cron::problem(&spec.schedule) {
                errors.invalid(&place, spec.schedule.as_str(), why);
            }
            if spec.schedule.contains("TZ") {
                let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                errors.invalid(&place, spec.schedule.as_str(), why);
            }
        }
        time_zone(spec.time_zone.as_deref(), &path.child("timeZone"), errors);
        let counts = ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
        checks::counts(object, "spec", &counts, errors);
        let policy = spec.concurrency_policy.as_deref().unwrap_or("");
        checks::supported(policy, &["Allow", "Forbid", "Replace"], &path.child("concurrencyPolicy"), errors);
        job_template(&object["spec"]["jobTemplate"], &path.child("jobTemplate"), errors);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let name = meta::name(object);
        if name.len() > LONGEST_NAME {
            let why = format!("must be no more than {LONGEST_NAME} characters");
            errors.invalid(&Path::new("metadata").child("name"), name, why);
        }
    }
}

fn time_zone(zone: Option<&str>, path: &Path<'_>, errors: &mut Errors) {
    let Some(zone) = zone else { return };
    if zone.is_empty() {
        errors.invalid(path, zone, "timeZone must be nil or non-empty string");
    } else if zone.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(path, zone, why);
    } else if !jiff::tz::db().is_definitively_empty() && jiff::tz::db().get(zone).is_err() {
        errors.invalid(path, zone, format!("unknown time zone {zone}"));
    }
}

/// Its selector is made with each job.
fn job_template(template: &Value, path: &Path<'_>, errors: &mut Errors) {
    let metadata = path.child("metadata");
    validation::meta::labels(meta::at(template, "metadata.labels"), &metadata.child("labels"), errors);
    let annotations = meta::at(template, "metadata.annotations");
    validation::meta::annotations(annotations, &metadata.child("annotations"), errors);
    let (path, spec) = (path.child("spec"), &template["spec"]);
    if let Some(selector) = spec.get("selector") {
        errors.invalid(&path.child("selector"), selector.clone(), "`selector` will be auto-generated");
    }
    if spec["manualSelector"] == Value::Bool(true) {
        errors.not_supported(&path.child("manualSelector"), "true", &["nil", "false"]);
    }
    job::validate_spec(spec, &path, errors);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use super::*;

    #[test]
    fn defaults() {
        let spec = &made("CronJob", json!({}))["spec"];
        for (field, value) in [
            ("concurrencyPolicy", json!("Allow")),
            ("suspend", json!(false)),
            ("successfulJobsHistoryLimit", json!(3)),
            ("failedJobsHistoryLimit", json!(1)),
        ] {
            assert_eq!(spec[field], value, "{field}");
        }
    }

    #[test]
    fn refused() {
        for (change, told) in [
            (json!({"spec": {"schedule": ""}}), "spec.schedule: Required value"),
            (
                json!({"spec": {"schedule": "61 * * * *"}}),
                "spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61",
            ),
            (
                json!({"spec": {"schedule": "TZ=UTC 0 * * * *"}}),
                "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ),
            (
                json!({"spec": {"timeZone": "Local"}}),
                "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            ),
            (
                json!({"spec": {"concurrencyPolicy": "Maybe"}}),
                "spec.concurrencyPolicy: Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
            ),
            (
                json!({"spec": {"jobTemplate": {"spec": {"manualSelector": true}}}}),
                "spec.jobTemplate.spec.manualSelector: Unsupported value: \"true\": supported values: \"nil\", \"false\"",
            ),
            (
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Always"}}}}}}),
                "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ),
        ] {
            assert_eq!(create("CronJob", change), [told]);
        }
        let long = "x".repeat(53);
        let told = format!("metadata.name: Invalid value: {long:?}: must be no more than 52 characters");
        assert_eq!(create("CronJob", json!({"metadata": {"name": long}})), [told]);
        assert_eq!(update("CronJob", json!({"spec": {"suspend": true}})), [""; 0]);
    }
}
