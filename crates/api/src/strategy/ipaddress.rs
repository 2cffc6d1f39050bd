//! The ranges of service addresses, and who has which address of them.

use k8s_openapi::api::networking::v1::{IPAddressSpec, ServiceCIDRSpec};
use serde_json::{Value, json};

use super::{Strategy, begin, immutable, keep, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::checks::{self, Range};
use crate::validation::names;

pub struct IpAddresses;

impl Strategy for IpAddresses {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::canonical_ip
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: IPAddressSpec = typed(object.get("spec"));
        let path = path.child("parentRef");
        let parent = spec.parent_ref;
        if meta::at(object, "spec.parentRef").is_none() {
            errors.required(&path, "");
            return;
        }
        checks::named_if_set(parent.group.as_deref(), names::dns_subdomain, &path.child("group"), errors);
        checks::named(&parent.resource, names::path_segment, &path.child("resource"), errors);
        checks::named(&parent.name, names::path_segment, &path.child("name"), errors);
        checks::named_if_set(parent.namespace.as_deref(), names::path_segment, &path.child("namespace"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        immutable(object, old, &path.child("parentRef"), errors);
    }
}

pub struct ServiceCidrs;

impl Strategy for ServiceCidrs {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ServiceCIDRSpec = typed(object.get("spec"));
        let (list, cidrs) = (path.child("cidrs"), spec.cidrs.unwrap_or_default());
        match cidrs.len() {
            0 => errors.required(&list, "at least one CIDR required"),
            1 | 2 => {}
            _ => errors.invalid(&list, cidrs.clone(), "must only hold up to 2 values"),
        }
        for (at, cidr) in cidrs.iter().enumerate() {
            checks::cidr(cidr, &list.index(at), errors);
        }
        let families: Vec<bool> =
            cidrs.iter().filter_map(|cidr| checks::range(cidr)).map(|r: Range| r.is_v4()).collect();
        if families.len() == 2 && families[0] == families[1] {
            let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            errors.invalid(&list, cidrs, why);
        }
    }

    /// A second range of the other family may be added.
    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let of = |object: &Value| typed::<ServiceCIDRSpec>(object.get("spec")).cidrs.unwrap_or_default();
        let (now, was) = (of(object), of(old));
        let path = Path::new("spec");
        let list = path.child("cidrs");
        if !now.starts_with(&was) || (was.len() == 2 && now.len() > 2) {
            errors.invalid(&list, now, "field is immutable");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use super::*;

    #[test]
    fn addresses() {
        for (change, told) in [
            (
                json!({"metadata": {"name": "nonsense"}}),
                "metadata.name: Invalid value: \"nonsense\": must be a valid IP address",
            ),
            (
                json!({"metadata": {"name": "2001:DB8::1"}}),
                "metadata.name: Invalid value: \"2001:DB8::1\": must be an IP address in canonical format (\"2001:db8::1\")",
            ),
            (json!({"spec": {"parentRef": null}}), "spec.parentRef: Required value"),
            (json!({"spec": {"parentRef": {"name": ""}}}), "spec.parentRef.name: Required value"),
        ] {
            let all = create("IPAddress", change);
            assert!(all.len() == 1 && all[0].starts_with(told), "{all:?}");
        }
        assert_eq!(update("IPAddress", json!({"spec": {"parentRef": {"name": "other"}}})).len(), 1);
    }

    #[test]
    fn ranges() {
        let spec = |cidrs: Value| json!({"spec": {"cidrs": cidrs}});
        assert_eq!(create("ServiceCIDR", spec(json!(["10.0.0.0/24", "fd00::/64"]))), [""; 0]);
        assert_eq!(create("ServiceCIDR", spec(json!([]))), ["spec.cidrs: Required value: at least one CIDR required"]);
        let same = create("ServiceCIDR", spec(json!(["10.0.0.0/24", "10.0.1.0/24"])));
        assert!(same[0].contains("may specify no more than one IP for each IP family"), "{same:?}");
        assert_eq!(update("ServiceCIDR", spec(json!(["10.9.0.0/24"]))).len(), 1);
        assert_eq!(update("ServiceCIDR", spec(json!(["10.96.0.0/24", "fd00::/64"]))), [""; 0]);
    }
}
