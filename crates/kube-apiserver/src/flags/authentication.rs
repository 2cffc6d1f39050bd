//! The flags of who is recognized, and how.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args};
use daemon::FlagError;

use super::duration;
use super::oidc::OidcFlags;
use crate::authentication::{
    Authentication, BootstrapTokens, Issuer, OidcConfig, OidcTokens, ServiceAccountTokens, SigningKey,
    TokenAuthenticator, TokenFile, VerifyingKey, WebhookTokens,
};
use crate::expiring::Expiring;
use crate::https::Webhook;
use crate::registry::Registry;

#[derive(Args, Debug)]
pub struct AuthenticationFlags {
    /// Whether requests without certificate and token are those of system:anonymous; never where everything is allowed
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    anonymous_auth: bool,
    /// Users by bearer tokens: lines of token,user,uid,"group,…"
    #[arg(long)]
    token_auth_file: Option<PathBuf>,
    /// Tokens of machines that join: secrets of type bootstrap.kubernetes.io/token in kube-system
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    enable_bootstrap_token_auth: bool,
    /// Who tokens of service accounts are said to be from; of several the first is written into new ones, and all are recognized
    #[arg(long, value_delimiter = ',', value_name = "URL,…")]
    service_account_issuer: Vec<String>,
    /// Private key (PEM) that signs tokens of service accounts
    #[arg(long, requires = "service_account_issuer")]
    service_account_signing_key_file: Option<PathBuf>,
    /// Keys (PEM, public or private) that tokens of service accounts are verified with; by default the one that signs them
    #[arg(long, value_delimiter = ',', value_name = "FILE,…")]
    service_account_key_file: Vec<PathBuf>,
    /// As whom tokens must address this server; by default the issuers of service account tokens
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    api_audiences: Vec<String>,
    /// Whether a token of a service account counts only as long as the account, and what the token is bound to, is there
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    service_account_lookup: bool,
    /// The longest time that a token of a service account counts; 0: as long as is asked for
    #[arg(long, default_value = "0", value_parser = duration)]
    service_account_max_token_expiration: Duration,
    /// Whether tokens that kubelets mount count for a year, for pods that don't read them anew
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    service_account_extend_token_expiration: bool,
    /// Kubeconfig of a server that says whose a token is
    #[arg(long, value_name = "FILE")]
    authentication_token_webhook_config_file: Option<PathBuf>,
    /// Version of the TokenReview that it is asked by
    #[arg(long, default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    authentication_token_webhook_version: String,
    /// How long its answers count
    #[arg(long, default_value = "2m", value_parser = duration)]
    authentication_token_webhook_cache_ttl: Duration,
    #[command(flatten)]
    oidc: OidcFlags,
    /// Where others find the keys of service account tokens, if not at this server
    #[arg(long)]
    service_account_jwks_uri: Option<String>,
}

/// What the flags say, read and checked.
pub struct AuthenticationConfig {
    anonymous: bool,
    token_file: Option<TokenFile>,
    bootstrap: bool,
    issuers: Vec<String>,
    keys: Vec<VerifyingKey>,
    audiences: Vec<String>,
    lookup: bool,
    pub issuer: Option<Issuer>,
    webhook: Option<WebhookTokens>,
    oidc: Option<(OidcConfig, Option<Vec<Vec<u8>>>)>,
}

pub(super) fn read_file(flag: &str, path: &Path) -> Result<Vec<u8>, FlagError> {
    std::fs::read(path).map_err(|e| FlagError::new(flag, path.display(), format!("can't be read: {e}")))
}

