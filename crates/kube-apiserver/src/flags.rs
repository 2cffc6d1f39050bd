//! The command line. Everything is checked before anything is bound.

mod audit;
mod authentication;
mod oidc;
mod runtime_config;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::catalog::Catalog;
use clap::{ArgAction, Parser};
use daemon::flags::ListenFlag;
use daemon::tls::{ClientAuth, ClientTls, HTTP, HTTP2, KeyPair, ServerTls, Source};
use daemon::{CommonFlags, FlagError};
use storage::EtcdOptions;

use crate::admission::{Admission, Configuration, Plugins};
use crate::authorization::{AlwaysAllow, AlwaysDeny, Authorization, Authorizer, Nodes, Rbac, WebhookAuthorizer};
use crate::exchange::Filters;
use crate::https::Webhook;
use crate::limits::Limits;
use crate::registry::{Ranges, ServiceRange};

use audit::AuditFlags;
use authentication::{AuthenticationConfig, AuthenticationFlags};

/// Serves the Kubernetes API over HTTPS and gRPC, and keeps all state in etcd.
#[derive(Parser, Debug)]
#[command(name = "kube-apiserver")]
pub struct Flags {
    #[command(flatten)]
    pub common: CommonFlags,
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0")]
    bind_address: IpAddr,
    /// Port for HTTPS and gRPC
    #[arg(long, default_value_t = 6443)]
    secure_port: u16,
    /// Address that other members of the cluster reach this server at; by default that of the default route
    #[arg(long)]
    advertise_address: Option<IpAddr>,
    /// etcd servers, with commas between them
    #[arg(long, value_delimiter = ',', required = true, value_name = "URL,…")]
    etcd_servers: Vec<String>,
    /// Authority of etcd's certificates (PEM)
    #[arg(long)]
    etcd_cafile: Option<PathBuf>,
    /// Certificate for etcd (PEM)
    #[arg(long, requires = "etcd_keyfile")]
    etcd_certfile: Option<PathBuf>,
    /// Key of the certificate for etcd (PEM)
    #[arg(long, requires = "etcd_certfile")]
    etcd_keyfile: Option<PathBuf>,
    /// How often etcd's history is compacted; 0: never
    #[arg(long, default_value = "5m", value_parser = duration)]
    etcd_compaction_interval: Duration,
    /// Certificate of this server (PEM)
    #[arg(long, required = true)]
    tls_cert_file: PathBuf,
    /// Key of the certificate of this server (PEM)
    #[arg(long, required = true)]
    tls_private_key_file: PathBuf,
    /// Authority of the clients' certificates (PEM): common name and organizations are user and groups
    #[arg(long, required = true)]
    client_ca_file: PathBuf,
    /// Certificate for the kubelets (PEM)
    #[arg(long, requires = "kubelet_client_key", requires = "kubelet_certificate_authority")]
    kubelet_client_certificate: Option<PathBuf>,
    /// Key of the certificate for the kubelets (PEM)
    #[arg(long)]
    kubelet_client_key: Option<PathBuf>,
    /// Authority of the kubelets' certificates (PEM)
    #[arg(long)]
    kubelet_certificate_authority: Option<PathBuf>,
    /// Addresses for services
    #[arg(long, default_value = "10.0.0.0/24")]
    service_cluster_ip_range: String,
    /// Ports for services of type NodePort
    #[arg(long, default_value = "30000-32767")]
    service_node_port_range: String,
    /// How long events are kept
    #[arg(long, default_value = "1h", value_parser = duration)]
    event_ttl: Duration,
    /// Who may do what, with commas between the modes: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny. The first that has an opinion decides
    #[arg(long, value_delimiter = ',', default_value = "AlwaysAllow", value_name = "MODE,…")]
    authorization_mode: Vec<String>,
    /// Kubeconfig of the server that the mode Webhook asks
    #[arg(long, value_name = "FILE")]
    authorization_webhook_config_file: Option<PathBuf>,
    /// Version of the SubjectAccessReview that it is asked by
    #[arg(long, default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    authorization_webhook_version: String,
    /// How long it counts that something is allowed
    #[arg(long, default_value = "5m", value_parser = duration)]
    authorization_webhook_cache_authorized_ttl: Duration,
    /// How long it counts that something is not allowed
    #[arg(long, default_value = "30s", value_parser = duration)]
    authorization_webhook_cache_unauthorized_ttl: Duration,
    /// Versions that are served or not: GROUP/VERSION=BOOL, api/VERSION=BOOL of the core group, and api/all, api/ga, api/beta, api/alpha
    #[arg(long, value_delimiter = ',', value_name = "KEY=BOOL,…")]
    runtime_config: Vec<String>,
    /// Plugins that are on beside those that are on by default
    #[arg(long, value_delimiter = ',', value_name = "PLUGIN,…")]
    enable_admission_plugins: Vec<String>,
    /// Plugins that are off though they are on by default
    #[arg(long, value_delimiter = ',', value_name = "PLUGIN,…")]
    disable_admission_plugins: Vec<String>,
    /// The plugins that are on and no others, in this order (deprecated: --enable-admission-plugins)
    #[arg(long, value_delimiter = ',', value_name = "PLUGIN,…", conflicts_with_all = ["enable_admission_plugins", "disable_admission_plugins"])]
    admission_control: Option<Vec<String>>,
    /// What admission plugins are told: a file with an AdmissionConfiguration
    #[arg(long)]
    admission_control_config_file: Option<PathBuf>,
    #[command(flatten)]
    authentication: AuthenticationFlags,
    #[command(flatten)]
    audit: AuditFlags,
    /// How many requests that change nothing are worked on at a time, beside watches, logs and other long ones; 0: any number
    #[arg(long, default_value_t = Limits::READS, value_name = "NUMBER")]
    max_requests_inflight: usize,
    /// How many requests that change something are worked on at a time; 0: any number
    #[arg(long, default_value_t = Limits::WRITES, value_name = "NUMBER")]
    max_mutating_requests_inflight: usize,
    /// Only false is taken: no request waits in a queue, the two limits above are all that there is of priority and fairness
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    enable_priority_and_fairness: bool,
}

