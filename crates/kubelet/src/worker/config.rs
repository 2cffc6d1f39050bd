//! From a pod's spec to what the runtime is asked to make. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::names::{docker_name, hash, identity_hash};
use crate::pod::{self, PodRef, SANDBOX};
use crate::runtime::{ContainerConfig, Dns, Identity, Mount, Network, Port, Resources, Security};
use crate::settings::Settings;

/// The least weight that the kernel knows: a container that asks for no CPU.
const MIN_SHARES: i64 = 2;
const QUOTA_PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1_000;
/// A Linux host name is no longer.
const HOSTNAME_LIMIT: usize = 63;

/// What is known about one start of a container only when it comes to it.
pub struct Start<'a> {
    pub sandbox: &'a str,
    pub restart_count: i32,
    pub backoff: Duration,
    pub env: Vec<(String, String)>,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub mounts: Vec<Mount>,
}

pub fn sandbox(pod: &Pod, settings: &Settings, attempt: i32) -> ContainerConfig {
    let spec = pod::spec(pod);
    let own_network = !pod::host_network(pod);
    let ports = if own_network { host_ports(pod) } else { Vec::new() };
    let hostname = spec.hostname.clone().or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let hosts = spec.host_aliases.iter().flatten();
    let hosts = hosts.flat_map(|alias| alias.hostnames.iter().flatten().map(|name| (name.clone(), alias.ip.clone())));
    let context = spec.security_context.as_ref();
    let sysctls = context.and_then(|context| context.sysctls.as_ref()).into_iter().flatten();
    let pod_ref = PodRef::of(pod);
    let hash = hash(&(
        &settings.pause_image,
        own_network,
        ports.iter().map(|p| (p.host_port, p.container_port)).collect::<Vec<_>>(),
    ));
    ContainerConfig {
        name: docker_name(SANDBOX, &hash, &pod_ref),
        identity: Identity {
            pod: pod_ref,
            container: SANDBOX.into(),
            hash,
            restart_count: attempt,
            backoff: Duration::ZERO,
            grace_seconds: pod::grace_seconds(pod),
        },
        image: settings.pause_image.clone(),
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        hostname: own_network
            .then(|| hostname.chars().take(HOSTNAME_LIMIT).collect::<String>().trim_end_matches(['-', '.']).to_owned()),
        tty: false,
        stdin: false,
        stdin_once: false,
        network: if own_network { Network::Pod(settings.network.clone()) } else { Network::Host },
        pid_of: None,
        ports,
        hosts: hosts.collect(),
        dns: dns(pod, settings),
        mounts: Vec::new(),
        resources: Resources { cpu_shares: Some(MIN_SHARES), ..Default::default() },
        security: Security {
            host_pid: spec.host_pid.unwrap_or(false),
            host_ipc: spec.host_ipc.unwrap_or(false),
            sysctls: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
            ..Default::default()
        },
    }
}

fn host_ports(pod: &Pod) -> Vec<Port> {
    let all = pod::init_containers(pod).iter().filter(|spec| pod::is_sidecar(spec)).chain(pod::containers(pod));
    let ports = all.flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let host_port = u16::try_from(port.host_port.filter(|port| *port > 0)?).ok()?;
            Some(Port {
                container_port: u16::try_from(port.container_port).ok()?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                host_port,
                host_ip: port.host_ip.clone().filter(|ip| !ip.is_empty()),
            })
        })
        .collect()
}

fn dns(pod: &Pod, settings: &Settings) -> Dns {
    let spec = pod::spec(pod);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !pod::host_network(pod),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut dns = Dns::default();
    // Without a cluster DNS the node's own servers answer, as Docker sets them.
    if cluster && !settings.cluster_dns.is_empty() {
        let domain = &settings.cluster_domain;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        dns.servers = settings.cluster_dns.clone();
        dns.searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        dns.options = vec!["ndots:5".into()];
    }
    if let Some(more) = &spec.dns_config {
        dns.servers.extend(more.nameservers.iter().flatten().cloned());
        dns.searches.extend(more.searches.iter().flatten().cloned());
        for option in more.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            let prefix = format!("{name}:");
            dns.options.retain(|known| *known != name && !known.starts_with(&prefix));
            dns.options.push(option.value.as_ref().map_or(name.clone(), |value| format!("{name}:{value}")));
        }
    }
    dns
}

pub fn container(pod: &Pod, spec: &Spec, settings: &Settings, start: Start<'_>) -> ContainerConfig {
    let pod_ref = PodRef::of(pod);
    ContainerConfig {
        name: docker_name(&spec.name, &hash(spec), &pod_ref),
        identity: Identity {
            pod: pod_ref,
            container: spec.name.clone(),
            hash: identity_hash(spec),
            restart_count: start.restart_count,
            backoff: start.backoff,
            grace_seconds: pod::grace_seconds(pod),
        },
        image: spec.image.clone().unwrap_or_default(),
        command: start.command,
        args: start.args,
        env: start.env,
        working_dir: spec.working_dir.clone().filter(|path| !path.is_empty()),
        hostname: None,
        tty: spec.tty.unwrap_or(false),
        stdin: spec.stdin.unwrap_or(false),
        stdin_once: spec.stdin_once.unwrap_or(false),
        network: Network::Of(start.sandbox.to_owned()),
        pid_of: pod::spec(pod).share_process_namespace.unwrap_or(false).then(|| start.sandbox.to_owned()),
        ports: Vec::new(),
        hosts: Vec::new(),
        dns: Dns::default(),
        mounts: start.mounts,
        resources: resources(spec, settings),
        security: security(pod, spec),
    }
}

