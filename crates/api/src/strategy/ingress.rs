//! Ingresses.

use k8s_openapi::api::networking::v1::{HTTPIngressPath, IngressBackend, IngressRule, IngressSpec, IngressTLS};
use serde_json::{Value, json};

use super::{Strategy, begin, keep, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, names};

pub struct Ingresses;

const CLASS: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const NOT_IN_PATHS: [&str; 6] = ["//", "/./", "/../", "%2f", "%2F", "\\"];
const NOT_AT_ENDS: [&str; 2] = ["/..", "/."];

impl Strategy for Ingresses {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({"loadBalancer": {}}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: IngressSpec = typed(object.get("spec"));
        let rules = spec.rules.as_deref().unwrap_or_default();
        if rules.is_empty() && spec.default_backend.is_none() {
            errors.invalid(&path, object["spec"].clone(), "either `defaultBackend` or `rules` must be specified");
        }
        if let Some(target) = &spec.default_backend {
            backend(target, &path.child("defaultBackend"), errors);
        }
        let list = path.child("rules");
        for (at, one) in rules.iter().enumerate() {
            rule(one, &list.index(at), errors);
        }
        let list = path.child("tls");
        for (at, one) in spec.tls.iter().flatten().enumerate() {
            tls(one, &list.index(at), errors);
        }
        let class = spec.ingress_class_name.as_deref();
        if let Some(class) = class {
            errors.extend(&path.child("ingressClassName"), class, names::dns_subdomain(class));
        }
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let annotations = meta::at(object, "metadata.annotations");
        let annotated = annotations.and_then(|all| all.get(CLASS)).and_then(Value::as_str);
        if let (Some(class), Some(_)) = (annotated, meta::at(object, "spec.ingressClassName")) {
            let metadata = Path::new("metadata");
            let path = metadata.child("annotations");
            errors.invalid(&path.child(CLASS), class, "can not be set when the class field is also set");
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let path = Path::new("status");
        let path = path.child("loadBalancer");
        let list = path.child("ingress");
        let points = meta::at(object, "status.loadBalancer.ingress").and_then(Value::as_array);
        for (at, point) in points.into_iter().flatten().enumerate() {
            let path = list.index(at);
            if let Some(ip) = point.get("ip").and_then(Value::as_str) {
                checks::ip(ip, &path.child("ip"), errors);
            }
            if let Some(name) = point.get("hostname").and_then(Value::as_str) {
                let place = path.child("hostname");
                errors.extend(&place, name, names::dns_subdomain(name));
                if is_ip(name) {
                    errors.invalid(&place, name, "must be a DNS name, not an IP address");
                }
            }
        }
    }
}

fn is_ip(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn host(host: &str) -> Vec<String> {
    if host.contains('*') { names::wildcard_dns(host) } else { names::dns_subdomain(host) }
}

fn tls(tls: &IngressTLS, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("hosts");
    for (at, name) in tls.hosts.iter().flatten().enumerate() {
        errors.extend(&list.index(at), name, host(name));
    }
    checks::named_if_set(tls.secret_name.as_deref(), names::dns_subdomain, &path.child("secretName"), errors);
}

fn rule(rule: &IngressRule, path: &Path<'_>, errors: &mut Errors) {
    if let Some(name) = rule.host.as_deref().filter(|name| !name.is_empty()) {
        let place = path.child("host");
        if is_ip(name) {
            errors.invalid(&place, name, "must be a DNS name, not an IP address");
        }
        errors.extend(&place, name, host(name));
    }
    let Some(http) = &rule.http else { return };
    let path = path.child("http");
    let list = path.child("paths");
    if http.paths.is_empty() {
        errors.required(&list, "");
    }
    for (at, one) in http.paths.iter().enumerate() {
        http_path(one, &list.index(at), errors);
    }
}

fn http_path(one: &HTTPIngressPath, path: &Path<'_>, errors: &mut Errors) {
    let (text, place) = (one.path.as_deref().unwrap_or(""), path.child("path"));
    match one.path_type.as_str() {
        "" => errors.required(&path.child("pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                errors.invalid(&place, text, "must be an absolute path");
            }
            if text.starts_with('/') {
                for bad in NOT_IN_PATHS.iter().filter(|bad| text.contains(**bad)) {
                    errors.invalid(&place, text, format!("must not contain '{bad}'"));
                }
                for bad in NOT_AT_ENDS.iter().filter(|bad| text.ends_with(**bad)) {
                    errors.invalid(&place, text, format!("cannot end with '{bad}'"));
                }
            }
        }
        "ImplementationSpecific" if text.is_empty() || text.starts_with('/') => {}
        "ImplementationSpecific" => errors.invalid(&place, text, "must be an absolute path"),
        other => errors.not_supported(&path.child("pathType"), other, &PATH_TYPES),
    }
    backend(&one.backend, &path.child("backend"), errors);
}

fn backend(backend: &IngressBackend, path: &Path<'_>, errors: &mut Errors) {
    match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (None, None) => errors.required(path, "resource or service backend is required"),
        (None, Some(resource)) => {
            let path = path.child("resource");
            checks::named(&resource.kind, names::path_segment, &path.child("kind"), errors);
            checks::named(&resource.name, names::path_segment, &path.child("name"), errors);
        }
        (Some(service), None) => {
            let path = path.child("service");
            checks::named(&service.name, names::dns_1035_label, &path.child("name"), errors);
            let port = service.port.clone().unwrap_or_default();
            let place = path.child("port");
            match (port.name.as_deref().unwrap_or(""), port.number.unwrap_or(0)) {
                ("", 0) => errors.required(&place, "port name or number is required"),
                ("", number) => checks::port_number(number, &place.child("number"), errors),
                (name, 0) => errors.extend(&place.child("name"), name, names::port_name(name)),
                _ => errors.invalid(&place, "", "cannot set both port name & port number"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, status};
    use super::*;

    #[test]
    fn refused() {
        let service = json!({"service": {"name": "s", "port": {"number": 80}}});
        let with = |path: Value| json!({"rules": [{"http": {"paths": [path]}}]});
        let to = |backend: Value| json!({"rules": null, "defaultBackend": backend});
        for (spec, told) in [
            (json!({"rules": null}), "spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified"),
            (
                json!({"rules": [{"host": "10.0.0.1"}]}),
                "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
            ),
            (json!({"rules": [{"host": "*.example.com"}]}), ""),
            (
                json!({"rules": [{"host": "a.*.com"}]}),
                "spec.rules[0].host: Invalid value: \"a.*.com\": a wildcard DNS-1123 subdomain",
            ),
            (
                with(json!({"path": "/", "backend": service})),
                "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
            ),
            (
                with(json!({"path": "x", "pathType": "Prefix", "backend": service})),
                "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
            ),
            (
                with(json!({"path": "/a//b", "pathType": "Exact", "backend": service})),
                "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'",
            ),
            (to(json!({})), "spec.defaultBackend: Required value: resource or service backend is required"),
            (
                to(json!({"service": {"name": "s", "port": {}}})),
                "spec.defaultBackend.service.port: Required value: port name or number is required",
            ),
            (
                to(json!({"service": {"name": "s", "port": {"name": "a", "number": 1}}})),
                "spec.defaultBackend.service.port: Invalid value: \"\": cannot set both port name & port number",
            ),
        ] {
            let all = create("Ingress", json!({"spec": spec}));
            let as_told = all.first().map_or(told.is_empty(), |first| !told.is_empty() && first.starts_with(told));
            assert!(as_told && all.len() < 2, "{told}: {all:?}");
        }
        let both = json!({"metadata": {"annotations": {CLASS: "x"}}, "spec": {"ingressClassName": "y"}});
        assert_eq!(create("Ingress", both).len(), 1);
        assert_eq!(status("Ingress", json!({"status": {"loadBalancer": {"ingress": [{"ip": "x"}]}}})).len(), 1);
    }
}
