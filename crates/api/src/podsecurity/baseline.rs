//! What the level `baseline` forbids: known ways out of a container.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::SELinuxOptions;

use super::Violation;
use super::subject::{Set, Subject, containers, plural, quoted, setters};

pub(super) fn found(reason: impl Into<String>, detail: impl Into<String>) -> Option<Violation> {
    Some(Violation { reason: reason.into(), detail: detail.into() })
}

pub fn app_armor(pod: &Subject<'_>) -> Option<Violation> {
    let allowed = |kind: &str| ["RuntimeDefault", "Localhost"].contains(&kind);
    let mut values = Set::new();
    let of_pod = pod.security.and_then(|security| security.app_armor_profile.as_ref());
    let by_pod = of_pod.filter(|profile| !allowed(&profile.type_));
    values.extend(by_pod.map(|profile| &*profile.type_));
    let bad = pod.bad(|container| {
        let profile = container.security.and_then(|security| security.app_armor_profile.as_ref());
        let wrong = profile.filter(|profile| !allowed(&profile.type_));
        values.extend(wrong.map(|profile| &*profile.type_));
        wrong.is_some()
    });
    let annotated = pod.annotations.iter().filter_map(|(name, value)| {
        let value = value.as_str().unwrap_or("");
        let of_app_armor = name.starts_with("container.apparmor.security.beta.kubernetes.io/");
        let fine = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        (of_app_armor && !fine).then(|| format!("{name}={value:?}"))
    });
    let mut annotated: Vec<String> = annotated.collect();
    annotated.sort_unstable();
    let mut who: Vec<String> = setters(by_pod.is_some(), &bad).into_iter().collect();
    if !annotated.is_empty() {
        who.push(plural("annotation", "annotations", annotated.len()).to_owned());
    }
    if who.is_empty() {
        return None;
    }
    let values: Vec<String> = values.into_iter().map(str::to_owned).chain(annotated).collect();
    found(
        plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
        format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)),
    )
}

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub fn capabilities(pod: &Subject<'_>) -> Option<Violation> {
    let mut wrong = Set::new();
    let bad = pod.bad(|container| {
        let added = container.security.and_then(|security| security.capabilities.as_ref()?.add.as_ref());
        let more: Vec<&str> = added
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|name| !DEFAULT_CAPABILITIES.contains(name))
            .collect();
        wrong.extend(&more);
        !more.is_empty()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not include {} in securityContext.capabilities.add", containers(&bad), quoted(wrong));
    found("non-default capabilities", detail)
}

pub fn host_namespaces(pod: &Subject<'_>) -> Option<Violation> {
    let spec = pod.spec;
    let all = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    let set: Vec<String> =
        all.iter().filter(|(_, set)| *set == Some(true)).map(|(name, _)| format!("{name}=true")).collect();
    if set.is_empty() { None } else { found("host namespaces", set.join(", ")) }
}

pub fn host_paths(pod: &Subject<'_>) -> Option<Violation> {
    let volumes = pod.spec.volumes.iter().flatten().filter(|volume| volume.host_path.is_some());
    let names: Vec<&str> = volumes.map(|volume| &*volume.name).collect();
    if names.is_empty() {
        return None;
    }
    found("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)))
}

pub fn host_ports(pod: &Subject<'_>) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let bad = pod.bad(|container| {
        let own = container.ports.iter().filter_map(|port| port.host_port).filter(|port| *port != 0);
        let own: Vec<String> = own.map(|port| port.to_string()).collect();
        let some = !own.is_empty();
        ports.extend(own);
        some
    });
    if bad.is_empty() {
        return None;
    }
    let (uses, what) = (plural("uses", "use", bad.len()), plural("hostPort", "hostPorts", ports.len()));
    let list: Vec<String> = ports.into_iter().collect();
    found("hostPort", format!("{} {uses} {what} {}", containers(&bad), list.join(", ")))
}

pub fn hosts_of_probes(pod: &Subject<'_>) -> Option<Violation> {
    let mut hosts = Set::new();
    let bad: Set<'_> = pod
        .bad(|container| {
            let before = container.hosts().next().is_some();
            hosts.extend(container.hosts());
            before
        })
        .into_iter()
        .collect();
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<&str> = bad.into_iter().collect();
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    let uses = plural("uses", "use", bad.len());
    found("probe or lifecycle host", format!("{} {uses} {what} {}", containers(&bad), quoted(hosts)))
}

pub fn privileged(pod: &Subject<'_>) -> Option<Violation> {
    let bad = pod.bad(|container| container.security.is_some_and(|security| security.privileged == Some(true)));
    if bad.is_empty() {
        return None;
    }
    found("privileged", format!("{} must not set securityContext.privileged=true", containers(&bad)))
}

