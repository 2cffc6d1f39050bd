//! Ingress classes.

use k8s_openapi::api::networking::v1::IngressClassSpec;
use serde_json::Value;

use super::{Strategy, immutable, typed};
use crate::field::{Errors, Path};
use crate::validation::{checks, names};

pub struct IngressClasses;

const LONGEST_CONTROLLER: usize = 250;

impl Strategy for IngressClasses {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: IngressClassSpec = typed(object.get("spec"));
        let (place, controller) = (path.child("controller"), spec.controller.unwrap_or_default());
        if controller.len() > LONGEST_CONTROLLER {
            errors.too_long(&place, LONGEST_CONTROLLER);
        }
        checks::named(&controller, names::domain_prefixed_path, &place, errors);
        let Some(parameters) = spec.parameters else { return };
        let path = path.child("parameters");
        checks::named_if_set(parameters.api_group.as_deref(), names::dns_subdomain, &path.child("apiGroup"), errors);
        checks::named(&parameters.kind, names::path_segment, &path.child("kind"), errors);
        checks::named(&parameters.name, names::path_segment, &path.child("name"), errors);
        let (scope, place) = (parameters.scope.as_deref().unwrap_or(""), path.child("namespace"));
        match (scope, parameters.namespace.as_deref()) {
            ("Namespace", None | Some("")) => {
                errors.required(&place, "`parameters.scope` is set to 'Namespace'");
            }
            ("Namespace", Some(namespace)) => errors.extend(&place, namespace, names::dns_label(namespace)),
            ("Cluster", Some(_)) => errors.forbidden(&place, "`parameters.scope` is set to 'Cluster'"),
            ("Cluster", None) => {}
            _ => checks::supported(scope, &["Cluster", "Namespace"], &path.child("scope"), errors),
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        immutable(object, old, &path.child("controller"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use serde_json::json;

    #[test]
    fn table() {
        for (spec, told) in [
            (json!({"parameters": {"kind": "K", "name": "n"}}), vec![]),
            (json!({"controller": ""}), vec!["spec.controller: Required value"]),
            (
                json!({"controller": "x"}),
                vec!["spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
            ),
            (
                json!({"parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}),
                vec!["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
            ),
            (
                json!({"parameters": {"kind": "K", "name": "n", "namespace": "x"}}),
                vec!["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
            ),
        ] {
            assert_eq!(create("IngressClass", json!({"spec": spec})), told);
        }
        assert_eq!(update("IngressClass", json!({"spec": {"controller": "a.b/d"}})).len(), 1);
    }
}
