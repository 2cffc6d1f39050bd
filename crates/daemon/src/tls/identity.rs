//! Who a peer is, by its certificate: the common name is the user, the organizations are the groups.
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    pub groups: Vec<String>,
}

/// The identity of a chain that has been verified; `None` without a certificate, or when it has no common name.
pub fn peer_identity(chain: Option<&[CertificateDer<'_>]>) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(chain?.first()?).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned).collect();
    (!user.is_empty()).then_some(Identity { user, groups })
}
