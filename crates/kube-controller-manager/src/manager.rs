//! Which controllers there are, and what they share: mirrors of the API, and the permission to work.
use std::{future::Future, pin::Pin, sync::Arc};

use client::{Client, Discovery, EventRecorder, Object, Reflector, Store, Stored, Terms};
use daemon::Supervisor;
use k8s_openapi::api::{coordination::v1::Lease, core::v1 as core, rbac::v1::ClusterRole};
use tokio_util::sync::CancellationToken;

use crate::{
    aggregation::Aggregation,
    endpoints::EndpointsController,
    garbage::{GarbageCollector, Source},
    namespaces::Namespaces,
    node::{cidr::CidrSet, health::Grace, ipam::Ipam, lifecycle::Lifecycle},
    options::Options,
    podgc::PodGc,
    replication::Replication,
    stores,
};

type Wait = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

struct Mirror {
    name: &'static str,
    is_synced: Box<dyn Fn() -> bool + Send + Sync>,
    wait: Wait,
}

/// All mirrors, to ask whether their first lists are in: a decision made on half the cluster would be a wrong one.
#[derive(Clone)]
pub struct Mirrors(Arc<Vec<Mirror>>);

impl Mirrors {
    pub fn check(&self) -> Result<(), String> {
        match self.0.iter().find(|mirror| !(mirror.is_synced)()) {
            Some(mirror) => Err(format!("the {} are not listed yet", mirror.name)),
            None => Ok(()),
        }
    }

    pub async fn wait(&self) {
        for mirror in self.0.iter() {
            (mirror.wait)().await;
        }
    }
}

pub struct Manager<'a> {
    client: Client,
    supervisor: &'a mut Supervisor,
    mirrors: Vec<Mirror>,
    /// When the controllers may work.
    terms: Terms,
}

impl<'a> Manager<'a> {
    pub fn new(client: &Client, supervisor: &'a mut Supervisor, terms: Terms) -> Self {
        Self { client: client.clone(), supervisor, mirrors: Vec::new(), terms }
    }

    /// Spawns all controllers; they wait for the permission to work.
    pub fn spawn_controllers(&mut self, options: &Options, ranges: Vec<CidrSet>) {
        let client = self.client.clone();
        let (discovery, discoverer) = Discovery::new(&client);
        self.supervisor.spawn("discovery", discoverer.run(self.supervisor.token()));
        let pods = self.mirror("pods", stores::pods(Reflector::of(&client, core::Pod::RESOURCE)));
        let services = self.mirror("services", stores::services(Reflector::new(&client)));
        let endpoints = self.mirror("endpoints", stores::owned(Reflector::<core::Endpoints>::new(&client)));
        let controllers =
            self.mirror("replicationcontrollers", stores::replication_controllers(Reflector::new(&client)));

        let events = self.recorder("replication-controller");
        let replication = Replication::new(&client, &controllers, &pods, events);
        let workers = options.concurrent_rc_syncs;
        self.spawn("replicationcontroller", move |term| replication.clone().run(workers, term));

        let nodes = self.mirror(
            "nodes",
            Reflector::<core::Node>::new(&client).trim(|node| {
                if let Some(status) = &mut node.status {
                    status.images = None;
                }
            }),
        );
        let leases = self.mirror("leases", stores::owned(Reflector::<Lease>::new(&client)));
        if options.allocate_node_cidrs {
            let events = self.recorder("cidrAllocator");
            let ipam = Ipam::new(&client, &nodes, events, ranges);
            self.spawn("nodeipam", move |term| ipam.clone().run(term));
        }
        let events = self.recorder("node-controller");
        let grace = Grace { silent: options.node_monitor_grace_period, startup: options.node_startup_grace_period };
        let settings = (grace, options.node_monitor_period);
        let lifecycle = Lifecycle::new(&client, &nodes, &leases, &pods, events, settings);
        self.spawn("nodelifecycle", move |term| lifecycle.clone().run(term));

        let controller = EndpointsController::new(&client, &services, &pods, &endpoints);
        let workers = options.concurrent_endpoint_syncs;
        self.spawn("endpoint", move |term| controller.clone().run(workers, term));

        let namespaces = self.mirror("namespaces", stores::owned(Reflector::<core::Namespace>::new(&client)));
        let controller = Namespaces::new(&client, &discovery, &namespaces);
        let workers = options.concurrent_namespace_syncs;
        self.spawn("namespace", move |term| controller.clone().run(workers, term));

        let roles = self.mirror("clusterroles", stores::owned(Reflector::<ClusterRole>::new(&client)));
        let controller = Aggregation::new(&client, &roles);
        self.spawn("clusterrole-aggregation", move |term| controller.clone().run(term));

        let given = vec![
            Source::of(core::Pod::RESOURCE, &pods),
            Source::new(&controllers),
            Source::new(&services),
            Source::new(&endpoints),
            Source::new(&nodes),
            Source::new(&leases),
            Source::new(&namespaces),
            Source::new(&roles),
        ];
        let collector = GarbageCollector::new(&client, &discovery, given);
        self.supervisor.spawn("mirrors of the garbage collector", collector.clone().mirror(self.supervisor.token()));
        let workers = options.concurrent_gc_syncs;
        self.spawn("garbagecollector", move |term| collector.clone().run(workers, term));

        let gc = PodGc::new(&client, &pods, &nodes, options.terminated_pod_gc_threshold);
        self.spawn("podgc", move |term| gc.clone().run(term));
    }

    pub fn into_mirrors(self) -> Mirrors {
        Mirrors(Arc::new(self.mirrors))
    }

    fn mirror<K: Stored>(&mut self, name: &'static str, reflector: Reflector<K>) -> Store<K> {
        let store = reflector.store();
        let (checked, waited) = (store.clone(), store.clone());
        let wait = move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let store = waited.clone();
            Box::pin(async move { store.wait_live().await })
        };
        let is_synced = Box::new(move || checked.is_synced());
        self.mirrors.push(Mirror { name, is_synced, wait: Box::new(wait) });
        self.supervisor.spawn(name, reflector.run(self.supervisor.token()));
        store
    }

    fn recorder(&mut self, component: &str) -> EventRecorder {
        let (recorder, recording) = EventRecorder::new(&self.client, component, None);
        self.supervisor.spawn(format!("events of {component}"), recording.run(self.supervisor.token()));
        recorder
    }

    /// Spawns a controller that runs whenever this process leads.
    fn spawn<F>(&mut self, name: &str, run: impl Fn(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut terms, token) = (self.terms.clone(), self.supervisor.token());
        self.supervisor.spawn(name, async move {
            loop {
                let term = tokio::select! {
                    _ = token.cancelled() => return,
                    term = terms.current() => term,
                };
                run(term).await;
            }
        });
    }
}
