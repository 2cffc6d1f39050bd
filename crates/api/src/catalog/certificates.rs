//! `certificates.k8s.io`.

use super::{APPROVAL, CSR_STATUS, Resource, STATUS, row};
use crate::{columns, strategy};

const GROUP: &str = "certificates.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            short_names: &["csr"],
            namespaced: false,
            subresources: &[APPROVAL, CSR_STATUS],
            selectable: &["spec.signerName"],
            columns: columns::CERTIFICATE_SIGNING_REQUESTS,
            strategy: &strategy::CertificateSigningRequests,
            ..row(GROUP, "v1", "CertificateSigningRequest", "certificatesigningrequests")
        },
        Resource {
            namespaced: false,
            selectable: &["spec.signerName"],
            columns: columns::CLUSTER_TRUST_BUNDLES,
            strategy: &strategy::ClusterTrustBundles,
            ..row(GROUP, "v1", "ClusterTrustBundle", "clustertrustbundles")
        },
        Resource {
            subresources: &[STATUS],
            selectable: &["spec.signerName", "spec.podName", "spec.nodeName"],
            columns: columns::POD_CERTIFICATE_REQUESTS,
            strategy: &strategy::PodCertificateRequests,
            ..row(GROUP, "v1", "PodCertificateRequest", "podcertificaterequests")
        },
    ]
}
