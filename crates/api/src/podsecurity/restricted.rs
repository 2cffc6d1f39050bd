//! What the level `restricted` asks for beyond `baseline`: good practice, however many programs it stops.

use k8s_openapi::api::core::v1::Volume;

use super::Violation;
use super::baseline::{fine_seccomp, found};
use super::subject::{Set, Subject, containers, plural, quoted, setters};

pub fn escalation(pod: &Subject<'_>) -> Option<Violation> {
    let bad = pod.bad(|one| one.security.and_then(|security| security.allow_privilege_escalation) != Some(false));
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad));
    found("allowPrivilegeEscalation != false", detail)
}

pub fn escalation_on_linux(pod: &Subject<'_>) -> Option<Violation> {
    if pod.on_windows() { None } else { escalation(pod) }
}

pub fn capabilities(pod: &Subject<'_>) -> Option<Violation> {
    let mut added = Set::new();
    let keeps = pod.bad(|container| {
        let dropped = container.security.and_then(|security| security.capabilities.as_ref()?.drop.as_ref());
        !dropped.is_some_and(|list| list.iter().any(|name| name == "ALL"))
    });
    let adds = pod.bad(|container| {
        let more = container.security.and_then(|security| security.capabilities.as_ref()?.add.as_ref());
        let wrong: Vec<&str> =
            more.into_iter().flatten().map(String::as_str).filter(|name| *name != "NET_BIND_SERVICE").collect();
        added.extend(&wrong);
        !wrong.is_empty()
    });
    let mut details = Vec::new();
    if !keeps.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeps)));
    }
    if !adds.is_empty() {
        let what = quoted(added);
        details.push(format!("{} must not include {what} in securityContext.capabilities.add", containers(&adds)));
    }
    if details.is_empty() { None } else { found("unrestricted capabilities", details.join("; ")) }
}

pub fn capabilities_on_linux(pod: &Subject<'_>) -> Option<Violation> {
    if pod.on_windows() { None } else { capabilities(pod) }
}

pub fn volumes(pod: &Subject<'_>) -> Option<Violation> {
    let kinds = pod.spec.volumes.iter().flatten().map(|volume| (&*volume.name, restricted_kind(volume)));
    let bad: Vec<(&str, &str)> = kinds.filter_map(|(name, kind)| Some((name, kind?))).collect();
    if bad.is_empty() {
        return None;
    }
    let types: Set<'_> = bad.iter().map(|(_, kind)| *kind).collect();
    let (volumes, uses) = (plural("volume", "volumes", bad.len()), plural("uses", "use", bad.len()));
    let what = plural("restricted volume type", "restricted volume types", types.len());
    let names = quoted(bad.iter().map(|(name, _)| name));
    found("restricted volume types", format!("{volumes} {names} {uses} {what} {}", quoted(types)))
}

/// `None`: the volume may be used.
fn restricted_kind(volume: &Volume) -> Option<&'static str> {
    let allowed = volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some();
    if allowed {
        return None;
    }
    let kinds = [
        (volume.host_path.is_some(), "hostPath"),
        (volume.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (volume.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (volume.git_repo.is_some(), "gitRepo"),
        (volume.nfs.is_some(), "nfs"),
        (volume.iscsi.is_some(), "iscsi"),
        (volume.glusterfs.is_some(), "glusterfs"),
        (volume.rbd.is_some(), "rbd"),
        (volume.flex_volume.is_some(), "flexVolume"),
        (volume.cinder.is_some(), "cinder"),
        (volume.cephfs.is_some(), "cephfs"),
        (volume.flocker.is_some(), "flocker"),
        (volume.fc.is_some(), "fc"),
        (volume.azure_file.is_some(), "azureFile"),
        (volume.vsphere_volume.is_some(), "vsphereVolume"),
        (volume.quobyte.is_some(), "quobyte"),
        (volume.azure_disk.is_some(), "azureDisk"),
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (volume.portworx_volume.is_some(), "portworxVolume"),
        (volume.scale_io.is_some(), "scaleIO"),
        (volume.storageos.is_some(), "storageos"),
    ];
    Some(kinds.iter().find(|(is, _)| *is).map_or("unknown", |(_, name)| name))
}

pub fn non_root(pod: &Subject<'_>) -> Option<Violation> {
    let of_pod = pod.security.and_then(|security| security.run_as_non_root);
    let own = |one: &super::subject::Container<'_>| one.security.and_then(|security| security.run_as_non_root);
    let says_root = pod.bad(|container| own(container) == Some(false));
    if let Some(who) = setters(of_pod == Some(false), &says_root) {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return found("runAsNonRoot != true", detail);
    }
    let silent = pod.bad(|container| own(container).is_none() && of_pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent));
    found("runAsNonRoot != true", detail)
}

pub fn non_root_of_host_users(pod: &Subject<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { non_root(pod) }
}

pub fn user(pod: &Subject<'_>) -> Option<Violation> {
    let by_pod = pod.security.and_then(|security| security.run_as_user) == Some(0);
    let bad = pod.bad(|container| container.security.and_then(|security| security.run_as_user) == Some(0));
    let who = setters(by_pod, &bad)?;
    found("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub fn user_of_host_users(pod: &Subject<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { user(pod) }
}

pub fn seccomp(pod: &Subject<'_>) -> Option<Violation> {
    if let Some(violation) = super::baseline::seccomp(pod) {
        return Some(violation);
    }
    let of_pod = pod.security.and_then(|security| security.seccomp_profile.as_ref());
    let covered = of_pod.is_some_and(|profile| fine_seccomp(&profile.type_));
    let silent =
        pod.bad(|one| !covered && one.security.and_then(|security| security.seccomp_profile.as_ref()).is_none());
    if silent.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        containers(&silent)
    );
    found("seccompProfile", detail)
}

pub fn seccomp_on_linux(pod: &Subject<'_>) -> Option<Violation> {
    if pod.on_windows() { None } else { seccomp(pod) }
}
