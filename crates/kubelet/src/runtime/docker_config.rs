//! A container in Docker's words: what is sent to create it, and what is read from an inspection. No I/O.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, Mount as DockerMount, MountBindOptions, MountType,
    PortBinding,
};
use jiff::Timestamp;

use super::labels::{from_labels, to_labels};
use super::{Container, ContainerConfig, Exit, Mount, Network, State};

/// The engine keeps that much of a container's log, in two files of which the older one goes.
const LOG_OPTIONS: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "2")];
/// A CPU quota is counted in this many microseconds, Docker's own default.
const CPU_PERIOD: i64 = 100_000;

pub(super) fn body(config: &ContainerConfig, owner: &str) -> ContainerCreateBody {
    let own_network = !matches!(config.network, Network::Of(_));
    ContainerCreateBody {
        // Of a container that joins another's network Docker wants none.
        hostname: config.hostname.clone().filter(|_| own_network),
        image: Some(config.image.clone()),
        entrypoint: some(config.command.clone()),
        // A command without arguments also drops the image's own ones.
        cmd: if config.command.is_empty() { some(config.args.clone()) } else { Some(config.args.clone()) },
        env: some(config.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: config.working_dir.clone(),
        user: config.security.user.clone(),
        tty: Some(config.tty),
        open_stdin: Some(config.stdin),
        stdin_once: Some(config.stdin_once),
        labels: Some(to_labels(&config.identity, owner)),
        exposed_ports: some(config.ports.iter().map(port_key).collect()),
        host_config: Some(host_config(config)),
        ..Default::default()
    }
}

fn host_config(config: &ContainerConfig) -> HostConfig {
    let security = &config.security;
    let resources = &config.resources;
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    let (network, ipc) = match &config.network {
        // Others are to join its IPC namespace.
        Network::Pod(name) => (name.clone(), "shareable".to_owned()),
        Network::Host => ("host".to_owned(), "shareable".to_owned()),
        Network::Of(id) => (format!("container:{id}"), format!("container:{id}")),
    };
    HostConfig {
        network_mode: Some(network),
        ipc_mode: Some(if security.host_ipc { "host".into() } else { ipc }),
        pid_mode: if security.host_pid {
            Some("host".into())
        } else {
            config.pid_of.as_ref().map(|id| format!("container:{id}"))
        },
        port_bindings: some_map(bindings(config)),
        mounts: some(config.mounts.iter().map(mount).collect()),
        dns: some(config.dns.servers.clone()),
        dns_search: some(config.dns.searches.clone()),
        dns_options: some(config.dns.options.clone()),
        extra_hosts: some(config.hosts.iter().map(|(name, ip)| format!("{name}:{ip}")).collect()),
        cpu_shares: resources.cpu_shares,
        cpu_period: resources.cpu_quota.map(|_| CPU_PERIOD),
        cpu_quota: resources.cpu_quota,
        memory: resources.memory,
        // As much as the memory alone: no swap.
        memory_swap: resources.memory,
        oom_score_adj: resources.oom_score_adj,
        privileged: Some(security.privileged),
        cap_add: some(security.capabilities_add.clone()),
        cap_drop: some(security.capabilities_drop.clone()),
        group_add: some(security.groups.clone()),
        readonly_rootfs: Some(security.read_only_root),
        security_opt: some(options),
        sysctls: some_map(security.sysctls.iter().cloned().collect()),
        log_config: Some(bollard::models::HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(LOG_OPTIONS.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        }),
        ..Default::default()
    }
}

fn port_key(port: &super::Port) -> String {
    format!("{}/{}", port.container_port, port.protocol.to_lowercase())
}

fn bindings(config: &ContainerConfig) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &config.ports {
        let binding = PortBinding { host_ip: port.host_ip.clone(), host_port: Some(port.host_port.to_string()) };
        bindings.entry(port_key(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn mount(mount: &Mount) -> DockerMount {
    DockerMount {
        typ: Some(MountType::BIND),
        source: Some(mount.host_path.clone()),
        target: Some(mount.container_path.clone()),
        read_only: Some(mount.read_only),
        bind_options: mount
            .propagation
            .map(|mode| MountBindOptions { propagation: mode.parse().ok(), ..Default::default() }),
        ..Default::default()
    }
}

/// The user of an image's `user[:group]`.
pub(super) fn spec_user(user: &str) -> &str {
    user.split(':').next().unwrap_or_default()
}

/// None: it is not a kubelet's.
pub(super) fn observe(found: ContainerInspectResponse) -> Option<Container> {
    let config = found.config?;
    let identity = from_labels(&config.labels?)?;
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let state = found.state.unwrap_or_default();
    let started_at = time(state.started_at.as_deref());
    let error = state.error.clone().filter(|text| !text.is_empty());
    let state = if state.running.unwrap_or(false) {
        State::Running { started_at: started_at.unwrap_or_default() }
    } else if started_at.is_some() || error.is_some() || state.dead.unwrap_or(false) {
        State::Exited(Exit {
            code: state.exit_code.unwrap_or_default().try_into().unwrap_or(-1),
            started_at,
            finished_at: time(state.finished_at.as_deref()).or(time(found.created.as_deref())).unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or(false),
            error,
        })
    } else {
        State::Created
    };
    Some(Container {
        id: found.id?,
        identity,
        image: config.image.unwrap_or_default(),
        image_id: found.image.unwrap_or_default(),
        created_at: time(found.created.as_deref()).unwrap_or_default(),
        state,
        ip: networks.into_values().find_map(|endpoint| endpoint.ip_address?.parse().ok()),
    })
}

/// Docker writes the year 1 for "never".
fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn some_map<T>(map: HashMap<String, T>) -> Option<HashMap<String, T>> {
    Some(map).filter(|map| !map.is_empty())
}
