//! Devices: their classes, what nodes have of them, and claims for them.

mod slice;

use std::collections::HashSet;

use k8s_openapi::api::resource::v1::{
    DeviceClaim, DeviceClassSpec, DeviceRequest, DeviceSelector, DeviceTaintRuleSpec, ResourceClaimSpec,
};
use serde_json::{Map, Value, json};

use super::{Strategy, begin, immutable, items_mut, keep, part_mut, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, names};

pub use slice::ResourceSlices;

const MOST: usize = 32;
const MOST_ALTERNATIVES: usize = 8;
const TOO_SMALL: &str = "must be greater than zero";

pub struct DeviceClasses;

impl Strategy for DeviceClasses {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: DeviceClassSpec = typed(object.get("spec"));
        selectors(spec.selectors.as_deref(), &path.child("selectors"), errors);
        let (list, configurations) = (path.child("config"), spec.config.unwrap_or_default());
        if configurations.len() > MOST {
            errors.too_many(&list, configurations.len(), MOST);
        }
        for (at, one) in configurations.iter().enumerate() {
            let path = list.index(at);
            match &one.opaque {
                None => errors.required(&path.child("opaque"), ""),
                Some(opaque) => {
                    let path = path.child("opaque");
                    checks::named(&opaque.driver, names::dns_subdomain, &path.child("driver"), errors);
                }
            }
        }
    }
}

fn selectors(selectors: Option<&[DeviceSelector]>, list: &Path<'_>, errors: &mut Errors) {
    let selectors = selectors.unwrap_or_default();
    if selectors.len() > MOST {
        errors.too_many(list, selectors.len(), MOST);
    }
    for (at, selector) in selectors.iter().enumerate() {
        let path = list.index(at);
        let path = path.child("cel");
        match &selector.cel {
            None => errors.required(&path, ""),
            Some(cel) => checks::required(cel.expression.trim(), &path.child("expression"), errors),
        }
    }
}

pub struct ResourceClaims;

