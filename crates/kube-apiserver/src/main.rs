//! kube-apiserver: the Kubernetes API over HTTPS and gRPC on one port, with all state in etcd.

mod bootstrap;
mod compact;
mod flags;
mod grpc;
mod kubelet;
mod registry;
mod request;
mod rest;
mod server;

use std::process::ExitCode;
use std::sync::Arc;

use daemon::{Health, Supervisor};
use storage::{Backend, Cache, Etcd};

use crate::bootstrap::Bootstrap;
use crate::flags::{Config, Flags};
use crate::kubelet::Kubelets;
use crate::registry::Registry;
use crate::rest::Rest;
use crate::server::Server;

// The system's allocator keeps several times of what 10 000 objects need.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
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
    let backend: Arc<dyn Backend> = match Etcd::new(config.etcd).await {
        Ok(etcd) => etcd,
        Err(error) => return daemon::fail(format_args!("--etcd-servers: {error}")),
    };
    let mut supervisor = Supervisor::new();
    let token = supervisor.token();
    let cache = Cache::start(backend.clone());
    let service_ip = config.ranges.services.first().to_string();
    let registry = Registry::new(backend.clone(), &cache, config.ranges, config.event_ttl);

    let mut health = Health::unbound();
    let filled = cache.clone();
    health.ready_when("watch-cache", move || match filled.is_ready() {
        true => Ok(()),
        false => Err("the watch cache is being filled from etcd".into()),
    });
    let rest = Arc::new(Rest {
        registry: registry.clone(),
        kubelets: Kubelets::new(config.kubelet_tls),
        health,
        address: format!("{}:{}", config.advertise, config.port),
    });
    let bootstrap = Bootstrap { registry, service_ip, address: config.advertise, port: config.port };
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
    let server = Server { rest, tls: config.tls };
    supervisor.spawn("server", server.serve(listener, token.clone()));
    tracing::info!(port = config.port, advertise = %config.advertise, "serving");
    supervisor.ready();
    supervisor.run().await
}
