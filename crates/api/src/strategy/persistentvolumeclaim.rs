//! Persistent volume claims.

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use serde_json::{Map, Value, json};

use super::{Strategy, begin, keep, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::quantity::Quantity;
use crate::validation::{self, checks, names};

pub struct PersistentVolumeClaims;

pub(super) const MODES: [&str; 2] = ["Block", "Filesystem"];
const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

impl Strategy for PersistentVolumeClaims {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.get_mut("spec") {
            default_spec(spec);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"phase": "Pending"}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: PersistentVolumeClaimSpec = typed(object.get("spec"));
        access_modes(
            spec.access_modes.as_deref(),
            "at least 1 access mode is required",
            &path.child("accessModes"),
            errors,
        );
        validation::label_selector(spec.selector.as_ref(), &path.child("selector"), errors);
        let resources = path.child("resources");
        let place = resources.key("storage");
        match spec.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage")) {
            None => errors.required(&place, ""),
            Some(amount) => {
                if Quantity::try_from(amount).is_ok_and(|amount| amount.is_negative() || amount.is_zero()) {
                    let requests = resources.child("requests");
                    errors.invalid(&requests.key("storage"), amount.0.as_str(), "must be greater than zero");
                }
            }
        }
        let class = spec.storage_class_name.as_deref();
        checks::named_if_set(class, names::dns_subdomain, &path.child("storageClassName"), errors);
        checks::supported_if_set(spec.volume_mode.as_deref(), &MODES, &path.child("volumeMode"), errors);
        let class = spec.volume_attributes_class_name.as_deref();
        checks::named_if_set(class, names::dns_subdomain, &path.child("volumeAttributesClassName"), errors);
        if let Some(source) = &spec.data_source {
            let path = path.child("dataSource");
            checks::required(&source.name, &path.child("name"), errors);
            checks::required(&source.kind, &path.child("kind"), errors);
            let group = source.api_group.as_deref().unwrap_or("");
            if group.is_empty() && source.kind != "PersistentVolumeClaim" {
                errors.invalid(&path, source.kind.as_str(), "");
            }
        }
    }

    /// A claim gets its volume once; then it may ask for more room, and for another class of attributes.
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let unbound = meta::text_at(old, "spec.volumeName").is_empty();
        let bound = meta::text_at(old, "status.phase") == "Bound";
        let fixed = |object: &Value| {
            let mut spec = object["spec"].clone();
            if let Some(fields) = spec.as_object_mut() {
                if unbound {
                    fields.remove("volumeName");
                }
                fields.remove("volumeAttributesClassName");
                if let Some(requests) = fields.get_mut("resources").and_then(|r| r.get_mut("requests")) {
                    requests.as_object_mut().map(|requests| requests.remove("storage"));
                }
            }
            spec
        };
        let storage = |object: &Value| {
            let text = object.pointer("/spec/resources/requests/storage").and_then(Value::as_str);
            text.and_then(|text| text.parse::<Quantity>().ok())
        };
        let (now, was) = (storage(object), storage(old));
        if fixed(object) != fixed(old) || (now != was && !bound) {
            let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            errors.forbidden(&path, why);
            return;
        }
        if let (Some(now), Some(was)) = (now, was)
            && now < was
        {
            let resources = path.child("resources");
            let why = "field can not be less than previous value";
            errors.forbidden(&resources.child("requests").child("storage"), why);
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let status = Path::new("status");
        let capacity = status.child("capacity");
        let amounts = meta::at(object, "status.capacity").and_then(Value::as_object).into_iter().flatten();
        for (name, amount) in amounts {
            let amount = amount.as_str().unwrap_or("");
            if amount.parse::<Quantity>().is_ok_and(|amount| amount.is_negative()) {
                errors.invalid(&capacity.key(name), amount, checks::NOT_NEGATIVE);
            }
        }
    }
}

/// The old and the new field for what fills the volume say the same, where the old one can.
pub(super) fn default_spec(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    let same = |spec: &mut Map<String, Value>, from: &str, to: &str| {
        if let Some(source) = spec.get(from).cloned().filter(|source| source.get("namespace").is_none())
            && !spec.contains_key(to)
        {
            spec.insert(to.into(), source);
        }
    };
    same(spec, "dataSource", "dataSourceRef");
    same(spec, "dataSourceRef", "dataSource");
}

pub(super) fn access_modes(modes: Option<&[String]>, missing: &str, path: &Path<'_>, errors: &mut Errors) {
    let modes = modes.unwrap_or_default();
    if modes.is_empty() {
        errors.required(path, missing);
    }
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(&mode.as_str())) {
        errors.not_supported(path, mode, &ACCESS_MODES);
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, made, update};
    use super::*;

    #[test]
    fn table() {
        let source = json!({"kind": "PersistentVolumeClaim", "name": "other"});
        let claim = made("PersistentVolumeClaim", json!({"spec": {"dataSource": source}}));
        assert_eq!(claim["spec"]["dataSourceRef"], source);
        assert_eq!(
            (&claim["spec"]["volumeMode"], &claim["status"]["phase"]),
            (&json!("Filesystem"), &json!("Pending"))
        );
        for (spec, told) in [
            (json!({"accessModes": []}), "spec.accessModes: Required value: at least 1 access mode is required"),
            (
                json!({"accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]}),
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
            ),
            (json!({"resources": null}), "spec.resources[storage]: Required value"),
            (
                json!({"resources": {"requests": {"storage": "-1"}}}),
                "spec.resources.requests[storage]: Invalid value: \"-1\": must be greater than zero",
            ),
        ] {
            assert_eq!(create("PersistentVolumeClaim", json!({"spec": spec})), [told]);
        }
        assert_eq!(update("PersistentVolumeClaim", json!({"spec": {"volumeName": "v"}})), [""; 0]);
        let grown = update("PersistentVolumeClaim", json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}));
        assert!(grown[0].starts_with("spec: Forbidden: spec is immutable after creation except"), "{grown:?}");
        let mut old = made("PersistentVolumeClaim", json!({"spec": {"volumeName": "v"}}));
        old["status"]["phase"] = "Bound".into();
        for (storage, told) in [
            ("2Gi", vec![]),
            ("1Mi", vec!["spec.resources.requests.storage: Forbidden: field can not be less than previous value"]),
        ] {
            let mut new = old.clone();
            new["spec"]["resources"]["requests"]["storage"] = storage.into();
            let mut errors = Errors::default();
            PersistentVolumeClaims.validate_update(&new, &old, &mut errors);
            assert_eq!(errors.0.iter().map(ToString::to_string).collect::<Vec<_>>(), told);
        }
    }
}
