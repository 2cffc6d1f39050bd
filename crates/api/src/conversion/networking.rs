//! `networking.k8s.io/v1beta1` and `extensions/v1beta1`: ingresses whose backends name a service and its port side by side.

use serde_json::{Map, Value, json};

use super::{Conversion, each, rename};

pub const INGRESS: Conversion = Conversion {
    to_stored: |document| {
        each(document, "spec", &mut |spec| rename(spec, "backend", "defaultBackend"));
        each(document, "spec.defaultBackend", &mut service_of);
        each(document, "spec.rules[].http.paths[].backend", &mut service_of);
    },
    from_stored: |document| {
        each(document, "spec.defaultBackend", &mut names_of);
        each(document, "spec.rules[].http.paths[].backend", &mut names_of);
        each(document, "spec", &mut |spec| rename(spec, "defaultBackend", "backend"));
    },
    ..super::SAME
};

fn service_of(backend: &mut Map<String, Value>) {
    let (name, port) = (backend.remove("serviceName"), backend.remove("servicePort"));
    if name.is_none() && port.as_ref().is_none_or(|port| *port == 0) {
        return;
    }
    let mut service = json!({"name": name.unwrap_or_else(|| "".into())});
    match port {
        Some(Value::String(name)) => service["port"] = json!({"name": name}),
        Some(number) if number != 0 => service["port"] = json!({"number": number}),
        _ => {}
    }
    backend.insert("service".into(), service);
}

fn names_of(backend: &mut Map<String, Value>) {
    let Some(service) = backend.remove("service") else { return };
    if let Some(name) = service.get("name") {
        backend.insert("serviceName".into(), name.clone());
    }
    let port = service.get("port");
    let part = |name: &str| port.and_then(|port| port.get(name)).cloned();
    // In this version the port is always there.
    backend.insert("servicePort".into(), part("name").or_else(|| part("number")).unwrap_or_else(|| 0.into()));
}
