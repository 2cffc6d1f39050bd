//! TLS out of PEM files: configurations for servers and clients, read again when the files change.
//!
//! Does not own the making of certificates, nor what an identity may do.
mod connect;
mod identity;
mod pem;
mod reload;
mod serve;

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
};

pub use connect::{ConnectError, Connector, TlsStream};
pub use identity::{Identity, peer_identity};
pub use pem::{KeyPair, Source};
use reload::Reloading;
pub use serve::{Peer, ServerStream, incoming};

/// The names of protocols that a listener or client offers.
pub const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
pub const HTTP2: &[&[u8]] = &[b"h2"];

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("--{flag}={}: can't be read: {source}", path.display())]
    Read { flag: String, path: PathBuf, source: std::io::Error },
    #[error("{origin}: is no PEM: {source}")]
    Pem { origin: String, source: std::io::Error },
    #[error("{origin}: holds no certificate")]
    NoCertificate { origin: String },
    #[error("{origin}: holds no private key")]
    NoKey { origin: String },
    #[error("{origin}: certificate can't be used: {source}")]
    Certificate { origin: String, source: rustls::Error },
    #[error("{key}: private key does not fit the certificate of {cert}: {source}")]
    KeyPair { cert: String, key: String, source: rustls::Error },
    #[error("{origin}: can't verify peers: {reason}")]
    Verifier { origin: String, reason: String },
}

/// Which clients a server takes.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// Any; client certificates are not asked for.
    None,
    /// Any; a certificate, when there is one, must be of this authority.
    Optional(Source),
    /// Only those with a certificate of this authority.
    Required(Source),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(source: &Source) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in source.certificates()? {
        let origin = || source.to_string();
        roots.add(certificate).map_err(|source| TlsError::Certificate { origin: origin(), source })?;
    }
    Ok(Arc::new(roots))
}

/// The TLS side of a listener. Cheap to clone; every clone sees reloaded certificates.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Reloading<ServerConfig>>);

impl ServerTls {
    /// `protocols` in order of preference: [`HTTP`] or [`HTTP2`].
    pub fn new(pair: KeyPair, clients: ClientAuth, protocols: &'static [&'static [u8]]) -> Result<Self, TlsError> {
        let mut sources = vec![pair.cert.clone(), pair.key.clone()];
        if let ClientAuth::Optional(ca) | ClientAuth::Required(ca) = &clients {
            sources.push(ca.clone());
        }
        let build = move || server_config(&pair, &clients, protocols);
        Ok(Self(Arc::new(Reloading::new(sources, Box::new(build))?)))
    }

    /// The configuration of the files as they are now; ask for it at each new connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.current()
    }

    pub fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.config().into()
    }
}

fn server_config(pair: &KeyPair, clients: &ClientAuth, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| TlsError::Certificate { origin: "TLS".to_owned(), source })?;
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(ca) | ClientAuth::Required(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider());
            let verifier = match clients {
                ClientAuth::Optional(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let failed = |error| TlsError::Verifier { origin: ca.to_string(), reason: format!("{error}") };
            builder.with_client_cert_verifier(verifier.build().map_err(failed)?)
        }
    };
    let (certificates, key) = pair.load()?;
    let mut config = builder.with_single_cert(certificates, key).map_err(|source| pair.misfit(source))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The TLS side of a client. Cheap to clone; every clone sees reloaded certificates.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<Reloading<ClientConfig>>);

impl ClientTls {
    /// `ca` is the authority that the server's certificate must be of; `pair` shows who the client is.
    pub fn new(ca: Source, pair: Option<KeyPair>, protocols: &'static [&'static [u8]]) -> Result<Self, TlsError> {
        let mut sources = vec![ca.clone()];
        sources.extend(pair.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
        let build = move || client_config(&ca, pair.as_ref(), protocols);
        Ok(Self(Arc::new(Reloading::new(sources, Box::new(build))?)))
    }

    /// The configuration of the files as they are now; ask for it at each new connection.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.current()
    }
}

fn client_config(ca: &Source, pair: Option<&KeyPair>, protocols: &[&[u8]]) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| TlsError::Certificate { origin: "TLS".to_owned(), source })?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca)?, provider()).build();
    let verifier =
        verifier.map_err(|error| TlsError::Verifier { origin: ca.to_string(), reason: error.to_string() })?;
    let builder = builder.with_webpki_verifier(verifier);
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (certificates, key) = pair.load()?;
            builder.with_client_auth_cert(certificates, key).map_err(|source| pair.misfit(source))?
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

#[cfg(test)]
mod tests;
