//! Service accounts: users of the cluster that are programs in pods.

use serde_json::Value;

use super::{Strategy, items_mut};
use crate::meta;

pub struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    fn prepare_for_create(&self, object: &mut Value) {
        name_secrets(object);
    }

    fn prepare_for_update(&self, object: &mut Value, _old: &Value) {
        name_secrets(object);
    }
}

/// Secrets are those of the account's own namespace: their names are all that is kept.
fn name_secrets(object: &mut Value) {
    for secret in items_mut(meta::fields_mut(object), "secrets") {
        secret.retain(|field, _| field == "name");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{made, updated};
    use serde_json::json;

    #[test]
    fn secrets_are_names() {
        let secrets = json!({"secrets": [{"name": "s", "namespace": "other", "kind": "Pod"}]});
        for object in [made("ServiceAccount", secrets.clone()), updated("ServiceAccount", secrets)] {
            assert_eq!(object["secrets"], json!([{"name": "s"}]));
        }
    }
}
