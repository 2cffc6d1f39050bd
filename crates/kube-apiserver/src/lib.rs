//! kube-apiserver: the Kubernetes API over HTTPS and gRPC on one port, with all state in etcd. The program only calls
//! [`main`]; tests drive [`Rest`] and [`Registry`] without a network.

pub mod admission;
pub mod attributes;
pub mod audit;
pub mod authentication;
pub mod authorization;
mod bootstrap;
pub mod checks;
mod compact;
mod config_file;
pub mod exchange;
pub mod expiring;
mod flags;
pub mod grpc;
pub mod https;
mod kubelet;
pub mod limits;
pub mod metrics;
pub mod registry;
pub mod request;
pub mod rest;
pub mod server;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use daemon::{Health, Supervisor};
use storage::{Backend, Cache, Etcd};

use crate::bootstrap::Bootstrap;
use crate::flags::{Config, Flags};
use crate::metrics::MeasuredBackend;
use crate::registry::Registry;
use crate::rest::Rest;
use crate::server::Server;

/// Reads the flags and serves until it is told to end.
pub fn main() -> ExitCode {
    let flags: Flags = daemon::flags::parse();
    daemon::logging::init(flags.common.verbosity);
    let config = match flags.check() {
        Ok(config) => config,
        Err(error) => return daemon::fail(error),
    };
    let listener = match config.listen.bind() {
        Ok(listener) => listener,
        Err(error) => return daemon::fail(error),
    };
    match daemon::runtime(2) {
        Ok(runtime) => runtime.block_on(run(config, listener)),
        Err(error) => daemon::fail(error),
    }
}

async fn run(config: Config, listener: std::net::TcpListener) -> ExitCode {
    let measured = match Etcd::new(config.etcd).await {
        Ok(etcd) => MeasuredBackend::new(etcd),
        Err(error) => return daemon::fail(format_args!("--etcd-servers: {error}")),
    };
    let backend: Arc<dyn Backend> = Arc::new(measured.clone());
    let mut supervisor = Supervisor::new();
    let token = supervisor.token();
    let catalog = config.catalog;
    let cache = Cache::start(backend.clone());
    let service_ip = config.ranges.services.first().to_string();
    let registry =
        Registry::new(catalog, backend.clone(), cache.clone(), config.admission, config.ranges, config.event_ttl);

    let mut health = Health::unbound();
    measured.register(health.registry());
    let hooks = Arc::default();
    let rbac = config.rbac.clone();
    checks::register(&mut health, backend.clone(), cache.clone(), rbac, &hooks, token.clone());
    let address = SocketAddr::new(config.advertise, config.port);
    let identities = match config.authentication.build(&registry) {
        Ok(built) => built,
        Err(error) => return daemon::fail(error),
    };
    let audit = config.filters.audit.clone();
    let rest = Arc::new(Rest::new(
        registry.clone(),
        identities,
        config.authorization,
        config.kubelet_tls,
        health,
        address,
        config.filters,
    ));
    let (address, port) = (config.advertise, config.port);
    let bootstrap = Bootstrap { registry: registry.clone(), service_ip, address, port, hooks };
    let ready = cache.clone();
    let boot_token = token.clone();
    supervisor.spawn("bootstrap", async move {
        tokio::select! {
            () = ready.ready() => bootstrap.run(boot_token).await,
            () = boot_token.cancelled() => {}
        }
    });
    if let Some(every) = config.compact_every {
        supervisor.spawn("compaction", compact::run(backend, every, token.clone()));
    }
    supervisor.spawn("rbac", config.rbac.run(registry.clone(), token.clone()));
    supervisor.spawn("node-authorizer", config.nodes.run(registry.clone(), token.clone()));
    let server = Server { rest, tls: config.tls };
    supervisor.spawn("server", server.serve(listener, token.clone()));
    tracing::info!(port = config.port, advertise = %config.advertise, "serving");
    supervisor.ready();
    let code = supervisor.run().await;
    if let Some(audit) = audit {
        // In a thread that may wait: the log is written by another one.
        let _ = tokio::task::spawn_blocking(move || audit.flush()).await;
    }
    code
}
