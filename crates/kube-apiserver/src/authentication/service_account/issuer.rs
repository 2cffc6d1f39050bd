//! Making tokens for service accounts: what a `TokenRequest` asks for, and what others need to verify the answer.

use std::sync::Arc;

use api::field::{Errors, Path};
use api::meta;
use api::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::claims::{Claims, Reference};
use super::keys::{SigningKey, VerifyingKey};
use crate::registry::{Registry, Target, parse};

const DEFAULT_SECONDS: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
/// What kubelets ask for, for the tokens that they mount. Pods that don't read them anew get a year of grace, and a warning is due from then on.
const MOUNTED_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

pub struct Issuer {
    /// The first is the one that is written into new tokens.
    pub issuers: Vec<String>,
    pub key: SigningKey,
    pub verifying: Vec<VerifyingKey>,
    /// For whom tokens are when nobody says.
    pub audiences: Vec<String>,
    pub max_seconds: Option<i64>,
    pub extend: bool,
    /// Where the keys are published, if it is not here.
    pub jwks_uri: Option<String>,
}

impl Issuer {
    /// Fills in what the request leaves open, and its answer. `account`: the service account.
    pub async fn answer(&self, registry: &Arc<Registry>, account: &Target, request: &mut Value) -> Result<(), Status> {
        let audiences = request.pointer("/spec/audiences").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut audiences: Vec<String> = audiences.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if audiences.is_empty() {
            audiences = self.audiences.clone();
        }
        let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(DEFAULT_SECONDS);
        check_seconds(seconds, account)?;
        let mut seconds = self.max_seconds.map_or(seconds, |most| seconds.min(most));
        let object = parse(&registry.get(account).await?.bytes)?;
        let uid = meta::text(&object, "uid");
        let wanted = meta::text(request, "uid");
        if !wanted.is_empty() && wanted != uid {
            let why = format!(
                "the UID in the token request ({wanted}) does not match the UID of the service account ({uid})"
            );
            return Err(Status::conflict("", "serviceaccounts", &account.name, &why));
        }
        let now = Timestamp::now().as_second();
        let mut claims = Claims {
            issuer: self.issuers.first().cloned().unwrap_or_default(),
            issued: now,
            not_before: now,
            id: uuid::Uuid::new_v4().to_string(),
            namespace: account.namespace.clone(),
            name: account.name.clone(),
            uid: uid.to_owned(),
            ..Claims::default()
        };
        if let Some(bound) = request.pointer("/spec/boundObjectRef").filter(|bound| bound.is_object()) {
            bind(registry, account, bound, &mut claims).await?;
        }
        request["spec"]["expirationSeconds"] = seconds.into();
        let told = now.saturating_add(seconds);
        if self.extend && seconds == MOUNTED_SECONDS && claims.pod.is_some() && audiences == self.audiences {
            claims.warn_after = Some(told);
            seconds = EXTENDED_SECONDS;
        }
        claims.expires = Some(now.saturating_add(seconds));
        request["spec"]["audiences"] = json!(audiences);
        claims.audiences = audiences;
        let token = self.key.sign(&claims.to_json()).map_err(Status::internal)?;
        let told = meta::time_after(Timestamp::UNIX_EPOCH, told);
        request["status"] = json!({"token": token, "expirationTimestamp": meta::format_time(told)});
        let metadata = meta::metadata_mut(request);
        metadata.insert("name".into(), account.name.as_str().into());
        metadata.insert("namespace".into(), account.namespace.as_str().into());
        metadata.insert("creationTimestamp".into(), meta::now().into());
        Ok(())
    }

    /// `/.well-known/openid-configuration`
    pub fn configuration(&self, here: &str) -> Value {
        let mut algorithms: Vec<String> = self.verifying.iter().map(|key| format!("{:?}", key.algorithm)).collect();
        algorithms.sort();
        algorithms.dedup();
        let uri = self.jwks_uri.clone().unwrap_or_else(|| format!("https://{here}/openid/v1/jwks"));
        json!({"issuer": self.issuers.first(), "jwks_uri": uri, "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": algorithms})
    }

    /// `/openid/v1/jwks`
    pub fn keys(&self) -> Value {
        json!({"keys": self.verifying.iter().map(|key| &key.jwk).collect::<Vec<_>>()})
    }
}

fn check_seconds(seconds: i64, account: &Target) -> Result<(), Status> {
    let (spec, mut errors) = (Path::new("spec"), Errors::default());
    let path = spec.child("expirationSeconds");
    if seconds < SHORTEST {
        errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > LONGEST {
        errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid("authentication.k8s.io", "TokenRequest", &account.name, &errors))
    }
}

/// The token counts as long as the object is there.
async fn bind(registry: &Arc<Registry>, account: &Target, bound: &Value, claims: &mut Claims) -> Result<(), Status> {
    let text = |field: &str| meta::text_at(bound, field);
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    let there = async |plural: &str, namespace: &str, name: &str| -> Result<Value, Status> {
        parse(&registry.get(&registry.target("", "v1", plural, namespace, name)?).await?.bytes)
    };
    let plural = match (text("apiVersion"), kind) {
        ("v1", "Pod") => "pods",
        ("v1", "Secret") => "secrets",
        ("v1", "Node") => "nodes",
        (version, _) => {
            let why = format!(
                "cannot bind token for serviceaccount {:?} to object of type {version}, Kind={kind}",
                account.name
            );
            return Err(Status::bad_request(why));
        }
    };
    let namespace = if plural == "nodes" { "" } else { account.namespace.as_str() };
    let object = there(plural, namespace, name).await?;
    let is = meta::text(&object, "uid");
    if !uid.is_empty() && uid != is {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict("", plural, name, &why));
    }
    let reference = Some(Reference { name: name.to_owned(), uid: is.to_owned() });
    match plural {
        "pods" => {
            if meta::text_at(&object, "spec.serviceAccountName") != account.name {
                let why = format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    account.name
                );
                return Err(Status::bad_request(why));
            }
            claims.pod = reference;
            let node = meta::text_at(&object, "spec.nodeName");
            if !node.is_empty() {
                // The pod may have been given to a node that is gone.
                let uid = there("nodes", "", node).await.map(|node| meta::text(&node, "uid").to_owned());
                claims.node = Some(Reference { name: node.to_owned(), uid: uid.unwrap_or_default() });
            }
        }
        "secrets" => claims.secret = reference,
        _ => claims.node = reference,
    }
    Ok(())
}
