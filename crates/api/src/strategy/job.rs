//! Jobs.

mod policy;

use k8s_openapi::api::batch::v1::JobSpec;
use serde_json::{Map, Value, json};

use super::{Strategy, begin, keep, part_mut, template, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{self, checks, names, pod::Owner};

pub struct Jobs;

const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
const MOST_INDEXED: i32 = 100_000;

impl Strategy for Jobs {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
            spec.insert("completions".into(), 1.into());
        }
        spec.entry("parallelism").or_insert(1.into());
        let per_index = spec.contains_key("backoffLimitPerIndex");
        spec.entry("backoffLimit").or_insert(if per_index { i32::MAX } else { 6 }.into());
        spec.entry("completionMode").or_insert("NonIndexed".into());
        spec.entry("suspend").or_insert(false.into());
        spec.entry("manualSelector").or_insert(false.into());
        let replaced = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
        spec.entry("podReplacementPolicy").or_insert(replaced.into());
        policy::default(spec);
        template::default(spec.get_mut("template"));
        labelled(object);
    }

    /// As in the first version of jobs; kubectl asks for more.
    fn orphans_by_default(&self) -> bool {
        true
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
        if meta::at(object, "spec.manualSelector") != Some(&Value::Bool(true)) {
            select_by_uid(object);
        }
        labelled(object);
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        validate_spec(&object["spec"], &path, errors);
        let spec: JobSpec = typed(object.get("spec"));
        match &spec.selector {
            None => errors.required(&path.child("selector"), ""),
            Some(selector) => {
                validation::label_selector(Some(selector), &path.child("selector"), errors);
                template::matches(selector, &object["spec"], &path.child("template"), errors);
            }
        }
        if spec.manual_selector != Some(true) {
            selects_its_own(object, &path, errors);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let (new, was) = (&object["spec"], &old["spec"]);
        completions(new, was, &path.child("completions"), errors);
        for field in
            ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
        {
            super::immutable(object, old, &path.child(field), errors);
        }
        let held = was["suspend"] == Value::Bool(true) && meta::text_at(old, "status.startTime").is_empty();
        let fixed = |spec: &Value| if held { without_placement(&spec["template"]) } else { spec["template"].clone() };
        if fixed(new) != fixed(was) {
            errors.invalid(&path.child("template"), new["template"].clone(), "field is immutable");
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        checks::counts(object, "status", &["active", "succeeded", "failed", "ready", "terminating"], errors);
    }
}

/// A job without labels has those of its pods.
fn labelled(object: &mut Value) {
    let own = meta::at(object, "metadata.labels").and_then(Value::as_object);
    if own.is_none_or(Map::is_empty)
        && let Some(labels) = meta::at(object, "spec.template.metadata.labels").cloned()
    {
        meta::metadata_mut(object).insert("labels".into(), labels);
    }
}

/// Pods of a job are known by the job's uid, so that no two jobs fight for them.
fn select_by_uid(object: &mut Value) {
    let (name, uid) = (meta::name(object).to_owned(), meta::text(object, "uid").to_owned());
    let Some(spec) = part_mut(object, "spec") else { return };
    let template = spec.entry("template").or_insert_with(|| json!({}));
    let labels = meta::metadata_mut(template).entry("labels").or_insert_with(|| json!({}));
    let labels = meta::fields_mut(labels);
    for (keys, value) in [(UID_LABELS, &uid), (NAME_LABELS, &name)] {
        for key in keys {
            labels.entry(key).or_insert(value.as_str().into());
        }
    }
    let selector = meta::fields_mut(spec.entry("selector").or_insert_with(|| json!({})));
    let wanted = meta::fields_mut(selector.entry("matchLabels").or_insert_with(|| json!({})));
    wanted.entry(UID_LABELS[0]).or_insert(uid.into());
}

fn selects_its_own(object: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (name, uid) = (meta::name(object), meta::text(object, "uid"));
    let (template, selector) = (path.child("template"), path.child("selector"));
    let metadata = template.child("metadata");
    let labels_path = metadata.child("labels");
    let labels = meta::at(object, "spec.template.metadata.labels");
    for (keys, wanted) in [(UID_LABELS, uid), (NAME_LABELS, name)] {
        for key in keys {
            match labels.and_then(|labels| labels.get(key)).and_then(Value::as_str) {
                None => errors.required(&labels_path.key(key), &format!("must be '{wanted}'")),
                Some(is) if is != wanted => {
                    let shown = labels.cloned().unwrap_or_default();
                    errors.invalid(&labels_path.key(key), shown, format!("must be '{wanted}'"));
                }
                Some(_) => {}
            }
        }
    }
    let wanted = meta::at(object, "spec.selector.matchLabels");
    if wanted.and_then(|labels| UID_LABELS.iter().find_map(|key| labels.get(*key))).and_then(Value::as_str) != Some(uid)
    {
        let shown = meta::at(object, "spec.selector").cloned().unwrap_or_default();
        errors.invalid(&selector, shown, "`selector` not auto-generated");
    }
}

/// What jobs and the templates of jobs have to hold to.
pub(super) fn validate_spec(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    let spec: JobSpec = typed(Some(value));
    for (field, count) in [
        ("parallelism", spec.parallelism.map(i64::from)),
        ("completions", spec.completions.map(i64::from)),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit.map(i64::from)),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished.map(i64::from)),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index.map(i64::from)),
        ("maxFailedIndexes", spec.max_failed_indexes.map(i64::from)),
    ] {
        checks::not_negative(count, &path.child(field), errors);
    }
    let mode = spec.completion_mode.as_deref();
    let indexed = mode == Some("Indexed");
    checks::supported_if_set(mode, &["Indexed", "NonIndexed"], &path.child("completionMode"), errors);
    if indexed {
        if spec.completions.is_none() {
            errors.required(&path.child("completions"), "when completion mode is Indexed");
        }
        if let Some(parallelism) = spec.parallelism.filter(|parallelism| *parallelism > MOST_INDEXED) {
            let why = format!("must be less than or equal to {MOST_INDEXED} when completion mode is Indexed");
            errors.invalid(&path.child("parallelism"), parallelism, why);
        }
    }
    if let Some(limit) = spec.backoff_limit_per_index.filter(|_| !indexed) {
        errors.invalid(&path.child("backoffLimitPerIndex"), limit, "requires indexed completion mode");
    }
    if let Some(most) = spec.max_failed_indexes {
        if spec.completions.is_some_and(|completions| most > completions) {
            errors.invalid(&path.child("maxFailedIndexes"), most, "must be less than or equal to completions");
        }
        if spec.backoff_limit_per_index.is_none() {
            errors.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
        }
    }
    if let Some(manager) = spec.managed_by.as_deref() {
        let place = path.child("managedBy");
        errors.extend(&place, manager, names::domain_prefixed_path(manager));
        if manager.len() > 63 {
            errors.too_long(&place, 63);
        }
    }
    let replaced = spec.pod_replacement_policy.as_deref();
    let (place, failing) = (path.child("podReplacementPolicy"), spec.pod_failure_policy.is_some());
    let allowed: &[&str] = if failing { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    checks::supported_if_set(replaced, allowed, &place, errors);
    policy::validate(&spec, path, errors);
    template::validate(&value["template"], Owner::Job, &path.child("template"), errors);
}

/// The number of completions of an indexed job may change together with how many run at once.
fn completions(new: &Value, was: &Value, path: &Path<'_>, errors: &mut Errors) {
    let of = |spec: &Value, field: &str| spec.get(field).cloned().unwrap_or_default();
    let now = of(new, "completions");
    if now == of(was, "completions") {
        return;
    }
    if of(was, "completionMode") != "Indexed" {
        errors.invalid(path, now, "field is immutable");
    } else if now.is_null() || now != of(new, "parallelism") {
        errors.invalid(path, now, "can only be modified in tandem with spec.parallelism");
    }
}

/// A job that has never begun may still be told where its pods shall run.
fn without_placement(template: &Value) -> Value {
    let mut template = template.clone();
    for (part, fields) in [
        ("metadata", &["labels", "annotations"][..]),
        ("spec", &["nodeSelector", "tolerations", "affinity", "schedulingGates"]),
    ] {
        if let Some(part) = template.get_mut(part).and_then(Value::as_object_mut) {
            part.retain(|name, _| !fields.contains(&name.as_str()));
        }
    }
    template
}

#[cfg(test)]
mod tests;