impl Strategy for ResourceClaims {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = part_mut(object, "spec") {
            default_claim(spec);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        claim(&typed(object.get("spec")), &Path::new("spec"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("spec"), errors);
    }
}

pub struct ResourceClaimTemplates;

impl Strategy for ResourceClaimTemplates {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = part_mut(object, "spec").and_then(|spec| spec.get_mut("spec")) {
            default_claim(meta::fields_mut(spec));
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        claim(&typed(meta::at(object, "spec.spec")), &path.child("spec"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("spec"), errors);
    }
}

/// One device, unless more is said.
fn default_claim(spec: &mut Map<String, Value>) {
    let one = |request: &mut Map<String, Value>| {
        if request.entry("allocationMode").or_insert("ExactCount".into()) == "ExactCount" {
            request.entry("count").or_insert(1.into());
        }
    };
    let Some(devices) = spec.get_mut("devices").and_then(Value::as_object_mut) else { return };
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = request.get_mut("exactly").and_then(Value::as_object_mut) {
            one(exactly);
        }
        items_mut(request, "firstAvailable").for_each(one);
    }
}

fn claim(spec: &ResourceClaimSpec, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("devices");
    let none = DeviceClaim::default();
    let devices = spec.devices.as_ref().unwrap_or(&none);
    let (list, requests) = (path.child("requests"), devices.requests.as_deref().unwrap_or_default());
    if requests.len() > MOST {
        errors.too_many(&list, requests.len(), MOST);
    }
    let mut seen = HashSet::new();
    for (at, one) in requests.iter().enumerate() {
        let path = list.index(at);
        checks::named(&one.name, names::dns_label, &path.child("name"), errors);
        if !seen.insert(one.name.as_str()) {
            errors.duplicate(&path.child("name"), one.name.as_str());
        }
        request(one, &path, errors);
    }
    let list = path.child("constraints");
    for (at, one) in devices.constraints.iter().flatten().enumerate() {
        let path = list.index(at);
        let requests = path.child("requests");
        for (at, name) in one.requests.iter().flatten().enumerate() {
            // A part of a request with alternatives is named after it: `gpu/big`.
            let whole = name.split_once('/').map_or(name.as_str(), |(whole, _)| whole);
            if !seen.contains(whole) {
                let why = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
                errors.invalid(&requests.index(at), name.as_str(), why);
            }
        }
        if one.match_attribute.is_none() && one.distinct_attribute.is_none() {
            errors.required(&path.child("matchAttribute"), "");
        }
    }
}

fn request(request: &DeviceRequest, path: &Path<'_>, errors: &mut Errors) {
    let alternatives = request.first_available.as_deref().unwrap_or_default();
    match (&request.exactly, alternatives.is_empty()) {
        (None, true) => errors.required(path, "exactly one of `exactly` or `firstAvailable` is required"),
        (Some(_), false) => {
            errors.invalid(path, Value::Null, "exactly one of `exactly` or `firstAvailable` is required");
        }
        _ => {}
    }
    if let Some(exactly) = &request.exactly {
        let path = path.child("exactly");
        checks::named(&exactly.device_class_name, names::dns_subdomain, &path.child("deviceClassName"), errors);
        selectors(exactly.selectors.as_deref(), &path.child("selectors"), errors);
        amount(exactly.allocation_mode.as_deref(), exactly.count, &path, errors);
    }
    let (list, mut seen) = (path.child("firstAvailable"), HashSet::new());
    if alternatives.len() > MOST_ALTERNATIVES {
        errors.too_many(&list, alternatives.len(), MOST_ALTERNATIVES);
    }
    for (at, one) in alternatives.iter().enumerate() {
        let path = list.index(at);
        checks::named(&one.name, names::dns_label, &path.child("name"), errors);
        if !seen.insert(one.name.as_str()) {
            errors.duplicate(&path.child("name"), one.name.as_str());
        }
        checks::named(&one.device_class_name, names::dns_subdomain, &path.child("deviceClassName"), errors);
        selectors(one.selectors.as_deref(), &path.child("selectors"), errors);
        amount(one.allocation_mode.as_deref(), one.count, &path, errors);
    }
}

fn amount(mode: Option<&str>, count: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    let place = path.child("count");
    match mode.unwrap_or("") {
        "All" => {
            if let Some(count) = count.filter(|count| *count != 0) {
                let why = "must not be specified when allocationMode is 'All'";
                errors.invalid(&place, count, why);
            }
        }
        "ExactCount" if count.unwrap_or(0) <= 0 => errors.invalid(&place, count, TOO_SMALL),
        "ExactCount" => {}
        other => checks::supported(other, &["All", "ExactCount"], &path.child("allocationMode"), errors),
    }
}

pub struct DeviceTaintRules;

impl Strategy for DeviceTaintRules {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
        let taint = part_mut(object, "spec").and_then(|spec| spec.get_mut("taint"));
        if let Some(taint) = taint.and_then(Value::as_object_mut) {
            taint.entry("timeAdded").or_insert_with(|| meta::now().into());
        }
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: DeviceTaintRuleSpec = typed(object.get("spec"));
        if let Some(selector) = &spec.device_selector {
            let path = path.child("deviceSelector");
            checks::named_if_set(selector.driver.as_deref(), names::dns_subdomain, &path.child("driver"), errors);
            checks::named_if_set(selector.device.as_deref(), names::dns_label, &path.child("device"), errors);
        }
        slice::taint(&spec.taint, &path.child("taint"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        immutable(object, old, &path.child("deviceSelector"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use super::*;

    #[test]
    fn claims() {
        let claim = made("ResourceClaim", json!({}));
        let exactly = &claim["spec"]["devices"]["requests"][0]["exactly"];
        assert_eq!((&exactly["allocationMode"], &exactly["count"]), (&json!("ExactCount"), &json!(1)));
        let with = |request: Value| json!({"devices": {"requests": [request]}});
        for (request, told) in [
            (
                json!({"name": "a"}),
                "requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            ),
            (
                json!({"name": "a", "exactly": {"deviceClassName": ""}}),
                "requests[0].exactly.deviceClassName: Required value",
            ),
            (
                json!({"name": "a", "exactly": {"deviceClassName": "c", "count": -1}}),
                "requests[0].exactly.count: Invalid value: -1: must be greater than zero",
            ),
            (
                json!({"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "Some"}}),
                "requests[0].exactly.allocationMode: Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\"",
            ),
        ] {
            let of_claim = create("ResourceClaim", json!({"spec": with(request.clone())}));
            assert_eq!(of_claim, [format!("spec.devices.{told}")]);
            let of_template = create("ResourceClaimTemplate", json!({"spec": {"spec": with(request)}}));
            assert_eq!(of_template, [format!("spec.spec.devices.{told}")]);
        }
        assert_eq!(update("ResourceClaim", json!({"spec": {"devices": {"requests": []}}})).len(), 1);
    }

    #[test]
    fn classes_and_taints() {
        assert_eq!(
            create("DeviceClass", json!({"spec": {"selectors": [{"cel": {"expression": ""}}]}})),
            ["spec.selectors[0].cel.expression: Required value"]
        );
        assert_eq!(
            create("DeviceTaintRule", json!({"spec": {"taint": {"effect": "Bad"}}})),
            [
                "spec.taint.effect: Unsupported value: \"Bad\": supported values: \"NoExecute\", \"NoSchedule\", \"None\""
            ]
        );
        assert!(made("DeviceTaintRule", json!({}))["spec"]["taint"]["timeAdded"].is_string());
    }
}
