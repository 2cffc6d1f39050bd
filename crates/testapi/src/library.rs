//! kube-apiserver's library over an empty store in memory: what REST's tests and [`crate::ApiServer`] have in common.

use std::sync::Arc;

use api::catalog::Catalog;
use api::strategy::SYSTEM_NAMESPACES;
use kube_apiserver::admission::{Admission, Configuration, Plugins};
use kube_apiserver::attributes::User;
use kube_apiserver::authentication::{Authentication, Issuer};
use kube_apiserver::authorization::{AlwaysAllow, Authorization, Rbac};
use kube_apiserver::exchange::Filters;
use kube_apiserver::metrics::MeasuredBackend;
use kube_apiserver::registry::{Context, Ranges, Registry};
use kube_apiserver::rest::Rest;
use serde_json::json;
use storage::{Cache, Memory};

/// Plugins that count on controllers, of which a test starts those that it is about.
pub const WITHOUT_CONTROLLERS: &[&str] = &["ServiceAccount", "StorageObjectInUseProtection"];

fn everything() -> Authorization {
    Authorization::new(vec![Arc::new(AlwaysAllow)])
}

/// With these plugins beside the ones that are on by default, and without those.
pub fn plugins(enable: &[&str], disable: &[&str]) -> Plugins {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Plugins::new(None, &list(enable), &list(disable)).expect("the test names plugins that there are")
}

pub fn user(name: &str, groups: &[&str]) -> Arc<User> {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Arc::new(User { name: name.into(), groups, ..User::default() })
}

pub struct Library {
    pub memory: Arc<Memory>,
    measured: MeasuredBackend,
    pub registry: Arc<Registry>,
    pub authorization: Authorization,
}

impl Library {
    /// Everything is allowed.
    pub async fn open(plugins: &Plugins, configuration: &Configuration) -> Self {
        let admission = plugins.admission(configuration, &everything(), &Rbac::default(), false);
        Self::admitting(admission).await
    }

    /// Everything is allowed, with the plugins of a test.
    pub async fn admitting(admission: Admission) -> Self {
        Self::start(everything(), admission).await
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
        let measured = MeasuredBackend::new(memory.clone());
        let backend = Arc::new(measured.clone());
        let cache = Cache::start(backend.clone());
        let ranges =
            Ranges { services: "10.254.0.0/16".parse().expect("a range of addresses"), node_ports: 30000..=32767 };
        let registry = Registry::new(Catalog::builtin(), backend, cache.clone(), admission, ranges, 3600);
        cache.ready().await;
        for name in SYSTEM_NAMESPACES {
            let target = registry.target("", "v1", "namespaces", "", name).expect("a row of the catalog");
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let made = registry.create(&Context::of_server(), &target, namespace).await;
            made.unwrap_or_else(|status| panic!("namespace {name}: {}", status.message));
        }
        Self { memory, measured, registry, authorization }
    }

    /// What serves it.
    pub fn rest(&self, authentication: (Authentication, Option<Issuer>), filters: Filters) -> Rest {
        let mut health = daemon::Health::unbound();
        self.measured.register(health.registry());
        let address = "127.0.0.1:6443".parse().expect("an address");
        let (registry, authorization) = (self.registry.clone(), self.authorization.clone());
        Rest::new(registry, authentication, authorization, None, health, address, filters)
    }
}
