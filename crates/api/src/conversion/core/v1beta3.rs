//! v1beta3: v1 with other names for hosts and addresses, and privileges in containers.

use serde_json::Value;

use super::{container, service};
use crate::conversion::{Conversion, SAME, each, rename};

pub const POD: Conversion = Conversion {
    check: |document| check(document.get("spec")),
    to_stored: |document| to_stored(document, "spec"),
    from_stored: |document| from_stored(document, "spec"),
    ..SAME
};

pub const REPLICATION_CONTROLLER: Conversion = Conversion {
    check: |document| check(document.pointer("/spec/template/spec")),
    to_stored: |document| to_stored(document, "spec.template.spec"),
    from_stored: |document| from_stored(document, "spec.template.spec"),
    ..SAME
};

pub const SERVICE: Conversion = Conversion {
    to_stored: |document| each(document, "spec", &mut service::addresses_to_stored),
    from_stored: |document| {
        each(document, "spec", &mut |spec| {
            service::addresses_from_stored(spec);
            rename(spec, "publicIPs", "deprecatedPublicIPs");
        })
    },
    ..SAME
};

fn check(spec: Option<&Value>) -> Result<(), String> {
    let containers = ["containers", "initContainers"].into_iter().filter_map(|list| spec?.get(list)?.as_array());
    containers.flatten().try_for_each(container::check)
}

fn to_stored(document: &mut Value, spec: &str) {
    each(document, spec, &mut |spec| rename(spec, "host", "nodeName"));
    for list in ["containers[]", "initContainers[]"] {
        each(document, &format!("{spec}.{list}"), &mut container::privileges_to_stored);
        each(document, &format!("{spec}.{list}.env[]"), &mut container::paths_of_today);
    }
}

fn from_stored(document: &mut Value, spec: &str) {
    each(document, spec, &mut |spec| rename(spec, "nodeName", "host"));
    for list in ["containers[]", "initContainers[]"] {
        each(document, &format!("{spec}.{list}"), &mut container::privileges_from_stored);
    }
}
