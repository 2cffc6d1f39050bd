//! Volume attachments.

use k8s_openapi::api::storage::v1::VolumeAttachmentSpec;
use serde_json::{Value, json};

use super::{Strategy, begin, immutable, keep, typed};
use crate::field::{Errors, Path};
use crate::validation::{checks, names};

pub struct VolumeAttachments;

impl Strategy for VolumeAttachments {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"attached": false}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: VolumeAttachmentSpec = typed(object.get("spec"));
        checks::named(&spec.attacher, names::dns_subdomain, &path.child("attacher"), errors);
        let place = path.child("source");
        match (&spec.source.persistent_volume_name, &spec.source.inline_volume_spec) {
            (None, None) => {
                errors.required(&place, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (Some(_), Some(_)) => {
                errors.forbidden(&place, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (Some(name), None) => {
                checks::named(name, names::dns_subdomain, &place.child("persistentVolumeName"), errors);
            }
            (None, Some(_)) => {}
        }
        checks::named(&spec.node_name, names::dns_subdomain, &path.child("nodeName"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("spec"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use serde_json::json;

    #[test]
    fn table() {
        assert_eq!(
            create("VolumeAttachment", json!({"spec": {"source": {"persistentVolumeName": null}}})),
            ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]
        );
        assert_eq!(create("VolumeAttachment", json!({"spec": {"nodeName": ""}})), ["spec.nodeName: Required value"]);
        assert!(update("VolumeAttachment", json!({"spec": {"nodeName": "other"}}))[0].ends_with("field is immutable"));
    }
}
