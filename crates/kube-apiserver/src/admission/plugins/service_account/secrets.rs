//! Which secrets a pod may refer to: none of a mirror pod, and of an account that enforces it only the account's own.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, PodSpec, ServiceAccount, Volume};

type Environment<'a> = (&'a str, &'a str, &'a Option<Vec<EnvVar>>, &'a Option<Vec<EnvFromSource>>);

/// The environments of all containers, with what the container is and its name.
fn environments(spec: &PodSpec) -> impl Iterator<Item = Environment<'_>> {
    let init = spec.init_containers.iter().flatten().map(|one| ("init container", &*one.name, &one.env, &one.env_from));
    init.chain(spec.containers.iter().map(|one| ("container", &*one.name, &one.env, &one.env_from)))
}

fn ephemeral(spec: &PodSpec) -> impl Iterator<Item = Environment<'_>> {
    let all = spec.ephemeral_containers.iter().flatten();
    all.map(|one| ("ephemeral container", &*one.name, &one.env, &one.env_from))
}

/// The variable, if it is one, and the secret.
fn of_environment<'a>(
    env: &'a Option<Vec<EnvVar>>,
    from: &'a Option<Vec<EnvFromSource>>,
) -> impl Iterator<Item = (Option<&'a str>, &'a str)> {
    let variables = env.iter().flatten().filter_map(|one| {
        let key = one.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some((Some(&*one.name), &*key.name))
    });
    variables.chain(from.iter().flatten().filter_map(|one| Some((None, &*one.secret_ref.as_ref()?.name))))
}

/// The secret that drivers of a volume are given.
fn of_driver(volume: &Volume) -> bool {
    volume.azure_file.as_ref().is_some_and(|azure| !azure.secret_name.is_empty())
        || volume.cephfs.as_ref().is_some_and(|ceph| ceph.secret_ref.is_some())
        || volume.cinder.as_ref().is_some_and(|cinder| cinder.secret_ref.is_some())
        || volume.flex_volume.as_ref().is_some_and(|flex| flex.secret_ref.is_some())
        || volume.rbd.as_ref().is_some_and(|rbd| rbd.secret_ref.is_some())
        || volume.scale_io.as_ref().is_some_and(|scale| !scale.secret_ref.name.is_empty())
        || volume.iscsi.as_ref().is_some_and(|iscsi| iscsi.secret_ref.is_some())
        || volume.storageos.as_ref().is_some_and(|storageos| storageos.secret_ref.is_some())
        || volume.csi.as_ref().is_some_and(|csi| csi.node_publish_secret_ref.is_some())
}

/// Why a mirror pod is refused. The kubelet, not the API, decides what is in it.
pub fn check_mirror(spec: &PodSpec) -> Option<&'static str> {
    if spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Some("a mirror pod may not reference service accounts");
    }
    let volumes = || spec.volumes.iter().flatten();
    let projected =
        || volumes().filter_map(|volume| volume.projected.as_ref()).flat_map(|one| one.sources.iter().flatten());
    let uses = spec.image_pull_secrets.as_ref().is_some_and(|list| !list.is_empty())
        || environments(spec)
            .chain(ephemeral(spec))
            .any(|(_, _, env, from)| of_environment(env, from).next().is_some())
        || volumes().any(|volume| volume.secret.is_some() || of_driver(volume))
        || projected().any(|source| source.secret.is_some());
    if uses {
        return Some("a mirror pod may not reference secrets");
    }
    projected()
        .any(|source| source.service_account_token.is_some())
        .then_some("a mirror pod may not use ServiceAccountToken volume projections")
}

/// Why a pod of an account that enforces its secrets is refused.
pub fn check(account: &ServiceAccount, spec: &PodSpec) -> Option<String> {
    let of = account.metadata.name.as_deref().unwrap_or("");
    let mountable = mountable(account);
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref());
    let mut names = volumes.map(|secret| secret.secret_name.as_deref().unwrap_or(""));
    if let Some(name) = names.find(|name| !mountable.contains(name)) {
        return Some(format!(
            "volume with secret.secretName=\"{name}\" is not allowed because service account {of} does not reference that secret"
        ));
    }
    if let Some(why) = check_environments(environments(spec), of, &mountable) {
        return Some(why);
    }
    let pull: BTreeSet<&str> = account.image_pull_secrets.iter().flatten().map(|secret| &*secret.name).collect();
    let mut wanted = spec.image_pull_secrets.iter().flatten().enumerate();
    let (at, secret) = wanted.find(|(_, secret)| !pull.contains(&*secret.name))?;
    Some(format!(
        "imagePullSecrets[{at}].name=\"{}\" is not allowed because service account {of} does not reference that imagePullSecret",
        secret.name
    ))
}

