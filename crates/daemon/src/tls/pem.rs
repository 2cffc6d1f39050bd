//! Where certificates and keys come from.
use std::{fmt, path::PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// PEM text: a file that a flag names, or text that lies in another file (a kubeconfig's `…-data`).
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    File { flag: String, path: PathBuf },
    Inline { origin: String, pem: Vec<u8> },
}

impl Source {
    /// `flag` without its dashes.
    pub fn file(flag: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Source::File { flag: flag.into(), path: path.into() }
    }

    pub fn inline(origin: impl Into<String>, pem: impl Into<Vec<u8>>) -> Self {
        Source::Inline { origin: origin.into(), pem: pem.into() }
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Source::Inline { pem, .. } => Ok(pem.clone()),
            Source::File { flag, path } => {
                std::fs::read(path).map_err(|source| TlsError::Read { flag: flag.clone(), path: path.clone(), source })
            }
        }
    }

    /// All certificates; at least one.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let pem = self.read()?;
        let all: Result<Vec<_>, _> = rustls_pemfile::certs(&mut pem.as_slice()).collect();
        let all = all.map_err(|source| TlsError::Pem { origin: self.to_string(), source })?;
        if all.is_empty() { Err(TlsError::NoCertificate { origin: self.to_string() }) } else { Ok(all) }
    }

    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let pem = self.read()?;
        let key = rustls_pemfile::private_key(&mut pem.as_slice());
        let key = key.map_err(|source| TlsError::Pem { origin: self.to_string(), source })?;
        key.ok_or_else(|| TlsError::NoKey { origin: self.to_string() })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File { flag, path } => write!(f, "--{flag}={}", path.display()),
            Source::Inline { origin, .. } => f.write_str(origin),
        }
    }
}

impl fmt::Debug for Source {
    /// Never shows the text, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub cert: Source,
    pub key: Source,
}

impl KeyPair {
    pub fn new(cert: Source, key: Source) -> Self {
        Self { cert, key }
    }

    pub(super) fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        Ok((self.cert.certificates()?, self.key.private_key()?))
    }

    pub(super) fn misfit(&self, source: rustls::Error) -> TlsError {
        TlsError::KeyPair { cert: self.cert.to_string(), key: self.key.to_string(), source }
    }
}
