//! Events: they tell of the past and are forgotten after an hour.

use serde_json::Value;

use super::Strategy;
use crate::field::{Errors, Path};
use crate::meta;

pub struct Events;

impl Strategy for Events {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let about = meta::text_at(object, "involvedObject.namespace");
        // Events of things without a namespace live in `default`.
        let own = meta::namespace(object);
        if about != own && !(about.is_empty() && own == "default") {
            let why = "does not match event.namespace";
            errors.invalid(&Path::new("involvedObject").child("namespace"), about, why);
        }
    }

    fn time_to_live(&self) -> Option<i64> {
        Some(3600)
    }
}
