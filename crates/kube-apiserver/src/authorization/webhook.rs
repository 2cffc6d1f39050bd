//! `--authorization-webhook-config-file`: another server says what a user may do.

use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use super::{Authorizer, Decision};
use crate::attributes::{Attributes, User};
use crate::expiring::{Expiring, key};
use crate::https::Webhook;

#[derive(Clone)]
pub struct WebhookAuthorizer(Arc<Inner>);

struct Inner {
    webhook: Webhook,
    /// `v1` or `v1beta1` of `SubjectAccessReview`.
    version: String,
    allowed: Duration,
    refused: Duration,
    answers: Expiring<Decision>,
}

impl WebhookAuthorizer {
    /// `allowed`, `refused`: how long such answers count.
    pub fn new(webhook: Webhook, version: String, allowed: Duration, refused: Duration) -> Self {
        Self(Arc::new(Inner { webhook, version, allowed, refused, answers: Expiring::default() }))
    }
}

#[async_trait]
impl Authorizer for WebhookAuthorizer {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let inner = &self.0;
        let spec = question(attributes);
        let key = key([spec.to_string().as_str()]);
        if let Some(answer) = inner.answers.get(&key) {
            return answer;
        }
        let api_version = format!("authorization.k8s.io/{}", inner.version);
        // In the first version of the review the groups had another name.
        let mut review =
            json!({"apiVersion": api_version, "kind": "SubjectAccessReview", "metadata": {}, "spec": spec});
        if inner.version == "v1beta1"
            && let Some(spec) = review["spec"].as_object_mut()
            && let Some(groups) = spec.remove("groups")
        {
            spec.insert("group".into(), groups);
        }
        match inner.webhook.post(&review).await {
            Ok(answer) => {
                let decision = decision(&answer);
                let counts = if decision == Decision::Allow { inner.allowed } else { inner.refused };
                inner.answers.put(key, decision.clone(), counts);
                decision
            }
            Err(why) => {
                tracing::warn!("the authorization webhook gives no answer: {why}");
                Decision::NoOpinion("the authorization webhook gives no answer".into())
            }
        }
    }

    fn rules(&self, _: &User, _: &str) -> Result<Vec<PolicyRule>, String> {
        Err("webhook authorizer does not support user rule resolution".into())
    }
}

fn question(attributes: &Attributes) -> Value {
    let Attributes { user, verb, path, resource, .. } = attributes;
    let mut spec = json!({"user": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        spec["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        spec["extra"] = json!(user.extra);
    }
    let Some(about) = resource else {
        spec["nonResourceAttributes"] = json!({"path": path, "verb": verb});
        return spec;
    };
    let mut asked = json!({"verb": verb});
    for (field, value) in [
        ("namespace", &about.namespace),
        ("group", &about.group),
        ("version", &about.version),
        ("resource", &about.resource),
        ("subresource", &about.subresource),
        ("name", &about.name),
    ] {
        if !value.is_empty() {
            asked[field] = value.as_str().into();
        }
    }
    spec["resourceAttributes"] = asked;
    spec
}

fn decision(review: &Value) -> Decision {
    let status = &review["status"];
    let reason = meta::text_at(status, "reason").to_owned();
    match (status["allowed"] == true, status["denied"] == true) {
        // Both at once is no answer that could be trusted.
        (true, false) => Decision::Allow,
        (_, true) => Decision::Deny(reason),
        (false, false) => Decision::NoOpinion(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_allows() {
        let of = |status: Value| decision(&json!({"status": status}));
        assert_eq!(of(json!({"allowed": true})), Decision::Allow);
        assert_eq!(of(json!({"allowed": true, "denied": true, "reason": "x"})), Decision::Deny("x".into()));
        assert_eq!(of(json!({"allowed": false, "reason": "x"})), Decision::NoOpinion("x".into()));
        assert_eq!(of(json!({"allowed": "true"})), Decision::NoOpinion(String::new()));
        assert_eq!(of(Value::Null), Decision::NoOpinion(String::new()));
    }
}
