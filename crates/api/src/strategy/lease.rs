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

#[cfg(test)]
mod tests {
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
}
