//! RBAC: who is bound to a role may do what its rules say. Follows the four kinds in the watch cache; a request waits for nothing.

mod cover;
pub mod defaults;
mod policy;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use storage::Filter;
use tokio_util::sync::CancellationToken;

use super::{Authorizer, Decision};
use crate::attributes::{Attributes, User};
use crate::registry::{Observed, Registry};

pub use cover::covers;
pub(super) use policy::permits;
use policy::{Key, Policy};

const GROUP: &str = "rbac.authorization.k8s.io";

#[derive(Clone, Default)]
pub struct Rbac(Arc<RwLock<Policy>>);

#[async_trait]
impl Authorizer for Rbac {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        match self.read().allowing(attributes) {
            Some(binding) => {
                attributes.trail.allowed_because(|| format!("RBAC: allowed by {binding}"));
                Decision::Allow
            }
            None => Decision::NoOpinion(String::new()),
        }
    }

    fn rules(&self, user: &User, namespace: &str) -> Result<Vec<PolicyRule>, String> {
        Ok(self.rules_for(user, namespace))
    }
}

/// How an object of one of the four kinds goes into the policy.
type Apply = fn(&mut Policy, &[u8], bool);

impl Rbac {
    /// Follows roles and bindings until the token ends it.
    pub async fn run(self, registry: Arc<Registry>, token: CancellationToken) {
        let follow = |plural: &'static str, roles: bool, cluster: bool, apply: Apply| {
            let (rbac, registry, token) = (self.clone(), registry.clone(), token.clone());
            async move { rbac.follow(&registry, plural, (roles, cluster), apply, &token).await }
        };
        tokio::join!(
            follow("clusterroles", true, true, |policy, bytes, there| {
                role::<ClusterRole>(policy, bytes, there, |role| (role.metadata, role.rules));
            }),
            follow("roles", true, false, |policy, bytes, there| {
                role::<Role>(policy, bytes, there, |role| (role.metadata, role.rules));
            }),
            follow("clusterrolebindings", false, true, |policy, bytes, there| {
                let Ok(one) = serde_json::from_slice::<ClusterRoleBinding>(bytes) else { return };
                let subjects = one.subjects.unwrap_or_default();
                policy.set_binding(key(one.metadata), there.then_some((&one.role_ref, &subjects)));
            }),
            follow("rolebindings", false, false, |policy, bytes, there| {
                let Ok(one) = serde_json::from_slice::<RoleBinding>(bytes) else { return };
                let subjects = one.subjects.unwrap_or_default();
                policy.set_binding(key(one.metadata), there.then_some((&one.role_ref, &subjects)));
            }),
        );
    }

    async fn follow(
        &self,
        registry: &Registry,
        plural: &str,
        (roles, cluster): (bool, bool),
        apply: Apply,
        token: &CancellationToken,
    ) {
        let Ok(target) = registry.target(GROUP, "v1", plural, "", "") else { return };
        let tell = |observed: Observed<'_>| {
            self.change(|policy| match observed {
                Observed::All(entries) => {
                    policy.forget(roles, cluster);
                    entries.iter().for_each(|entry| apply(policy, &entry.bytes, true));
                }
                Observed::Changes(changes) => changes.iter().for_each(|(bytes, there)| apply(policy, bytes, *there)),
            });
        };
        registry.observe(&target, Filter::default(), token, tell).await;
    }

    /// The rules that a user has in a namespace; without one, in the cluster.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Vec<PolicyRule> {
        self.read().rules(user, namespace).cloned().collect()
    }

    /// Roles and bindings are known: who is not allowed something now is not.
    pub fn is_ready(&self) -> bool {
        self.read().is_whole()
    }

    fn read(&self) -> RwLockReadGuard<'_, Policy> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn role<K: DeserializeOwned>(
    policy: &mut Policy,
    bytes: &[u8],
    there: bool,
    parts: fn(K) -> (ObjectMeta, Option<Vec<PolicyRule>>),
) {
    // What is stored has been validated.
    let Ok(object) = serde_json::from_slice::<K>(bytes) else { return };
    let (metadata, rules) = parts(object);
    policy.set_role(key(metadata), there.then(|| rules.unwrap_or_default()));
}

fn key(metadata: ObjectMeta) -> Key {
    (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default())
}
