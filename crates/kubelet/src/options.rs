//! The flags of the kubelet, and what they mean once they are checked.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;

use clap::Parser;
use client::ClientFlags;
use daemon::flags::ListenFlag;
use daemon::{CommonFlags, FlagError};

use crate::node::thresholds::{self, Thresholds};

/// The node agent: runs the pods that are bound to this node as Docker containers
#[derive(Debug, Parser)]
#[command(name = "kubelet")]
pub struct Flags {
    #[command(flatten)]
    pub common: CommonFlags,
    #[command(flatten)]
    pub client: ClientFlags,
    /// Name of this node; the host's name by default
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// Address under which others reach this node; that of the default route by default
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    /// Address that the kubelet serves kube-apiserver on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub address: IpAddr,
    /// Port that the kubelet serves kube-apiserver on
    #[arg(long, default_value_t = 10250)]
    pub port: u16,
    /// Certificate of the kubelet's port
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of the kubelet's port
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Authority of those who may use the kubelet's port
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Users (common names) who may use the kubelet's port, beside the group system:masters
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "kube-apiserver,system:kube-apiserver,kube-apiserver-kubelet-client"
    )]
    pub authorized_users: Vec<String>,
    /// Address of the plain health and metrics port
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub healthz_bind_address: IpAddr,
    /// Port for health and metrics; 0 for none
    #[arg(long, default_value_t = 10248)]
    pub healthz_port: u16,
    /// Image of the container that holds a pod's namespaces
    #[arg(long, value_name = "IMAGE", default_value = "pilothouse/pause:1")]
    pub pod_infra_container_image: String,
    /// Directory of the pods' volumes
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// Socket of the Docker Engine
    #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock")]
    pub docker_endpoint: String,
    /// Labels of the node when it registers, as key=value,…
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// How many pods the node takes
    #[arg(long, default_value_t = 110, value_parser = clap::value_parser!(i64).range(1..))]
    pub max_pods: i64,
    /// What must be left, as signal<value,…; below it the node is under pressure and takes no pods. Running ones stay
    #[arg(long, value_name = "THRESHOLDS", default_value = thresholds::DEFAULT)]
    pub eviction_hard: Thresholds,
    /// Range of the pods' addresses; the node's spec.podCIDR by default
    #[arg(long, value_name = "CIDR")]
    pub pod_cidr: Option<String>,
    /// Docker network, and its bridge, that pods join
    #[arg(long, value_name = "NAME", default_value = "kbr0")]
    pub network_bridge: String,
    /// Addresses of the cluster's DNS
    #[arg(long, value_name = "IPS", value_delimiter = ',')]
    pub cluster_dns: Vec<IpAddr>,
    /// Remove the containers, mounts and files of this kubelet (known by --root-dir) and its network, and end
    #[arg(long)]
    pub cleanup: bool,
    /// Domain of the cluster's names
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
}

impl Flags {
    pub fn listen(&self) -> ListenFlag {
        ListenFlag::new("port", self.address, self.port)
    }

    pub fn health(&self) -> ListenFlag {
        ListenFlag::new("healthz-port", self.healthz_bind_address, self.healthz_port)
    }

    /// The node's name, as a name in the API must be.
    pub fn node_name(&self) -> Result<String, FlagError> {
        let given = match &self.hostname_override {
            Some(name) => name.clone(),
            None => {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
                host.map_err(|error| FlagError::new("hostname-override", "", error))?.trim().to_lowercase()
            }
        };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = given.len() <= 253
            && given.split('.').all(|part| {
                part.starts_with(fits) && part.ends_with(fits) && part.chars().all(|c| fits(c) || c == '-')
            });
        let reason =
            "a node's name is lower case letters, digits, '-' and '.', and begins and ends with a letter or digit";
        if good { Ok(given) } else { Err(FlagError::new("hostname-override", given, reason)) }
    }

