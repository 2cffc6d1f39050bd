//! What a node, or the network, has of devices.

use std::collections::HashSet;

use k8s_openapi::api::resource::v1::{DeviceTaint, ResourceSliceSpec};
use serde_json::Value;

use super::super::{Strategy, immutable, typed};
use crate::field::{Errors, Path};
use crate::validation::{checks, names};

pub struct ResourceSlices;

const MOST_DEVICES: usize = 128;
const WHERE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

impl Strategy for ResourceSlices {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ResourceSliceSpec = typed(object.get("spec"));
        checks::named(&spec.driver, names::dns_subdomain, &path.child("driver"), errors);
        let pool = path.child("pool");
        pool_name(&spec.pool.name, &pool.child("name"), errors);
        if spec.pool.resource_slice_count <= 0 {
            let place = pool.child("resourceSliceCount");
            errors.invalid(&place, spec.pool.resource_slice_count, super::TOO_SMALL);
        }
        checks::not_negative(Some(spec.pool.generation), &pool.child("generation"), errors);
        let (node, all, each) = (&spec.node_name, spec.all_nodes, spec.per_device_node_selection);
        checks::named_if_set(node.as_deref(), names::dns_subdomain, &path.child("nodeName"), errors);
        let places = [node.is_some(), spec.node_selector.is_some(), all == Some(true), each == Some(true)];
        match places.iter().filter(|set| **set).count() {
            0 => errors.required(&path, WHERE),
            1 => {}
            _ => errors.invalid(&path, Value::Null, WHERE),
        }
        let (list, devices) = (path.child("devices"), spec.devices.unwrap_or_default());
        if devices.len() > MOST_DEVICES {
            errors.too_many(&list, devices.len(), MOST_DEVICES);
            return;
        }
        let mut seen = HashSet::new();
        for (at, device) in devices.iter().enumerate() {
            let path = list.index(at);
            checks::named(&device.name, names::dns_label, &path.child("name"), errors);
            if !seen.insert(device.name.as_str()) {
                errors.duplicate(&path.child("name"), device.name.as_str());
            }
            let taints = path.child("taints");
            for (at, one) in device.taints.iter().flatten().enumerate() {
                taint(one, &taints.index(at), errors);
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        for field in ["driver", "nodeName", "nodeSelector", "allNodes"] {
            immutable(object, old, &path.child(field), errors);
        }
        let pool = path.child("pool");
        immutable(object, old, &pool.child("name"), errors);
    }
}

fn pool_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    }
    for part in name.split('/').filter(|_| !name.is_empty()) {
        errors.extend(path, part, names::dns_subdomain(part));
    }
}

pub(super) fn taint(taint: &DeviceTaint, path: &Path<'_>, errors: &mut Errors) {
    checks::named(&taint.key, names::qualified_name, &path.child("key"), errors);
    checks::named_if_set(taint.value.as_deref(), names::label_value, &path.child("value"), errors);
    checks::supported(&taint.effect, &["NoExecute", "NoSchedule", "None"], &path.child("effect"), errors);
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{create, update};
    use super::*;
    use serde_json::json;

    #[test]
    fn table() {
        for (spec, told) in [
            (json!({"driver": ""}), "spec.driver: Required value".to_owned()),
            (json!({"nodeName": null}), format!("spec: Required value: {WHERE}")),
            (json!({"allNodes": true}), format!("spec: Invalid value: null: {WHERE}")),
            (
                json!({"pool": {"resourceSliceCount": 0}}),
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero".to_owned(),
            ),
            (
                json!({"devices": [{"name": "a"}, {"name": "a"}]}),
                "spec.devices[1].name: Duplicate value: \"a\"".to_owned(),
            ),
        ] {
            assert_eq!(create("ResourceSlice", json!({"spec": spec})), [told]);
        }
        assert_eq!(update("ResourceSlice", json!({"spec": {"driver": "other.example.com"}})).len(), 1);
        assert_eq!(update("ResourceSlice", json!({"spec": {"devices": []}})), [""; 0]);
    }
}
