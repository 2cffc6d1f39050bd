//! Limit ranges.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{LimitRangeItem, LimitRangeSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use serde_json::{Map, Value};

use super::{Strategy, items_mut, part_mut, typed};
use crate::field::{Errors, Path};
use crate::quantity::Quantity;
use crate::validation::names;

pub struct LimitRanges;

type Amounts = BTreeMap<String, ApiQuantity>;

impl Strategy for LimitRanges {
    /// What is not said follows from what is: a limit by default from the most, a request by default from the limit or
    /// else from the least.
    fn default(&self, object: &mut Value) {
        let Some(spec) = part_mut(object, "spec") else { return };
        for item in items_mut(spec, "limits").filter(|item| item.get("type").is_some_and(|kind| kind == "Container")) {
            fill(item, "default", "max");
            fill(item, "defaultRequest", "default");
            fill(item, "defaultRequest", "min");
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: LimitRangeSpec = typed(object.get("spec"));
        let (list, mut seen) = (path.child("limits"), HashSet::new());
        for (at, item) in spec.limits.iter().enumerate() {
            let path = list.index(at);
            errors.extend(&path.child("type"), &item.type_, names::qualified_name(&item.type_));
            if !seen.insert(item.type_.as_str()) {
                errors.duplicate(&path.child("type"), item.type_.as_str());
            }
            validate_item(item, &path, errors);
        }
    }
}

fn fill(item: &mut Map<String, Value>, field: &str, from: &str) {
    let Some(Value::Object(from)) = item.get(from).cloned() else { return };
    if from.is_empty() {
        return;
    }
    let amounts = crate::meta::fields_mut(item.entry(field).or_insert_with(|| Map::new().into()));
    for (name, amount) in from {
        amounts.entry(name).or_insert(amount);
    }
}

fn validate_item(item: &LimitRangeItem, path: &Path<'_>, errors: &mut Errors) {
    let none = Amounts::new();
    let of = |amounts: &'_ Option<Amounts>| amounts.clone().unwrap_or_else(|| none.clone());
    let (min, max) = (of(&item.min), of(&item.max));
    let (default, request, ratio) = (of(&item.default), of(&item.default_request), of(&item.max_limit_request_ratio));
    if item.type_ == "Pod" {
        for (field, amounts) in [("default", &default), ("defaultRequest", &request)] {
            if !amounts.is_empty() {
                errors.forbidden(&path.child(field), "may not be specified when `type` is 'Pod'");
            }
        }
    }
    if item.type_ == "PersistentVolumeClaim" && !min.contains_key("storage") && !max.contains_key("storage") {
        errors.required(path, "either minimum or maximum storage value is required, but neither was provided");
    }
    let keys: std::collections::BTreeSet<&String> =
        [&min, &max, &default, &request].into_iter().flat_map(Amounts::keys).collect();
    for key in keys {
        let parsed = |amounts: &Amounts| amounts.get(key).and_then(|amount| Quantity::try_from(amount).ok());
        let amounts = [
            ("min", parsed(&min)),
            ("defaultRequest", parsed(&request)),
            ("default", parsed(&default)),
            ("max", parsed(&max)),
        ];
        // Each is at most what stands to its right.
        for (at, (low_name, low)) in amounts.iter().enumerate() {
            for (high_name, high) in &amounts[at + 1..] {
                let (Some(low), Some(high)) = (low, high) else { continue };
                if low > high {
                    let words = |name: &'static str| match name {
                        "min" => "min value",
                        "max" => "max value",
                        "default" => "default value",
                        _ => "default request value",
                    };
                    let why = format!("{} {low} is greater than {} {high}", words(low_name), words(high_name));
                    let field = path.child(low_name);
                    errors.invalid(&field.key(key), low.to_string(), why);
                }
            }
        }
    }
    let place = path.child("maxLimitRequestRatio");
    for (key, amount) in &ratio {
        if Quantity::try_from(amount).is_ok_and(|ratio| ratio.milli_value() < 1000) {
            errors.invalid(&place.key(key), amount.0.as_str(), format!("ratio {} is less than 1", amount.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made};
    use serde_json::{Value, json};

    #[test]
    fn table() {
        let with = |item: Value| json!({"spec": {"limits": [item]}});
        let item = json!({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}});
        let limits = &made("LimitRange", with(item))["spec"]["limits"][0];
        assert_eq!(limits["default"], json!({"cpu": "2"}));
        assert_eq!(limits["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
        for (item, told) in [
            (
                json!({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}),
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "2"}}),
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                "spec.limits[0]: Required value: either minimum or maximum storage value is required, but neither was provided",
            ),
            (
                json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}),
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
            ),
        ] {
            assert_eq!(create("LimitRange", with(item)), [told]);
        }
    }
}
