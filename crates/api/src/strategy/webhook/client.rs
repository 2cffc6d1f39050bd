//! How a webhook is reached: by a URL, or as a service of the cluster.

use k8s_openapi::api::admissionregistration::v1::{ServiceReference, WebhookClientConfig};

use crate::field::{Errors, Path};
use crate::validation::{checks, names};

const FORM: &str = "desired format: https://host[/path]";

pub(super) fn validate(client: &WebhookClientConfig, path: &Path<'_>, errors: &mut Errors) {
    match (&client.url, &client.service) {
        (Some(address), None) => url(address, &path.child("url"), errors),
        (None, Some(reference)) => service(reference, &path.child("service"), errors),
        _ => errors.required(path, "exactly one of url or service is required"),
    }
}

fn url(text: &str, path: &Path<'_>, errors: &mut Errors) {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    if scheme != "https" {
        errors.invalid(path, scheme, format!("'https' is the only allowed URL scheme; {FORM}"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.is_empty() {
        errors.invalid(path, authority, format!("host must be specified; {FORM}"));
    }
    if let Some((user, _)) = authority.rsplit_once('@') {
        errors.invalid(path, user, "user information is not permitted in the URL");
    }
    let (tail, fragment) = tail.split_once('#').unwrap_or((tail, ""));
    if !fragment.is_empty() {
        errors.invalid(path, fragment, "fragments are not permitted in the URL");
    }
    if let Some((_, query)) = tail.split_once('?').filter(|(_, query)| !query.is_empty()) {
        errors.invalid(path, query, "query parameters are not permitted in the URL");
    }
}

fn service(service: &ServiceReference, path: &Path<'_>, errors: &mut Errors) {
    checks::required(&service.name, &path.child("name"), errors);
    checks::required(&service.namespace, &path.child("namespace"), errors);
    if let Some(port) = service.port {
        let place = path.child("port");
        for _ in names::port_number(port.into()) {
            errors.invalid(&place, port, "port is not valid: must be between 1 and 65535, inclusive");
        }
    }
    let Some(text) = service.path.as_deref() else { return };
    let place = path.child("path");
    if text == "/" || text.is_empty() {
        return;
    }
    let Some(steps) = text.strip_prefix('/') else {
        errors.invalid(&place, text, "must start with a '/'");
        return;
    };
    for (at, step) in steps.trim_end_matches('/').split('/').enumerate() {
        if step.is_empty() {
            errors.invalid(&place, text, format!("segment[{at}] may not be empty"));
        }
        for problem in names::dns_subdomain(step).into_iter().filter(|_| !step.is_empty()) {
            errors.invalid(&place, text, format!("segment[{at}]: {problem}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let reached = |url: &str| WebhookClientConfig { url: Some(url.to_owned()), ..WebhookClientConfig::default() };
        let behind = |path: &str| {
            let service = ServiceReference {
                name: "s".into(),
                namespace: "n".into(),
                path: Some(path.to_owned()),
                port: Some(443),
            };
            WebhookClientConfig { service: Some(service), ..WebhookClientConfig::default() }
        };
        for (client, told) in [
            (reached("https://host/path"), ""),
            (reached("https:///path"), "host must be specified; desired format: https://host[/path]"),
            (reached("https://me@host/"), "user information is not permitted in the URL"),
            (reached("https://host/?a=b"), "query parameters are not permitted in the URL"),
            (reached("https://host/#a"), "fragments are not permitted in the URL"),
            (behind("/a/b"), ""),
            (behind("a"), "must start with a '/'"),
            (behind("/a//b"), "segment[1] may not be empty"),
        ] {
            let mut errors = Errors::default();
            validate(&client, &Path::new("x"), &mut errors);
            assert_eq!(errors.0.first().map_or("", |error| &error.detail), told);
        }
    }
}
