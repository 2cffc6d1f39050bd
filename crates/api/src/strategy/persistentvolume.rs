//! Persistent volumes.

use k8s_openapi::api::core::v1::PersistentVolumeSpec;
use serde_json::{Value, json};

use super::persistentvolumeclaim::{MODES, access_modes};
use super::{Strategy, begin, immutable, keep, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::quantity::Quantity;
use crate::validation::{checks, names};

pub struct PersistentVolumes;

/// What a volume may be made of: exactly one of these.
const SOURCES: [&str; 22] = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "hostPath",
    "glusterfs",
    "nfs",
    "rbd",
    "iscsi",
    "cinder",
    "cephfs",
    "fc",
    "flocker",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

impl Strategy for PersistentVolumes {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"phase": "Pending", "lastPhaseTransitionTime": meta::now()}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: PersistentVolumeSpec = typed(object.get("spec"));
        access_modes(spec.access_modes.as_deref(), "", &path.child("accessModes"), errors);
        let (place, capacity) = (path.child("capacity"), spec.capacity.unwrap_or_default());
        if capacity.is_empty() {
            errors.required(&place, "");
        } else if !capacity.contains_key("storage") || capacity.len() > 1 {
            errors.not_supported(&place, &capacity.keys().cloned().collect::<Vec<_>>().join(","), &["storage"]);
        }
        for (name, amount) in &capacity {
            if Quantity::try_from(amount).is_ok_and(|amount| amount.is_negative() || amount.is_zero()) {
                errors.invalid(&place.key(name), amount.0.as_str(), "must be greater than zero");
            }
        }
        sources(&object["spec"], &path, errors);
        let policy = spec.persistent_volume_reclaim_policy.as_deref();
        let place = path.child("persistentVolumeReclaimPolicy");
        checks::supported_if_set(policy, &["Delete", "Recycle", "Retain"], &place, errors);
        if policy == Some("Recycle") && spec.host_path.as_ref().is_some_and(|host| host.path == "/") {
            errors.forbidden(&place, "may not be 'recycle' for a hostPath mount of '/'");
        }
        let class = spec.storage_class_name.as_deref();
        checks::named_if_set(class, names::dns_subdomain, &path.child("storageClassName"), errors);
        checks::supported_if_set(spec.volume_mode.as_deref(), &MODES, &path.child("volumeMode"), errors);
        let class = spec.volume_attributes_class_name.as_deref();
        if let Some(class) = class {
            let place = path.child("volumeAttributesClassName");
            checks::named(class, names::dns_subdomain, &place, errors);
            if spec.csi.is_none() {
                errors.required(&path.child("csi"), "has to be specified when using volumeAttributesClassName");
            }
        }
        if spec.local.is_some() && spec.node_affinity.is_none() {
            errors.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
        }
    }

    /// What a volume is made of is said once.
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let source = |object: &Value| SOURCES.map(|field| object["spec"].get(field).cloned());
        if source(object) != source(old) {
            let why = "spec.persistentvolumesource is immutable after creation";
            errors.forbidden(&Path::new("spec.persistentvolumesource"), why);
        }
        let path = Path::new("spec");
        immutable(object, old, &path.child("volumeMode"), errors);
        if meta::at(old, "spec.nodeAffinity").is_some() {
            immutable(object, old, &path.child("nodeAffinity"), errors);
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let phases = ["Available", "Bound", "Failed", "Pending", "Released"];
        let phase = Some(meta::text_at(object, "status.phase")).filter(|phase| !phase.is_empty());
        let status = Path::new("status");
        checks::supported_if_set(phase, &phases, &status.child("phase"), errors);
    }
}

fn sources(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut set = SOURCES.iter().filter(|field| spec.get(**field).is_some());
    if set.next().is_none() {
        errors.required(path, "must specify a volume type");
    }
    for more in set {
        errors.forbidden(&path.child(more), "may not specify more than 1 volume type");
    }
    let text = |field: &str| meta::text_at(spec, field).to_owned();
    for (source, fields) in [
        ("hostPath", &["path"][..]),
        ("nfs", &["server", "path"]),
        ("local", &["path"]),
        ("csi", &["driver", "volumeHandle"]),
        ("iscsi", &["targetPortal", "iqn"]),
    ] {
        let place = path.child(source);
        for field in fields.iter().filter(|_| spec.get(source).is_some()) {
            checks::required(&text(&format!("{source}.{field}")), &place.child(field), errors);
        }
    }
    let host = text("hostPath.path");
    if !host.is_empty() {
        let place = path.child("hostPath");
        checks::no_backsteps(&host, &place.child("path"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use super::*;

    #[test]
    fn table() {
        for (spec, told) in [
            (json!({"accessModes": null}), "spec.accessModes: Required value"),
            (json!({"capacity": null}), "spec.capacity: Required value"),
            (
                json!({"capacity": {"storage": "0"}}),
                "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
            ),
            (json!({"hostPath": null}), "spec: Required value: must specify a volume type"),
            (
                json!({"nfs": {"server": "s", "path": "/"}}),
                "spec.nfs: Forbidden: may not specify more than 1 volume type",
            ),
            (
                json!({"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"}),
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ),
            (
                json!({"hostPath": null, "local": {"path": "/x"}}),
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ),
            (
                json!({"volumeMode": "Tape"}),
                "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\"",
            ),
        ] {
            assert_eq!(create("PersistentVolume", json!({"spec": spec})), [told]);
        }
        assert_eq!(update("PersistentVolume", json!({"spec": {"capacity": {"storage": "2Gi"}}})), [""; 0]);
        assert_eq!(
            update("PersistentVolume", json!({"spec": {"hostPath": {"path": "/other"}}})),
            ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"]
        );
    }
}
