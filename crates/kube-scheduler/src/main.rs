//! kube-scheduler: chooses a node for each pod. This file only wires.
mod algorithm;
mod cache;
mod decisions;
mod metrics;
mod model;
mod options;
mod plugins;
mod queue;
mod scheduler;
mod status;

use std::process::ExitCode;

use client::{Binder, Client, EventRecorder, Grant, LeaderElection, Object, Reflector, Timing};
use daemon::{Health, Supervisor, fail};
use k8s_openapi::api::core::v1 as core;

use crate::{decisions::Decisions, options::Options, scheduler::Scheduler, status::Unscheduled};

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
    let mut health = match Health::bind(options.listen()) {
        Ok(health) => health,
        Err(error) => return fail(error),
    };
    let mut supervisor = Supervisor::new();
    let token = supervisor.token();
    let client = Client::new(&config);

    let pods = Reflector::of(&client, core::Pod::RESOURCE).fields("status.phase!=Succeeded,status.phase!=Failed");
    let nodes = Reflector::of(&client, core::Node::RESOURCE);
    let services = Reflector::of(&client, core::Service::RESOURCE);
    let stores = (pods.store(), nodes.store(), services.store());
    let deltas = scheduler::deltas(&stores.0, &stores.1, &stores.2);

    let (binder, binding) = Binder::new(&client);
    let (events, recording) = EventRecorder::new(&client, &options.scheduler_name, None);
    let (unscheduled, reporting) = Unscheduled::new(&client);
    let decisions = Decisions::default();
    let metrics = metrics::Metrics::register(health.registry());
    let shown = decisions.clone();
    health.route("/debug/decisions", move |query| std::future::ready(shown.answer(&query)));
    let ready = stores.0.clone();
    health.ready_when("informer-sync", move || {
        if ready.is_synced() { Ok(()) } else { Err("the pods are not listed yet".to_owned()) }
    });
    let outputs = scheduler::Outputs { binder, events, unscheduled, decisions, metrics };
    let scheduler = Scheduler::new(options.scheduler_name.clone(), outputs);

    let (grant, terms) = Grant::new();
    supervisor.spawn("health", health.serve(token.clone()));
    supervisor.spawn("pods", pods.run(token.clone()));
    supervisor.spawn("nodes", nodes.run(token.clone()));
    supervisor.spawn("services", services.run(token.clone()));
    supervisor.spawn("bindings", binding.run(token.clone()));
    supervisor.spawn("events", recording.run(token.clone()));
    supervisor.spawn("conditions", reporting.run(token.clone()));
    supervisor.spawn("scheduler", scheduler.run(deltas, terms, token.clone()));
    supervisor.spawn("leader", async move {
        let live = || scheduler::live(&stores.0, &stores.1, &stores.2);
        if !options.leader.leader_elect {
            live().await;
            grant.term(token.clone());
            return token.cancelled().await;
        }
        let namespace = &options.leader.leader_elect_resource_namespace;
        let identity = LeaderElection::identity();
        let election = LeaderElection::new(&client, namespace, "kube-scheduler", identity, Timing::default());
        election.run(grant, live, token).await;
    });
    supervisor.ready();
    supervisor.run().await
}