    pub fn node_address(&self) -> Result<IpAddr, FlagError> {
        if let Some(address) = self.node_ip {
            let wrong = |reason| Err(FlagError::new("node-ip", address, reason));
            return if address.is_unspecified() || address.is_multicast() {
                wrong("no address of a host")
            } else {
                Ok(address)
            };
        }
        // Asks the kernel for its way to the world; connecting a datagram socket sends nothing.
        let ask = || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect("192.0.2.1:9")?;
            socket.local_addr()
        };
        match ask() {
            Ok(local) => Ok(local.ip()),
            Err(error) => Err(FlagError::new(
                "node-ip",
                "",
                format_args!("can't be guessed, there is no default route ({error}): say it"),
            )),
        }
    }

    pub fn labels(&self) -> Result<BTreeMap<String, String>, FlagError> {
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(FlagError::new("node-labels", text, "is not key=value")),
        };
        self.node_labels.iter().filter(|text| !text.is_empty()).map(pair).collect()
    }

    pub fn pod_cidr(&self) -> Result<Option<String>, FlagError> {
        let Some(text) = &self.pod_cidr else { return Ok(None) };
        let parsed = text.split_once('/').and_then(|(ip, bits)| {
            let ip: IpAddr = ip.parse().ok()?;
            let most = if ip.is_ipv4() { 30 } else { 126 };
            bits.parse::<u8>().ok().filter(|bits| (1..=most).contains(bits))
        });
        match parsed {
            Some(_) => Ok(Some(text.clone())),
            None => Err(FlagError::new("pod-cidr", text, "is not a range of addresses such as 10.244.0.0/24")),
        }
    }

    pub fn bridge(&self) -> Result<String, FlagError> {
        let name = &self.network_bridge;
        // The kernel's limit for the names of interfaces.
        let good =
            (1..=15).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let reason = "is no name of a network interface (at most 15 letters, digits, '-', '_', '.')";
        if good { Ok(name.clone()) } else { Err(FlagError::new("network-bridge", name, reason)) }
    }

    pub fn docker_endpoint(&self) -> Result<String, FlagError> {
        if self.docker_endpoint.starts_with("unix:///") {
            return Ok(self.docker_endpoint.clone());
        }
        Err(FlagError::new("docker-endpoint", &self.docker_endpoint, "is not unix:///path"))
    }

    pub fn root_dir(&self) -> Result<PathBuf, FlagError> {
        let wrong = |error: std::io::Error| FlagError::new("root-dir", self.root_dir.display(), error);
        std::fs::create_dir_all(self.root_dir.join("pods")).map_err(wrong)?;
        self.root_dir.canonicalize().map_err(wrong)
    }

    /// A file that has to be there.
    pub fn required(flag: &'static str, path: Option<&PathBuf>) -> Result<PathBuf, FlagError> {
        let reason = "must be given: the kubelet's port is served with TLS, and to known clients only";
        path.cloned().ok_or_else(|| FlagError::new(flag, "", reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(more: &[&str]) -> Flags {
        Flags::parse_from(["kubelet"].iter().chain(more))
    }

    #[test]
    fn what_is_wrong_is_named_by_its_flag() {
        for (arguments, expected) in [
            (["--hostname-override=Node_1"], "--hostname-override=Node_1: a node's name is"),
            (["--node-ip=0.0.0.0"], "--node-ip=0.0.0.0: no address of a host"),
            (["--node-labels=a=b,c"], "--node-labels=c: is not key=value"),
            (["--pod-cidr=10.0.0.0"], "--pod-cidr=10.0.0.0: is not a range of addresses"),
            (["--network-bridge=a-name-too-long-for-linux"], "--network-bridge=a-name-too-long-for-linux: is no name"),
            (["--docker-endpoint=tcp://1.2.3.4"], "--docker-endpoint=tcp://1.2.3.4: is not unix:///path"),
            (["--root-dir=/proc/nope"], "--root-dir=/proc/nope: "),
        ] {
            let flags = flags(&arguments);
            let errors = [
                flags.node_name().err(),
                flags.node_address().err(),
                flags.labels().err(),
                flags.pod_cidr().err(),
                flags.bridge().err(),
                flags.docker_endpoint().err(),
            ];
            let mut errors: Vec<String> = errors.into_iter().flatten().map(|error| error.to_string()).collect();
            if arguments[0].starts_with("--root-dir") {
                errors.extend(flags.root_dir().err().map(|error| error.to_string()));
            }
            assert!(errors.iter().any(|error| error.starts_with(expected)), "{arguments:?}: {errors:?}");
        }
    }

    #[test]
    fn good_flags() {
        let flags = flags(&["--hostname-override=node-1.example", "--node-labels=a=b,c=", "--pod-cidr=10.244.0.0/24"]);
        assert_eq!(flags.node_name().unwrap(), "node-1.example");
        assert_eq!(flags.labels().unwrap().len(), 2);
        assert_eq!(flags.pod_cidr().unwrap().as_deref(), Some("10.244.0.0/24"));
    }
}
