//! Requests for certificates, and bundles of those that are trusted.

mod approval;

use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequestSpec, ClusterTrustBundleSpec, PodCertificateRequestSpec,
};
use serde_json::{Value, json};

use super::{Strategy, begin, immutable, keep, typed};
use crate::field::{Errors, Path};
use crate::meta;
use crate::validation::{checks, names};

pub use approval::{keep_approval, validate_approval, with_approval};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const SHORTEST: i32 = 600;
const SHORTEST_OF_PODS: i32 = 3600;
const LONGEST_OF_PODS: i32 = 91 * 24 * 3600;

pub struct CertificateSigningRequests;

impl Strategy for CertificateSigningRequests {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::path_segment
    }

    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    /// Who asks is what the server knows, not what the asker says.
    fn set_requester(&self, object: &mut Value, requester: &dyn Fn() -> Value) {
        let spec = meta::object_mut(object, "spec");
        let requester = requester();
        for field in ["username", "uid", "groups", "extra"] {
            match requester.get(field) {
                Some(value) => spec.insert(field.into(), value.clone()),
                None => spec.remove(field),
            };
        }
    }

    /// What was asked for, and what became of it, is not for the asker to change.
    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "spec");
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: CertificateSigningRequestSpec = typed(object.get("spec"));
        let place = path.child("request");
        if !is_pem(&spec.request.0, "CERTIFICATE REQUEST") {
            errors.invalid(&place, meta::text_at(object, "spec.request"), "PEM block type must be CERTIFICATE REQUEST");
        }
        let (list, usages) = (path.child("usages"), spec.usages.unwrap_or_default());
        if usages.is_empty() {
            errors.required(&list, "usages is required");
        }
        for (at, usage) in usages.iter().enumerate() {
            checks::supported_if_set(Some(usage), &USAGES, &list.index(at), errors);
            if usages[..at].contains(usage) {
                errors.duplicate(&list.index(at), usage.as_str());
            }
        }
        let place = path.child("signerName");
        signer(&spec.signer_name, &place, errors);
        if spec.signer_name == "kubernetes.io/legacy-unknown" {
            errors.invalid(&place, spec.signer_name, "the legacy signerName is not allowed via this API version");
        }
        if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < SHORTEST) {
            let why = format!("may not specify a duration less than {SHORTEST} seconds (10 minutes)");
            errors.invalid(&path.child("expirationSeconds"), seconds, why);
        }
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        approval::conditions(object, old, false, errors);
    }
}

/// `example.com/signer`.
pub(crate) fn signer(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    match name.split_once('/') {
        Some((domain, rest)) if !rest.is_empty() && !rest.contains('/') => {
            errors.extend(path, name, names::dns_subdomain(domain));
            errors.extend(path, name, names::dns_subdomain(rest));
            if !domain.contains('.') {
                errors.invalid(path, domain, "should be a domain with at least two segments separated by dots");
            }
        }
        _ => {
            let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
            errors.invalid(path, name, why);
        }
    }
}

fn is_pem(bytes: &[u8], kind: &str) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    text.find(&begin).is_some_and(|at| text[at..].contains(&end))
}

pub struct ClusterTrustBundles;

impl Strategy for ClusterTrustBundles {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::path_segment
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: ClusterTrustBundleSpec = typed(object.get("spec"));
        let (name, metadata) = (meta::name(object), Path::new("metadata"));
        let place = metadata.child("name");
        let own = match spec.signer_name.as_deref().unwrap_or("") {
            "" if name.contains(':') => {
                let why = "ClusterTrustBundle without signer name must not have \":\" in its name";
                errors.invalid(&place, name, why);
                None
            }
            "" => Some(name),
            signer_name => {
                signer(signer_name, &path.child("signerName"), errors);
                let prefix = format!("{}:", signer_name.replace('/', ":"));
                let own = name.strip_prefix(&prefix);
                if own.is_none() {
                    let why =
                        format!("ClusterTrustBundle for signerName {signer_name} must be named with prefix {prefix}");
                    errors.invalid(&place, name, why);
                }
                own
            }
        };
        if let Some(own) = own {
            errors.extend(&place, name, names::dns_subdomain(own));
        }
        if !is_pem(spec.trust_bundle.as_bytes(), "CERTIFICATE") {
            let why = "at least one trust anchor must be provided";
            errors.invalid(&path.child("trustBundle"), "<value omitted>", why);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        immutable(object, old, &path.child("signerName"), errors);
    }
}

pub struct PodCertificateRequests;

impl Strategy for PodCertificateRequests {
    fn prepare_for_create(&self, object: &mut Value) {
        begin(object, json!({}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec: PodCertificateRequestSpec = typed(object.get("spec"));
        signer(&spec.signer_name, &path.child("signerName"), errors);
        for (field, name) in [
            ("podName", &spec.pod_name),
            ("serviceAccountName", &spec.service_account_name),
            ("nodeName", &spec.node_name),
        ] {
            checks::named(name, names::dns_subdomain, &path.child(field), errors);
        }
        for (field, uid) in
            [("podUID", &spec.pod_uid), ("serviceAccountUID", &spec.service_account_uid), ("nodeUID", &spec.node_uid)]
        {
            checks::required(uid, &path.child(field), errors);
        }
        let place = path.child("maxExpirationSeconds");
        match spec.max_expiration_seconds {
            None => errors.required(&place, "must be set"),
            Some(seconds) if !(SHORTEST_OF_PODS..=LONGEST_OF_PODS).contains(&seconds) => {
                let why = format!("must be in the range [{SHORTEST_OF_PODS}, {LONGEST_OF_PODS}]");
                errors.invalid(&place, seconds, why);
            }
            Some(_) => {}
        }
        if meta::text_at(object, "spec.stubPKCS10Request").is_empty() {
            errors.required(&path.child("stubPKCS10Request"), "");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, &Path::new("spec"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{create, update};
    use super::*;

    #[test]
    fn requests() {
        for (spec, told) in [
            (
                json!({"request": "eA=="}),
                "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
            ),
            (json!({"usages": []}), "spec.usages: Required value: usages is required"),
            (json!({"signerName": ""}), "spec.signerName: Required value"),
            (
                json!({"signerName": "x"}),
                "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
            ),
            (
                json!({"expirationSeconds": 5}),
                "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
            ),
        ] {
            assert_eq!(create("CertificateSigningRequest", json!({"spec": spec})), [told]);
        }
        assert_eq!(update("CertificateSigningRequest", json!({"spec": {"signerName": "x"}})), [""; 0]);
    }

    #[test]
    fn bundles_and_pods() {
        assert_eq!(create("ClusterTrustBundle", json!({"spec": {"signerName": "a.b/c"}})).len(), 1);
        let named = json!({"metadata": {"name": "a.b:c:d"}, "spec": {"signerName": "a.b/c"}});
        assert_eq!(create("ClusterTrustBundle", named), [""; 0]);
        assert_eq!(
            create("ClusterTrustBundle", json!({"spec": {"trustBundle": "x"}})),
            ["spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided"]
        );
        assert_eq!(
            create("PodCertificateRequest", json!({"spec": {"maxExpirationSeconds": 5}})),
            ["spec.maxExpirationSeconds: Invalid value: 5: must be in the range [3600, 7862400]"]
        );
        assert_eq!(update("PodCertificateRequest", json!({"spec": {"nodeName": "other"}})).len(), 1);
    }
}
