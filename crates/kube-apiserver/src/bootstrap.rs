//! What must exist in every cluster: the system namespaces and priority classes, and the `kubernetes` service with this server behind it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::catalog::Rules;
use api::status::Status;
use api::strategy::{SYSTEM_NAMESPACES, SYSTEM_PRIORITY_CLASSES};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::authorization::rbac;
use crate::checks::Hooks;
use crate::registry::{Context, Registry};

/// What an end of the server waits for.
const PARTING: Duration = Duration::from_secs(2);
/// Somebody may delete them.
const EVERY: Duration = Duration::from_secs(10);

pub struct Bootstrap {
    pub registry: Arc<Registry>,
    /// The first address of the service range.
    pub service_ip: String,
    /// Where this server can be reached.
    pub address: IpAddr,
    pub port: u16,
    /// What is done is told there.
    pub hooks: Arc<Hooks>,
}

impl Bootstrap {
    pub async fn run(self, token: CancellationToken) {
        let trouble = daemon::LogOnce::new();
        loop {
            let mut ensured = self.ensure().await;
            // Roles are put back at each start only: who takes one away while the server runs means it.
            if ensured.is_ok() && !self.hooks.roles.is_done() {
                ensured = rbac::defaults::ensure(&self.registry).await;
                if ensured.is_ok() {
                    self.hooks.roles.done();
                }
            }
            match ensured {
                Ok(()) => {
                    trouble.over("the system namespaces, the default roles and the kubernetes service are there");
                }
                Err(status) => {
                    trouble.trouble(format_args!("system namespaces, default roles and kubernetes service: {status}"));
                }
            }
            tokio::select! {
                () = token.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        match tokio::time::timeout(PARTING, self.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => {
                tracing::warn!("the kubernetes service keeps this server until it is forgotten: {status}")
            }
            Err(_) => {
                tracing::warn!("the kubernetes service keeps this server until it is forgotten: etcd gives no answer")
            }
        }
    }

    async fn ensure(&self) -> Result<(), Status> {
        for name in SYSTEM_NAMESPACES {
            self.create_if_missing(("", "namespaces"), "", name, json!({"metadata": {"name": name}})).await?;
        }
        self.hooks.namespaces.done();
        for (name, value, description) in SYSTEM_PRIORITY_CLASSES {
            let class = json!({"metadata": {"name": name}, "value": value, "description": description,
                "preemptionPolicy": "PreemptLowerPriority"});
            self.create_if_missing(("scheduling.k8s.io", "priorityclasses"), "", name, class).await?;
        }
        self.hooks.priorities.done();
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({"metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {"type": "ClusterIP", "clusterIP": self.service_ip, "clusterIPs": [self.service_ip],
                "sessionAffinity": "None",
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": self.port}]}});
        self.create_if_missing(("", "services"), "default", "kubernetes", service).await?;
        self.endpoints().await?;
        self.hooks.service.done();
        Ok(())
    }

    async fn create_if_missing(
        &self,
        (group, plural): (&str, &str),
        namespace: &str,
        name: &str,
        mut object: Value,
    ) -> Result<(), Status> {
        let target = self.registry.target(group, "v1", plural, namespace, name)?;
        if self.registry.get_cached(&target, 0).await.is_ok() {
            return Ok(());
        }
        object["apiVersion"] = target.resource().api_version().into();
        object["kind"] = target.resource().kind.into();
        match self.registry.create(&Context::of_server(), &target, object).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }

    /// Every kube-apiserver says that it is there; those that no longer do leave the service.
    async fn endpoints(&self) -> Result<(), Status> {
        self.registry.announce(self.address).await?;
        self.reconcile().await
    }

    async fn reconcile(&self) -> Result<(), Status> {
        let there = self.registry.announced().await?;
        // The last one stays in the service, for those who wait until it is back.
        if there.is_empty() {
            return Ok(());
        }
        let addresses: Vec<Value> = there.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
        let ports = json!([{"name": "https", "port": self.port, "protocol": "TCP"}]);
        // Both forms are ours: nobody is to make the newer one out of the older.
        let endpoints = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": addresses, "ports": ports}]});
        self.put(("", "endpoints"), endpoints).await?;
        // The addresses of a slice are of one family; the service is of the first one's.
        let family = there[0].is_ipv4();
        let ready = |ip: &IpAddr| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}});
        let ready: Vec<Value> = there.iter().filter(|ip| ip.is_ipv4() == family).map(ready).collect();
        let slice = json!({"metadata": {"labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": if family { "IPv4" } else { "IPv6" }, "endpoints": ready, "ports": ports});
        self.put(("discovery.k8s.io", "endpointslices"), slice).await
    }

    /// What stands behind the service `kubernetes` is as it is given here; other labels and annotations stay.
    async fn put(&self, resource: (&str, &str), object: Value) -> Result<(), Status> {
        let mut fresh = object.clone();
        fresh["metadata"]["name"] = "kubernetes".into();
        fresh["metadata"]["namespace"] = "default".into();
        self.create_if_missing(resource, "default", "kubernetes", fresh).await?;
        let target = self.registry.target(resource.0, "v1", resource.1, "default", "kubernetes")?;
        let change = |current: &Value| {
            let mut now = current.clone();
            for (field, value) in object.as_object().into_iter().flatten().filter(|(field, _)| *field != "metadata") {
                now[field] = value.clone();
            }
            for (label, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
                now["metadata"]["labels"][label] = value.clone();
            }
            Ok(now)
        };
        self.registry.update(&Context::of_server(), &target, Rules::Object, &change).await.map(drop)
    }

    /// A server that ends in peace does not wait to be forgotten.
    async fn leave(&self) -> Result<(), Status> {
        self.registry.retract(self.address).await?;
        self.reconcile().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::catalog::Catalog;
    use storage::{Cache, Memory};

    use crate::admission::Admission;
    use crate::registry::Ranges;

    async fn addresses(registry: &Registry) -> Vec<String> {
        let target = registry.target("", "v1", "endpoints", "default", "kubernetes").unwrap();
        let object = crate::registry::parse(&registry.get(&target).await.unwrap().bytes).unwrap();
        let list = object["subsets"][0]["addresses"].as_array().cloned().unwrap_or_default();
        let told = list.iter().map(|address| address["ip"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        // The slice says the same.
        let target = registry.target("discovery.k8s.io", "v1", "endpointslices", "default", "kubernetes").unwrap();
        let slice = crate::registry::parse(&registry.get(&target).await.unwrap().bytes).unwrap();
        let ready = slice["endpoints"].as_array().unwrap().iter().map(|endpoint| &endpoint["addresses"][0]);
        assert_eq!(ready.collect::<Vec<_>>(), told.iter().collect::<Vec<_>>());
        assert_eq!(slice["ports"], object["subsets"][0]["ports"]);
        told
    }

    /// Conformance: "kubernetes.default Endpoints and EndpointSlices"
    /// Conformance: "Kubernetes Service"
    /// Conformance: "Find Kubernetes Service in default Namespace"
    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_gone_leaves_the_service() {
        let backend = Memory::new();
        let cache = Cache::start(backend.clone());
        let ranges = Ranges { services: "10.254.0.0/16".parse().unwrap(), node_ports: 30000..=32767 };
        let registry = Registry::new(Catalog::builtin(), backend, cache.clone(), Admission::default(), ranges, 3600);
        cache.ready().await;
        let server = |ip: &str| Bootstrap {
            registry: registry.clone(),
            service_ip: "10.254.0.1".into(),
            address: ip.parse().unwrap(),
            port: 6443,
            hooks: Arc::default(),
        };
        let (one, two) = (server("10.1.0.1"), server("10.1.0.2"));
        one.ensure().await.unwrap();
        two.ensure().await.unwrap();
        assert_eq!(addresses(&registry).await, ["10.1.0.1", "10.1.0.2"]);
        let service = registry.target("", "v1", "services", "default", "kubernetes").unwrap();
        let service = crate::registry::parse(&registry.get(&service).await.unwrap().bytes).unwrap();
        assert_eq!(
            (&service["spec"]["clusterIP"], &service["spec"]["ports"][0]["port"]),
            (&json!("10.254.0.1"), &json!(443))
        );
        // The second one dies: nobody hears of it any more.
        for _ in 0..3 {
            tokio::time::sleep(EVERY).await;
            one.ensure().await.unwrap();
        }
        assert_eq!(addresses(&registry).await, ["10.1.0.1"]);
        two.ensure().await.unwrap();
        assert_eq!(addresses(&registry).await, ["10.1.0.1", "10.1.0.2"]);
        two.leave().await.unwrap();
        assert_eq!(addresses(&registry).await, ["10.1.0.1"]);
        one.leave().await.unwrap();
        assert_eq!(addresses(&registry).await, ["10.1.0.1"]);
    }
}
