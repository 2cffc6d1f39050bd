//! `--oidc-issuer-url`: identity tokens of another issuer (OpenID Connect).

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use tokio::sync::Mutex;

use super::known;
use super::token::{Bearer, TokenAuthenticator};
use crate::attributes::User;
use crate::https::Server;

/// A key that is not known is looked for this often at most.
const AGAIN: Duration = Duration::from_secs(10);

/// What the flags say of the issuer.
#[derive(Clone, Debug, Default)]
pub struct OidcConfig {
    pub issuer: String,
    pub client: String,
    pub username_claim: String,
    pub username_prefix: String,
    pub groups_claim: String,
    pub groups_prefix: String,
    pub required: Vec<(String, String)>,
    pub algorithms: Vec<Algorithm>,
}

pub struct OidcTokens {
    config: OidcConfig,
    server: Server,
    authorities: Option<Vec<Vec<u8>>>,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    set: Option<JwkSet>,
    asked: Option<Instant>,
}

impl OidcTokens {
    pub fn new(config: OidcConfig, authorities: Option<Vec<Vec<u8>>>) -> Result<Self, String> {
        let server = Server::at(&config.issuer, authorities.clone())?;
        Ok(Self { config, server, authorities, keys: Mutex::default() })
    }

    /// The key, asked for anew where it is not known.
    async fn key(&self, id: Option<&str>) -> Result<DecodingKey, String> {
        let mut keys = self.keys.lock().await;
        let find = |keys: &Keys| {
            let set = keys.set.as_ref()?;
            let found = match id {
                Some(id) => set.find(id),
                None if set.keys.len() == 1 => set.keys.first(),
                None => None,
            };
            found.map(|jwk| DecodingKey::from_jwk(jwk).map_err(|e| format!("a key of the issuer can't be used: {e}")))
        };
        if let Some(key) = find(&keys) {
            return key;
        }
        if keys.asked.is_none_or(|asked| asked.elapsed() >= AGAIN) {
            keys.asked = Some(Instant::now());
            keys.set = Some(self.fetch().await?);
        }
        find(&keys).unwrap_or_else(|| Err("the issuer has no such key".into()))
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let configuration = self.server.below("/.well-known/openid-configuration").get().await?;
        if configuration["issuer"] != self.config.issuer.as_str() {
            return Err(format!("{} says that it is the issuer {}", self.config.issuer, configuration["issuer"]));
        }
        let uri = configuration["jwks_uri"].as_str().unwrap_or("");
        if !uri.starts_with("https://") {
            return Err(format!("the issuer's jwks_uri {uri:?} does not begin with https://"));
        }
        let keys = Server::at(uri, self.authorities.clone())?.get().await?;
        serde_json::from_value(keys).map_err(|e| format!("{uri}: {e}"))
    }
}

#[async_trait]
impl TokenAuthenticator for OidcTokens {
    async fn authenticate(&self, token: &str, _audiences: &[String]) -> Result<Option<Bearer>, String> {
        if issuer_of(token).as_deref() != Some(&self.config.issuer) {
            return Ok(None);
        }
        let header = decode_header(token).map_err(|e| e.to_string())?;
        if !self.config.algorithms.contains(&header.alg) {
            return Err(format!("the token is signed by {:?}, which --oidc-signing-algs does not list", header.alg));
        }
        let key = self.key(header.kid.as_deref()).await?;
        let mut validation = Validation::new(header.alg);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = decode::<Value>(token, &key, &validation).map_err(|e| e.to_string())?.claims;
        let user = self.config.user(&claims, Timestamp::now().as_second())?;
        Ok(Some(Bearer { user: Arc::new(known(user)), audiences: None }))
    }
}

fn issuer_of(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?["iss"].as_str().map(str::to_owned)
}

impl OidcConfig {
    /// Whose token it is, by claims that have been verified.
    fn user(&self, claims: &Value, now: i64) -> Result<User, String> {
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        if claims["exp"].as_i64().is_none_or(|end| end <= now) {
            return Err("oidc: the token has expired".into());
        }
        if claims["nbf"].as_i64().is_some_and(|begin| begin > now) {
            return Err("oidc: the token is not valid yet".into());
        }
        let meant = match &claims["aud"] {
            Value::String(one) => *one == self.client,
            Value::Array(many) => many.iter().any(|one| *one == self.client.as_str()),
            _ => false,
        };
        if !meant {
            return Err(format!("oidc: the token is not for {:?}", self.client));
        }
        for (claim, value) in &self.required {
            if text(claim) != Some(value) {
                return Err(format!("oidc: required claim {claim} value does not match"));
            }
        }
        let claim = self.username_claim.as_str();
        let name = text(claim)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| format!("oidc: the token has no claim {claim:?}"))?;
        // An address counts as a name only when the issuer has not said that it is unverified.
        if claim == "email" && claims.get("email_verified").is_some_and(|verified| *verified != true) {
            return Err("oidc: email not verified".into());
        }
        let groups = match claims.get(&self.groups_claim) {
            _ if self.groups_claim.is_empty() => Vec::new(),
            None => Vec::new(),
            Some(Value::String(one)) => vec![format!("{}{one}", self.groups_prefix)],
            Some(Value::Array(many)) if many.iter().all(Value::is_string) => {
                many.iter().filter_map(Value::as_str).map(|group| format!("{}{group}", self.groups_prefix)).collect()
            }
            Some(_) => return Err(format!("oidc: the claim {:?} is no list of texts", self.groups_claim)),
        };
        Ok(User { name: format!("{}{name}", self.username_prefix), groups, ..User::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> OidcConfig {
        OidcConfig {
            issuer: "https://issuer".into(),
            client: "kubernetes".into(),
            username_claim: "email".into(),
            username_prefix: "oidc:".into(),
            groups_claim: "groups".into(),
            groups_prefix: "g:".into(),
            required: vec![("hd".into(), "example.com".into())],
            algorithms: vec![Algorithm::RS256],
        }
    }

    #[test]
    fn claims_make_users() {
        let good = json!({"exp": 200, "aud": ["a", "kubernetes"], "hd": "example.com", "email": "ann@example.com", "groups": ["dev"]});
        let user = config().user(&good, 100).unwrap();
        assert_eq!((user.name.as_str(), user.groups), ("oidc:ann@example.com", vec!["g:dev".to_owned()]));
        for (claim, value) in [
            ("exp", json!(100)),
            ("exp", json!("never")),
            ("nbf", json!(101)),
            ("aud", json!("other")),
            ("hd", json!("evil.com")),
            ("email", json!("")),
            ("email_verified", json!(false)),
            ("groups", json!({"a": 1})),
            ("groups", json!([1])),
        ] {
            let mut claims = good.clone();
            claims[claim] = value.clone();
            assert!(config().user(&claims, 100).is_err(), "{claim}: {value}");
        }
    }

    #[test]
    fn tokens_of_others_are_not_looked_at() {
        assert_eq!(issuer_of("x"), None);
        assert_eq!(issuer_of("a.b.c"), None);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://issuer"}"#);
        assert_eq!(issuer_of(&format!("a.{claims}.c")), Some("https://issuer".into()));
    }
}
