//! Nodes.

use serde_json::Value;

use super::{Strategy, keep};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{EFFECTS, checks, names};

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
            let value = taint["value"].as_str().unwrap_or("");
            errors.extend(&path.child("value"), value, names::label_value(value));
            checks::supported(effect, &EFFECTS, &path.child("effect"), errors);
            if !seen.insert((key, effect)) {
                errors.duplicate(&path, taint.clone());
            }
        }
        let (path, ranges) = (spec.child("podCIDRs"), meta::at(object, "spec.podCIDRs").and_then(Value::as_array));
        let (first, listed) = (meta::text_at(object, "spec.podCIDR"), ranges.is_some_and(|ranges| !ranges.is_empty()));
        if !first.is_empty() && !listed {
            checks::cidr(first, &path.index(0), errors);
        }
        for (at, range) in ranges.into_iter().flatten().enumerate() {
            let range = range.as_str().unwrap_or("");
            checks::cidr(range, &path.index(at), errors);
            if at == 0 && !first.is_empty() && first != range {
                errors.invalid(&path.index(0), range, "must be the same as `podCIDR`");
            }
        }
        let (status, mut seen) = (Path::new("status"), std::collections::HashSet::new());
        let path = status.child("addresses");
        let addresses = meta::at(object, "status.addresses").and_then(Value::as_array);
        for (at, address) in addresses.into_iter().flatten().enumerate() {
            if !seen.insert(address.to_string()) {
                errors.duplicate(&path.index(at), address.clone());
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
        let (new, was) = (meta::text_at(object, "spec.providerID"), meta::text_at(old, "spec.providerID"));
        if !was.is_empty() && new != was {
            let why = "node updates may not change providerID except from \"\" to valid";
            errors.forbidden(&Path::new("spec").child("providerID"), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranges_of_pods() {
        for (spec, told) in [
            (json!({"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}), ""),
            (
                json!({"podCIDR": "10.0.0.0/33"}),
                "spec.podCIDRs[0]: Invalid value: \"10.0.0.0/33\": must be a valid CIDR value",
            ),
            (
                json!({"podCIDRs": ["10.0.0/8"]}),
                "spec.podCIDRs[0]: Invalid value: \"10.0.0/8\": must be a valid CIDR value",
            ),
            (json!({"podCIDRs": ["fd00::/129"]}), "spec.podCIDRs[0]: Invalid value"),
            (json!({"taints": [{"key": "a", "effect": "X"}]}), "spec.taints[0].effect: Unsupported value: \"X\""),
            (
                json!({"taints": [{"key": "a", "value": "a b", "effect": "NoSchedule"}]}),
                "spec.taints[0].value: Invalid value",
            ),
        ] {
            let mut errors = Errors::default();
            Nodes.validate(&json!({"spec": spec}), &mut errors);
            let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            assert!(
                all.first().map_or(told.is_empty(), |first| !told.is_empty() && first.starts_with(told)),
                "{all:?}"
            );
        }
    }
}
