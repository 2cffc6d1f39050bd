//! `--authentication-token-webhook-config-file`: another server says whose token it is.

use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::known;
use super::token::{Bearer, TokenAuthenticator};
use crate::attributes::User;
use crate::expiring::{Expiring, key};
use crate::https::Webhook;

pub struct WebhookTokens {
    pub webhook: Webhook,
    /// `v1` or `v1beta1` of `TokenReview`.
    pub version: String,
    /// How long an answer counts.
    pub counts: Duration,
    pub answers: Expiring<Option<Bearer>>,
}

#[async_trait]
impl TokenAuthenticator for WebhookTokens {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Bearer>, String> {
        let key = key(std::iter::once(token).chain(audiences.iter().map(String::as_str)));
        if let Some(answer) = self.answers.get(&key) {
            return Ok(answer);
        }
        let api_version = format!("authentication.k8s.io/{}", self.version);
        let review = json!({"apiVersion": api_version, "kind": "TokenReview", "metadata": {},
            "spec": {"token": token, "audiences": audiences}});
        let answer = bearer(&self.webhook.post(&review).await?, audiences)?;
        self.answers.put(key, answer.clone(), self.counts);
        Ok(answer)
    }
}

/// Whose token the answer says it is.
fn bearer(review: &Value, audiences: &[String]) -> Result<Option<Bearer>, String> {
    let status = &review["status"];
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if status["authenticated"] != true {
        return match meta::text_at(status, "error") {
            "" => Ok(None),
            why => Err(why.to_owned()),
        };
    }
    let user = &status["user"];
    let name = meta::text_at(user, "username");
    if name.is_empty() {
        return Err("the webhook says that the token is good and not whose it is".into());
    }
    let extra = user["extra"].as_object().into_iter().flatten();
    let user = User {
        name: name.to_owned(),
        uid: meta::text_at(user, "uid").to_owned(),
        groups: texts(&user["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    };
    // A webhook that knows nothing of audiences speaks for the API server.
    let meant = match texts(&status["audiences"]) {
        meant if meant.is_empty() => None,
        meant => Some(meant.into_iter().filter(|audience| audiences.contains(audience)).collect::<Vec<_>>()),
    };
    if meant.as_ref().is_some_and(Vec::is_empty) && !audiences.is_empty() {
        return Err("the token is for others".into());
    }
    Ok(Some(Bearer { user: Arc::new(known(user)), audiences: meant }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_care() {
        let of = |status: Value, audiences: &[&str]| {
            let audiences: Vec<String> = audiences.iter().map(|audience| (*audience).to_owned()).collect();
            let answer = bearer(&json!({"status": status}), &audiences);
            answer.map(|bearer| bearer.map(|bearer| (bearer.user.name.clone(), bearer.audiences)))
        };
        let ann =
            |audiences: Value| json!({"authenticated": true, "user": {"username": "ann"}, "audiences": audiences});
        assert_eq!(of(ann(json!([])), &["a"]), Ok(Some(("ann".into(), None))));
        assert_eq!(of(ann(json!(["a", "b"])), &["b", "c"]), Ok(Some(("ann".into(), Some(vec!["b".into()])))));
        assert!(of(ann(json!(["a"])), &["b"]).is_err());
        assert_eq!(of(json!({"authenticated": false}), &[]), Ok(None));
        assert_eq!(of(json!({"error": "no"}), &[]), Err("no".into()));
        assert!(of(json!({"authenticated": true, "user": {}}), &[]).is_err());
        assert_eq!(of(json!({"authenticated": "true", "user": {"username": "root"}}), &[]), Ok(None));
    }
}
