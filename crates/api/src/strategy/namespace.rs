//! Namespaces: they go in two steps, content first.

use serde_json::{Value, json};

use super::{Strategy, keep};
use crate::meta;
use crate::validation::names;

/// What every cluster has, from the start to the end.
pub const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

pub struct Namespaces;

impl Strategy for Namespaces {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::dns_label
    }

    /// Every namespace has its name as a label, for selectors.
    fn default(&self, object: &mut Value) {
        let name = meta::name(object).to_owned();
        if !name.is_empty() {
            let labels = meta::metadata_mut(object).entry("labels").or_insert_with(|| json!({}));
            labels["kubernetes.io/metadata.name"] = name.into();
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Active"});
        let spec = meta::object_mut(object, "spec");
        let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
        if let Some(list) = finalizers.as_array_mut()
            && !list.iter().any(|f| f == "kubernetes")
        {
            list.push("kubernetes".into());
        }
    }

    /// `spec.finalizers` only changes through the `finalize` subresource.
    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
        keep(object, old, "spec");
    }

    fn may_delete(&self, object: &Value) -> Result<(), String> {
        if SYSTEM_NAMESPACES.contains(&meta::name(object)) {
            return Err("this namespace may not be deleted".into());
        }
        Ok(())
    }

    fn begin_deletion(&self, object: &mut Value) {
        object["status"]["phase"] = "Terminating".into();
    }

    fn blocks_deletion(&self, object: &Value) -> bool {
        meta::at(object, "spec.finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    }
}
