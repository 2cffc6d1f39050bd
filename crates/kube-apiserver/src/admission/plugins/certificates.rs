//! Who may approve, sign and attest for a signer, and what nobody may ask a certificate for.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use base64::Engine;
use serde_json::Value;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::admission::{Attempt, Operation, Plugin};
use crate::attributes::{Attributes, ResourceAttributes};
use crate::authorization::{Authorization, Decision};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
/// Certificates of this signer are users of the API.
const CLIENTS: &str = "kubernetes.io/kube-apiserver-client";

/// Whether the user may do it for the signer, or for all signers of its domain.
async fn may(authorization: &Authorization, attempt: &Attempt<'_>, verb: &'static str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or("");
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let resource = ResourceAttributes {
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..ResourceAttributes::default()
        };
        let user = attempt.context.attributes.user.clone();
        let asked = Attributes::question(user, verb, resource);
        if authorization.decide(&asked).await == Decision::Allow {
            return true;
        }
    }
    false
}

fn changes_part(attempt: &Attempt<'_>, part: &str) -> bool {
    attempt.operation == Operation::Update && attempt.is_of(GROUP, REQUESTS) && attempt.context.subresource() == part
}

/// The signer is that of the request as it was made.
fn signer<'a>(attempt: &Attempt<'a>) -> &'a str {
    attempt.old.map_or("", |old| meta::text_at(old, "spec.signerName"))
}

pub struct CertificateApproval(pub Authorization);

impl CertificateApproval {
    pub const NAME: &str = "CertificateApproval";
}

#[async_trait]
impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        changes_part(attempt, "approval")
    }

    async fn validate(&self, attempt: &Attempt<'_>, request: &Value) -> Result<(), Status> {
        let signer = signer(attempt);
        if may(&self.0, attempt, "approve", signer).await {
            return Ok(());
        }
        let why = format!("user not permitted to approve requests with signerName {signer:?}");
        Err(attempt.forbidden(meta::name(request), why))
    }
}

pub struct CertificateSigning(pub Authorization);

impl CertificateSigning {
    pub const NAME: &str = "CertificateSigning";
}

#[async_trait]
impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        changes_part(attempt, "status")
    }

    async fn validate(&self, attempt: &Attempt<'_>, request: &Value) -> Result<(), Status> {
        let of = |request: &Value, field: &str| meta::at(request, field).cloned();
        let changed = |field: &str| attempt.old.and_then(|old| of(old, field)) != of(request, field);
        let signer = signer(attempt);
        if (!changed("status.certificate") && !changed("status.conditions"))
            || may(&self.0, attempt, "sign", signer).await
        {
            return Ok(());
        }
        let why = format!("user not permitted to sign requests with signerName {signer:?}");
        Err(attempt.forbidden(meta::name(request), why))
    }
}

pub struct ClusterTrustBundleAttest(pub Authorization);

impl ClusterTrustBundleAttest {
    pub const NAME: &str = "ClusterTrustBundleAttest";
}

#[async_trait]
impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.operation != Operation::Delete && attempt.is_of(GROUP, "clustertrustbundles")
    }

    async fn validate(&self, attempt: &Attempt<'_>, bundle: &Value) -> Result<(), Status> {
        let signer = meta::text_at(bundle, "spec.signerName");
        // The garbage collector changes finalizers and owners of anything.
        let same = |old: &&Value| {
            let rest = |object: &Value| {
                let mut rest = object.clone();
                let metadata = meta::metadata_mut(&mut rest);
                for field in ["finalizers", "ownerReferences", "managedFields", "resourceVersion", "generation"] {
                    metadata.remove(field);
                }
                rest
            };
            rest(old) == rest(bundle)
        };
        if signer.is_empty() || attempt.old.as_ref().is_some_and(same) || may(&self.0, attempt, "attest", signer).await
        {
            return Ok(());
        }
        Err(attempt.forbidden(meta::name(bundle), format!("user not permitted to attest for signerName {signer:?}")))
    }
}

/// Nobody becomes a member of `system:masters` by asking for a certificate.
pub struct CertificateSubjectRestriction;

impl CertificateSubjectRestriction {
    pub const NAME: &str = "CertificateSubjectRestriction";
}

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.operation == Operation::Create
            && attempt.is_of(GROUP, REQUESTS)
            && attempt.context.subresource().is_empty()
    }

    async fn validate(&self, attempt: &Attempt<'_>, request: &Value) -> Result<(), Status> {
        if meta::text_at(request, "spec.signerName") != CLIENTS {
            return Ok(());
        }
        let refused = |why: String| Err(attempt.forbidden(meta::name(request), why));
        match organizations(meta::text_at(request, "spec.request")) {
            Err(why) => refused(format!("failed to parse CSR: {why}")),
            Ok(groups) if groups.iter().any(|group| group == "system:masters") => {
                refused(format!("use of {CLIENTS} signer with system:masters group is not allowed"))
            }
            Ok(_) => Ok(()),
        }
    }
}

/// The groups that a request asks to be in: PEM in base64, as the API has bytes.
fn organizations(request: &str) -> Result<Vec<String>, String> {
    let pem = base64::engine::general_purpose::STANDARD.decode(request).map_err(|e| e.to_string())?;
    let (_, pem) = parse_x509_pem(&pem).map_err(|e| format!("PEM: {e}"))?;
    if pem.label != "CERTIFICATE REQUEST" {
        return Err("PEM block type must be CERTIFICATE REQUEST".into());
    }
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|e| e.to_string())?;
    let subject = &request.certification_request_info.subject;
    subject.iter_organization().map(|one| one.as_str().map(str::to_owned).map_err(|e| e.to_string())).collect()
}
