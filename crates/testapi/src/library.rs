//! kube-apiserver's library over an empty store in memory: what REST's tests and [`crate::ApiServer`] have in common.

use std::sync::Arc;

use api::catalog::Catalog;
use api::strategy::SYSTEM_NAMESPACES;
use kube_apiserver::admission::{Admission, Configuration, Plugins};
use kube_apiserver::authentication::{Authentication, Issuer};
use kube_apiserver::authorization::{AlwaysAllow, Authorization, Rbac};
use kube_apiserver::registry::{Context, Ranges, Registry};
use kube_apiserver::rest::Rest;
use serde_json::json;
use storage::{Cache, Memory};

/// Plugins that count on controllers, of which a test starts those that it is about.
pub const WITHOUT_CONTROLLERS: &[&str] = &["ServiceAccount", "StorageObjectInUseProtection"];

/// With these plugins beside the ones that are on by default, and without those.
pub fn plugins(enable: &[&str], disable: &[&str]) -> Plugins {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Plugins::new(None, &list(enable), &list(disable)).expect("the test names plugins that there are")
}

pub struct Library {
    pub memory: Arc<Memory>,
    pub registry: Arc<Registry>,
    pub authorization: Authorization,
}

impl Library {
    /// Everything is allowed.
    pub async fn open(plugins: &Plugins, configuration: &Configuration) -> Self {
        let authorization = Authorization::new(vec![Arc::new(AlwaysAllow)]);
        let admission = plugins.admission(configuration, &authorization, &Rbac::default(), false);
        Self::start(authorization, admission).await
    }

    /// Under RBAC. The policy follows the roles and bindings that there are once it [`Rbac::run`]s.
    pub async fn under_rbac(plugins: &Plugins) -> (Self, Rbac) {
        let rbac = Rbac::default();
        let authorization = Authorization::new(vec![Arc::new(rbac.clone())]);
        let admission = plugins.admission(&Configuration::default(), &authorization, &rbac, true);
        (Self::start(authorization, admission).await, rbac)
    }

    /// With the namespaces that every cluster has.
    pub async fn start(authorization: Authorization, admission: Admission) -> Self {
        let memory = Memory::new();
        let cache = Cache::start(memory.clone());
        let ranges =
            Ranges { services: "10.254.0.0/16".parse().expect("a range of addresses"), node_ports: 30000..=32767 };
        let registry = Registry::new(Catalog::builtin(), memory.clone(), cache.clone(), admission, ranges, 3600);
        cache.ready().await;
        for name in SYSTEM_NAMESPACES {
            let target = registry.target("", "v1", "namespaces", "", name).expect("a row of the catalog");
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let made = registry.create(&Context::of_server(), &target, namespace).await;
            made.unwrap_or_else(|status| panic!("namespace {name}: {}", status.message));
        }
        Self { memory, registry, authorization }
    }

    /// What serves it.
    pub fn rest(&self, authentication: Authentication, issuer: Option<Issuer>) -> Rest {
        let health = daemon::Health::unbound();
        let address = "127.0.0.1:6443".parse().expect("an address");
        let (registry, authorization) = (self.registry.clone(), self.authorization.clone());
        Rest::new(registry, authentication, authorization, issuer, None, health, address)
    }
}
