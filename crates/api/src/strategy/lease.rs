//! Leases: who leads, and for how long.

use serde_json::Value;

use super::Strategy;
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::checks;

pub struct Leases;

impl Strategy for Leases {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let number = |field: &str| meta::at(object, field).and_then(Value::as_i64);
        if let Some(seconds) = number("spec.leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
            errors.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
        }
        checks::not_negative(number("spec.leaseTransitions"), &path.child("leaseTransitions"), errors);
    }
}

/// Who could hold a lease.
pub struct LeaseCandidates;

impl Strategy for LeaseCandidates {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let text = |field: &str| meta::text_at(object, field);
        checks::required(text("spec.leaseName"), &path.child("leaseName"), errors);
        checks::required(text("spec.binaryVersion"), &path.child("binaryVersion"), errors);
        let strategy = text("spec.strategy");
        checks::required(strategy, &path.child("strategy"), errors);
        if strategy == "OldestEmulationVersion" {
            checks::required(text("spec.emulationVersion"), &path.child("emulationVersion"), errors);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        super::immutable(object, old, &path.child("leaseName"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use super::*;
    use serde_json::json;

    #[test]
    fn table() {
        for (spec, told) in [
            (json!({"leaseDurationSeconds": 1, "leaseTransitions": 0}), vec![]),
            (
                json!({"leaseDurationSeconds": 0}),
                vec!["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
            ),
            (
                json!({"leaseTransitions": -1}),
                vec!["spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"],
            ),
        ] {
            let mut errors = Errors::default();
            Leases.validate(&json!({"spec": spec}), &mut errors);
            assert_eq!(errors.0.iter().map(ToString::to_string).collect::<Vec<_>>(), told);
        }
    }

    #[test]
    fn candidates() {
        assert_eq!(create("LeaseCandidate", json!({"spec": {"leaseName": ""}})), ["spec.leaseName: Required value"]);
        assert_eq!(
            create("LeaseCandidate", json!({"spec": {"emulationVersion": ""}})),
            ["spec.emulationVersion: Required value"]
        );
        assert_eq!(update("LeaseCandidate", json!({"spec": {"leaseName": "other"}})).len(), 1);
    }
}
