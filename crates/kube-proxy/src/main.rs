//! kube-proxy: makes service addresses and node ports lead to pods, by rules in the kernel. This file only wires.

mod kernel;
mod model;
mod proxier;
mod rules;

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use client::{Client, ClientFlags, Object, Reflector, Stored};
use daemon::flags::ListenFlag;
use daemon::{CommonFlags, FlagError, Health, Supervisor, fail};
use k8s_openapi::api::core::v1::{Endpoints, Service};

use crate::proxier::{Dirty, Proxier};

/// Makes service addresses and node ports lead to pods, by nftables.
#[derive(Parser, Debug)]
#[command(name = "kube-proxy")]
struct Options {
    #[command(flatten)]
    common: CommonFlags,
    #[command(flatten)]
    client: ClientFlags,
    /// Name of this node, where it differs from the machine's
    #[arg(long, value_name = "NAME")]
    hostname_override: Option<String>,
    /// How rules are written: nftables is the only mode of this version
    #[arg(long, value_name = "MODE", default_value = "nftables")]
    proxy_mode: String,
    /// Addresses of the cluster's pods; connections of others get the address of this node
    #[arg(long, value_name = "CIDR")]
    cluster_cidr: Option<String>,
    /// nftables table (family ip) that holds the rules; it belongs to kube-proxy alone
    #[arg(long, value_name = "NAME", default_value = "kube-proxy")]
    table: String,
    /// Address for /healthz and /metrics
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    healthz_bind_address: IpAddr,
    /// Port for /healthz and /metrics; 0: none
    #[arg(long, value_name = "PORT", default_value_t = 10249)]
    healthz_port: u16,
    /// Take the rules away and end
    #[arg(long)]
    cleanup: bool,
}

impl Options {
    fn check(&self) -> Result<(), FlagError> {
        if self.proxy_mode != "nftables" {
            return Err(FlagError::new("proxy-mode", &self.proxy_mode, "nftables is the only mode of this version"));
        }
        if let Some(range) = &self.cluster_cidr {
            let parts = range.split_once('/').map(|(ip, bits)| (ip.parse::<std::net::Ipv4Addr>(), bits.parse::<u8>()));
            if !matches!(parts, Some((Ok(_), Ok(0..=32)))) {
                return Err(FlagError::new("cluster-cidr", range, "must be an IPv4 range such as 10.244.0.0/16"));
            }
        }
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !self.table.starts_with(|c: char| c.is_ascii_alphabetic()) || !self.table.chars().all(letters) {
            return Err(FlagError::new("table", &self.table, "must be letters, digits, - and _, a letter first"));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let options = daemon::flags::parse::<Options>();
    daemon::logging::init(options.common.verbosity);
    if let Err(error) = options.check() {
        return fail(error);
    }
    match daemon::runtime(1) {
        Ok(runtime) => runtime.block_on(run(options)),
        Err(error) => fail(error),
    }
}

async fn run(options: Options) -> ExitCode {
    if options.cleanup {
        return match kernel::remove(&options.table).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error),
        };
    }
    let config = match options.client.load() {
        Ok(config) => config,
        Err(error) => return fail(error),
    };
    let listen = ListenFlag::new("healthz-port", options.healthz_bind_address, options.healthz_port);
    let mut health = match Health::bind(listen) {
        Ok(health) => health,
        Err(error) => return fail(error),
    };
    for problem in kernel::prepare() {
        tracing::warn!("{problem}; services may not be reachable from pods of the same node");
    }
    let hostname = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase();
    let mut supervisor = Supervisor::new();
    let token = supervisor.token();
    let client = Client::new(&config);
    let services = Reflector::<Service>::of(&client, Service::RESOURCE);
    let endpoints = Reflector::<Endpoints>::of(&client, Endpoints::RESOURCE);
    let dirty = Arc::new(Dirty::default());
    let (of_service, of_endpoints) = (dirty.clone(), dirty.clone());
    services.store().on_change(move |change| of_service.mark(change.object().key()));
    endpoints.store().on_change(move |change| of_endpoints.mark(change.object().key()));
    let proxier = Proxier {
        services: services.store(),
        endpoints: endpoints.store(),
        dirty,
        node: options.hostname_override.unwrap_or_else(hostname),
        table: options.table,
        pod_range: options.cluster_cidr,
    };
    let synced = services.store();
    health.ready_when("informer-sync", move || {
        if synced.is_synced() { Ok(()) } else { Err("the services are not listed yet".to_owned()) }
    });
    supervisor.spawn("health", health.serve(token.clone()));
    supervisor.spawn("services", services.run(token.clone()));
    supervisor.spawn("endpoints", endpoints.run(token.clone()));
    supervisor.spawn("proxier", proxier.run(token));
    supervisor.ready();
    supervisor.run().await
}
