//! What claims use: of volumes and of devices.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ScopedResourceSelectorRequirement as Scope;
use serde_json::Value;

use super::{selects, whole};
use crate::meta;
use crate::quantity::{Format, Quantity};
use crate::resources::Amounts;

const PER_CLASS: &str = ".storageclass.storage.k8s.io/";
const OF_VOLUMES: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
const DEVICES_PER_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
const DEVICE_CLAIMS: &str = "count/resourceclaims.resource.k8s.io";
/// As many devices as one claim can be given.
const ALL_DEVICES: i64 = 32;

pub(super) fn tracks_volumes(name: &str) -> bool {
    let of_class = || name.split_once(PER_CLASS).is_some_and(|(_, what)| OF_VOLUMES.contains(&what));
    name == "count/persistentvolumeclaims" || OF_VOLUMES.contains(&name) || of_class()
}

pub(super) fn tracks_devices(name: &str) -> bool {
    name == DEVICE_CLAIMS || name.ends_with(DEVICES_PER_CLASS)
}

/// The storage class that a claim asks for, in the old notation or the new one.
pub fn storage_class(claim: &Value) -> &str {
    let old = meta::metadata(claim, "annotations").and_then(|all| all.get("volume.beta.kubernetes.io/storage-class"));
    old.and_then(Value::as_str).unwrap_or_else(|| meta::text_at(claim, "spec.storageClassName"))
}

pub(super) fn of_volume(claim: &Value) -> Amounts {
    let mut used = Amounts::from([("count/persistentvolumeclaims".to_owned(), whole(1))]);
    let amount = |path: &str| {
        let amount: Option<Quantity> = meta::text_at(claim, path).parse().ok();
        amount.map(|amount| if amount.is_integer() { amount } else { Quantity::new(amount.value(), amount.format()) })
    };
    let wanted = amount("spec.resources.requests.storage");
    // What was promised counts until less has been agreed on.
    let storage =
        wanted.map(|wanted| amount("status.allocatedResources.storage").map_or(wanted, |given| given.max(wanted)));
    let class = storage_class(claim);
    for (name, amount) in OF_VOLUMES.iter().zip([Some(whole(1)), storage]) {
        let Some(amount) = amount else { continue };
        used.insert((*name).to_owned(), amount);
        if !class.is_empty() {
            used.insert(format!("{class}{PER_CLASS}{name}"), amount);
        }
    }
    used
}

/// The classes of volume attributes that a claim has, had or is to have.
pub(super) fn attribute_classes(claim: &Value) -> BTreeSet<&str> {
    let places = [
        "spec.volumeAttributesClassName",
        "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName",
    ];
    places.iter().map(|place| meta::text_at(claim, place)).filter(|name| !name.is_empty()).collect()
}

pub(super) fn in_scope(scope: &Scope, claim: &Value) -> bool {
    let classes: Vec<&str> = attribute_classes(claim).into_iter().collect();
    scope.scope_name == "VolumeAttributesClass" && selects(scope, &classes)
}

pub(super) fn of_devices(claim: &Value) -> Amounts {
    let mut used = Amounts::from([(DEVICE_CLAIMS.to_owned(), whole(1))]);
    let requests = meta::at(claim, "spec.devices.requests").and_then(Value::as_array);
    for request in requests.into_iter().flatten() {
        let alternatives = request.get("firstAvailable").and_then(Value::as_array).filter(|list| !list.is_empty());
        let all: Vec<&Value> =
            alternatives.map_or_else(|| request.get("exactly").into_iter().collect(), |list| list.iter().collect());
        // Of alternatives one comes true: the most of each class is what it may be.
        let mut most: BTreeMap<String, Quantity> = BTreeMap::new();
        for one in all {
            let text = |field: &str| one.get(field).and_then(Value::as_str).unwrap_or("");
            let number = match text("allocationMode") {
                "ExactCount" => one.get("count").and_then(Value::as_i64).unwrap_or(0),
                "All" => ALL_DEVICES,
                _ => 0,
            };
            let number = Quantity::new(number, Format::DecimalSI);
            let entry = most.entry(format!("{}{DEVICES_PER_CLASS}", text("deviceClassName"))).or_default();
            *entry = (*entry).max(number);
        }
        crate::resources::add(&mut used, &most);
    }
    used
}

#[cfg(test)]
mod tests {
    use super::super::Evaluator;
    use super::super::tests::{scope, told};
    use super::*;
    use serde_json::json;

    #[test]
    fn volumes_are_counted_by_class_too() {
        let claim = |extra: Value| {
            let mut claim = json!({"metadata": {}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}});
            claim.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            claim
        };
        let of = |claim: Value| told(&Evaluator::PersistentVolumeClaims, &claim);
        assert_eq!(
            of(claim(json!({}))),
            "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=1Gi"
        );
        let gold = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "gold"}},
            "status": {"allocatedResources": {"storage": "3Gi"}}});
        assert_eq!(
            of(claim(gold)),
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             gold.storageclass.storage.k8s.io/requests.storage=3Gi,persistentvolumeclaims=1,requests.storage=3Gi"
        );
        assert!(tracks_volumes("gold.storageclass.storage.k8s.io/requests.storage") && !tracks_volumes("gold.storage"));
        let fast = json!({"spec": {"volumeAttributesClassName": "fast"}});
        let table = [("In", "fast", true), ("In", "slow", false), ("NotIn", "fast", false), ("NotIn", "slow", true)];
        for (operator, value, expected) in table {
            let scope = scope("VolumeAttributesClass", operator, &[value]);
            assert_eq!(in_scope(&scope, &fast), expected, "{operator} {value}");
        }
    }

    #[test]
    fn devices() {
        let claim = json!({"spec": {"devices": {"requests": [
            {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
            {"name": "b", "firstAvailable": [
                {"name": "x", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
                {"name": "y", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 4},
                {"name": "z", "deviceClassName": "fpga", "allocationMode": "All"}]}]}}});
        assert_eq!(
            told(&Evaluator::ResourceClaims, &claim),
            "count/resourceclaims.resource.k8s.io=1,fpga.deviceclass.resource.k8s.io/devices=32,gpu.deviceclass.resource.k8s.io/devices=6"
        );
    }
}
