//! Who is calling: by client certificate, by bearer token, or nobody in particular. What a user may do is authorization's part.

mod impersonation;
mod token_file;

use std::sync::Arc;

use api::status::Status;
use daemon::tls::Identity;
use http::{HeaderMap, header};

use crate::attributes::User;

pub use impersonation::impersonate;
pub use token_file::{TokenFile, TokenFileError};

/// The groups that everybody is in, by whether it is known who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";

#[derive(Default)]
pub struct Authentication {
    pub tokens: Option<TokenFile>,
    /// Whether requests without any sign of who sends them are those of `system:anonymous`, or are refused.
    pub anonymous: bool,
}

impl Authentication {
    /// The user of a connection, by the certificate that TLS has verified.
    pub fn of_certificate(identity: Identity) -> Arc<User> {
        Arc::new(known(User { name: identity.user, groups: identity.groups, ..User::default() }))
    }

    /// Whose token it is.
    pub fn of_token(&self, token: &str) -> Option<Arc<User>> {
        self.tokens.as_ref().and_then(|tokens| tokens.user(token))
    }

    /// The user of a request. The certificate comes first; a token that nobody has is refused, even where anonymous requests are not.
    pub fn user(&self, certificate: Option<&Arc<User>>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
        if let Some(user) = certificate {
            return Ok(user.clone());
        }
        if let Some(token) = bearer(headers) {
            return self.of_token(token).ok_or_else(Status::unauthorized);
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

    #[test]
    fn certificates_come_before_tokens_and_those_before_nobody() {
        let tokens = Some(TokenFile::parse("secret,alice,7,\"dev,ops\"\n").unwrap());
        let (closed, open) =
            (Authentication { tokens, anonymous: false }, Authentication { tokens: None, anonymous: true });
        let identity = Identity { user: "bob".into(), groups: vec!["system:masters".into()] };
        let bob = Authentication::of_certificate(identity);
        let name = |authentication: &Authentication, certificate, authorization: &str| {
            let user = authentication.user(certificate, &headers(authorization));
            user.map(|user| format!("{} {}", user.name, user.groups.join(","))).map_err(|status| status.code)
        };
        let alice = Ok("alice dev,ops,system:authenticated".to_owned());
        let of_bob = Ok("bob system:masters,system:authenticated".to_owned());
        assert_eq!(name(&closed, Some(&bob), "Bearer secret"), of_bob);
        assert_eq!(name(&closed, None, "Bearer secret"), alice);
        assert_eq!(name(&closed, None, "bearer  secret "), alice);
        for wrong in ["Bearer other", "Bearer", "Basic c2VjcmV0", ""] {
            assert_eq!(name(&closed, None, wrong), Err(401), "{wrong}");
        }
        assert_eq!(name(&open, None, ""), Ok("system:anonymous system:unauthenticated".to_owned()));
        assert_eq!(name(&open, None, "Bearer other"), Err(401));
    }
}
