//! `ServiceAccount`: every pod runs as an account of its namespace, with the account's token mounted and its secrets for pulling images.

mod secrets;

use std::time::Duration;

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount as Account};
use serde_json::{Value, json};
use storage::Filter;

use crate::admission::{Attempt, Operation, Plugin, typed};
use crate::registry::random_suffix;

const DEFAULT: &str = "default";
const MIRROR: &str = "kubernetes.io/config.mirror";
const VOLUME: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour and a little, by which the API knows tokens that were asked for here.
const TOKEN_SECONDS: i64 = 3607;
/// How long after its namespace a controller makes the default account.
const DEFAULT_COMES_WITHIN: Duration = Duration::from_millis(1500);
/// `true` on an account: its pods may use only the secrets that it names.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

pub struct ServiceAccount;

impl ServiceAccount {
    pub const NAME: &str = "ServiceAccount";
}

#[async_trait]
impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "pods")
            || (attempt.is_of("", "pods")
                && attempt.operation == Operation::Update
                && attempt.context.subresource() == "ephemeralcontainers")
    }

    async fn admit(&self, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
        if attempt.operation != Operation::Create || is_mirror(pod) {
            return Ok(());
        }
        if meta::text_at(pod, "spec.serviceAccountName").is_empty() {
            let spec = meta::object_mut(pod, "spec");
            spec.insert("serviceAccountName".into(), DEFAULT.into());
            spec.insert("serviceAccount".into(), DEFAULT.into());
        }
        let account = account(attempt, pod).await?;
        let of_pod = meta::at(pod, "spec.automountServiceAccountToken").and_then(Value::as_bool);
        if of_pod.or(account.automount_service_account_token).unwrap_or(true) {
            mount_token(pod);
        }
        let spec = meta::object_mut(pod, "spec");
        let pull_secrets: Vec<Value> =
            account.image_pull_secrets.iter().flatten().map(|secret| json!({"name": secret.name})).collect();
        if spec.get("imagePullSecrets").and_then(Value::as_array).is_none_or(Vec::is_empty) && !pull_secrets.is_empty()
        {
            spec.insert("imagePullSecrets".into(), pull_secrets.into());
        }
        Ok(())
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let refused = |why: String| Err(attempt.forbidden(meta::name(object), why));
        let spec = || typed::<Pod>(object).map(|pod| pod.spec.unwrap_or_default());
        if attempt.operation == Operation::Create && is_mirror(object) {
            return secrets::check_mirror(&spec()?).map_or(Ok(()), |why| refused(why.to_owned()));
        }
        if meta::text_at(object, "spec.serviceAccountName").is_empty() {
            let (namespace, name) = (&attempt.target.namespace, meta::name(object));
            return refused(format!("no service account specified for pod {namespace}/{name}"));
        }
        let account = account(attempt, object).await?;
        let enforced = account.metadata.annotations.as_ref().and_then(|all| all.get(ENFORCE));
        if !enforced.is_some_and(|value| ["1", "t", "T", "true", "TRUE", "True"].contains(&&**value)) {
            return Ok(());
        }
        let wrong = match attempt.operation {
            Operation::Create => secrets::check(&account, &spec()?),
            _ => secrets::check_ephemeral(&account, &spec()?),
        };
        wrong.map_or(Ok(()), refused)
    }
}

fn is_mirror(pod: &Value) -> bool {
    meta::metadata(pod, "annotations").is_some_and(|annotations| annotations.contains_key(MIRROR))
}

/// The account that the pod names.
async fn account(attempt: &Attempt<'_>, pod: &Value) -> Result<Account, Status> {
    let (namespace, name) = (&attempt.target.namespace, meta::text_at(pod, "spec.serviceAccountName"));
    let found = || attempt.other("", "v1", "serviceaccounts", namespace, name);
    if let Some(account) = found().await? {
        return typed(&account);
    }
    if name == DEFAULT {
        let accounts = attempt.registry.target("", "v1", "serviceaccounts", namespace, "")?;
        let filter = Filter { namespace: namespace.clone(), name: name.into(), ..Filter::default() };
        let (listed, mut coming) = attempt.registry.list_and_watch(&accounts, filter, None).await?;
        if listed.entries.is_empty() {
            // Whether it came, or the time is over: it is looked for once more.
            let _ = tokio::time::timeout(DEFAULT_COMES_WITHIN, coming.next(1)).await;
        }
        if let Some(account) = found().await? {
            return typed(&account);
        }
    }
    let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
    Err(attempt.forbidden(meta::name(pod), why))
}

/// The token, the authority and the namespace, where a client in the pod looks for them.
fn mount_token(pod: &mut Value) {
    let spec = meta::object_mut(pod, "spec");
    let volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let names = volumes.filter_map(|volume| volume.get("name").and_then(Value::as_str));
    let there = names.into_iter().find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let name = there.clone().unwrap_or_else(|| format!("{VOLUME}{}", random_suffix()));
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers {
            let mounts = meta::fields_mut(container).entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if !mounts.iter().any(|mount| mount.get("mountPath").is_some_and(|path| path == MOUNT_PATH)) {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
                needed = true;
            }
        }
    }
    if there.is_none() && needed {
        let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_mounted_once_and_where_nothing_else_is() {
        let mut pod = json!({"spec": {"initContainers": [{"name": "i"}],
            "containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNT_PATH}]}]}});
        mount_token(&mut pod);
        let name = pod["spec"]["volumes"][0]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with(VOLUME) && name.len() == VOLUME.len() + 5, "{name}");
        for list in ["initContainers", "containers"] {
            let mounts = json!([{"name": name, "readOnly": true, "mountPath": MOUNT_PATH}]);
            assert_eq!(pod["spec"][list][0]["volumeMounts"], mounts);
        }
        assert_eq!(pod["spec"]["containers"][1]["volumeMounts"][0]["name"], "own");
        let before = pod.clone();
        mount_token(&mut pod);
        assert_eq!(pod, before);
        let mut none = json!({"spec": {"containers": [pod["spec"]["containers"][1]]}});
        mount_token(&mut none);
        assert_eq!(none["spec"].get("volumes"), None);
    }
}
