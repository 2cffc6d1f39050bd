//! What a service account's token says.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Of tokens that are kept in secrets.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
const PRIVATE: &str = "kubernetes.io";

/// An object, and which one of that name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    pub name: String,
    pub uid: String,
}

impl Reference {
    fn read(value: &Value) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        Some(Self { name: text("name"), uid: text("uid") }).filter(|reference| !reference.name.is_empty())
    }

    fn to_json(&self) -> Value {
        match self.uid.as_str() {
            "" => json!({"name": self.name}),
            uid => json!({"name": self.name, "uid": uid}),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    pub legacy: bool,
    pub issuer: String,
    pub audiences: Vec<String>,
    /// Seconds; `None`: for ever.
    pub expires: Option<i64>,
    pub not_before: i64,
    pub issued: i64,
    pub id: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub pod: Option<Reference>,
    pub node: Option<Reference>,
    pub secret: Option<Reference>,
    /// From then on its use is worth a warning: it should have been renewed.
    pub warn_after: Option<i64>,
}

/// The claims of a token that nobody has verified: to find out whose it may be.
pub fn unverified(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

impl Claims {
    /// Of a verified token. `None`: it lacks what every such token has.
    pub fn read(claims: &Value, legacy: bool) -> Option<Self> {
        let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        let number = |field: &str| claims.get(field).and_then(Value::as_i64);
        if legacy {
            let own = |field: &str| text(claims, &format!("kubernetes.io/serviceaccount/{field}"));
            let secret = Reference { name: own("secret.name"), uid: String::new() };
            let claims = Self {
                legacy,
                issuer: LEGACY_ISSUER.into(),
                namespace: own("namespace"),
                name: own("service-account.name"),
                uid: own("service-account.uid"),
                secret: Some(secret).filter(|secret| !secret.name.is_empty()),
                ..Self::default()
            };
            let whole = claims.secret.is_some() && !claims.namespace.is_empty() && !claims.name.is_empty();
            return whole.then_some(claims);
        }
        let private = claims.get(PRIVATE)?;
        let account = Reference::read(private.get("serviceaccount")?)?;
        let part = |field: &str| private.get(field).and_then(Reference::read);
        let audiences = match claims.get("aud")? {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => return None,
        };
        let read = Self {
            legacy,
            issuer: text(claims, "iss"),
            audiences,
            expires: Some(number("exp")?),
            not_before: number("nbf").unwrap_or(0),
            issued: number("iat").unwrap_or(0),
            id: text(claims, "jti"),
            namespace: text(private, "namespace"),
            name: account.name,
            uid: account.uid,
            pod: part("pod"),
            node: part("node"),
            secret: part("secret"),
            warn_after: private.get("warnafter").and_then(Value::as_i64),
        };
        let subject = format!("system:serviceaccount:{}:{}", read.namespace, read.name);
        (!read.namespace.is_empty() && text(claims, "sub") == subject).then_some(read)
    }

    pub fn to_json(&self) -> Value {
        let mut private = json!({"namespace": self.namespace, "serviceaccount": {"name": self.name, "uid": self.uid}});
        for (field, reference) in [("pod", &self.pod), ("node", &self.node), ("secret", &self.secret)] {
            if let Some(reference) = reference {
                private[field] = reference.to_json();
            }
        }
        if let Some(time) = self.warn_after {
            private["warnafter"] = time.into();
        }
        json!({"iss": self.issuer, "sub": format!("system:serviceaccount:{}:{}", self.namespace, self.name),
            "aud": self.audiences, "exp": self.expires, "nbf": self.not_before, "iat": self.issued, "jti": self.id,
            PRIVATE: private})
    }

    pub fn check_times(&self, now: i64) -> Result<(), String> {
        if self.expires.is_some_and(|end| end <= now) {
            return Err("service account token has expired".into());
        }
        if self.not_before > now {
            return Err("service account token is not valid yet".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            issuer: "https://us".into(),
            audiences: vec!["a".into()],
            expires: Some(200),
            not_before: 100,
            issued: 100,
            id: "1".into(),
            namespace: "ns".into(),
            name: "sa".into(),
            uid: "u".into(),
            pod: Some(Reference { name: "p".into(), uid: "v".into() }),
            warn_after: Some(150),
            ..Claims::default()
        }
    }

    #[test]
    fn claims_come_back_and_times_are_held_to() {
        assert_eq!(Claims::read(&claims().to_json(), false), Some(claims()));
        assert_eq!((claims().check_times(99).is_err(), claims().check_times(100).is_ok()), (true, true));
        assert_eq!((claims().check_times(199).is_ok(), claims().check_times(200).is_err()), (true, true));
        for (pointer, value) in [
            ("/sub", json!("system:serviceaccount:ns:other")),
            ("/aud", json!(3)),
            ("/exp", json!("never")),
            ("/kubernetes.io", json!([])),
            ("/kubernetes.io/namespace", json!("")),
        ] {
            let mut broken = claims().to_json();
            *broken.pointer_mut(pointer).unwrap() = value;
            assert_eq!(Claims::read(&broken, false), None, "{pointer}");
        }
        assert_eq!(unverified("a.b"), None);
        assert_eq!(unverified("a.e30.c"), Some(json!({})));
    }

    #[test]
    fn tokens_of_secrets_name_their_secret() {
        let mut json = json!({"iss": LEGACY_ISSUER, "kubernetes.io/serviceaccount/namespace": "ns",
            "kubernetes.io/serviceaccount/secret.name": "s", "kubernetes.io/serviceaccount/service-account.name": "sa",
            "kubernetes.io/serviceaccount/service-account.uid": "u"});
        let read = Claims::read(&json, true).unwrap();
        assert_eq!((read.name.as_str(), read.secret.map(|s| s.name)), ("sa", Some("s".to_owned())));
        json["kubernetes.io/serviceaccount/secret.name"] = "".into();
        assert_eq!(Claims::read(&json, true), None);
    }
}
