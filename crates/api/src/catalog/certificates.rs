//! `certificates.k8s.io`.

use super::{APPROVAL, CSR_STATUS, Resource, STATUS, at, row};
use crate::{columns, strategy};

const GROUP: &str = "certificates.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            short_names: &["csr"],
            namespaced: false,
            subresources: &[APPROVAL, CSR_STATUS],
            selectable: const { &[at("spec.signerName")] },
            columns: columns::CERTIFICATE_SIGNING_REQUESTS,
            strategy: &strategy::CertificateSigningRequests,
            ..row(GROUP, "v1", "CertificateSigningRequest", "certificatesigningrequests")
        },
        Resource {
            namespaced: false,
            selectable: const { &[at("spec.signerName")] },
            columns: columns::CLUSTER_TRUST_BUNDLES,
            strategy: &strategy::ClusterTrustBundles,
            unconditional_update: false,
            ..row(GROUP, "v1", "ClusterTrustBundle", "clustertrustbundles")
        },
        Resource {
            subresources: &[STATUS],
            selectable: const { &[at("spec.signerName"), at("spec.podName"), at("spec.nodeName")] },
            columns: columns::POD_CERTIFICATE_REQUESTS,
            strategy: &strategy::PodCertificateRequests,
            unconditional_update: false,
            ..row(GROUP, "v1", "PodCertificateRequest", "podcertificaterequests")
        },
    ]
}
