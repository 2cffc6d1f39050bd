//! Nodes.

use serde_json::Value;

use super::{Strategy, keep};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::names;

pub struct Nodes;

impl Strategy for Nodes {
    /// What a node may hand out is all that it has, unless it says less.
    fn default(&self, object: &mut Value) {
        let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else { return };
        if let (Some(capacity), None) = (status.get("capacity").cloned(), status.get("allocatable")) {
            status.insert("allocatable".into(), capacity);
        }
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = Path::new("spec");
        let path = spec.child("taints");
        let mut seen = std::collections::HashSet::new();
        let taints = meta::at(object, "spec.taints").and_then(Value::as_array);
        for (at, taint) in taints.into_iter().flatten().enumerate() {
            let (key, effect) = (taint["key"].as_str().unwrap_or(""), taint["effect"].as_str().unwrap_or(""));
            let path = path.index(at);
            errors.extend(&path.child("key"), key, names::qualified_name(key));
            if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
                let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
                errors.not_supported(&path.child("effect"), effect, &effects);
            }
            if !seen.insert((key, effect)) {
                errors.duplicate(&path, taint.clone());
            }
        }
    }

    /// The range of its pods is given to a node once.
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let (new, was) = (meta::text_at(object, "spec.podCIDR"), meta::text_at(old, "spec.podCIDR"));
        if !was.is_empty() && new != was {
            let why = "node updates may not change podCIDR except from \"\" to valid";
            errors.forbidden(&Path::new("spec").child("podCIDRs"), why);
        }
    }
}
