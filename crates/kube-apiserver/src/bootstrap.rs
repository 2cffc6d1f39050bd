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
use crate::registry::{Context, Registry};

/// Somebody may delete them.
const EVERY: Duration = Duration::from_secs(10);

pub struct Bootstrap {
    pub registry: Arc<Registry>,
    /// The first address of the service range.
    pub service_ip: String,
    /// Where this server can be reached.
    pub address: IpAddr,
    pub port: u16,
}

impl Bootstrap {
    pub async fn run(self, token: CancellationToken) {
        let trouble = daemon::LogOnce::new();
        // Roles are put back at each start only: who takes one away while the server runs means it.
        let mut roles = false;
        loop {
            let mut ensured = self.ensure().await;
            if ensured.is_ok() && !roles {
                ensured = rbac::defaults::ensure(&self.registry).await;
                roles = ensured.is_ok();
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
                () = token.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn ensure(&self) -> Result<(), Status> {
        for name in SYSTEM_NAMESPACES {
            self.create_if_missing(("", "namespaces"), "", name, json!({"metadata": {"name": name}})).await?;
        }
        for (name, value, description) in SYSTEM_PRIORITY_CLASSES {
            let class = json!({"metadata": {"name": name}, "value": value, "description": description,
                "preemptionPolicy": "PreemptLowerPriority"});
            self.create_if_missing(("scheduling.k8s.io", "priorityclasses"), "", name, class).await?;
        }
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({"metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {"type": "ClusterIP", "clusterIP": self.service_ip, "clusterIPs": [self.service_ip],
                "sessionAffinity": "None",
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": self.port}]}});
        self.create_if_missing(("", "services"), "default", "kubernetes", service).await?;
        self.endpoints().await
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

    /// Every kube-apiserver adds its own address.
    async fn endpoints(&self) -> Result<(), Status> {
        let target = self.registry.target("", "v1", "endpoints", "default", "kubernetes")?;
        let own = json!({"ip": self.address.to_string()});
        let ports = json!([{"name": "https", "port": self.port, "protocol": "TCP"}]);
        let change = |current: &Value| {
            let mut endpoints = current.clone();
            let known = current["subsets"][0]["addresses"].as_array().cloned().unwrap_or_default();
            if current["subsets"][0]["ports"] == ports && known.contains(&own) {
                return Ok(endpoints);
            }
            let others = known.into_iter().filter(|address| *address != own && current["subsets"][0]["ports"] == ports);
            let mut addresses: Vec<Value> = others.collect();
            addresses.push(own.clone());
            endpoints["subsets"] = json!([{"addresses": addresses, "ports": ports}]);
            Ok(endpoints)
        };
        let fresh = json!({"metadata": {"name": "kubernetes", "namespace": "default"},
            "subsets": [{"addresses": [own], "ports": ports}]});
        self.create_if_missing(("", "endpoints"), "default", "kubernetes", fresh).await?;
        self.registry.update(&Context::of_server(), &target, Rules::Object, &change).await.map(|_| ())
    }
}
