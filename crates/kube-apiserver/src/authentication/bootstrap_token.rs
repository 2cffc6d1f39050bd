//! Tokens of machines that join: secrets `bootstrap-token-ID` in `kube-system`, as `--enable-bootstrap-token-auth` allows them.

use std::sync::Arc;

use api::meta;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::known;
use super::token::{Bearer, TokenAuthenticator};
use crate::attributes::User;
use crate::registry::{Registry, parse};

const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

pub struct BootstrapTokens {
    pub registry: Arc<Registry>,
}

#[async_trait]
impl TokenAuthenticator for BootstrapTokens {
    async fn authenticate(&self, token: &str, _audiences: &[String]) -> Result<Option<Bearer>, String> {
        let Some((id, secret)) = parts(token) else { return Ok(None) };
        let name = format!("bootstrap-token-{id}");
        let target = self.registry.target("", "v1", "secrets", "kube-system", &name).map_err(|e| e.to_string())?;
        let object = match self.registry.get(&target).await {
            Err(status) if status.code == 404 => return Ok(None),
            found => found.map_err(|status| status.message)?,
        };
        let object = parse(&object.bytes).map_err(|e| e.to_string())?;
        let user = user(&object, id, secret, Timestamp::now())?;
        Ok(user.map(|user| Bearer { user: Arc::new(known(user)), audiences: None }))
    }
}

/// `abcdef.0123456789abcdef`
fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is =
        |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (is(id, 6) && is(secret, 16)).then_some((id, secret))
}

/// The user that the secret stands for; nobody where it is not for this.
fn user(object: &Value, id: &str, secret: &str, now: Timestamp) -> Result<Option<User>, String> {
    let data = |key: &str| -> String {
        let encoded = object.get("data").and_then(|data| data.get(key)).and_then(Value::as_str).unwrap_or("");
        STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    };
    let of_type = object.get("type").and_then(Value::as_str) == Some(TYPE);
    if !of_type || meta::is_deleting(object) || data("token-id") != id {
        return Ok(None);
    }
    // Hashes are compared, so that the time that it takes tells nothing.
    if Sha256::digest(data("token-secret")) != Sha256::digest(secret) || data("token-secret").is_empty() {
        return Ok(None);
    }
    match data("expiration").as_str() {
        "" => {}
        text => match text.parse::<Timestamp>() {
            Ok(end) if end > now => {}
            Ok(_) => return Err(format!("the bootstrap token {id} has expired")),
            Err(_) => return Err(format!("the bootstrap token {id} has an expiration that is no time: {text:?}")),
        },
    }
    if data("usage-bootstrap-authentication") != "true" {
        return Err(format!("the bootstrap token {id} is not for authentication"));
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in data("auth-extra-groups").split(',').map(str::trim).filter(|group| !group.is_empty()) {
        if !group.strip_prefix(GROUP).is_some_and(|rest| rest.len() > 1 && rest.starts_with(':')) {
            return Err(format!(
                "the bootstrap token {id} has the group {group:?}, which does not begin with {GROUP}:"
            ));
        }
        groups.push(group.to_owned());
    }
    Ok(Some(User { name: format!("system:bootstrap:{id}"), groups, ..User::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(fields: &[(&str, &str)]) -> Value {
        let mut data = json!({});
        for (key, value) in
            [("token-id", "abcdef"), ("token-secret", "0123456789abcdef"), ("usage-bootstrap-authentication", "true")]
                .iter()
                .chain(fields)
        {
            data[*key] = STANDARD.encode(value).into();
        }
        json!({"type": TYPE, "metadata": {"name": "bootstrap-token-abcdef"}, "data": data})
    }

    #[test]
    fn secrets_are_users_as_long_as_they_say_so() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let ask = |fields: &[(&str, &str)], token: &str| {
            let (id, part) = parts(token).ok_or("form")?;
            user(&secret(fields), id, part, now)
                .map(|user| user.map(|user| format!("{} {}", user.name, user.groups.join(","))))
        };
        let good = "abcdef.0123456789abcdef";
        let plain = "system:bootstrap:abcdef system:bootstrappers".to_owned();
        assert_eq!(ask(&[], good), Ok(Some(plain.clone())));
        assert_eq!(
            ask(&[("auth-extra-groups", "system:bootstrappers:w")], good),
            Ok(Some(format!("{plain},system:bootstrappers:w")))
        );
        assert_eq!(ask(&[("expiration", "2026-01-02T00:00:00Z")], good), Ok(Some(plain)));
        assert_eq!(ask(&[], "abcdef.0123456789abcdeX"), Err("form".into()));
        assert_eq!(ask(&[], "abcdef.0123456789abcdee"), Ok(None));
        for (field, value) in [
            ("expiration", "2025-12-31T00:00:00Z"),
            ("expiration", "tomorrow"),
            ("usage-bootstrap-authentication", "yes"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappersx"),
        ] {
            assert!(ask(&[(field, value)], good).is_err(), "{field}: {value}");
        }
    }
}
