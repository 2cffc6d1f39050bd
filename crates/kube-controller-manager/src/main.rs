//! kube-controller-manager: makes the cluster what its objects say. This file only wires.
mod aggregation;
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

use client::{Client, Grant, LeaderElection, Timing};
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
    let (grant, terms) = Grant::new();
    let mut manager = Manager::new(&client, &mut supervisor, terms);
    manager.spawn_controllers(&options, ranges);
    let mirrors = manager.into_mirrors();
    let ready = mirrors.clone();
    health.ready_when("informer-sync", move || ready.check());
    supervisor.spawn("health", health.serve(token.clone()));

    supervisor.spawn("leader", async move {
        if !options.leader.leader_elect {
            mirrors.wait().await;
            grant.term(token.clone());
            return token.cancelled().await;
        }
        let namespace = &options.leader.leader_elect_resource_namespace;
        let identity = LeaderElection::identity();
        let election = LeaderElection::new(&client, namespace, "kube-controller-manager", identity, Timing::default());
        election.run(grant, || mirrors.wait(), token).await;
    });
    supervisor.ready();
    supervisor.run().await
}