/// What the flags say, read and checked.
pub struct Config {
    pub listen: ListenFlag,
    pub advertise: IpAddr,
    pub port: u16,
    pub etcd: EtcdOptions,
    pub compact_every: Option<Duration>,
    pub tls: ServerTls,
    pub kubelet_tls: Option<ClientTls>,
    pub ranges: Ranges,
    pub event_ttl: i64,
    pub authentication: AuthenticationConfig,
    pub authorization: Authorization,
    pub admission: Admission,
    pub rbac: Rbac,
    pub nodes: Nodes,
    pub catalog: Arc<Catalog>,
    pub filters: Filters,
}

/// `90s`, `5m`, `1h30m`: Go's notation.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    let wrong = || format!("{text:?} is not a duration such as 90s, 5m or 1h30m");
    parsed.ok().and_then(|duration| Duration::try_from(duration).ok()).ok_or_else(wrong)
}

fn ports(text: &str) -> Result<RangeInclusive<i32>, String> {
    let wrong = || format!("{text:?} is not a range of ports such as 30000-32767");
    let (low, high) = text.split_once('-').ok_or_else(wrong)?;
    let (low, high): (u16, u16) = (low.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?);
    if low == 0 || low > high { Err(wrong()) } else { Ok(i32::from(low)..=i32::from(high)) }
}

/// The address of the interface with the default route. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

impl Flags {
    fn authorization_webhook(&self) -> Result<WebhookAuthorizer, FlagError> {
        let flag = "authorization-webhook-config-file";
        let why = "must be set, as --authorization-mode has Webhook";
        let path = self.authorization_webhook_config_file.as_ref().ok_or_else(|| FlagError::new(flag, "", why))?;
        let webhook = Webhook::new(path).map_err(|why| FlagError::new(flag, path.display(), why))?;
        let (allowed, refused) =
            (self.authorization_webhook_cache_authorized_ttl, self.authorization_webhook_cache_unauthorized_ttl);
        Ok(WebhookAuthorizer::new(webhook, self.authorization_webhook_version.clone(), allowed, refused))
    }

