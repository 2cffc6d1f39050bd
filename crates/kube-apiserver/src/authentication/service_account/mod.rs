//! Service accounts: their tokens recognized here, made in `issuer`.

mod claims;
mod issuer;
mod keys;

use std::sync::Arc;

use api::meta;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::Value;

use super::known;
use super::token::{Bearer, TokenAuthenticator};
use crate::attributes::User;
use crate::registry::{Registry, parse};

use claims::{Claims, Reference};
pub use issuer::Issuer;
pub use keys::{KeyError, SigningKey, VerifyingKey};

/// So long an account that is being deleted can still be used, as upstream allows it for the pods that end with it.
const DELETION_LEEWAY: i64 = 60;

/// Recognizes the tokens of the issuers, by the keys.
pub struct ServiceAccountTokens {
    pub registry: Arc<Registry>,
    pub issuers: Vec<String>,
    pub keys: Vec<VerifyingKey>,
    /// Whether accounts, pods and secrets must still be there.
    pub lookup: bool,
}

#[async_trait]
impl TokenAuthenticator for ServiceAccountTokens {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Bearer>, String> {
        let Some(unverified) = claims::unverified(token) else { return Ok(None) };
        let issuer = unverified.get("iss").and_then(Value::as_str).unwrap_or("");
        let legacy = issuer == claims::LEGACY_ISSUER;
        if !legacy && !self.issuers.iter().any(|own| own == issuer) {
            return Ok(None);
        }
        let claims = self.verified(token)?;
        let claims = Claims::read(&claims, legacy).ok_or("the token lacks claims of a service account")?;
        claims.check_times(Timestamp::now().as_second())?;
        let meant = match legacy {
            true => None,
            false => {
                let meant: Vec<String> =
                    audiences.iter().filter(|audience| claims.audiences.contains(audience)).cloned().collect();
                if meant.is_empty() {
                    return Err(format!(
                        "token audiences {:?} is invalid for the target audiences {audiences:?}",
                        claims.audiences
                    ));
                }
                Some(meant)
            }
        };
        if self.lookup {
            self.look_up(&claims, token).await?;
        }
        Ok(Some(Bearer { user: Arc::new(known(user(&claims))), audiences: meant }))
    }
}

impl ServiceAccountTokens {
    fn verified(&self, token: &str) -> Result<Value, String> {
        let header = decode_header(token).map_err(|e| e.to_string())?;
        let named = |key: &&VerifyingKey| header.kid.as_ref().is_none_or(|id| *id == key.id);
        let mut why = "the token is signed with a key that this server does not know".to_owned();
        for key in self.keys.iter().filter(named).filter(|key| key.algorithm == header.alg) {
            let mut validation = Validation::new(key.algorithm);
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            match decode::<Value>(token, &key.key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    async fn look_up(&self, claims: &Claims, token: &str) -> Result<(), String> {
        let account = Reference { name: claims.name.clone(), uid: claims.uid.clone() };
        self.there("serviceaccounts", &claims.namespace, "service account", &account).await?;
        if let Some(pod) = &claims.pod {
            self.there("pods", &claims.namespace, "pod", pod).await?;
        }
        if let Some(node) = claims.node.as_ref().filter(|_| claims.pod.is_none()) {
            self.there("nodes", "", "node", node).await?;
        }
        if let Some(secret) = &claims.secret {
            let object = self.there("secrets", &claims.namespace, "secret", secret).await?;
            let kept = STANDARD.decode(meta::text_at(&object, "data.token")).unwrap_or_default();
            if claims.legacy && kept != token.as_bytes() {
                return Err("the token is no longer the one of its secret".into());
            }
        }
        Ok(())
    }

    /// The object, if it is the one that is meant and not long on its way out.
    async fn there(&self, plural: &str, namespace: &str, what: &str, meant: &Reference) -> Result<Value, String> {
        let name = &meant.name;
        let target = self.registry.target("", "v1", plural, namespace, name).map_err(|e| e.to_string())?;
        // As fresh as etcd: who was deleted is not let in once more. Answers are remembered, so this is rare.
        let found = self.registry.get(&target).await.and_then(|entry| parse(&entry.bytes));
        let object = found.map_err(|status| match status.code {
            404 => format!("{what} {name} has been deleted"),
            _ => format!("{what} {name} can't be looked up: {}", status.message),
        })?;
        if !meant.uid.is_empty() && meta::text(&object, "uid") != meant.uid {
            return Err(format!("the {what} UID ({}) does not match the one of the token", meta::text(&object, "uid")));
        }
        let ends: Option<Timestamp> = meta::text(&object, "deletionTimestamp").parse().ok();
        if ends.is_some_and(|ends| ends.as_second().saturating_add(DELETION_LEEWAY) < Timestamp::now().as_second()) {
            return Err(format!("{what} {name} has been deleted"));
        }
        Ok(object)
    }
}

fn user(claims: &Claims) -> User {
    let Claims { namespace, name, .. } = claims;
    let mut user = User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: claims.uid.clone(),
        groups: vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")],
        ..User::default()
    };
    let mut extra = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        }
    };
    if let Some(pod) = &claims.pod {
        extra("pod-name", &pod.name);
        extra("pod-uid", &pod.uid);
    }
    if let Some(node) = &claims.node {
        extra("node-name", &node.name);
        extra("node-uid", &node.uid);
    }
    if !claims.id.is_empty() {
        extra("credential-id", &format!("JTI={}", claims.id));
    }
    user
}