/// Of the containers that are added to a pod that runs.
pub fn check_ephemeral(account: &ServiceAccount, spec: &PodSpec) -> Option<String> {
    check_environments(ephemeral(spec), account.metadata.name.as_deref().unwrap_or(""), &mountable(account))
}

fn mountable(account: &ServiceAccount) -> BTreeSet<&str> {
    account.secrets.iter().flatten().filter_map(|secret| secret.name.as_deref()).collect()
}

fn check_environments<'a>(
    mut all: impl Iterator<Item = Environment<'a>>,
    of: &str,
    mountable: &BTreeSet<&str>,
) -> Option<String> {
    all.find_map(|(kind, container, env, from)| {
        let (variable, name) = of_environment(env, from).find(|(_, name)| !mountable.contains(name))?;
        let how = match variable {
            Some(variable) => format!("envVar {variable}"),
            None => "envFrom".to_owned(),
        };
        Some(format!(
            "{kind} {container} with {how} referencing secret.secretName=\"{name}\" is not allowed because service account {of} does not reference that secret"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    fn spec(extra: Value) -> PodSpec {
        let mut spec = json!({"containers": [{"name": "c"}]});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        PodSpec::deserialize(spec).unwrap()
    }

    #[test]
    fn mirror_pods_refer_to_nothing() {
        for (extra, expected) in [
            (json!({}), None),
            (json!({"serviceAccountName": "x"}), Some("a mirror pod may not reference service accounts")),
            (
                json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
                Some("a mirror pod may not reference secrets"),
            ),
            (json!({"imagePullSecrets": [{"name": "s"}]}), Some("a mirror pod may not reference secrets")),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
                Some("a mirror pod may not use ServiceAccountToken volume projections"),
            ),
        ] {
            assert_eq!(check_mirror(&spec(extra.clone())), expected, "{extra}");
        }
    }

    #[test]
    fn only_the_accounts_secrets() {
        let account = ServiceAccount::deserialize(json!({"metadata": {"name": "sa"},
            "secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]}))
        .unwrap();
        let key = |name: &str| json!([{"name": "V", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]);
        let because = "is not allowed because service account sa does not reference that";
        for (extra, expected) in [
            (
                json!({"volumes": [{"name": "v", "secret": {"secretName": "own"}}], "imagePullSecrets": [{"name": "pull"}]}),
                None,
            ),
            (
                json!({"volumes": [{"name": "v", "secret": {"secretName": "other"}}]}),
                Some(format!("volume with secret.secretName=\"other\" {because} secret")),
            ),
            (json!({"containers": [{"name": "c", "env": key("own")}]}), None),
            (
                json!({"containers": [{"name": "c", "env": key("other")}]}),
                Some(format!("container c with envVar V referencing secret.secretName=\"other\" {because} secret")),
            ),
            (
                json!({"initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "other"}}]}]}),
                Some(format!("init container i with envFrom referencing secret.secretName=\"other\" {because} secret")),
            ),
            (
                json!({"imagePullSecrets": [{"name": "pull"}, {"name": "own"}]}),
                Some(format!("imagePullSecrets[1].name=\"own\" {because} imagePullSecret")),
            ),
        ] {
            assert_eq!(check(&account, &spec(extra.clone())), expected, "{extra}");
        }
        let debug = spec(json!({"ephemeralContainers": [{"name": "d", "env": key("other")}]}));
        let why =
            format!("ephemeral container d with envVar V referencing secret.secretName=\"other\" {because} secret");
        assert_eq!((check(&account, &debug), check_ephemeral(&account, &debug)), (None, Some(why)));
    }
}