pub fn proc_mount(pod: &Subject<'_>) -> Option<Violation> {
    let mut kinds = Set::new();
    let bad = pod.bad(|container| {
        let kind = container.security.and_then(|security| security.proc_mount.as_deref());
        let wrong = kind.filter(|kind| *kind != "Default");
        kinds.extend(wrong);
        wrong.is_some()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&bad), quoted(kinds));
    found("procMount", detail)
}

pub fn proc_mount_of_host_users(pod: &Subject<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

pub fn se_linux(pod: &Subject<'_>) -> Option<Violation> {
    se_linux_of(pod, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub fn se_linux_with_engine(pod: &Subject<'_>) -> Option<Violation> {
    se_linux_of(pod, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn se_linux_of(pod: &Subject<'_>, allowed: &[&str]) -> Option<Violation> {
    let (mut kinds, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut wrong = |options: Option<&SELinuxOptions>| {
        let Some(options) = options else { return false };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let kind = text(&options.type_);
        let bad_kind = !allowed.contains(&kind.as_str());
        if bad_kind {
            kinds.insert(kind);
        }
        let (sets_user, sets_role) = (!text(&options.user).is_empty(), !text(&options.role).is_empty());
        user |= sets_user;
        role |= sets_role;
        bad_kind || sets_user || sets_role
    };
    let by_pod = wrong(pod.security.and_then(|security| security.se_linux_options.as_ref()));
    let bad = pod.bad(|container| wrong(container.security.and_then(|security| security.se_linux_options.as_ref())));
    let who = setters(by_pod, &bad)?;
    let mut what = Vec::new();
    if !kinds.is_empty() {
        what.push(format!("{} {}", plural("type", "types", kinds.len()), quoted(kinds)));
    }
    what.extend(user.then(|| "user may not be set".to_owned()));
    what.extend(role.then(|| "role may not be set".to_owned()));
    found("seLinuxOptions", format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; ")))
}

/// Before there were fields for it.
pub fn seccomp_annotations(pod: &Subject<'_>) -> Option<Violation> {
    let fine = |value: &str| value == "runtime/default" || value == "docker/default" || value.starts_with("localhost/");
    let of_containers =
        pod.containers.iter().map(|one| format!("container.seccomp.security.alpha.kubernetes.io/{}", one.name));
    let names = std::iter::once("seccomp.security.alpha.kubernetes.io/pod".to_owned()).chain(of_containers);
    let wrong = names.filter_map(|name| {
        let value = pod.annotation(&name).filter(|value| !fine(value))?;
        Some(format!("{name}={value:?}"))
    });
    let wrong: BTreeSet<String> = wrong.collect();
    if wrong.is_empty() {
        return None;
    }
    let list: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let what = plural("annotation", "annotations", list.len());
    found("seccompProfile", format!("forbidden {what} {}", list.join(", ")))
}

pub(super) fn fine_seccomp(kind: &str) -> bool {
    ["RuntimeDefault", "Localhost"].contains(&kind)
}

pub fn seccomp(pod: &Subject<'_>) -> Option<Violation> {
    let mut kinds = Set::new();
    let of_pod = pod.security.and_then(|security| security.seccomp_profile.as_ref()).map(|profile| &*profile.type_);
    let by_pod = of_pod.filter(|kind| !fine_seccomp(kind));
    kinds.extend(by_pod);
    let bad = pod.bad(|container| {
        let kind = container.security.and_then(|security| security.seccomp_profile.as_ref());
        let wrong = kind.map(|profile| &*profile.type_).filter(|kind| !fine_seccomp(kind));
        kinds.extend(wrong);
        wrong.is_some()
    });
    let who = setters(by_pod.is_some(), &bad)?;
    found("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(kinds)))
}

/// In the order in which versions have come to allow them.
const SAFE_SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

/// The first `KNOWN` are allowed.
pub fn sysctls<const KNOWN: usize>(pod: &Subject<'_>) -> Option<Violation> {
    let set = pod.security.and_then(|security| security.sysctls.as_ref()).into_iter().flatten();
    let allowed = |name: &str| SAFE_SYSCTLS.iter().take(KNOWN).any(|safe| *safe == name);
    let wrong: Vec<&str> = set.map(|sysctl| &*sysctl.name).filter(|name| !allowed(name)).collect();
    if wrong.is_empty() { None } else { found("forbidden sysctls", wrong.join(", ")) }
}

pub fn host_process(pod: &Subject<'_>) -> Option<Violation> {
    let of_pod = pod.security.and_then(|security| security.windows_options.as_ref());
    let by_pod = of_pod.is_some_and(|options| options.host_process == Some(true));
    let bad = pod.bad(|container| {
        let options = container.security.and_then(|security| security.windows_options.as_ref());
        options.is_some_and(|options| options.host_process == Some(true))
    });
    let who = setters(by_pod, &bad)?;
    found("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
