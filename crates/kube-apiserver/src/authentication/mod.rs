//! Who is calling: by client certificate, by bearer token, or nobody in particular. What a user may do is authorization's part.

mod attempts;
mod bootstrap_token;
mod impersonation;
mod oidc;
mod service_account;
mod token;
mod token_file;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use daemon::tls::Identity;
use http::{HeaderMap, header};
use prometheus_client::registry::Registry as Metrics;

use crate::attributes::User;
use crate::expiring::{Expiring, key};

use attempts::Attempts;
pub use bootstrap_token::BootstrapTokens;
pub use impersonation::impersonate;
pub use oidc::{OidcConfig, OidcTokens};
pub use service_account::{Issuer, KeyError, ServiceAccountTokens, SigningKey, VerifyingKey};
pub use token::{Bearer, TokenAuthenticator};
pub use token_file::{TokenFile, TokenFileError};
pub use webhook::WebhookTokens;

/// The groups that everybody is in, by whether it is known who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// As upstream: so long a token counts after it was looked at. Until then a deletion of its account may go unnoticed.
const REMEMBERED: Duration = Duration::from_secs(10);
const ANONYMOUS: &str = "system:anonymous";

/// How users are recognized, in this order: by certificate, by token, as nobody in particular.
pub struct Authentication {
    methods: Vec<Arc<dyn TokenAuthenticator>>,
    /// As whom tokens must address the API server.
    audiences: Vec<String>,
    /// Whether requests without any sign of who sends them are those of `system:anonymous`, or are refused.
    anonymous: bool,
    remembered: Expiring<Bearer>,
    attempts: Attempts,
}

impl Authentication {
    pub fn new(methods: Vec<Arc<dyn TokenAuthenticator>>, audiences: Vec<String>, anonymous: bool) -> Self {
        Self { methods, audiences, anonymous, remembered: Expiring::default(), attempts: Attempts::default() }
    }

    /// The user of a connection, by the certificate that TLS has verified.
    pub fn of_certificate(identity: Identity) -> Arc<User> {
        Arc::new(known(User { name: identity.user, groups: identity.groups, ..User::default() }))
    }

    /// Whose token it is, and for which of the audiences (of the API server where there are none); or why nobody's.
    pub async fn of_token(&self, token: &str, audiences: &[String]) -> Result<(Arc<User>, Vec<String>), Vec<String>> {
        let asked = if audiences.is_empty() { &self.audiences[..] } else { audiences };
        let key = key(std::iter::once(token).chain(asked.iter().map(String::as_str)));
        let found = match self.remembered.get(&key) {
            Some(bearer) => bearer,
            None => {
                let found = self.ask(token, asked).await?;
                self.remembered.put(key, found.clone(), REMEMBERED);
                found
            }
        };
        let own = || asked.iter().filter(|audience| self.audiences.contains(audience)).cloned().collect::<Vec<_>>();
        let meant = found.audiences.unwrap_or_else(own);
        // Some servers are started without a name for themselves; then tokens of the old kinds are for them.
        if meant.is_empty() && !asked.is_empty() {
            return Err(vec![format!("the token is not for {}", asked.join(", "))]);
        }
        Ok((found.user, meant))
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Result<Bearer, Vec<String>> {
        let mut refused = Vec::new();
        for method in &self.methods {
            match method.authenticate(token, audiences).await {
                Ok(Some(bearer)) => return Ok(bearer),
                Ok(None) => {}
                Err(why) => refused.push(why),
            }
        }
        Err(refused)
    }

    pub fn register(&self, metrics: &mut Metrics) {
        self.attempts.register(metrics);
    }

    /// The user of a request.
    pub async fn user(&self, certificate: Option<&Arc<User>>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
        let user = self.find(certificate, headers).await;
        self.attempts.count(user.as_deref().map_err(|_| ()));
        user
    }

    /// The certificate comes first; a token that nobody has is refused, even where anonymous requests are not.
    async fn find(&self, certificate: Option<&Arc<User>>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
        if let Some(user) = certificate {
            return Ok(user.clone());
        }
        if let Some(token) = bearer(headers) {
            return self.of_token(token, &[]).await.map(|(user, _)| user).map_err(|refused| {
                refused.iter().for_each(|why| tracing::debug!("a bearer token is refused: {why}"));
                Status::unauthorized()
            });
        }
        if self.anonymous && !headers.contains_key(header::AUTHORIZATION) {
            let groups = vec![UNAUTHENTICATED.to_owned()];
            return Ok(Arc::new(User { name: ANONYMOUS.into(), groups, ..User::default() }));
        }
        Err(Status::unauthorized())
    }
}

fn known(mut user: User) -> User {
    if !user.groups.iter().any(|group| group == AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.into());
    }
    user
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn certificates_come_before_tokens_and_those_before_nobody() {
        let tokens = TokenFile::parse("secret,alice,7,\"dev,ops\"\n").unwrap();
        let closed = Authentication::new(vec![Arc::new(tokens)], Vec::new(), false);
        let open = Authentication::new(Vec::new(), Vec::new(), true);
        let identity = Identity { user: "bob".into(), groups: vec!["system:masters".into()] };
        let bob = Authentication::of_certificate(identity);
        let name = async |authentication: &Authentication, certificate: Option<&Arc<User>>, authorization: &str| {
            let user = authentication.user(certificate, &headers(authorization)).await;
            user.map(|user| format!("{} {}", user.name, user.groups.join(","))).map_err(|status| status.code)
        };
        let alice = Ok("alice dev,ops,system:authenticated".to_owned());
        let of_bob = Ok("bob system:masters,system:authenticated".to_owned());
        assert_eq!(name(&closed, Some(&bob), "Bearer secret").await, of_bob);
        assert_eq!(name(&closed, None, "Bearer secret").await, alice);
        assert_eq!(name(&closed, None, "bearer  secret ").await, alice);
        for wrong in ["Bearer other", "Bearer", "Basic c2VjcmV0", ""] {
            assert_eq!(name(&closed, None, wrong).await, Err(401), "{wrong}");
        }
        assert_eq!(name(&open, None, "").await, Ok("system:anonymous system:unauthenticated".to_owned()));
        assert_eq!(name(&open, None, "Bearer other").await, Err(401));
    }
}