    pub fn check(self) -> Result<Config, Box<dyn std::error::Error>> {
        let (rbac, nodes) = (Rbac::default(), Nodes::default());
        let catalog = Catalog::builtin();
        let off = runtime_config::off(&self.runtime_config, &catalog.groups())?;
        let catalog = if off.is_empty() { catalog } else { catalog.without(&off) };
        let mut authorizers: Vec<Arc<dyn Authorizer>> = Vec::new();
        for mode in &self.authorization_mode {
            authorizers.push(match mode.as_str() {
                "AlwaysAllow" => Arc::new(AlwaysAllow),
                "AlwaysDeny" => Arc::new(AlwaysDeny),
                "RBAC" => Arc::new(rbac.clone()),
                "Node" => Arc::new(nodes.clone()),
                "Webhook" => Arc::new(self.authorization_webhook()?),
                _ => {
                    let why = "the modes are Node, RBAC, Webhook, AlwaysAllow and AlwaysDeny";
                    return Err(FlagError::new("authorization-mode", mode, why).into());
                }
            });
        }
        let plugins = Plugins::new(
            self.admission_control.as_deref(),
            &self.enable_admission_plugins,
            &self.disable_admission_plugins,
        );
        let flag = if self.admission_control.is_some() { "admission-control" } else { "enable-admission-plugins" };
        let plugins = plugins.map_err(|why| FlagError::new(flag, why.0.clone(), why.to_string()))?;
        let authorization = Authorization::new(authorizers);
        let by_rbac = self.authorization_mode.iter().any(|mode| mode == "RBAC");
        let configuration = match &self.admission_control_config_file {
            Some(path) => Configuration::read(path)
                .map_err(|why| FlagError::new("admission-control-config-file", path.display(), why))?,
            None => Configuration::default(),
        };
        if plugins.has("EventRateLimit") && configuration.events.is_empty() {
            let why = "EventRateLimit needs its limits by --admission-control-config-file";
            return Err(FlagError::new(flag, "EventRateLimit", why).into());
        }
        let admission = plugins.admission(&configuration, &authorization, &rbac, by_rbac);
        let everything = self.authorization_mode.iter().any(|mode| mode == "AlwaysAllow");
        let authentication = self.authentication.check(everything)?;
        let bad = |flag: &str, value: &str| {
            let (flag, value) = (flag.to_owned(), value.to_owned());
            move |why: String| FlagError::new(flag, value, why)
        };
        let range = &self.service_cluster_ip_range;
        let services: ServiceRange = range.parse().map_err(bad("service-cluster-ip-range", range))?;
        let range = &self.service_node_port_range;
        let node_ports = ports(range).map_err(bad("service-node-port-range", range))?;
        for url in &self.etcd_servers {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                let why = "must be a URL such as http://127.0.0.1:2379";
                return Err(FlagError::new("etcd-servers", url, why).into());
            }
        }
        let advertise = match self.advertise_address {
            Some(address) => address,
            None if !self.bind_address.is_unspecified() => self.bind_address,
            None => own_address().ok_or("--advertise-address: must be set, as this machine has no default route")?,
        };
        if self.enable_priority_and_fairness {
            let why =
                "there are no queues: --max-requests-inflight and --max-mutating-requests-inflight are the limits";
            return Err(FlagError::new("enable-priority-and-fairness", "true", why).into());
        }
        let limits = Limits::new(self.max_requests_inflight, self.max_mutating_requests_inflight);
        let filters = Filters { audit: self.audit.check()?, limits, ..Filters::default() };
        let read = |flag: &str, path: &PathBuf| {
            std::fs::read(path).map_err(|e| FlagError::new(flag, path.display(), format!("can't be read: {e}")))
        };
        let certificate = match (&self.etcd_certfile, &self.etcd_keyfile) {
            (Some(certificate), Some(key)) => Some((read("etcd-certfile", certificate)?, read("etcd-keyfile", key)?)),
            _ => None,
        };
        let ca = self.etcd_cafile.as_ref().map(|path| read("etcd-cafile", path)).transpose()?;
        let pair = KeyPair::new(
            Source::file("tls-cert-file", &self.tls_cert_file),
            Source::file("tls-private-key-file", &self.tls_private_key_file),
        );
        let clients = ClientAuth::Optional(Source::file("client-ca-file", &self.client_ca_file));
        let tls = ServerTls::new(pair, clients, HTTP)?;
        let kubelet_tls =
            match (self.kubelet_client_certificate, self.kubelet_client_key, self.kubelet_certificate_authority) {
                (Some(certificate), Some(key), Some(ca)) => {
                    let pair = KeyPair::new(
                        Source::file("kubelet-client-certificate", certificate),
                        Source::file("kubelet-client-key", key),
                    );
                    Some(ClientTls::new(Source::file("kubelet-certificate-authority", ca), Some(pair), HTTP2)?)
                }
                _ => None,
            };
        Ok(Config {
            listen: ListenFlag::new("secure-port", self.bind_address, self.secure_port).address_flag("bind-address"),
            advertise,
            port: self.secure_port,
            etcd: EtcdOptions { endpoints: self.etcd_servers, ca, certificate },
            compact_every: Some(self.etcd_compaction_interval).filter(|every| !every.is_zero()),
            tls,
            kubelet_tls,
            ranges: Ranges { services, node_ports },
            event_ttl: self.event_ttl.as_secs() as i64,
            authentication,
            authorization,
            admission,
            rbac,
            nodes,
            catalog,
            filters,
        })
    }
}
