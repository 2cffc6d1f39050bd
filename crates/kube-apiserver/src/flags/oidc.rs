//! The flags of identity tokens of another issuer.

use std::path::PathBuf;

use clap::Args;
use daemon::FlagError;
use jsonwebtoken::Algorithm;

use super::authentication::read_file;
use crate::authentication::OidcConfig;

#[derive(Args, Debug)]
pub struct OidcFlags {
    /// Issuer of identity tokens (OpenID Connect) whose users are recognized; begins with https://
    #[arg(long, requires = "oidc_client_id", value_name = "URL")]
    oidc_issuer_url: Option<String>,
    /// Whom these tokens must be for
    #[arg(long, requires = "oidc_issuer_url", value_name = "NAME")]
    oidc_client_id: Option<String>,
    /// Authority of the issuer's certificate (PEM); by default those that the machine trusts
    #[arg(long, value_name = "FILE")]
    oidc_ca_file: Option<PathBuf>,
    /// The claim that is the user's name
    #[arg(long, default_value = "sub", value_name = "CLAIM")]
    oidc_username_claim: String,
    /// What names of users begin with; by default the issuer and #, unless they are addresses; -: nothing
    #[arg(long, value_name = "PREFIX")]
    oidc_username_prefix: Option<String>,
    /// The claim that lists the user's groups
    #[arg(long, default_value = "", value_name = "CLAIM")]
    oidc_groups_claim: String,
    /// What names of groups begin with
    #[arg(long, default_value = "", value_name = "PREFIX")]
    oidc_groups_prefix: String,
    /// A claim that must be there, with its value; can be given several times
    #[arg(long, value_delimiter = ',', value_name = "CLAIM=VALUE,…")]
    oidc_required_claim: Vec<String>,
    /// How these tokens may be signed
    #[arg(long, value_delimiter = ',', default_value = "RS256", value_name = "ALGORITHM,…")]
    oidc_signing_algs: Vec<String>,
}

impl OidcFlags {
    /// The issuer, and the authorities of its certificate.
    #[allow(clippy::type_complexity)]
    pub fn check(&self) -> Result<Option<(OidcConfig, Option<Vec<Vec<u8>>>)>, FlagError> {
        let (Some(issuer), Some(client)) = (&self.oidc_issuer_url, &self.oidc_client_id) else { return Ok(None) };
        if !issuer.starts_with("https://") {
            return Err(FlagError::new("oidc-issuer-url", issuer, "must begin with https://"));
        }
        let mut required = Vec::new();
        for pair in &self.oidc_required_claim {
            let wrong =
                || FlagError::new("oidc-required-claim", pair, "must be a claim and its value, such as hd=example.com");
            let (claim, value) = pair.split_once('=').ok_or_else(wrong)?;
            required.push((claim.trim().to_owned(), value.trim().to_owned()));
        }
        let mut algorithms = Vec::new();
        for name in &self.oidc_signing_algs {
            // Keys that both sides know (HS…) would make everybody an issuer.
            let known = name.parse::<Algorithm>().ok().filter(|_| !name.starts_with("HS"));
            let why = "the algorithms are RS256, RS384, RS512, ES256, ES384, PS256, PS384 and PS512";
            algorithms.push(known.ok_or_else(|| FlagError::new("oidc-signing-algs", name, why))?);
        }
        let username_prefix = match self.oidc_username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            None if self.oidc_username_claim == "email" => String::new(),
            None => format!("{issuer}#"),
        };
        let authorities = self.oidc_ca_file.as_ref().map(|path| {
            let pem = read_file("oidc-ca-file", path)?;
            let read: Result<Vec<_>, _> = rustls_pemfile::certs(&mut &pem[..]).collect();
            let certificates = read.map_err(|e| FlagError::new("oidc-ca-file", path.display(), e.to_string()))?;
            Ok::<_, FlagError>(certificates.iter().map(|certificate| certificate.to_vec()).collect())
        });
        let config = OidcConfig {
            issuer: issuer.clone(),
            client: client.clone(),
            username_claim: self.oidc_username_claim.clone(),
            username_prefix,
            groups_claim: self.oidc_groups_claim.clone(),
            groups_prefix: self.oidc_groups_prefix.clone(),
            required,
            algorithms,
        };
        Ok(Some((config, authorities.transpose()?)))
    }
}
