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
        let subsets = json!([{"addresses": addresses, "ports": ports}]);
        let fresh = json!({"metadata": {"name": "kubernetes", "namespace": "default"}, "subsets": subsets});
        self.create_if_missing(("", "endpoints"), "default", "kubernetes", fresh).await?;
        let target = self.registry.target("", "v1", "endpoints", "default", "kubernetes")?;
        let change = |current: &Value| {
            let mut endpoints = current.clone();
            endpoints["subsets"] = subsets.clone();
            Ok(endpoints)
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
        list.iter().map(|address| address["ip"].as_str().unwrap().to_owned()).collect()
    }

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