impl AuthenticationFlags {
    /// `everything`: some mode of authorization allows everything, which is not for strangers.
    pub fn check(self, everything: bool) -> Result<AuthenticationConfig, FlagError> {
        let token_file = self.token_auth_file.as_ref().map(|path| {
            TokenFile::read(path).map_err(|why| FlagError::new("token-auth-file", path.display(), why.to_string()))
        });
        let mut keys = Vec::new();
        for path in &self.service_account_key_file {
            let flag = "service-account-key-file";
            let read = VerifyingKey::read(&read_file(flag, path)?);
            keys.extend(read.map_err(|why| FlagError::new(flag, path.display(), why.to_string()))?);
        }
        let signing = self.service_account_signing_key_file.as_ref().map(|path| {
            let flag = "service-account-signing-key-file";
            let read = SigningKey::read(&read_file(flag, path)?);
            read.map_err(|why| FlagError::new(flag, path.display(), why.to_string()))
        });
        let signing = signing.transpose()?;
        if let Some(key) = signing.as_ref().filter(|_| keys.is_empty()) {
            keys.push(key.public.clone());
        }
        for issuer in &self.service_account_issuer {
            if issuer.is_empty() || (issuer.contains(':') && !issuer.contains("://")) {
                let why = "must be a URL such as https://kubernetes.default.svc, or a name without a colon";
                return Err(FlagError::new("service-account-issuer", issuer, why));
            }
        }
        let audiences = match self.api_audiences.is_empty() {
            true => self.service_account_issuer.clone(),
            false => self.api_audiences,
        };
        let longest = i64::try_from(self.service_account_max_token_expiration.as_secs()).unwrap_or(i64::MAX);
        if longest != 0 && !(3600..=1 << 32).contains(&longest) {
            let why = "must be between 1h and 2^32 s";
            return Err(FlagError::new("service-account-max-token-expiration", format!("{longest}s"), why));
        }
        let issuer = signing.map(|key| Issuer {
            issuers: self.service_account_issuer.clone(),
            key,
            verifying: keys.clone(),
            audiences: audiences.clone(),
            max_seconds: Some(longest).filter(|longest| *longest > 0),
            extend: self.service_account_extend_token_expiration,
            jwks_uri: self.service_account_jwks_uri,
        });
        let webhook = self.authentication_token_webhook_config_file.as_ref().map(|path| {
            let flag = "authentication-token-webhook-config-file";
            let webhook = Webhook::new(path).map_err(|why| FlagError::new(flag, path.display(), why))?;
            Ok(WebhookTokens {
                webhook,
                version: self.authentication_token_webhook_version.clone(),
                counts: self.authentication_token_webhook_cache_ttl,
                answers: Expiring::default(),
            })
        });
        Ok(AuthenticationConfig {
            webhook: webhook.transpose()?,
            oidc: self.oidc.check()?,
            anonymous: self.anonymous_auth && !everything,
            token_file: token_file.transpose()?,
            bootstrap: self.enable_bootstrap_token_auth,
            issuers: self.service_account_issuer,
            keys,
            audiences,
            lookup: self.service_account_lookup,
            issuer,
        })
    }
}

impl AuthenticationConfig {
    /// In upstream's order.
    pub fn build(self, registry: &Arc<Registry>) -> Result<(Authentication, Option<Issuer>), FlagError> {
        let mut methods: Vec<Arc<dyn TokenAuthenticator>> = Vec::new();
        if let Some(file) = self.token_file {
            methods.push(Arc::new(file));
        }
        if !self.keys.is_empty() {
            methods.push(Arc::new(ServiceAccountTokens {
                registry: registry.clone(),
                issuers: self.issuers,
                keys: self.keys,
                lookup: self.lookup,
            }));
        }
        if self.bootstrap {
            methods.push(Arc::new(BootstrapTokens { registry: registry.clone() }));
        }
        if let Some((config, authorities)) = self.oidc {
            let issuer = config.issuer.clone();
            let tokens = OidcTokens::new(config, authorities);
            methods.push(Arc::new(tokens.map_err(|why| FlagError::new("oidc-issuer-url", issuer, why))?));
        }
        if let Some(webhook) = self.webhook {
            methods.push(Arc::new(webhook));
        }
        Ok((Authentication::new(methods, self.audiences, self.anonymous), self.issuer))
    }
}