fn resources(spec: &Spec, settings: &Settings) -> Resources {
    let none = BTreeMap::new();
    let given = spec.resources.as_ref();
    let limits = given.and_then(|r| r.limits.as_ref()).unwrap_or(&none);
    let requests = given.and_then(|r| r.requests.as_ref()).unwrap_or(&none);
    let amount =
        |list: &BTreeMap<String, ApiQuantity>, name: &str| list.get(name).and_then(|q| Quantity::try_from(q).ok());
    let cpu_limit = amount(limits, "cpu").map(Quantity::milli_value);
    let cpu_request = amount(requests, "cpu").map(Quantity::milli_value).or(cpu_limit);
    let memory_limit = amount(limits, "memory").map(Quantity::value).filter(|bytes| *bytes > 0);
    let memory_request = amount(requests, "memory").map(Quantity::value).or(memory_limit).unwrap_or(0);
    let capacity = settings.allocatable.get("memory").map_or(0, |q| q.value());
    // Those who asked for no memory are the first to be killed when it runs out; those with a fixed share keep the
    // kernel's own middle (a score below it needs a privilege which not every machine gives to Docker).
    let guaranteed = memory_limit == Some(memory_request) && cpu_limit.is_some() && cpu_limit == cpu_request;
    let oom_score_adj = if guaranteed || capacity == 0 {
        None
    } else if memory_request == 0 && cpu_request.is_none() {
        Some(1000)
    } else {
        Some((1000 - 1000i64.saturating_mul(memory_request) / capacity).clamp(2, 999))
    };
    Resources {
        cpu_shares: Some(cpu_request.map_or(MIN_SHARES, |milli| (milli * 1024 / 1000).clamp(MIN_SHARES, 262_144))),
        cpu_quota: cpu_limit.filter(|milli| *milli > 0).map(|milli| (milli * QUOTA_PERIOD / 1000).max(MIN_QUOTA)),
        memory: memory_limit,
        oom_score_adj,
    }
}

fn security(pod: &Pod, spec: &Spec) -> Security {
    let of_pod = pod::spec(pod).security_context.as_ref();
    let own = spec.security_context.as_ref();
    let user = own.and_then(|c| c.run_as_user).or(of_pod.and_then(|c| c.run_as_user));
    let group = own.and_then(|c| c.run_as_group).or(of_pod.and_then(|c| c.run_as_group));
    let groups = of_pod.and_then(|c| c.supplemental_groups.as_ref()).into_iter().flatten();
    let groups = groups.chain(of_pod.and_then(|c| c.fs_group.as_ref()));
    let capabilities = own.and_then(|c| c.capabilities.as_ref());
    Security {
        user: match (user, group) {
            (Some(user), Some(group)) => Some(format!("{user}:{group}")),
            (Some(user), None) => Some(user.to_string()),
            (None, Some(group)) => Some(format!(":{group}")),
            (None, None) => None,
        },
        groups: groups.map(ToString::to_string).collect(),
        privileged: own.and_then(|c| c.privileged).unwrap_or(false),
        capabilities_add: capabilities.and_then(|c| c.add.clone()).unwrap_or_default(),
        capabilities_drop: capabilities.and_then(|c| c.drop.clone()).unwrap_or_default(),
        read_only_root: own.and_then(|c| c.read_only_root_filesystem).unwrap_or(false),
        no_new_privileges: own.and_then(|c| c.allow_privilege_escalation) == Some(false),
        host_pid: pod::spec(pod).host_pid.unwrap_or(false),
        host_ipc: pod::spec(pod).host_ipc.unwrap_or(false),
        sysctls: Vec::new(),
    }
}

/// Why the container must not run as the user that it would run as. The image's user counts where the spec names none.
pub fn refused_user(pod: &Pod, spec: &Spec, image_user: &str) -> Option<String> {
    let of_pod = pod::spec(pod).security_context.as_ref();
    let own = spec.security_context.as_ref();
    let must = own.and_then(|c| c.run_as_non_root).or(of_pod.and_then(|c| c.run_as_non_root)).unwrap_or(false);
    let user = own.and_then(|c| c.run_as_user).or(of_pod.and_then(|c| c.run_as_user));
    match (must, user, image_user) {
        (false, ..) => None,
        (true, Some(0), _) => Some("container's runAsUser breaks non-root policy".into()),
        (true, Some(_), _) => None,
        (true, None, "" | "0" | "root") => Some("container has runAsNonRoot and image will run as root".into()),
        (true, None, name) if name.parse::<u32>().is_err() => Some(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        )),
        (true, None, _) => None,
    }
}
