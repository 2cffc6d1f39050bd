//! Storage drivers, where they run, and what room they have.

use std::collections::HashSet;

use k8s_openapi::api::storage::v1::{CSIDriverSpec, CSINodeSpec};
use serde_json::Value;

use super::{Strategy, immutable, part_mut, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::quantity::Quantity;
use crate::validation::{self, checks, names};

const LONGEST_DRIVER: usize = 63;
const SHORTEST_TOKEN: i64 = 600;

pub struct CsiDrivers;

impl Strategy for CsiDrivers {
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        if spec.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            spec.insert("volumeLifecycleModes".into(), vec!["Persistent"].into());
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let metadata = Path::new("metadata");
        driver(meta::name(object), &metadata.child("name"), errors);
        let path = Path::new("spec");
        let spec: CSIDriverSpec = typed(object.get("spec"));
        for (field, set) in [
            ("attachRequired", spec.attach_required.is_some()),
            ("podInfoOnMount", spec.pod_info_on_mount.is_some()),
            ("storageCapacity", spec.storage_capacity.is_some()),
        ] {
            if !set {
                errors.required(&path.child(field), "");
            }
        }
        let policy = spec.fs_group_policy.as_deref();
        let policies = ["ReadWriteOnceWithFSType", "File", "None"];
        checks::supported_if_set(policy, &policies, &path.child("fsGroupPolicy"), errors);
        let (list, mut seen) = (path.child("tokenRequests"), HashSet::new());
        for (at, request) in spec.token_requests.iter().flatten().enumerate() {
            let path = list.index(at);
            if !seen.insert(request.audience.as_str()) {
                errors.duplicate(&path.child("audience"), request.audience.as_str());
            }
            let place = path.child("expirationSeconds");
            match request.expiration_seconds {
                Some(seconds) if seconds < SHORTEST_TOKEN => {
                    errors.invalid(&place, seconds, "may not specify a duration less than 10 minutes");
                }
                Some(seconds) if seconds > 1 << 32 => {
                    errors.invalid(&place, seconds, "may not specify a duration larger than 2^32 seconds");
                }
                _ => {}
            }
        }
        let list = path.child("volumeLifecycleModes");
        for mode in spec.volume_lifecycle_modes.iter().flatten() {
            checks::supported_if_set(Some(mode), &["Persistent", "Ephemeral"], &list, errors);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        for field in ["attachRequired", "volumeLifecycleModes"] {
            immutable(object, old, &path.child(field), errors);
        }
    }
}

fn driver(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    }
    if name.len() > LONGEST_DRIVER {
        errors.too_long(path, LONGEST_DRIVER);
    }
    if !name.is_empty() {
        errors.extend(path, name, names::dns_subdomain(&name.to_lowercase()));
    }
}

pub struct CsiNodes;

impl Strategy for CsiNodes {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: CSINodeSpec = typed(object.get("spec"));
        let (list, mut seen) = (path.child("drivers"), HashSet::new());
        for (at, one) in spec.drivers.iter().enumerate() {
            let path = list.index(at);
            driver(&one.name, &path.child("name"), errors);
            checks::required(&one.node_id, &path.child("nodeID"), errors);
            let count = one.allocatable.as_ref().and_then(|allocatable| allocatable.count);
            let place = path.child("allocatable");
            checks::not_negative(count.map(i64::from), &place.child("count"), errors);
            if !seen.insert(one.name.as_str()) {
                errors.duplicate(&path.child("name"), one.name.as_str());
            }
            let (keys, mut seen) = (path.child("topologyKeys"), HashSet::new());
            for key in one.topology_keys.iter().flatten() {
                errors.extend(&keys, key, names::qualified_name(key));
                if !seen.insert(key) {
                    errors.duplicate(&keys, key.as_str());
                }
            }
        }
    }

    /// Drivers come and go, and are never others.
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let drivers = |object: &Value| -> Vec<Value> {
            let list = meta::at(object, "spec.drivers").and_then(Value::as_array);
            let drivers = list.into_iter().flatten().cloned().map(|mut driver| {
                driver.as_object_mut().map(|driver| driver.remove("allocatable"));
                driver
            });
            drivers.collect()
        };
        let path = Path::new("spec");
        let list = path.child("drivers");
        for was in drivers(old) {
            let now = drivers(object).into_iter().find(|driver| driver["name"] == was["name"]);
            if let Some(now) = now.filter(|now| *now != was) {
                errors.invalid(&list, now, "field is immutable");
            }
        }
    }
}

pub struct CsiStorageCapacities;

impl Strategy for CsiStorageCapacities {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let class = meta::text_at(object, "storageClassName");
        errors.extend(&Path::new("storageClassName"), class, names::dns_subdomain(class));
        for field in ["capacity", "maximumVolumeSize"] {
            let amount = object.get(field).and_then(Value::as_str).unwrap_or("");
            if amount.parse::<Quantity>().is_ok_and(|amount| amount.is_negative()) {
                errors.invalid(&Path::new(field), amount, checks::NOT_NEGATIVE);
            }
        }
        let topology = object.get("nodeTopology").map(|topology| typed(Some(topology)));
        validation::label_selector(topology.as_ref(), &Path::new("nodeTopology"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        for field in ["nodeTopology", "storageClassName"] {
            immutable(object, old, &Path::new(field), errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use serde_json::json;

    #[test]
    fn table() {
        let spec = &made("CSIDriver", json!({}))["spec"];
        for (field, value) in [
            ("attachRequired", json!(true)),
            ("podInfoOnMount", json!(false)),
            ("storageCapacity", json!(false)),
            ("requiresRepublish", json!(false)),
            ("seLinuxMount", json!(false)),
            ("fsGroupPolicy", json!("ReadWriteOnceWithFSType")),
            ("volumeLifecycleModes", json!(["Persistent"])),
        ] {
            assert_eq!(spec[field], value, "{field}");
        }
        let tokens = json!([{"audience": "a", "expirationSeconds": 5}, {"audience": "a"}]);
        assert_eq!(
            create("CSIDriver", json!({"spec": {"tokenRequests": tokens}})),
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
                "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            ]
        );
        assert_eq!(update("CSIDriver", json!({"spec": {"attachRequired": false}})).len(), 1);
        let driver = json!({"name": "a.b", "nodeID": ""});
        assert_eq!(
            create("CSINode", json!({"spec": {"drivers": [driver]}})),
            ["spec.drivers[0].nodeID: Required value"]
        );
        assert_eq!(create("CSIStorageCapacity", json!({"capacity": "-1"})).len(), 1);
        assert_eq!(update("CSIStorageCapacity", json!({"storageClassName": "other"})).len(), 1);
    }
}
