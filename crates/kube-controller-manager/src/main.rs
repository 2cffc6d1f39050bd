//! kube-controller-manager: makes the cluster what its objects say. This file only wires.
mod catalog;
mod endpoints;
mod garbage;
mod manager;
mod model;
mod namespaces;
mod node;
mod options;
mod podgc;
mod replicas;
mod replication;
mod stores;

use std::process::ExitCode;

use client::{Client, LeaderElection, Timing};
use daemon::{Health, Supervisor, fail};

use crate::{manager::Manager, options::Options};

fn main() -> ExitCode {
    let options = daemon::flags::parse::<Options>();
    daemon::logging::init(options.common.verbosity);
    match daemon::runtime(2) {
        Ok(runtime) => runtime.block_on(run(options)),
        Err(error) => fail(error),
    }
}

async fn run(options: Options) -> ExitCode {
    let config = match options.client.load() {
        Ok(config) => config,
        Err(error) => return fail(error),
    };
    let ranges = match options.node_ranges() {
        Ok(ranges) => ranges,
        Err(error) => return fail(error),
    };
    let mut health = match Health::bind(options.listen()) {
        Ok(health) => health,
        Err(error) => return fail(error),
    };
    let client = Client::new(&config);
    let mut supervisor = Supervisor::new();
    let token = supervisor.token();
    let mut manager = Manager::new(&client, &mut supervisor);
    manager.spawn_controllers(&options, ranges);
    let (mirrors, go) = manager.into_parts();
    let ready = mirrors.clone();
    health.ready_when("informer-sync", move || ready.check());
    supervisor.spawn("health", health.serve(token.clone()));

    supervisor.spawn("leader", async move {
        let lead = async {
            mirrors.wait().await;
            if !options.leader.leader_elect {
                return None;
            }
            let (namespace, name) = (&options.leader.leader_elect_resource_namespace, "kube-controller-manager");
            let identity = LeaderElection::identity();
            LeaderElection::new(&client, namespace, name, identity, Timing::default()).acquire(&token).await
        };
        let leadership = tokio::select! {
            _ = token.cancelled() => return Ok(()),
            leadership = lead => leadership,
        };
        go.cancel();
        match leadership {
            Some(leadership) => leadership.keep(token).await,
            None => {
                token.cancelled().await;
                Ok(())
            }
        }
    });
    supervisor.ready();
    supervisor.run().await
}
