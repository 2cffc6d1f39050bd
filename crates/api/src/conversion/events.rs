//! `events.k8s.io`: the events of the core group under other names, and with stricter rules for new ones.

use serde_json::Value;

use super::{Conversion, rename};
use crate::field::{Errors, Path};
use crate::meta;

/// As this group calls them, and as the core group does.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Fields of field selectors.
pub const FIELDS: &[(&str, &str)] = &[
    ("regarding.kind", "involvedObject.kind"),
    ("regarding.namespace", "involvedObject.namespace"),
    ("regarding.name", "involvedObject.name"),
    ("regarding.uid", "involvedObject.uid"),
    ("regarding.apiVersion", "involvedObject.apiVersion"),
    ("regarding.resourceVersion", "involvedObject.resourceVersion"),
    ("regarding.fieldPath", "involvedObject.fieldPath"),
    ("reportingController", "reportingComponent"),
];

pub const EVENT: Conversion = Conversion {
    to_stored: |document| {
        let fields = meta::fields_mut(document);
        NAMES.iter().for_each(|(here, stored)| rename(fields, here, stored));
    },
    from_stored: |document| {
        let fields = meta::fields_mut(document);
        for (here, stored) in NAMES {
            rename(fields, stored, here);
        }
    },
    ..super::SAME
};

const LONGEST: usize = 128;
const LONGEST_NOTE: usize = 1024;

/// What version 1 wants of a new event; the event is in its stored form.
pub fn validate_create(event: &Value, errors: &mut Errors) {
    let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or("");
    if text("eventTime").is_empty() {
        errors.required(&Path::new("eventTime"), "");
    }
    for (field, told) in [
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
        ("action", "action"),
        ("reason", "reason"),
    ] {
        let path = Path::new(told);
        match text(field).len() {
            0 => errors.required(&path, ""),
            length if length > LONGEST && field != "reportingComponent" => {
                errors.invalid(&path, "", format!("can have at most {LONGEST} characters"));
            }
            _ => {}
        }
    }
    if text("message").len() > LONGEST_NOTE {
        errors.invalid(&Path::new("message"), "", format!("can have at most {LONGEST_NOTE} characters"));
    }
    let kind = text("type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.invalid(&Path::new("type"), "", format!("has invalid value: {kind}"));
    }
    for unset in ["firstTimestamp", "lastTimestamp", "count"] {
        if event.get(unset).is_some() {
            errors.invalid(&Path::new(unset), "", "needs to be unset");
        }
    }
    if event.get("source").and_then(Value::as_object).is_some_and(|source| !source.is_empty()) {
        errors.invalid(&Path::new("source"), "", "needs to be unset");
    }
    if let Some(series) = event.get("series") {
        if series.get("count").and_then(Value::as_i64).unwrap_or(0) < 2 {
            errors.invalid(&Path::new("series").child("count"), "", "should be at least 2");
        }
        if series.get("lastObservedTime").is_none() {
            errors.required(&Path::new("series").child("lastObservedTime"), "");
        }
    }
}
